//! The headers of one frame: a slice of the frame's own bytes, read on demand. It copies nothing
//! but a name or value with an escape in it.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::escape::{Escaping, Side};
use super::excerpt::{WORD_CHARS_MAX, excerpt};
use crate::secret::is_secret_name;

/// Headers in the order of the wire. Of a repeated one the first counts (STOMP 1.2, section
/// Repeated Header Entries).
#[derive(Clone)]
pub struct Headers {
    /// Lines `name:value`, each ended by LF or CRLF.
    block: Bytes,
    escaping: Escaping,
}

impl Headers {
    /// Header lines that the codec has checked: each has a colon and ends in LF. A backslash that
    /// begins no escape stands for itself.
    pub(super) fn checked(block: Bytes, escaping: Escaping) -> Headers {
        // Nearly no header has a backslash: then nothing needs to be looked for again.
        let escaping = match escaping {
            Escaping::Padded => Escaping::Padded,
            _ if memchr(b'\\', &block).is_none() => Escaping::Raw,
            other => other,
        };
        Headers { block, escaping }
    }

    /// The value of the first header of that name. Bytes that are no UTF-8 become U+FFFD: a message
    /// is not lost for a header.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let [value] = self.pick([name]);
        value.map(text)
    }

    /// The trimmed value of the first header that has that name once it is trimmed, too.
    pub fn find(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.line(name)?;
        Some(match text(self.escaping.decode(value)) {
            Cow::Borrowed(value) => Cow::Borrowed(value.trim_ascii()),
            Cow::Owned(value) => Cow::Owned(value.trim_ascii().to_owned()),
        })
    }

    fn line(&self, name: &str) -> Option<(&[u8], &[u8])> {
        self.lines()
            .find(|(found, _)| self.escaping.decode(found).trim_ascii() == name.as_bytes())
    }

    /// The values of several headers in one pass, as bytes; of each the first.
    pub fn pick<const N: usize>(&self, names: [&str; N]) -> [Option<Cow<'_, [u8]>>; N] {
        let mut values = [const { None }; N];
        for (name, value) in self.lines() {
            let name = self.escaping.decode(name);
            for (wanted, found) in names.iter().zip(&mut values) {
                if found.is_none() && wanted.as_bytes() == &*name {
                    *found = Some(self.escaping.decode(value));
                }
            }
        }
        values
    }

    /// The bytes of a value from `pick` as they stand on the wire; they outlive this frame.
    pub(super) fn keep_raw(&self, name: &str, value: Cow<'_, [u8]>) -> Bytes {
        match value {
            Cow::Borrowed(value) if self.escaping != Escaping::Padded => {
                self.block.slice_ref(value)
            }
            Cow::Borrowed(_) | Cow::Owned(_) => self.raw(name).unwrap_or_default(),
        }
    }

    /// The same of a header by its trimmed name.
    pub(super) fn raw(&self, name: &str) -> Option<Bytes> {
        let (_, value) = self.line(name)?;
        Some(self.block.slice_ref(value))
    }

    /// Every header, in the order of the wire, decoded.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.lines().map(|(name, value)| {
            (
                text(self.escaping.decode(name)),
                text(self.escaping.decode(value)),
            )
        })
    }

    /// Every header, in the order of the wire, decoded, as bytes.
    pub(super) fn iter_bytes(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
        self.lines()
            .map(|(name, value)| (self.escaping.decode(name), self.escaping.decode(value)))
    }

    /// Names and values as they stand there.
    fn lines(&self) -> Lines<'_> {
        Lines { rest: &self.block }
    }
}

/// Splits checked header lines.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], &line[colon + 1..]))
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

impl Default for Headers {
    fn default() -> Headers {
        Headers {
            block: Bytes::new(),
            escaping: Escaping::Raw,
        }
    }
}

/// Headers for a frame to be encoded, of any text.
impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Headers {
        let mut block = BytesMut::new();
        for (name, value) in headers {
            Escaping::V1_2.encode(Side::Name, name.as_bytes(), &mut block);
            block.extend_from_slice(b":");
            Escaping::V1_2.encode(Side::Value, value.as_bytes(), &mut block);
            block.extend_from_slice(b"\n");
        }
        Headers::checked(block.freeze(), Escaping::V1_2)
    }
}

/// The same names and values in the same order, however they were escaped.
impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.iter_bytes().eq(other.iter_bytes())
    }
}

impl Eq for Headers {}

/// Without credentials, and clamped.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            let name = excerpt(name.as_bytes(), WORD_CHARS_MAX);
            // No log may show who we are either.
            if is_secret_name(&name) || name.eq_ignore_ascii_case("login") {
                map.entry(&name, &"…");
            } else {
                map.entry(&name, &excerpt(value.as_bytes(), WORD_CHARS_MAX));
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(block: &'static str, escaping: Escaping) -> Headers {
        Headers::checked(Bytes::from_static(block.as_bytes()), escaping)
    }

    #[test]
    fn first_of_repeated_headers_wins() {
        let repeated = headers("a:1\nb:\na:2\nb:3\n", Escaping::V1_2);
        assert_eq!(repeated.get("a").as_deref(), Some("1"));
        assert_eq!(repeated.get("b").as_deref(), Some(""));
        assert_eq!(repeated.get("c"), None);
        assert_eq!(repeated.iter().count(), 4);
    }

    #[test]
    fn values_are_split_at_the_first_colon_and_trimmed_in_1_0_only() {
        let check = |block, escaping, name: &str, expected: Option<&str>| {
            assert_eq!(
                headers(block, escaping).get(name).as_deref(),
                expected,
                "{block:?}"
            );
        };
        check(
            "message-id:T_x:y@@1\n",
            Escaping::V1_2,
            "message-id",
            Some("T_x:y@@1"),
        );
        check("a: b \r\n", Escaping::V1_2, "a", Some(" b "));
        check("a : b \r\n", Escaping::Padded, "a", Some("b"));
        check("a\\cb:c\\nd\n", Escaping::V1_1, "a:b", Some("c\nd"));
        check("a\\cb:c\\nd\n", Escaping::Raw, "a\\cb", Some("c\\nd"));
    }

    #[test]
    fn text_that_is_no_utf8_is_still_a_header() {
        let odd = Headers::checked(Bytes::from_static(b"a:\xff\nb:\\n\xff\n"), Escaping::V1_2);
        assert_eq!(odd.get("a").as_deref(), Some("\u{fffd}"));
        assert_eq!(odd.get("b").as_deref(), Some("\n\u{fffd}"));
    }

    #[test]
    fn what_a_header_has_of_secrets_is_in_no_log() {
        let block = "login:s3cret\npasscode:s3cret\nX-Api-Key:s3cret\nx-kind:plain\n";
        let shown = format!("{:?}", headers(block, Escaping::V1_2));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(
            shown.contains("X-Api-Key") && shown.contains("plain"),
            "{shown}"
        );
    }

    #[test]
    fn equality_is_of_meaning() {
        assert_eq!(
            headers("a:b:c\n", Escaping::Raw),
            headers("a:b\\cc\r\n", Escaping::V1_2)
        );
        assert_ne!(
            headers("a:b\\cc\n", Escaping::Raw),
            headers("a:b\\cc\n", Escaping::V1_2)
        );
        assert_eq!(
            [("x\n", "y\r:\\")].into_iter().collect::<Headers>(),
            headers("x\\n:y\\r:\\\\\n", Escaping::V1_2)
        );
    }
}
