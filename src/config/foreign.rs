//! What a file is that is no TOML: another language, another encoding, another program's quotes.
//! The parser only says where it has given up.

use std::path::Path;

use super::problem::{Level, Location, Problem};

/// Quotes and signs of word processors and of Chinese keyboards, and what TOML has in their place.
const SIGNS: [(char, char); 9] = [
    ('“', '"'),
    ('”', '"'),
    ('„', '"'),
    ('＂', '"'),
    ('‘', '\''),
    ('’', '\''),
    ('＝', '='),
    ('［', '['),
    ('］', ']'),
];

/// A mistake that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where it is in the text, in bytes.
    pub(super) at: usize,
    /// What it is.
    pub(super) message: String,
    /// What to write.
    pub(super) help: String,
}

/// The language of a text that is no TOML, where it is another one as a whole.
pub(super) fn language(text: &str) -> Option<Mistake> {
    let lines = || {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let first = lines().next()?;
    let is_json = first.starts_with('{') && !first.contains('=');
    let is_yaml = |line: &str| {
        let line = line.trim_start_matches("- ");
        let key = line.split_once(':').filter(|(_, value)| {
            value.is_empty() || value.starts_with(' ') || value.starts_with('\t')
        });
        line == "---" || key.is_some_and(|(key, _)| !key.is_empty() && !key.contains(['=', '[']))
    };
    let yaml = lines().filter(|line| is_yaml(line)).count();
    let name = match (is_json, yaml * 2 > lines().count()) {
        (true, _) => "JSON",
        (false, true) => "YAML",
        (false, false) => return None,
    };
    Some(Mistake {
        at: text.find(first).unwrap_or_default(),
        message: format!("this is {name}"),
        help: "a configuration is TOML: [source] in a line of its own, then url = \"…\"; README \
               has an example"
            .to_owned(),
    })
}

/// The mistake in the line at a place where the parser has given up, if it is a known one.
pub(super) fn mistake(text: &str, at: usize) -> Option<Mistake> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let code = line.split('#').next().unwrap_or_default();
    foreign_sign(code)
        .or_else(|| unquoted_key(code))
        .or_else(|| unquoted_value(code))
        .map(|mistake| Mistake {
            at: start + mistake.at,
            ..mistake
        })
}

fn foreign_sign(line: &str) -> Option<Mistake> {
    let sign = |c: char| SIGNS.into_iter().find(|(foreign, _)| *foreign == c);
    let (at, (found, meant)) = line
        .char_indices()
        .find_map(|(at, c)| Some((at, sign(c)?)))?;
    let kind = match meant {
        '"' | '\'' => "a curly quote",
        _ => "a full-width sign",
    };
    Some(Mistake {
        at,
        message: format!("{found} is {kind}"),
        help: format!("write {meant} in its place"),
    })
}

/// A key such as `正常`.
fn unquoted_key(line: &str) -> Option<Mistake> {
    let (key, _) = line.split_once('=')?;
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_. \t\"'".contains(c);
    let bare = key.trim();
    let is_quoted = bare.contains(['"', '\'']);
    let needs_quotes = !is_quoted
        && !bare.chars().all(is_bare)
        && bare.chars().all(|c| is_bare(c) || c.is_alphanumeric());
    needs_quotes.then(|| Mistake {
        at: line.find(bare).unwrap_or_default(),
        message: format!("the key {bare} stands without quotes"),
        help: format!("write \"{bare}\" = …"),
    })
}

/// A value such as `stomp://host`. It may be a password, so it is not repeated.
fn unquoted_value(line: &str) -> Option<Mistake> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let first = value.chars().next()?;
    let is_value = first.is_ascii_digit() || "\"'[{+-.".contains(first);
    let word = value.split_whitespace().next();
    let is_word = matches!(word, Some("true" | "false" | "inf" | "nan"));
    let is_key = !key.is_empty() && !key.contains(['"', '\'', '{', '[']);
    (is_key && !is_value && !is_word).then(|| Mistake {
        at: line.rfind(value).unwrap_or_default(),
        message: "a text stands without quotes".to_owned(),
        help: "write key = \"text\"".to_owned(),
    })
}

/// The problem of a file that is not UTF-8: which line, and what it may be.
pub(super) fn not_utf8(file: &Path, bytes: &[u8]) -> Problem {
    let valid = bytes
        .utf8_chunks()
        .next()
        .map_or(0, |chunk| chunk.valid().len());
    let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = bytes[..valid].iter().rposition(|byte| *byte == b'\n');
    let start = start.map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&bytes[start..valid])
        .chars()
        .count()
        + 1;
    let (looks, encoding) = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => (", and looks like UTF-16", "UTF-16"),
        _ if is_gbk(bytes) => (", and looks like GBK", "GBK"),
        _ => ("", "…"),
    };
    let name = file.file_name().unwrap_or(file.as_os_str()).display();
    Problem {
        level: Level::Error,
        place: Location::File {
            file: file.to_owned(),
            line,
            column,
            // It may be a secret.
            source: "…".to_owned(),
            width: 1,
        },
        path: String::new(),
        message: format!("line {line} is not UTF-8{looks}"),
        help: Some(format!(
            "save the file as UTF-8: iconv -f {encoding} -t UTF-8 {name}"
        )),
    }
}

/// Whether all bytes beyond ASCII are pairs of GBK.
fn is_gbk(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return true,
            [0..=0x7f, rest @ ..] => rest,
            [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, rest @ ..] => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_language_is_named() {
        for (text, expected) in [
            (
                "source:\n  url: http://h\ntopics:\n  a:\n    destination: /t\n",
                Some("YAML"),
            ),
            ("---\n- a: 1\n", Some("YAML")),
            ("{\n  \"source\": { \"url\": \"x\" }\n}\n", Some("JSON")),
            (
                "[source]\nurl = stomp://h\n[topics.a]\ndestination = \"/t\"\n",
                None,
            ),
            ("[source]\nurl: x\n[topics.a]\ndestination = \"/t\"\n", None),
            ("# only: a comment\n", None),
            ("", None),
        ] {
            let found = language(text).map(|mistake| mistake.message);
            let expected = expected.map(|name| format!("this is {name}"));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_of_a_line_is_named_at_its_place() {
        let check = |line: &str, at: usize, message: &str| {
            let text = format!("[a]\n{line}\nb = 1\n");
            let found = mistake(&text, 4 + line.len() / 2).map(|it| (it.at, it.message));
            assert_eq!(found, Some((4 + at, message.to_owned())), "{line}");
        };
        check("url = “stomp://h”", 6, "“ is a curly quote");
        check("url ＝ \"x\"", 4, "＝ is a full-width sign");
        check(
            "正常 = { name = \"n\" }",
            0,
            "the key 正常 stands without quotes",
        );
        check("url = stomp://h # a", 6, "a text stands without quotes");
        for line in [
            "a = 5 5",
            "a = \"x\" \"y\"",
            "a = [1, 2",
            "a = true x # “",
            "= 1",
        ] {
            assert_eq!(mistake(line, 0), None, "{line}");
        }
    }

    #[test]
    fn the_first_line_that_is_not_utf8_is_named_with_its_encoding() {
        let check = |bytes: &[u8], message: &str, help: &str| {
            let problem = not_utf8(Path::new("/etc/x/config.toml"), bytes);
            assert_eq!(problem.message, message);
            assert!(problem.help.unwrap_or_default().contains(help));
        };
        let gbk = "iconv -f GBK -t UTF-8 config.toml";
        check(
            b"a = 1\nb = \"\xd5\xfd\xb3\xa3\"\n",
            "line 2 is not UTF-8, and looks like GBK",
            gbk,
        );
        check(b"a = \"\xff\"\n", "line 1 is not UTF-8", "iconv -f …");
        check(
            b"\xff\xfea\0",
            "line 1 is not UTF-8, and looks like UTF-16",
            "UTF-16",
        );
    }
}
