//! What is wrong in one line of a file that is no TOML: another program's quotes, another language's
//! signs, a text without its end. The parser only says where it has given up.

/// Quotes and signs of word processors and of Chinese keyboards, and what TOML has in their place.
const SIGNS: [(char, char); 21] = [
    ('“', '"'),
    ('”', '"'),
    ('„', '"'),
    ('＂', '"'),
    ('‘', '\''),
    ('’', '\''),
    ('＝', '='),
    ('［', '['),
    ('］', ']'),
    ('【', '['),
    ('】', ']'),
    ('｛', '{'),
    ('｝', '}'),
    ('：', '='),
    ('，', ','),
    ('、', ','),
    ('。', '.'),
    ('．', '.'),
    ('＃', '#'),
    ('\u{3000}', ' '),
    ('\u{a0}', ' '),
];

/// The quotes of texts that go on over several lines.
pub(super) const LONG_QUOTES: [&str; 2] = ["\"\"\"", "'''"];

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

impl Mistake {
    fn new(at: usize, message: impl Into<String>, help: impl Into<String>) -> Mistake {
        Mistake {
            at,
            message: message.into(),
            help: help.into(),
        }
    }
}

/// The mistake in the line at a place where the parser has given up, if it is a known one.
pub(super) fn mistake(text: &str, at: usize) -> Option<Mistake> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let code = code(line);
    foreign_sign(code)
        .or_else(|| foreign_comment(code))
        .or_else(|| quotes(code))
        .or_else(|| colon(code))
        .or_else(|| unquoted_key(code))
        .or_else(|| unquoted_name(code))
        .or_else(|| unquoted_value(code))
        .or_else(|| sign_behind(code))
        .map(|mistake| Mistake {
            at: start + mistake.at,
            ..mistake
        })
}

/// A line without its comment. Within a closed text `#` begins none.
fn code(line: &str) -> &str {
    let comment = outside(line).find(|(_, character)| *character == '#');
    comment.map_or(line, |(at, _)| &line[..at])
}

/// The characters of a line that stand in no closed text, and its quotes.
fn outside(line: &str) -> impl Iterator<Item = (usize, char)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let at = line.len() - rest.len();
        rest = &rest[first.len_utf8()..];
        if matches!(first, '"' | '\'')
            && let Some(end) = end_of(rest, first)
        {
            rest = &rest[end..];
        }
        Some((at, first))
    })
}

/// Where the text that has begun with this quote has ended.
fn end_of(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            end if end == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn foreign_sign(line: &str) -> Option<Mistake> {
    let sign = |c: char| SIGNS.into_iter().find(|(foreign, _)| *foreign == c);
    let mut found = outside(line).filter_map(|(at, c)| Some((at, sign(c)?)));
    let (at, (found, meant)) = found.next()?;
    Some(match meant {
        ' ' => {
            let help = "write an ordinary blank in its place";
            Mistake::new(at, "this is no ordinary blank", help)
        }
        '"' | '\'' => Mistake::new(
            at,
            format!("{found} is a curly quote"),
            format!("write {meant} in its place"),
        ),
        _ => Mistake::new(
            at,
            format!("{found} is a full-width sign"),
            format!("write {meant} in its place"),
        ),
    })
}

fn foreign_comment(line: &str) -> Option<Mistake> {
    let sign = ["//", ";", "--", "/*"]
        .into_iter()
        .find(|sign| line.trim_start().starts_with(sign))?;
    let at = line.len() - line.trim_start().len();
    let message = format!("`{sign}` begins no comment");
    Some(Mistake::new(at, message, "write # in its place"))
}

/// A text without its end, or with a `\` that stands for itself, as in a path of Windows.
fn quotes(line: &str) -> Option<Mistake> {
    if LONG_QUOTES.iter().any(|quotes| line.contains(quotes)) {
        return None;
    }
    for (at, quote) in outside(line).filter(|(_, c)| matches!(c, '"' | '\'')) {
        let text = &line[at + 1..];
        let end = end_of(text, quote);
        if quote == '"'
            && let Some(escape) = bad_escape(&text[..end.unwrap_or(text.len())])
        {
            return Some(Mistake::new(
                at + 1 + escape,
                "`\\` begins an escape between \" and \", and this is none",
                "write the text between ' and ' (there `\\` stands for itself), or `\\\\` for each `\\`",
            ));
        }
        if end.is_none() {
            return Some(Mistake::new(
                at,
                format!("a text begins with {quote} and does not end"),
                format!("end it with {quote}, the quote that it begins with"),
            ));
        }
    }
    None
}

/// Where a `\` stands that is no escape of TOML.
fn bad_escape(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('\\')?;
        let behind = &text[at + 1..];
        let digits = |count: usize| {
            let digits = behind.bytes().skip(1).take(count);
            digits.filter(u8::is_ascii_hexdigit).count() == count
        };
        let is_escape = match behind.chars().next() {
            Some('b' | 't' | 'n' | 'f' | 'r' | 'e' | '"' | '\\') => true,
            Some('x') => digits(2),
            Some('u') => digits(4),
            Some('U') => digits(8),
            _ => false,
        };
        if !is_escape {
            return Some(at);
        }
        from = at + 2;
    }
}

/// A line such as `key: value`. What stands there may be a part of a secret, so it is not repeated.
fn colon(line: &str) -> Option<Mistake> {
    let (key, _) = line.split_once(':')?;
    let name = key.trim().trim_matches(['"', '\'']);
    let is_bare = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    (!name.is_empty() && name.chars().all(is_bare))
        .then(|| Mistake::new(key.len(), "`:` stands behind a key", "write key = value"))
}

/// A key such as `正常`.
fn unquoted_key(line: &str) -> Option<Mistake> {
    let (key, _) = line.split_once('=')?;
    let bare = key.trim();
    needs_quotes(bare).then(|| {
        Mistake::new(
            line.find(bare).unwrap_or_default(),
            format!("the key {bare} stands without quotes"),
            format!("write \"{bare}\" = …"),
        )
    })
}

/// A table such as `[topics.地图]`.
fn unquoted_name(line: &str) -> Option<Mistake> {
    let name = line.trim().trim_matches(['[', ']']);
    (line.trim_start().starts_with('[') && needs_quotes(name)).then(|| {
        Mistake::new(
            line.find(name).unwrap_or_default(),
            "a table's name has other signs than letters of ASCII, digits, `-` and `_`",
            "give topics and sinks names of these; a state stands between quotes: [states.\"…\"]",
        )
    })
}

fn needs_quotes(key: &str) -> bool {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_. \t".contains(c);
    !key.chars().all(is_bare) && key.chars().all(|c| is_bare(c) || c.is_alphanumeric())
}

/// A value such as `stomp://host`. It may be a password, so it is not repeated.
fn unquoted_value(line: &str) -> Option<Mistake> {
    let equals = outside(line).filter(|(_, character)| *character == '=');
    for (at, _) in equals {
        let (key, rest) = (line[..at].trim(), &line[at + 1..]);
        let value = rest.trim_start();
        let first = value.chars().next()?;
        let is_value = first.is_ascii_digit() || "\"'[{+-.=".contains(first);
        let word = value.split([' ', '\t', ',', '}', ']']).next();
        let is_word = matches!(word, Some("true" | "false" | "inf" | "nan"));
        if !key.is_empty() && !is_value && !is_word {
            let at = line.len() - value.len();
            let help = "write key = \"text\"";
            return Some(Mistake::new(at, "a text stands without quotes", help));
        }
    }
    None
}

/// A value with a sign behind it that other languages want there.
fn sign_behind(line: &str) -> Option<Mistake> {
    let code = line.trim_end();
    let sign = code.chars().last().filter(|c| matches!(c, ';' | ','))?;
    let is_line = code.contains('=') && !code.trim_start().starts_with(['{', '[']);
    is_line.then(|| {
        let message = format!("`{sign}` stands behind the value");
        Mistake::new(code.len() - 1, message, "remove it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        check("url： \"x\"", 3, "： is a full-width sign");
        check("a = [\"，\"， \"b\"]", 10, "， is a full-width sign");
        check("url = \"stomp://h”", 16, "” is a curly quote");
        check("url\u{3000}= 1", 3, "this is no ordinary blank");
        check("url: \"stomp://h\"", 3, "`:` stands behind a key");
        check("\"正常\": 1", 8, "`:` stands behind a key");
        check("// mine", 0, "`//` begins no comment");
        let ends = |quote: char| format!("a text begins with {quote} and does not end");
        check("url = 'x\"", 6, &ends('\''));
        check("a = { b = \"x\", c = \"y }", 19, &ends('"'));
        let escape = "`\\` begins an escape between \" and \", and this is none";
        check(r#"path = "C:\data\x""#, 10, escape);
        check(r#"path = "\t\u12""#, 10, escape);
        check(
            "\"正常\" = { name = normal }",
            20,
            "a text stands without quotes",
        );
        let name = "a table's name has other signs than letters of ASCII, digits, `-` and `_`";
        check("[topics.地图]", 1, name);
        check("a = \"x\";", 7, "`;` stands behind the value");
        for line in [
            "a = 5 5",
            "a = \"x\" \"y\"",
            "a = [1, 2",
            "a = true x # “",
            "= 1",
            "a = \"“，” # \\\"：\" x",
            "a = { b = true, c = false } x",
            "[topics.map",
            "a = \"\"\"x",
        ] {
            assert_eq!(mistake(line, 0), None, "{line}");
        }
    }

    #[test]
    fn nothing_of_a_value_is_repeated() {
        for line in [
            "url = hunter2",
            "hunter2: x",
            "url = \"hunter2",
            "url = \"\\hunter2\"",
            "url = \"hunter2\";",
        ] {
            let found = mistake(line, 0).expect(line);
            assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
        }
    }
}
