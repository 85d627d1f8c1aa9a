//! From a body to its statuses, each with its own slice of the text: an object, the elements of an
//! array, lines of JSON, and JSON within a JSON text.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Decoder;
use super::element::{Doubts, Element};
use super::places::FieldPlaces;
use crate::pipeline::Undecodable;
use crate::pipeline::body::{BLANKS, Body, utf8};
use crate::pipeline::scalar::{characters, excerpt};
use crate::pipeline::undecodable::not_json;

/// Statuses in one body. A larger array, such as one of scalars in a frame of many MiB, would cost
/// a multiple of its size in memory. Its body is kept whole, as undecodable.
const ELEMENTS_MAX: usize = 65_536;

impl Decoder {
    /// The statuses of a body whose message says nothing of it: see [`Decoder::split_message`].
    pub fn split<'a>(&self, body: &'a [u8], received_at: Timestamp) -> Vec<Element<'a>> {
        self.split_message(&Body::plain(body), received_at)
    }

    /// The statuses of a body, in order: one for an object, one for each element of an array, and
    /// these of each line where each is JSON by itself. JSON within a JSON text is read as if it
    /// stood there itself. An empty array has none. A body that is not JSON is one undecodable
    /// element of the whole body, as it came; only where its headers were needed to read its text
    /// it is that text, since the headers are not kept.
    pub fn split_message<'a>(&self, body: &Body<'a>, received_at: Timestamp) -> Vec<Element<'a>> {
        let as_it_came = |is_utf8, reason| {
            let raw = Cow::Borrowed(body.bytes);
            vec![Element::undecodable(raw, is_utf8, reason)]
        };
        let read = body.read(self.mapping.charset, self.mapping.text_bytes_max);
        let read = match read {
            Ok(read) => read,
            Err(reason) => return as_it_came(false, reason),
        };
        match read.text {
            // A text that needed no copy is in UTF-8.
            Cow::Borrowed(text) => {
                let elements = self.elements(text, received_at);
                elements.unwrap_or_else(|reason| as_it_came(true, reason))
            }
            Cow::Owned(text) => match self.elements(&text, received_at) {
                Ok(mut elements) => {
                    for element in &mut elements {
                        element.doubts.is_utf8_too = read.is_utf8_too;
                    }
                    owned(elements)
                }
                Err(reason) if read.by_headers => {
                    let raw = Cow::Owned(text.into_bytes());
                    vec![Element::undecodable(raw, true, reason)]
                }
                Err(reason) => as_it_came(false, reason),
            },
        }
    }

    /// Each status of a text, or of the text within it.
    fn elements<'a>(
        &self,
        text: &'a str,
        received_at: Timestamp,
    ) -> Result<Vec<Element<'a>>, Undecodable> {
        match unwrapped(text) {
            Some(inner) => self.each_line(&inner, received_at).map(owned),
            None => self.each_line(text, received_at),
        }
    }

    /// Each status of a text. A line of several that cannot be read is undecodable by itself.
    fn each_line<'a>(
        &self,
        text: &'a str,
        received_at: Timestamp,
    ) -> Result<Vec<Element<'a>>, Undecodable> {
        let Some(lines) = lines(text) else {
            let statuses = self.statuses(text)?.into_iter();
            return Ok(statuses.map(|raw| self.element(raw, received_at)).collect());
        };
        let mut elements = Vec::new();
        for line in lines {
            match self.statuses(line) {
                Ok(statuses) => {
                    let statuses = statuses.into_iter();
                    elements.extend(statuses.map(|raw| self.element(raw, received_at)));
                }
                Err(reason) => {
                    let raw = Cow::Borrowed(line.as_bytes());
                    elements.push(Element::undecodable(raw, true, reason));
                }
            }
            if elements.len() > ELEMENTS_MAX {
                return Err(Undecodable::by_topic(format!(
                    "expected at most {ELEMENTS_MAX} statuses in one body, found more"
                )));
            }
        }
        Ok(elements)
    }

    fn statuses<'a>(&self, body: &'a str) -> Result<Vec<Cow<'a, str>>, Undecodable> {
        if let Some(inner) = unwrapped(body) {
            return Ok(copies(each(self.items(&inner)?)?));
        }
        let items = self.items(body)?;
        match unwrapped(items) {
            Some(inner) => Ok(copies(each(&inner)?)),
            None => Ok(each(items)?.into_iter().map(Cow::Borrowed).collect()),
        }
    }

    fn element<'a>(&self, raw: Cow<'a, str>, received_at: Timestamp) -> Element<'a> {
        let ignore = self.mapping.ignore.as_ref();
        let ignored = ignore.is_some_and(|ignore| ignore.holds(&raw));
        let (outcome, mut doubts, places) = match self.read(&raw, &self.fields) {
            Ok(said) => (
                self.key_of(&raw, &said),
                said.doubts(received_at),
                FieldPlaces::new(&self.fields, &raw, &said.found),
            ),
            Err(undecodable) => (Err(undecodable), Doubts::default(), None),
        };
        let word = outcome.as_ref().ok().map(|key| &key.new_state);
        doubts.unmapped = word.is_some_and(|word| !self.states.knows(word));
        Element {
            outcome,
            ignored,
            doubts,
            places,
            is_utf8: true,
            raw: match raw {
                Cow::Borrowed(raw) => Cow::Borrowed(raw.as_bytes()),
                Cow::Owned(raw) => Cow::Owned(raw.into_bytes()),
            },
        }
    }

    /// The status or the array of statuses within a body; `null` stands for an empty one.
    fn items<'a>(&self, body: &'a str) -> Result<&'a str, Undecodable> {
        let Some(finder) = &self.items else {
            return Ok(body);
        };
        let found = finder.find(body).map_err(|error| not_json(&error, body))?;
        if found[0] == Some("null") {
            return Ok("[]");
        }
        found[0].ok_or_else(|| {
            let pointer = self
                .mapping
                .items
                .as_ref()
                .map(|items| items.as_str())
                .unwrap_or_default();
            Undecodable::by_topic(format!(
                "expected statuses at {pointer}, found nothing there in {}",
                excerpt(body)
            ))
        })
    }
}

/// The JSON that a JSON text holds, where it holds an object or an array: some platforms encode
/// twice.
fn unwrapped(json: &str) -> Option<String> {
    if !json.starts_with('"') {
        return None;
    }
    let inner = characters(json)?;
    let inner = utf8(inner.as_bytes()).ok()?;
    inner.starts_with(['{', '[']).then(|| inner.to_owned())
}

fn owned(elements: Vec<Element<'_>>) -> Vec<Element<'static>> {
    elements.into_iter().map(Element::into_owned).collect()
}

fn copies(statuses: Vec<&str>) -> Vec<Cow<'static, str>> {
    let statuses = statuses.into_iter();
    statuses.map(|raw| Cow::Owned(raw.to_owned())).collect()
}

/// Where a text is JSON line by line (<https://jsonlines.org>): its lines, without empty ones. The
/// first line of any other JSON is none by itself, unless it is the only one.
fn lines(text: &str) -> Option<impl Iterator<Item = &str>> {
    let (first, _) = text.split_once('\n')?;
    serde_json::from_str::<&RawValue>(first.trim_matches(BLANKS)).ok()?;
    let lines = text.split('\n').map(|line| line.trim_matches(BLANKS));
    Some(lines.filter(|line| !line.is_empty()))
}

/// The only status, or each of an array.
fn each(items: &str) -> Result<Vec<&str>, Undecodable> {
    match items.as_bytes().first() {
        Some(b'[') => elements(items),
        _ => Ok(vec![items]),
    }
}

/// The elements of an array, each as its own text.
fn elements(array: &str) -> Result<Vec<&str>, Undecodable> {
    let mut deserializer = serde_json::Deserializer::from_str(array);
    let elements = deserializer
        .deserialize_seq(Elements)
        .and_then(|elements| deserializer.end().map(|()| elements));
    match elements {
        Ok(elements) => Ok(elements),
        Err(error) => Err(not_json(&error, array)),
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of statuses")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&'de RawValue>()? {
            if elements.len() == ELEMENTS_MAX {
                return Err(serde::de::Error::custom(format_args!(
                    "more than {ELEMENTS_MAX} statuses in one body"
                )));
            }
            elements.push(element.get());
        }
        Ok(elements)
    }
}
