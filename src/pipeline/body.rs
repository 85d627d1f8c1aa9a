//! The text of a message's body: what compresses it and how its characters are written is undone
//! here. What comes out is bounded; the body itself is never changed.

use std::borrow::Cow;
use std::io::Read;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::scalar::excerpt;
use super::undecodable::{Remedy, Undecodable};
use crate::secret::{beginning, beginning_bytes, redact_echo};

/// The longest text of a body by default: `source.max_body`'s own default.
pub(super) const TEXT_BYTES_MAX: usize = 16 << 20;

/// What a body may be compressed by, one over the other. Nobody does it twice on purpose.
const CODINGS_MAX: usize = 3;

/// Pieces of one gzip (RFC 1952, section 2.2). Each costs more than its few bytes.
const GZIP_MEMBERS_MAX: usize = 64;

/// RFC 1952, section 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// RFC 1950, section 2.2: deflate with the window that everybody uses. No JSON begins with an `x`.
const ZLIB: u8 = 0x78;

/// Names that Java and Windows have and the Encoding Standard lacks.
const MORE_NAMES: [(&str, &str); 5] = [
    ("cp936", "gbk"),
    ("ms936", "gbk"),
    ("windows-936", "gbk"),
    ("euc-cn", "gbk"),
    ("utf16", "utf-16"),
];

/// A body as it came, and what its message says of it.
#[derive(Debug, Clone, Default)]
pub struct Body<'a> {
    /// As sent.
    pub bytes: &'a [u8],
    /// The header `content-type`; empty where there is none.
    pub content_type: Cow<'a, str>,
    /// The header `content-encoding`; empty where there is none. RabbitMQ's clients write `utf-8`
    /// there as well.
    pub content_encoding: Cow<'a, str>,
}

/// How the characters of a text are written as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

/// What a body says.
#[derive(Debug)]
pub(super) struct Text<'a> {
    /// Without what may stand around JSON; a part of the body where nothing had to be undone.
    pub(super) text: Cow<'a, str>,
    /// The bytes alone would not have been enough to read it.
    pub(super) by_headers: bool,
    /// The topic's charset has decided, and the bytes are UTF-8, too. A text of another charset
    /// hardly ever is, so that charset may be wrong.
    pub(super) is_utf8_too: bool,
}

impl Charset {
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

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Body<'a> {
        Body::plain(bytes)
    }
}

impl<'a> Body<'a> {
    /// One whose message says nothing of it.
    pub fn plain(bytes: &'a [u8]) -> Body<'a> {
        Body {
            bytes,
            ..Body::default()
        }
    }

    /// One that is a text here already, whatever its topic's `encoding` is.
    pub fn of_text(text: &'a str) -> Body<'a> {
        Body {
            bytes: text.as_bytes(),
            content_type: Cow::Borrowed("text/plain;charset=utf-8"),
            ..Body::default()
        }
    }

    /// Its text. A byte order mark decides how it is read, then what the headers say, then the
    /// topic's charset, then UTF-8: the first that fits each byte. Headers that say what every byte
    /// fits come last.
    ///
    /// # Errors
    /// What was expected, what was found, and what is to be done.
    pub(super) fn read(
        &self,
        topics: Option<Charset>,
        bytes_max: usize,
    ) -> Result<Text<'a>, Undecodable> {
        let (bytes, mut by_headers) = self.inflated(bytes_max)?;
        let mut is_utf8_too = false;
        let said = self.said()?;
        let text = match bytes {
            Cow::Borrowed(bytes) => {
                let (text, read_by) =
                    decoded(bytes, said, topics).map_err(Undecodable::by_topic)?;
                by_headers |= read_by == ReadBy::Headers;
                is_utf8_too |= read_by == ReadBy::TopicThoughUtf8;
                match text {
                    Cow::Borrowed(text) => Cow::Borrowed(json(text).map_err(broken)?),
                    Cow::Owned(text) => Cow::Owned(json(&text).map_err(broken)?.to_owned()),
                }
            }
            Cow::Owned(bytes) => {
                let (text, read_by) =
                    decoded(&bytes, said, topics).map_err(Undecodable::by_topic)?;
                by_headers |= read_by == ReadBy::Headers;
                is_utf8_too |= read_by == ReadBy::TopicThoughUtf8;
                Cow::Owned(json(&text).map_err(broken)?.to_owned())
            }
        };
        if matches!(text, Cow::Owned(_)) && text.len() > bytes_max {
            let reason = format!(
                "its text has {} bytes and exceeds source.max_body: raise it, or have smaller \
                 messages sent",
                text.len()
            );
            return Err(Undecodable::with(Remedy::Limit, reason));
        }
        Ok(Text {
            text,
            by_headers,
            is_utf8_too,
        })
    }

    /// Its text, for those who only look for something in it; `None`: it cannot be read.
    pub fn text(&self, bytes_max: usize) -> Option<Cow<'a, str>> {
        let text = self.read(None, bytes_max);
        text.ok().map(|text| text.text)
    }

    /// Without compression; and whether its headers were needed for that.
    fn inflated(&self, bytes_max: usize) -> Result<(Cow<'a, [u8]>, bool), Undecodable> {
        let mut bytes = Cow::Borrowed(self.bytes);
        let mut by_headers = false;
        // The last one was applied last (RFC 9110, section 8.4).
        for coding in self.codings().rev().take(CODINGS_MAX) {
            let is_deflate = coding.eq_ignore_ascii_case("deflate");
            if !is_deflate && !is_gzip(coding) {
                continue;
            }
            let found = Compressed::of(&bytes);
            // Where a proxy has undone it, the header may still be there.
            let found = found.or((is_deflate && !is_text(&bytes)).then_some(Compressed::Deflate));
            if found.is_none() && matches!(bytes, Cow::Borrowed(_)) && !is_text(&bytes) {
                return Err(broken(format!(
                    "expected gzip, as its content-encoding says, found {} bytes that do not begin so",
                    bytes.len()
                )));
            }
            if let Some(found) = found {
                by_headers |= found == Compressed::Deflate || matches!(bytes, Cow::Owned(_));
                bytes = Cow::Owned(found.inflated(&bytes, bytes_max)?);
            }
        }
        if let (Cow::Borrowed(_), Some(found)) = (&bytes, Compressed::of(&bytes)) {
            bytes = Cow::Owned(found.inflated(&bytes, bytes_max)?);
        }
        Ok((bytes, by_headers))
    }

    fn codings(&self) -> impl DoubleEndedIterator<Item = &str> {
        let codings = self.content_encoding.split(',').map(str::trim);
        codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
    }

    /// The charset that the headers name, where it is a known one.
    fn said(&self) -> Result<Option<Charset>, Undecodable> {
        if let Some(charset) = charset_of(&self.content_type).and_then(Charset::named) {
            return Ok(Some(charset));
        }
        let mut charset = None;
        for coding in self.codings() {
            if is_gzip(coding) || coding.eq_ignore_ascii_case("deflate") {
                continue;
            }
            charset = Charset::named(coding);
            if charset.is_none() && !is_text(self.bytes) {
                return Err(broken(format!(
                    "expected content-encoding gzip or deflate, found {}",
                    excerpt(coding)
                )));
            }
        }
        Ok(charset)
    }
}

/// No option mends it.
fn broken(reason: String) -> Undecodable {
    Undecodable::with(Remedy::Sender, reason)
}

fn is_gzip(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")
}

/// The `charset` of a content-type (RFC 9110, section 8.3.1), quoted or not.
fn charset_of(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1);
    parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// Whether it begins as JSON does in an encoding that has ASCII in it.
fn is_text(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_none_or(|byte| matches!(byte, b'{' | b'[' | b'"' | 0xef | 0xfe | 0xff | 0))
}

/// What compresses a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compressed {
    Gzip,
    Zlib,
    /// Nothing tells it: some call this deflate, too.
    Deflate,
}

impl Compressed {
    /// By how it begins.
    fn of(bytes: &[u8]) -> Option<Compressed> {
        match bytes {
            [first, second, ..] if [*first, *second] == GZIP => Some(Compressed::Gzip),
            [ZLIB, flags, ..] if u16::from_be_bytes([ZLIB, *flags]).is_multiple_of(31) => {
                Some(Compressed::Zlib)
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Compressed::Gzip => "gzip",
            Compressed::Zlib | Compressed::Deflate => "deflate",
        }
    }

    fn inflated(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Undecodable> {
        let mut out = Vec::new();
        match self {
            Compressed::Gzip => self.members(bytes, bytes_max, &mut out)?,
            Compressed::Zlib => self.take(&mut ZlibDecoder::new(bytes), bytes_max, &mut out)?,
            Compressed::Deflate => {
                self.take(&mut DeflateDecoder::new(bytes), bytes_max, &mut out)?;
            }
        }
        Ok(out)
    }

    /// A gzip is one member behind the other.
    fn members(self, bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let mut rest = bytes;
        for _ in 0..GZIP_MEMBERS_MAX {
            let mut decoder = GzDecoder::new(rest);
            self.take(&mut decoder, bytes_max, out)?;
            rest = decoder.into_inner();
            if rest.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
        }
        Err(broken(format!(
            "expected gzip of at most {GZIP_MEMBERS_MAX} members, found more"
        )))
    }

    /// Appends what comes out, as far as it fits.
    fn take(
        self,
        decoder: &mut impl Read,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        let room = bytes_max.saturating_sub(out.len()) as u64;
        let taken = decoder.take(room.saturating_add(1)).read_to_end(out);
        taken.map_err(|error| {
            broken(format!(
                "expected {}, found what cannot be decompressed: {error}",
                self.name()
            ))
        })?;
        if out.len() > bytes_max {
            let reason = format!(
                "more than {bytes_max} bytes come out of {}, and that exceeds source.max_body: \
                 raise it, or have smaller messages sent",
                self.name()
            );
            return Err(Undecodable::with(Remedy::Limit, reason));
        }
        Ok(())
    }
}

/// What named the charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadBy {
    Headers,
    /// Its own bytes, the topic or the default.
    Anything,
    /// The topic, and the default would fit as well.
    TopicThoughUtf8,
}

/// A text by the first charset that fits.
fn decoded(
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
    let utf8 = Some(Charset(UTF_8));
    // Java writes ISO-8859-1 where nobody has named a charset, and others US-ASCII, which is the same
    // here. Every byte fits it, and hardly any text in it is UTF-8 by chance.
    let is_unlikely = said.is_some_and(|said| said.0 == WINDOWS_1252);
    let candidates = match is_unlikely {
        true => [utf16(bytes), topics, utf8, said],
        false => [utf16(bytes), said, topics, utf8],
    };
    for charset in candidates.into_iter().flatten() {
        if let Some(text) = charset.decode(bytes) {
            let alone = utf16(bytes).or(topics).unwrap_or(Charset(UTF_8));
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

/// Characters of a body before and behind the wrong byte that a reason shows.
const AROUND_CHARS_MAX: usize = 20;

fn mistake(bytes: &[u8], expected: &[Charset]) -> String {
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

/// The text of bytes in UTF-8, without what may stand around JSON.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| mistake(bytes, &[Charset(UTF_8)]))?;
    json(text)
}

/// A text without what may stand around JSON.
fn json(text: &str) -> Result<&str, String> {
    let json = text
        .trim_start_matches('\u{feff}')
        .trim_matches(BLANKS)
        .trim_end_matches([' ', '\t', '\r', '\n', '\0']);
    match json {
        "" => Err("expected JSON, found an empty body".to_owned()),
        json => Ok(json),
    }
}

/// JSON's white space (RFC 8259, section 2).
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
