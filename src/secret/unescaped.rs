//! A text as who reads it sees it: its characters in place of escapes such as `\u0061`, `\x61`,
//! `\"`, `%61` and `&#97;`, whichever of them are escaped. It knows where each stands in the text.
//! A text within a text, such as JSON within JSON, is escaped again at each level.

use std::ops::Range;

/// Levels that are read. Each one of JSON doubles the backslashes before a quote: people have two or
/// three of them.
const LEVELS_MAX: usize = 8;

/// A text without the escapes of its outermost level.
#[derive(Debug)]
pub(super) struct Unescaped {
    pub(super) bytes: Vec<u8>,
    /// Where each byte comes from.
    places: Vec<(usize, usize)>,
}

impl Unescaped {
    /// Level by level, until nothing is escaped.
    pub(super) fn levels(text: &str) -> impl Iterator<Item = Unescaped> {
        std::iter::successors(Unescaped::of(text), Unescaped::again).take(LEVELS_MAX)
    }

    /// `None`: there is nothing escaped in the text.
    fn of(text: &str) -> Option<Unescaped> {
        Unescaped::level(text.as_bytes(), |part| (part.start, part.end))
    }

    /// The same of the next level: its places are those in the first text.
    fn again(&self) -> Option<Unescaped> {
        Unescaped::level(&self.bytes, |part| {
            let Range { start, end } = self.place(&part);
            (start, end)
        })
    }

    fn level(text: &[u8], place: impl Fn(Range<usize>) -> (usize, usize)) -> Option<Unescaped> {
        let mut unescaped = None;
        let mut at = 0;
        while at < text.len() {
            if let Some((character, length)) = escape(&text[at..]) {
                let before = || Unescaped {
                    bytes: text[..at].to_vec(),
                    places: (0..at).map(|at| place(at..at + 1)).collect(),
                };
                let unescaped: &mut Unescaped = unescaped.get_or_insert_with(before);
                for byte in character.bytes() {
                    unescaped.push(*byte, place(at..at + length));
                }
                at += length;
                continue;
            }
            if let Some(unescaped) = &mut unescaped {
                unescaped.push(text[at], place(at..at + 1));
            }
            at += 1;
        }
        unescaped
    }

    fn push(&mut self, byte: u8, place: (usize, usize)) {
        self.bytes.push(byte);
        self.places.push(place);
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

/// Entities of HTML that have a name.
const ENTITIES: [(&[u8], u8); 5] = [
    (b"&quot;", b'"'),
    (b"&apos;", b'\''),
    (b"&lt;", b'<'),
    (b"&gt;", b'>'),
    (b"&amp;", b'&'),
];

/// The escape that a text begins with, and how long that is.
fn escape(text: &[u8]) -> Option<(Escaped, usize)> {
    match text {
        [b'\\', b'x', rest @ ..] => {
            let byte = u8::try_from(hex(rest, 2)?).ok()?;
            Some((Escaped::byte(byte), 4))
        }
        [b'\\', b'u', b'{', rest @ ..] => {
            let mut longest = rest.iter().take(DIGITS_MAX + 1);
            let digits = longest.position(|byte| *byte == b'}')?;
            let code = hex(rest, digits)?;
            Some((Escaped::character(code)?, digits + 4))
        }
        [b'\\', b'u', ..] => {
            let unit = unit(text)?;
            // UTF-16 has two of them for what lies beyond its first 65,536.
            if (0xd800..0xdc00).contains(&unit) {
                let low = self::unit(&text[UNIT_BYTES..])?;
                let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                let code = 0x10000 + ((unit - 0xd800) << 10) + low;
                return Some((Escaped::character(code)?, 2 * UNIT_BYTES));
            }
            Some((Escaped::character(unit)?, UNIT_BYTES))
        }
        [b'\\', escaped, ..] => {
            let byte = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                // STOMP 1.2, "Value Encoding".
                b'c' => b':',
                b'\\' | b'"' | b'\'' | b'/' => *escaped,
                _ => return None,
            };
            Some((Escaped::byte(byte), 2))
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
        [b'&', ..] => {
            let is_here = |(name, _): &&(&[u8], u8)| text.starts_with(name);
            let (name, byte) = ENTITIES.iter().find(is_here)?;
            Some((Escaped::byte(*byte), name.len()))
        }
        _ => None,
    }
}

/// How long a `\u0061` is.
const UNIT_BYTES: usize = 6;

/// The `\u0061` that a text begins with.
fn unit(text: &[u8]) -> Option<u32> {
    hex(text.strip_prefix(b"\\u")?, 4)
}

/// The number that the first hexadecimal digits of a text are, which are as many.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = text
        .get(..digits)
        .filter(|it| (1..=6).contains(&it.len()))?;
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
        check("nothing \\d 5% &nbsp; \\u00g1 %4 &#; \\", None);
        check("a\\u0062c\\U0064", Some("abc\\U0064"));
        check("\\x61%62&#99;&#x64;\\u{65}", Some("abcde"));
        check("\\uD83D\\uDE00 \\u6545", Some("😀 故"));
        check("故%E9%9A%9C", Some("故障"));
        check(r#"\"a\\b\n\/\c\'"#, Some("\"a\\b\n/:'"));
        check("&quot;&lt;&amp;lt;&apos;", Some("\"<&lt;'"));
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
            format!("%41{}", "%25".repeat(1 << 18)),
        ] {
            let (done, waits) = channel();
            spawn(move || done.send(Unescaped::levels(&text).count()));
            let levels = waits.recv_timeout(HANGS).expect("it hangs");
            assert!((1..=LEVELS_MAX).contains(&levels));
        }
    }

    #[test]
    fn each_level_is_read_by_itself() {
        let mut text = r#"\\\"%2561&amp;amp;\\u0062"#.to_owned();
        for expected in [r#"\"%61&amp;\u0062"#, r#""a&b"#] {
            let level = Unescaped::of(&text).unwrap();
            text = String::from_utf8(level.bytes).unwrap();
            assert_eq!(text, expected);
        }
        assert!(Unescaped::of(&text).is_none());
    }

    #[test]
    fn a_part_is_found_where_it_stands_in_the_text() {
        let unescaped = Unescaped::of("a\\u0062c%64e").unwrap();
        assert_eq!(unescaped.place(&(0..1)), 0..1);
        assert_eq!(unescaped.place(&(1..3)), 1..8);
        assert_eq!(unescaped.place(&(3..5)), 8..12);
        let inner = Unescaped::of("a%255cub\\\\u0062c")
            .unwrap()
            .again()
            .unwrap();
        assert_eq!(inner.bytes, b"a\\ubbc");
        assert_eq!(inner.place(&(1..2)), 1..6);
        assert_eq!(inner.place(&(3..6)), 7..16);
    }
}
