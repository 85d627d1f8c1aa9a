//! Escapes within JSON that are valid there and no character elsewhere: NUL, which PostgreSQL cannot
//! hold, and halves of surrogate pairs, which are no Unicode.

use std::borrow::Cow;

/// What stands in their place: U+FFFD, the replacement character.
const REPLACEMENT: &str = "\\ufffd";

/// The JSON text with U+FFFD in place of each escape that is no character everywhere.
pub fn portable(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    let bytes = json.as_bytes();
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        let start = at + found;
        let (end, is_odd) = escape(bytes, start);
        if is_odd {
            out.push_str(&json[copied..start]);
            out.push_str(REPLACEMENT);
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// Where the escape ends that begins here, and whether it is to be replaced.
fn escape(json: &[u8], start: usize) -> (usize, bool) {
    let Some(first) = unit(json, start) else {
        return ((start + 2).min(json.len()), false);
    };
    let end = start + 6;
    match first {
        0 => (end, true),
        0xd800..=0xdbff => match unit(json, end) {
            Some(0xdc00..=0xdfff) => (end + 6, false),
            _ => (end, true),
        },
        0xdc00..=0xdfff => (end, true),
        _ => (end, false),
    }
}

/// The UTF-16 unit of the escape `\uXXXX` that begins here.
fn unit(json: &[u8], start: usize) -> Option<u16> {
    let escape = json.get(start..start + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_character_everywhere_is_replaced_and_nothing_else() {
        for (json, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\udc00x\uD800\n""#, r#""\ufffdx\ufffd\n""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            // A backslash that is itself escaped begins no other escape.
            (r#""\\u0000 \\\u0000""#, r#""\\u0000 \\\ufffd""#),
            (r#""\u00g0\"#, r#""\u00g0\"#),
            (r#""故\u0000障""#, r#""故\ufffd障""#),
        ] {
            assert_eq!(portable(json), expected, "{json}");
        }
    }
}
