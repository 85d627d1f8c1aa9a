//! A text as who reads it sees it: its characters in place of escapes such as `\u0061`, `\x61`,
//! `\"`, `%61` and `&#97;`, whichever of them are escaped. It knows where each stands in the text.

use std::ops::Range;

/// A text without escapes.
#[derive(Debug)]
pub(super) struct Unescaped {
    pub(super) bytes: Vec<u8>,
    /// Where each byte comes from.
    places: Vec<(usize, usize)>,
}

impl Unescaped {
    /// `None`: there is nothing escaped in the text.
    pub(super) fn of(text: &str) -> Option<Unescaped> {
        let text = text.as_bytes();
        let mut unescaped = None;
        let mut at = 0;
        while at < text.len() {
            if let Some((character, length)) = escape(&text[at..]) {
                let before = || Unescaped::plain(&text[..at]);
                let unescaped: &mut Unescaped = unescaped.get_or_insert_with(before);
                for byte in character.bytes() {
                    unescaped.push(*byte, at, at + length);
                }
                at += length;
                continue;
            }
            // Of a run of backslashes that escapes nothing, no part does: each is looked at once.
            let end = at + slashes(&text[at..]).max(1);
            if let Some(unescaped) = &mut unescaped {
                (at..end).for_each(|at| unescaped.push(text[at], at, at + 1));
            }
            at = end;
        }
        unescaped
    }

    fn plain(text: &[u8]) -> Unescaped {
        Unescaped {
            bytes: text.to_vec(),
            places: (0..text.len()).map(|at| (at, at + 1)).collect(),
        }
    }

    fn push(&mut self, byte: u8, begin: usize, end: usize) {
        self.bytes.push(byte);
        self.places.push((begin, end));
    }

    /// Where a part of it stands in the text; it is not empty.
    pub(super) fn place(&self, part: &Range<usize>) -> Range<usize> {
        self.places[part.start].0..self.places[part.end - 1].1
    }
}

/// What an escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Escaped {
    bytes: [u8; 4],
    length: usize,
}

impl Escaped {
    fn byte(byte: u8) -> Escaped {
        let bytes = [byte, 0, 0, 0];
        Escaped { bytes, length: 1 }
    }

    fn character(code: u32) -> Option<Escaped> {
        let mut bytes = [0; 4];
        let length = char::from_u32(code)?.encode_utf8(&mut bytes).len();
        Some(Escaped { bytes, length })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Hexadecimal digits of the longest escape.
const DIGITS_MAX: usize = 6;

/// How many backslashes a text begins with.
fn slashes(text: &[u8]) -> usize {
    text.iter().take_while(|byte| **byte == b'\\').count()
}

/// The escape that a text begins with, and how long that is.
fn escape(text: &[u8]) -> Option<(Escaped, usize)> {
    match text {
        // Within a JSON text that is itself a text the backslash is escaped, too.
        [b'\\', ..] => {
            let slashes = slashes(text);
            match &text[slashes..] {
                [b'x', rest @ ..] => {
                    let byte = u8::try_from(hex(rest, 2)?).ok()?;
                    Some((Escaped::byte(byte), slashes + 3))
                }
                [b'u', b'{', rest @ ..] => {
                    let mut digits = rest.iter().take(DIGITS_MAX + 1);
                    let digits = digits.position(|byte| *byte == b'}')?;
                    let code = hex(rest, digits)?;
                    Some((Escaped::character(code)?, slashes + digits + 3))
                }
                // A JSON text within a JSON text has three of them before a quote.
                [b'"', ..] => Some((Escaped::byte(b'"'), slashes + 1)),
                rest if slashes > 1 && !rest.starts_with(b"u") => {
                    Some((Escaped::byte(b'\\'), slashes))
                }
                _ => {
                    let (unit, length) = unit(text)?;
                    // UTF-16 has two of them for what lies beyond its first 65,536.
                    if (0xd800..0xdc00).contains(&unit) {
                        let (low, more) = self::unit(&text[length..])?;
                        let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        let code = 0x10000 + ((unit - 0xd800) << 10) + low;
                        return Some((Escaped::character(code)?, length + more));
                    }
                    Some((Escaped::character(unit)?, length))
                }
            }
        }
        [b'%', rest @ ..] => {
            let byte = u8::try_from(hex(rest, 2)?).ok()?;
            Some((Escaped::byte(byte), 3))
        }
        [b'&', b'#', rest @ ..] => {
            let end = rest.iter().take(9).position(|byte| *byte == b';')?;
            let code = match &rest[..end] {
                [b'x' | b'X', digits @ ..] => hex(digits, digits.len())?,
                digits => std::str::from_utf8(digits).ok()?.parse().ok()?,
            };
            Some((Escaped::character(code)?, 2 + end + 1))
        }
        _ => None,
    }
}

/// The `\u0061` that a text begins with, and how long that is.
fn unit(text: &[u8]) -> Option<(u32, usize)> {
    let slashes = slashes(text);
    let rest = text[slashes..].strip_prefix(b"u").filter(|_| slashes > 0)?;
    Some((hex(rest, 4)?, slashes + 5))
}

/// The number that the first hexadecimal digits of a text are, which are as many.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = text
        .get(..digits)
        .filter(|it| (1..=DIGITS_MAX).contains(&it.len()))?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number * 16 + digit)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::spawn;
    use std::time::Duration;

    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let unescaped = Unescaped::of(text).map(|it| String::from_utf8(it.bytes).unwrap());
        assert_eq!(unescaped.as_deref(), expected, "{text}");
    }

    #[test]
    fn every_escape_is_read_and_what_is_none_stays() {
        check("nothing \\n 5% &amp; \\u00g1 %4 &#;", None);
        check("a\\u0062c\\U0064", Some("abc\\U0064"));
        check("\\\\u0061\\\\u0062", Some("ab"));
        check("\\x61%62&#99;&#x64;\\u{65}", Some("abcde"));
        check("\\uD83D\\uDE00 \\u6545", Some("😀 故"));
        check("故%E9%9A%9C", Some("故障"));
        check(r#"\\\"a\\\\b\\n"#, Some(r#""a\b\n"#));
        check("\\ud83d \\udc00 \\u{110000} \\u{} %", None);
    }

    #[test]
    fn what_escapes_nothing_is_looked_at_once_however_long_it_is() {
        // By the square of its length this takes hours.
        const HANGS: Duration = Duration::from_secs(60);
        let (run, digits) = ("\\".repeat(1 << 20), "0".repeat(1 << 20));
        for text in [
            format!("%41{run}u00g1"),
            format!("%41{run}xg"),
            format!("%41{run}u{{{digits}"),
            format!("%41{}", "\\u{".repeat(1 << 20)),
        ] {
            let (done, waits) = channel();
            let expected = text.replacen("%41", "A", 1);
            spawn(move || done.send(Unescaped::of(&text).map(|it| it.bytes)));
            let unescaped = waits.recv_timeout(HANGS).expect("it hangs");
            assert!(unescaped == Some(expected.into_bytes()));
        }
    }

    #[test]
    fn a_part_is_found_where_it_stands_in_the_text() {
        let unescaped = Unescaped::of("a\\u0062c%64e").unwrap();
        assert_eq!(unescaped.place(&(0..1)), 0..1);
        assert_eq!(unescaped.place(&(1..3)), 1..8);
        assert_eq!(unescaped.place(&(3..5)), 8..12);
    }
}
