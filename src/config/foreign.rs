//! What a file is that is no TOML as a whole: another language, another encoding. The parser only
//! says where it has given up.

use std::path::Path;

use super::line::Mistake;
use super::problem::{Level, Location, Problem};

/// The first lines, which say what language a text is in. A body of JSON or YAML comes later.
const FIRST_LINES: usize = 3;

/// The language of a text whose beginning is no TOML; `gave_up`: where the parser did so first. What
/// stands before that is TOML.
pub(super) fn language(text: &str, gave_up: usize) -> Option<Mistake> {
    let (mut at, mut first) = (None, Vec::new());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim_start_matches('\u{feff}').trim_end();
        let is_code = !code.trim().is_empty() && !code.trim_start().starts_with('#');
        if is_code && first.len() < FIRST_LINES {
            at.get_or_insert(start + line.len() - line.trim_start_matches('\u{feff}').len());
            first.push(code);
        }
        start += line.len();
    }
    let (at, head) = (at?, *first.first()?);
    if gave_up > at + head.len() {
        return None;
    }
    let name = if is_json(head) {
        "JSON"
    } else if is_yaml(head) && first.iter().skip(1).all(|line| may_be_yaml(line)) {
        "YAML"
    } else {
        return None;
    };
    Some(Mistake {
        at,
        message: format!("this is {name}"),
        help: "a configuration is TOML: [source] in a line of its own, then url = \"…\"; README \
               has an example"
            .to_owned(),
    })
}

/// Whether a text that begins with this line is JSON.
fn is_json(line: &str) -> bool {
    match line.trim().strip_prefix('{') {
        Some(inner) => {
            let inner = inner.trim_start();
            inner.is_empty() || inner.starts_with(['"', '}'])
        }
        None => matches!(line.trim(), "[" | "[{"),
    }
}

/// Whether a line is a key of YAML, or the beginning of a document.
fn is_yaml(line: &str) -> bool {
    let line = line.trim().trim_start_matches("- ");
    let key = line
        .split_once(':')
        .filter(|(_, value)| value.is_empty() || value.starts_with([' ', '\t']));
    line == "---" || key.is_some_and(|(key, _)| !key.is_empty() && !key.contains(['=', '[']))
}

/// Whether a line can stand behind one.
fn may_be_yaml(line: &str) -> bool {
    is_yaml(line) || line.trim_start().starts_with("- ")
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
pub(super) fn is_gbk(bytes: &[u8]) -> bool {
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
            ("# a\n\u{feff}\r\nsource:\r\n  - url: x\r\n", Some("YAML")),
            ("source: x\nlogin: y\n[topics.a]\n", None),
            ("{\"source\":{\"url\":\"http://h?a=b\"}}", Some("JSON")),
            ("[\n  {}\n]\n", Some("JSON")),
            ("{ url = \"x\" }\n", None),
            ("[[tests]\nmessage = '{}'\n", None),
        ] {
            let found = language(text, 0).map(|mistake| mistake.message);
            let expected = expected.map(|name| format!("this is {name}"));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_body_in_another_language_is_no_other_language() {
        let body = "  a: 1\n  b: 2\n  c: 3\n".repeat(9);
        let toml = format!("[sinks.a]\nbody = '''\n{body}'''\nx = = 1\n");
        let error = toml.find("= =").unwrap();
        assert_eq!(language(&toml, error), None);
        // The parser has understood the first line.
        let late = "a: 1\nb: 2\n";
        assert_eq!(language(late, 6), None);
        assert!(language(late, 1).is_some());
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
