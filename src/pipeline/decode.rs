//! Decoding of message bodies: the platform's own message, or another shape by JSON pointers.
//!
//! The same code decodes twice. At intake it tells undecodable bodies ([`Decoder::split`]). At
//! delivery it decodes the journal's raw bytes ([`Decoder::event`]), so that a corrected mapping
//! holds for a replay. A status in the journal is in UTF-8, whatever its message was in.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::body::{BLANKS, Body, Charset, utf8};
use super::constants::Constants;
use super::coordinates::{System, is_on_earth, to_wgs84};
use super::pointer::Finder;
use super::scalar::{characters, excerpt, number, text, time};
use super::undecodable::Undecodable;
use super::{Field, Mapping, States};
use crate::model::{Coordinates, Names, Origin, Place, Severity, StatusEvent, Via};
use crate::secret::beginning;

/// Statuses in one body. A larger array, such as one of scalars in a frame of many MiB, would cost
/// a multiple of its size in memory. Its body is kept whole, as undecodable.
const ELEMENTS_MAX: usize = 65_536;

/// A device id, a client id and a state: they are kept for each device, and name MQTT topics and
/// rows. A status with a longer one is undecodable; a serial, which nothing hangs on, is cut.
const NAME_BYTES_MAX: usize = 512;

/// What a reason shows of a value that is not what was expected.
const FOUND_CHARS_MAX: usize = 60;

/// How much of its hash an event id keeps, in bytes: no two keys meet by chance.
const KEY_HASH_BYTES: usize = 16;

/// The device of a status, and what tells a change and a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusKey {
    /// Empty where the message names none.
    pub client_id: String,
    /// Never empty.
    pub device_id: String,
    /// As sent.
    pub old_state: Option<String>,
    /// As sent.
    pub new_state: String,
    /// A hash of the event key, where the status has one.
    pub event_key: Option<u64>,
    /// A hash of all that it says, where several topics of its stream may bring the same.
    pub shared_hash: Option<u64>,
}

impl StatusKey {
    /// What it is read from.
    const FIELDS: [Field; 5] = [
        Field::Client,
        Field::Device,
        Field::Serial,
        Field::OldState,
        Field::NewState,
    ];
}

/// One status of a body: its own bytes and what they say.
#[derive(Debug)]
pub struct Element<'a> {
    /// A part of the body; a copy in UTF-8 where the body has it as a text, in another charset or
    /// compressed.
    pub raw: Cow<'a, [u8]>,
    /// `raw` was read as UTF-8, which a copy always is. Other bytes may be in anything.
    pub is_utf8: bool,
    /// Accepted with what it says, or undecodable with why.
    pub outcome: Result<StatusKey, Undecodable>,
    /// The topic's `ignore` says that it is no status.
    pub ignored: bool,
    /// What of it could not be read, though it is accepted.
    pub doubts: Doubts,
}

impl<'a> Element<'a> {
    fn undecodable(raw: Cow<'a, [u8]>, is_utf8: bool, reason: Undecodable) -> Element<'a> {
        Element {
            raw,
            is_utf8,
            outcome: Err(reason),
            ignored: false,
            doubts: Doubts::default(),
        }
    }

    fn into_owned(self) -> Element<'static> {
        Element {
            raw: Cow::Owned(self.raw.into_owned()),
            is_utf8: true,
            outcome: self.outcome,
            ignored: self.ignored,
            doubts: self.doubts,
        }
    }
}

/// What of a status could not be read: the row is stored without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubts {
    /// A bit for each of [`Field::ALL`].
    fields: u16,
    /// `[states]` does not have its new state.
    pub unmapped: bool,
    /// Its text is as the topic's `encoding` has it, and its bytes are UTF-8, too.
    pub is_utf8_too: bool,
}

impl Doubts {
    /// There are none.
    pub fn is_empty(self) -> bool {
        self == Doubts::default()
    }

    /// The fields whose values could not be read as they are meant.
    pub fn fields(self) -> impl Iterator<Item = Field> {
        let all = Field::ALL.into_iter();
        all.filter(move |field| self.fields & (1 << *field as u16) != 0)
    }

    fn add(&mut self, field: Field, is_unreadable: bool) {
        self.fields |= u16::from(is_unreadable) << field as u16;
    }
}

/// Decodes the messages of one topic.
#[derive(Debug, Clone)]
pub struct Decoder {
    topic: Arc<str>,
    stream: Arc<str>,
    /// Other topics bring the statuses of the same stream.
    shared: bool,
    mapping: Arc<Mapping>,
    constants: Arc<Constants>,
    states: Arc<States>,
    names: Option<Arc<Names>>,
    fields: Arc<Finder>,
    /// Those of a [`StatusKey`]: the intake needs no others.
    key_fields: Arc<Finder>,
    items: Option<Arc<Finder>>,
    /// Empty where the topic has no event key.
    event_key: Arc<Finder>,
    /// How the statuses come.
    via: Via,
    /// What reads the topic's snapshots, where it has any.
    snapshot: Option<Arc<Decoder>>,
}

/// What a message says is the same by both.
impl PartialEq for Decoder {
    fn eq(&self, other: &Decoder) -> bool {
        // The rest is made from these.
        (&self.topic, &self.stream, self.shared) == (&other.topic, &other.stream, other.shared)
            && (&self.mapping, &self.states) == (&other.mapping, &other.states)
            && (&self.constants, &self.names) == (&other.constants, &other.names)
            && (self.via, &self.snapshot) == (other.via, &other.snapshot)
    }
}

impl Decoder {
    /// Whether both read the same of each message: what devices and states are called may differ.
    pub(crate) fn reads_as(&self, other: &Decoder) -> bool {
        (&self.topic, &self.stream, self.shared) == (&other.topic, &other.stream, other.shared)
            && (&self.mapping, &self.constants) == (&other.mapping, &other.constants)
            && self.via == other.via
    }

    /// A decoder for the topic of that name.
    pub fn new(topic: Arc<str>, mapping: Mapping, states: Arc<States>) -> Decoder {
        let finder = |wants: fn(&Field) -> bool| {
            let pointer = |field| mapping.pointer(field).filter(|_| wants(&field));
            Arc::new(Finder::new(Field::ALL.map(pointer)))
        };
        let fields = finder(|_| true);
        let key_fields = finder(|field| StatusKey::FIELDS.contains(field));
        let items = mapping
            .items
            .as_ref()
            .map(|items| Arc::new(Finder::new([Some(items)])));
        let event_key = Arc::new(Finder::new(mapping.event_key.iter().map(Some)));
        Decoder {
            stream: Arc::clone(&topic),
            shared: false,
            topic,
            mapping: Arc::new(mapping),
            constants: Arc::default(),
            states,
            names: None,
            fields,
            key_fields,
            items,
            event_key,
            via: Via::Live,
            snapshot: None,
        }
    }

    /// The same, with what reads the topic's snapshots. It comes before [`Decoder::in_stream`].
    pub fn with_snapshot(self, mapping: Mapping, constants: Constants) -> Decoder {
        let snapshot = Decoder::new(Arc::clone(&self.topic), mapping, Arc::clone(&self.states))
            .with_names(self.names.clone());
        let snapshot = Decoder {
            via: Via::Resync,
            stream: Arc::clone(&self.stream),
            ..snapshot.with_constants(constants)
        };
        Decoder {
            snapshot: Some(Arc::new(snapshot)),
            ..self
        }
    }

    /// What reads the topic's snapshots. Where it has none by now, it reads them as its messages.
    pub fn of_snapshots(&self) -> Decoder {
        match &self.snapshot {
            Some(snapshot) => (**snapshot).clone(),
            None => Decoder {
                via: Via::Resync,
                shared: false,
                ..self.clone()
            },
        }
    }

    /// The same, with what read the snapshots before where it has nothing for that itself.
    pub fn or_snapshot_of(&self, before: &Decoder) -> Option<Decoder> {
        let snapshot = before
            .snapshot
            .as_ref()
            .filter(|_| self.snapshot.is_none())?;
        Some(Decoder {
            snapshot: Some(Arc::clone(snapshot)),
            ..self.clone()
        })
    }

    /// The same for another topic, of which there may be thousands: they share all else.
    pub fn for_topic(&self, topic: Arc<str>) -> Decoder {
        Decoder {
            stream: Arc::clone(&topic),
            shared: false,
            topic,
            ..self.clone()
        }
    }

    /// The same where some fields have a value that no message says.
    pub fn with_constants(self, constants: Constants) -> Decoder {
        Decoder {
            constants: Arc::new(constants),
            ..self
        }
    }

    /// What a device is called; `None`: it has no name.
    pub fn name_of(
        &self,
        client_id: &str,
        device_id: &str,
        serial: Option<&str>,
    ) -> Option<Arc<str>> {
        let names = self.names.as_ref()?;
        names.of(client_id, device_id, serial)?.name.clone()
    }

    /// The same where devices have names.
    pub fn with_names(self, names: Option<Arc<Names>>) -> Decoder {
        Decoder { names, ..self }
    }

    /// The same for a topic of a stream; `shared`: other topics are ways to the same statuses.
    pub fn in_stream(self, stream: Arc<str>, shared: bool) -> Decoder {
        let snapshot = self.snapshot.map(|snapshot| {
            // No other topic's messages are compared with it.
            Arc::new((*snapshot).clone().in_stream(Arc::clone(&stream), false))
        });
        Decoder {
            stream,
            shared,
            snapshot,
            ..self
        }
    }

    /// What the topic's devices belong to: the topic's own name, unless several topics bring the
    /// same.
    pub fn stream(&self) -> &Arc<str> {
        &self.stream
    }

    /// The vocabulary's name of a state as sent, and how much it matters.
    pub fn state<'a>(&'a self, word: &'a str) -> (&'a str, Severity) {
        self.states.lookup(word)
    }

    /// The zone of the times that name none.
    pub fn zone(&self) -> &TimeZone {
        &self.mapping.zone
    }

    /// The topic's `encoding`, by its name in the Encoding Standard.
    pub fn encoding(&self) -> Option<&'static str> {
        self.mapping.charset.map(Charset::name)
    }

    /// The vocabulary's name of a state as sent.
    pub fn state_name<'a>(&'a self, word: &'a str) -> &'a str {
        self.states.lookup(word).0
    }

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

    /// What stands in one status's bytes in place of a field that cannot be read, in short.
    pub fn found(&self, raw: &[u8], field: Field) -> String {
        let json = utf8(raw).unwrap_or_default();
        let found = self.fields.find(json).unwrap_or_default();
        let found = found.get(field as usize).copied().flatten();
        excerpt(self.constants.json(field).or(found).unwrap_or_default())
    }

    /// The device of one status's bytes, as `split` gave them, and what they say of it.
    ///
    /// # Errors
    /// As in [`Element::outcome`].
    pub fn status_key(&self, raw: &[u8]) -> Result<StatusKey, Undecodable> {
        self.key(utf8(raw).map_err(Undecodable::by_topic)?)
    }

    /// The event of one status's bytes, as `split` gave them. `previous` is the last `new_state`
    /// known of this device before, where it is not what this status gives as `oldState`.
    ///
    /// It has changed if its state is not the last one that we knew. So a fault that began while
    /// nobody listened is a change. Of a device that we did not know, its own old state says so;
    /// without one it has not changed. Words are compared as sent, without the blanks around them.
    ///
    /// A status without one of the values of the event key takes its id from its origin, as each of
    /// a snapshot does: the message that says the same has the other. Nor has such a status missed
    /// a transition.
    ///
    /// # Errors
    /// As in [`Element::outcome`].
    pub fn event(
        &self,
        raw: &[u8],
        origin: Origin,
        received_at: Timestamp,
        previous: Option<&str>,
    ) -> Result<StatusEvent, Undecodable> {
        let json = utf8(raw).map_err(Undecodable::by_topic)?;
        let payload: &RawValue =
            serde_json::from_str(json).map_err(|error| not_json(&error, json))?;
        let said = self.read(json, &self.fields)?;
        let StatusKey {
            client_id,
            device_id,
            old_state,
            new_state,
            ..
        } = said.status_key()?;
        let (state, severity) = self.states.lookup(&new_state);
        let old = old_state.as_deref().map(str::trim);
        let known = previous.map(str::trim);
        let origin_text = origin.to_string();
        let serial = said.serial();
        let label = self.names.as_ref().map(|names| {
            let label = names.of(&client_id, &device_id, serial.as_deref());
            label.cloned().unwrap_or_default()
        });
        Ok(StatusEvent {
            event_id: match self.via {
                Via::Live => self.event_id(json),
                Via::Resync => None,
            }
            .unwrap_or_else(|| origin_text.clone()),
            topic: Arc::clone(&self.topic),
            stream: Arc::clone(&self.stream),
            client_id,
            device_id,
            serial,
            changed: known
                .or(old)
                .is_some_and(|before| before != new_state.trim()),
            missed_transition: self.via == Via::Live
                && old.is_some()
                && known.is_some()
                && old != known,
            state: state.to_owned(),
            severity,
            old_state,
            new_state,
            place: said.place(),
            occurred_at: said.occurred_at(received_at),
            received_at,
            via: self.via,
            origin: origin_text,
            position: origin.position,
            payload: payload.to_owned(),
            label,
        })
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
        let (outcome, doubts) = match self.read(&raw, &self.fields) {
            Ok(said) => (self.key_of(&raw, &said), said.doubts(received_at)),
            Err(undecodable) => (Err(undecodable), Doubts::default()),
        };
        let word = outcome.as_ref().ok().map(|key| &key.new_state);
        let doubts = Doubts {
            unmapped: word.is_some_and(|word| !self.states.knows(word)),
            ..doubts
        };
        Element {
            outcome,
            ignored,
            doubts,
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

    fn read<'a>(&'a self, json: &'a str, fields: &Finder) -> Result<Said<'a>, Undecodable> {
        if !json.starts_with('{') {
            // Also where it is not JSON at all: that says more.
            let error = serde_json::from_str::<&RawValue>(json).err();
            return Err(error.map_or_else(
                || {
                    Undecodable::by_topic(format!(
                        "expected a status (a JSON object), found {}",
                        excerpt(json)
                    ))
                },
                |error| not_json(&error, json),
            ));
        }
        let found = fields.find(json).map_err(|error| not_json(&error, json))?;
        Ok(Said {
            mapping: &self.mapping,
            constants: &self.constants,
            found,
        })
    }

    fn key(&self, json: &str) -> Result<StatusKey, Undecodable> {
        let said = self.read(json, &self.key_fields)?;
        self.key_of(json, &said)
    }

    fn key_of(&self, json: &str, said: &Said<'_>) -> Result<StatusKey, Undecodable> {
        let mut key = said.status_key()?;
        key.event_key = self.key_hash(json).and_then(|hash| {
            let first = hash.first_chunk::<8>()?;
            Some(u64::from_be_bytes(*first))
        });
        // A key says it better.
        if self.shared && key.event_key.is_none() {
            let mut hash = DefaultHasher::new();
            (&self.stream, json).hash(&mut hash);
            key.shared_hash = Some(hash.finish());
        }
        Ok(key)
    }

    /// `<stream>-<hash of the key's values>`; `None` where there is no key or a value is missing.
    fn event_id(&self, json: &str) -> Option<String> {
        let hash = self.key_hash(json)?;
        let mut id = String::with_capacity(self.stream.len() + 1 + 2 * KEY_HASH_BYTES);
        id.push_str(&self.stream);
        id.push('-');
        for byte in &hash[..KEY_HASH_BYTES] {
            id.extend(
                [byte >> 4, byte & 15]
                    .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        }
        Some(id)
    }

    /// Of the event key's values; `None` where there is no key or a value is missing.
    fn key_hash(&self, json: &str) -> Option<[u8; 32]> {
        if self.mapping.event_key.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for found in self.event_key.find(json).ok()? {
            let value = found.filter(|found| *found != "null")?;
            // Kind, length and text, so that no two lists of values give the same bytes. A text is
            // hashed without its escapes, since one character may have several.
            let kind = value.as_bytes().first().copied()?;
            let value = text(Some(value))
                .ok()
                .flatten()
                .unwrap_or(Cow::Borrowed(value));
            hash.update([kind]);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value.as_bytes());
        }
        Some(hash.finalize().into())
    }
}

/// What one status says, still as JSON texts.
struct Said<'a> {
    mapping: &'a Mapping,
    constants: &'a Constants,
    found: Vec<Option<&'a str>>,
}

impl<'a> Said<'a> {
    fn json(&self, field: Field) -> Option<&'a str> {
        self.constants.json(field).or(self.found[field as usize])
    }

    /// A text, number or boolean; anything else is a reason to reject.
    fn word(&self, field: Field) -> Result<Option<String>, Undecodable> {
        let word = text(self.json(field)).map_err(|found| {
            Undecodable::by_topic(format!(
                "expected a text or a number as {}, found {found}",
                self.place_of(field)
            ))
        })?;
        Ok(word.map(Cow::into_owned))
    }

    /// The same where it names something: of a bounded length.
    fn name(&self, field: Field) -> Result<Option<String>, Undecodable> {
        let name = self.word(field)?;
        match name.as_ref().map(String::len) {
            Some(bytes) if bytes > NAME_BYTES_MAX => Err(Undecodable::by_topic(format!(
                "expected at most {NAME_BYTES_MAX} bytes as {}, found {bytes}",
                self.place_of(field)
            ))),
            _ => Ok(name),
        }
    }

    /// A serial number, as far as it is kept.
    fn serial(&self) -> Option<String> {
        let mut serial = self.words(Field::Serial)?;
        serial.truncate(serial.floor_char_boundary(NAME_BYTES_MAX));
        Some(serial)
    }

    /// A text where it is one; what else may stand there is still in the payload.
    fn words(&self, field: Field) -> Option<String> {
        text(self.json(field)).ok().flatten().map(Cow::into_owned)
    }

    fn status_key(&self) -> Result<StatusKey, Undecodable> {
        let device_id = match self.name(Field::Device)? {
            Some(device) => device,
            None => self
                .name(Field::Serial)?
                .ok_or_else(|| self.missing(&[Field::Device, Field::Serial]))?,
        };
        Ok(StatusKey {
            client_id: self.name(Field::Client)?.unwrap_or_default(),
            device_id,
            old_state: self.name(Field::OldState)?,
            new_state: self
                .name(Field::NewState)?
                .ok_or_else(|| self.missing(&[Field::NewState]))?,
            event_key: None,
            shared_hash: None,
        })
    }

    fn place(&self) -> Place {
        let coordinate_system = self.words(Field::CoordinateSystem);
        let raw = self.coordinates();
        let system = coordinate_system.as_deref().and_then(System::named);
        Place {
            province: self.words(Field::Province),
            city: self.words(Field::City),
            district: self.words(Field::District),
            detail: self.words(Field::Detail),
            coordinate_system,
            raw,
            wgs84: raw
                .zip(system)
                .and_then(|(raw, system)| to_wgs84(raw, system)),
        }
    }

    /// A pair that is no position yet is 0, 0.
    fn coordinates(&self) -> Option<Coordinates> {
        let pair = Coordinates {
            longitude: number(self.json(Field::Longitude))?,
            latitude: number(self.json(Field::Latitude))?,
        };
        ((pair.longitude, pair.latitude) != (0.0, 0.0)).then_some(pair)
    }

    fn occurred_at(&self, received: Timestamp) -> Option<Timestamp> {
        time(self.json(Field::OccurredAt), &self.mapping.zone, received)
    }

    /// What of it cannot be read, the new state aside.
    fn doubts(&self, received_at: Timestamp) -> Doubts {
        let mut doubts = Doubts::default();
        for field in [
            Field::Province,
            Field::City,
            Field::District,
            Field::Detail,
            Field::CoordinateSystem,
        ] {
            doubts.add(field, text(self.json(field)).is_err());
        }
        let serial = text(self.json(Field::Serial)).map(|serial| serial.map(|it| it.len()));
        let is_cut = serial.map_or(true, |bytes| bytes.is_some_and(|it| it > NAME_BYTES_MAX));
        doubts.add(Field::Serial, is_cut);
        let pair = self.coordinates();
        let is_off = pair.is_some_and(|pair| !is_on_earth(pair));
        for field in [Field::Longitude, Field::Latitude] {
            // One of a pair may be right.
            let is_wrong = || self.is_there(field) && number(self.json(field)).is_none();
            doubts.add(field, is_off || (pair.is_none() && is_wrong()));
        }
        if let (Some(_), Ok(Some(name))) = (pair, text(self.json(Field::CoordinateSystem))) {
            doubts.add(Field::CoordinateSystem, System::named(&name).is_none());
        }
        let is_timed = self.is_there(Field::OccurredAt);
        let is_wrong = is_timed && self.occurred_at(received_at).is_none();
        doubts.add(Field::OccurredAt, is_wrong);
        doubts
    }

    /// Something stands there that means more than nothing.
    fn is_there(&self, field: Field) -> bool {
        !matches!(text(self.json(field)), Ok(None))
    }

    fn missing(&self, fields: &[Field]) -> Undecodable {
        let places: Vec<String> = fields.iter().map(|field| self.place_of(*field)).collect();
        let found: Vec<String> = fields
            .iter()
            .map(|field| match self.json(*field) {
                Some(json) => beginning(json.as_bytes(), FOUND_CHARS_MAX).marked(),
                None => "nothing".to_owned(),
            })
            .collect();
        Undecodable::by_topic(format!(
            "expected {}, found {}",
            places.join(" or "),
            found.join(" and ")
        ))
    }

    /// `device at /deviceId`.
    fn place_of(&self, field: Field) -> String {
        match self.mapping.pointer(field) {
            Some(pointer) => format!("{} at {pointer}", field.name()),
            None => format!("{} (not mapped)", field.name()),
        }
    }
}

fn not_json(error: &serde_json::Error, json: &str) -> Undecodable {
    Undecodable::by_topic(format!("expected JSON: {error}; found {}", excerpt(json)))
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
