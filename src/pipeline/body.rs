//! The text of a message's body: what compresses it and how its characters are written is undone
//! here. What comes out is bounded; the body itself is never changed.

mod charset;
mod compressed;

use std::borrow::Cow;

pub use charset::Charset;
use charset::{ReadBy, decoded, mistake};
use compressed::Compressed;

use super::scalar::excerpt;
use super::undecodable::{Remedy, Undecodable};

/// The longest text of a body by default: `source.max_body`'s own default.
pub(super) const TEXT_BYTES_MAX: usize = 16 << 20;

/// What a body may be compressed by, one over the other. Nobody does it twice on purpose.
const CODINGS_MAX: usize = 3;

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
        let said = self.said()?;
        let (text, read_by) = match bytes {
            Cow::Borrowed(bytes) => json_of(bytes, said, topics)?,
            Cow::Owned(bytes) => {
                let (text, read_by) = json_of(&bytes, said, topics)?;
                (Cow::Owned(text.into_owned()), read_by)
            }
        };
        by_headers |= read_by == ReadBy::Headers;
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
            is_utf8_too: read_by == ReadBy::TopicThoughUtf8,
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
                return Err(Undecodable::by_sender(format!(
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
                return Err(Undecodable::by_sender(format!(
                    "expected content-encoding gzip or deflate, found {}",
                    excerpt(coding)
                )));
            }
        }
        Ok(charset)
    }
}

/// The JSON in bytes, by the first charset that fits, and what named that.
fn json_of(
    bytes: &[u8],
    said: Option<Charset>,
    topics: Option<Charset>,
) -> Result<(Cow<'_, str>, ReadBy), Undecodable> {
    let (text, read_by) = decoded(bytes, said, topics).map_err(Undecodable::by_topic)?;
    let json = match text {
        Cow::Borrowed(text) => json(text).map(Cow::Borrowed),
        Cow::Owned(text) => json(&text).map(|json| Cow::Owned(json.to_owned())),
    };
    Ok((json.map_err(Undecodable::by_sender)?, read_by))
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

/// The text of bytes in UTF-8, without what may stand around JSON.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| mistake(bytes, &[Charset::UTF_8]))?;
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
