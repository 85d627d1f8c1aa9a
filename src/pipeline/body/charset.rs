//! How the characters of a text are written as bytes, and which charset a body is in.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::pipeline::scalar::excerpt;
use crate::secret::{beginning, beginning_bytes, redact_echo};

/// Names that Java and Windows have and the Encoding Standard lacks.
const MORE_NAMES: [(&str, &str); 5] = [
    ("cp936", "gbk"),
    ("ms936", "gbk"),
    ("windows-936", "gbk"),
    ("euc-cn", "gbk"),
    ("utf16", "utf-16"),
];

/// Characters of a body before and behind the wrong byte that a reason shows.
const AROUND_CHARS_MAX: usize = 20;

/// How the characters of a text are written as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    pub(super) const UTF_8: Charset = Charset(UTF_8);

    /// By a name of the Encoding Standard (<https://encoding.spec.whatwg.org/#names-and-labels>),
    /// such as `gb18030`, `gbk`, `utf-16le` or `latin1`.
    pub fn named(name: &str) -> Option<Charset> {
        let name = name.trim();
        let mut more = MORE_NAMES.iter();
        let known = more.find(|(other, _)| other.eq_ignore_ascii_case(name));
        let name = known.map_or(name, |(_, known)| known);
        Encoding::for_label_no_replacement(name.as_bytes()).map(Charset)
    }

    /// Its name in the Encoding Standard.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// `None`: the bytes are no such text.
    fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        self.0
            .decode_without_bom_handling_and_without_replacement(bytes)
    }
}

/// What named the charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadBy {
    Headers,
    /// Its own bytes, the topic or the default.
    Anything,
    /// The topic, and the default would fit as well.
    TopicThoughUtf8,
}

/// A text by the first charset that fits.
pub(super) fn decoded(
    bytes: &[u8],
    said: Option<Charset>,
    topics: Option<Charset>,
) -> Result<(Cow<'_, str>, ReadBy), String> {
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(bytes) {
        let charset = Charset(encoding);
        let text = charset.decode(&bytes[mark_bytes..]);
        let text = text.ok_or_else(|| mistake(bytes, &[charset]))?;
        return Ok((text, ReadBy::Anything));
    }
    let utf8 = Some(Charset::UTF_8);
    // Java writes ISO-8859-1 where nobody has named a charset, and others US-ASCII, which is the same
    // here. Every byte fits it, and hardly any text in it is UTF-8 by chance.
    let is_unlikely = said.is_some_and(|said| said.0 == WINDOWS_1252);
    let candidates = match is_unlikely {
        true => [utf16(bytes), topics, utf8, said],
        false => [utf16(bytes), said, topics, utf8],
    };
    for charset in candidates.into_iter().flatten() {
        if let Some(text) = charset.decode(bytes) {
            let alone = utf16(bytes).or(topics).unwrap_or(Charset::UTF_8);
            let is_changed = matches!(text, Cow::Owned(_));
            let is_utf8 = || std::str::from_utf8(bytes).is_ok();
            let read_by = match (is_changed, charset == alone) {
                (true, false) => ReadBy::Headers,
                (true, true) if said != Some(charset) && topics == Some(charset) && is_utf8() => {
                    ReadBy::TopicThoughUtf8
                }
                _ => ReadBy::Anything,
            };
            return Ok((text, read_by));
        }
    }
    let mut expected: Vec<Charset> = Vec::new();
    for charset in candidates.into_iter().flatten() {
        if !expected.contains(&charset) {
            expected.push(charset);
        }
    }
    Err(mistake(bytes, &expected))
}

/// UTF-16 without a byte order mark: the first character of JSON is ASCII, so one of the first two
/// bytes is 0 (RFC 4627, section 3). No other JSON begins so.
fn utf16(bytes: &[u8]) -> Option<Charset> {
    let begins = |byte: u8| matches!(byte, b'{' | b'[' | b'"' | b' ' | b'\t' | b'\r' | b'\n');
    match *bytes {
        [first, 0, ..] if begins(first) => Some(Charset(UTF_16LE)),
        [0, second, ..] if begins(second) => Some(Charset(UTF_16BE)),
        _ => None,
    }
}

/// What is wrong with bytes that none of these fits.
pub(super) fn mistake(bytes: &[u8], expected: &[Charset]) -> String {
    let names: Vec<&str> = expected.iter().map(|charset| charset.name()).collect();
    let names = names.join(" or ");
    let Err(error) = std::str::from_utf8(bytes) else {
        return format!("expected {names}, found a text in another encoding");
    };
    let at = error.valid_up_to();
    let around = excerpt(&around(bytes, at));
    let mut reason = format!("expected {names}, found an invalid byte at {at}, in {around}");
    let gb18030 = Charset(encoding_rs::GB18030);
    // Of a broken UTF-8 the characters before it are right.
    if bytes[..at].is_ascii() && !expected.contains(&gb18030) && gb18030.decode(bytes).is_some() {
        reason.push_str("; it can be read as GB18030: set the topic's encoding = \"gb18030\"");
    }
    reason
}

/// What stands around a byte, without the second half of a secret: so more is read than is shown.
fn around(bytes: &[u8], at: usize) -> String {
    let (before, behind) = bytes.split_at(at);
    let before = &before[at.saturating_sub(beginning_bytes(AROUND_CHARS_MAX))..];
    let before = redact_echo(&String::from_utf8_lossy(before)).into_owned();
    let chars = before.chars().count();
    let before = before.chars().skip(chars.saturating_sub(AROUND_CHARS_MAX));
    let behind = beginning(behind, AROUND_CHARS_MAX).text;
    before.chain(behind.chars()).collect()
}
