//! Decoding of message bodies: the platform's own message, or another shape by JSON pointers.
//!
//! The same code decodes twice. At intake it tells undecodable bodies ([`Decoder::split`]). At
//! delivery it decodes the journal's raw bytes ([`Decoder::event`]), so that a corrected mapping
//! holds for a replay. A status in the journal is in UTF-8, whatever its message was in.

mod element;
mod event_key;
mod places;
mod said;
mod split;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

pub use element::{Doubts, Element, StatusKey};
use event_key::{EventKey, KeyHash};
pub use places::FieldPlaces;
use said::Said;

use super::body::{Charset, utf8};
use super::constants::Constants;
use super::pointer::Finder;
use super::scalar::excerpt;
use super::undecodable::{Undecodable, not_json};
use super::{Field, Mapping, States};
use crate::model::{Label, Names, Origin, Payload, Severity, StatusEvent, Via};

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
    event_key: Option<Arc<EventKey>>,
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
        let event_key = EventKey::new(&mapping.event_key).map(Arc::new);
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

    /// What devices are called; `None`: there is no `[names]`.
    pub fn names(&self) -> Option<&Arc<Names>> {
        self.names.as_ref()
    }

    /// What a device is called; `None`: it has no name.
    pub fn name_of(
        &self,
        client_id: &str,
        device_id: &str,
        serial: Option<&str>,
    ) -> Option<Arc<str>> {
        self.label_of(client_id, device_id, serial)?.name
    }

    /// What the configuration says of a device, as [`StatusEvent::label`] has it.
    pub fn label_of(
        &self,
        client_id: &str,
        device_id: &str,
        serial: Option<&str>,
    ) -> Option<Label> {
        let label = self.names.as_ref()?.of(client_id, device_id, serial);
        Some(label.cloned().unwrap_or_default())
    }

    /// The same where devices have names.
    pub fn with_names(self, names: Option<Arc<Names>>) -> Decoder {
        let snapshot = self
            .snapshot
            .map(|snapshot| Arc::new((*snapshot).clone().with_names(names.clone())));
        Decoder {
            names,
            snapshot,
            ..self
        }
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

    /// The vocabulary.
    pub fn states(&self) -> &States {
        &self.states
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

    /// Client and device of one status's bytes, also where nothing else of it can be read.
    pub fn device(&self, raw: &[u8]) -> Option<(String, String)> {
        self.read(utf8(raw).ok()?, &self.key_fields).ok()?.device()
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
        self.event_with(raw, None, origin, received_at, previous)
    }

    /// The same where [`Element::places`] of these bytes are still known.
    ///
    /// # Errors
    /// As in [`Element::outcome`].
    pub fn event_with(
        &self,
        raw: &[u8],
        places: Option<&FieldPlaces>,
        origin: Origin,
        received_at: Timestamp,
        previous: Option<&str>,
    ) -> Result<StatusEvent, Undecodable> {
        let json = utf8(raw).map_err(Undecodable::by_topic)?;
        let said = match places.and_then(|places| places.found(&self.fields, json)) {
            Some(found) => self.said(found),
            // All of it is read: it is JSON to its end.
            None => self.read(json, &self.fields)?,
        };
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
        let origin_text = origin.text();
        let serial = said.serial();
        let label = self.label_of(&client_id, &device_id, serial.as_deref());
        Ok(StatusEvent {
            event_id: match self.via {
                Via::Live => {
                    let hash = self.key_hash(json);
                    hash.map(|hash| hash.event_id(&self.stream))
                }
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
            payload: Payload::of_json(json),
            label,
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
        Ok(self.said(found))
    }

    fn said<'a>(&'a self, found: Vec<Option<&'a str>>) -> Said<'a> {
        Said {
            mapping: &self.mapping,
            constants: &self.constants,
            found,
        }
    }

    fn key(&self, json: &str) -> Result<StatusKey, Undecodable> {
        let said = self.read(json, &self.key_fields)?;
        self.key_of(json, &said)
    }

    fn key_of(&self, json: &str, said: &Said<'_>) -> Result<StatusKey, Undecodable> {
        let mut key = said.status_key()?;
        key.event_key = self.key_hash(json).map(|hash| hash.short());
        // The other topic may have no event key.
        if self.shared {
            let mut hash = DefaultHasher::new();
            (&self.stream, json).hash(&mut hash);
            key.shared_hash = Some(hash.finish());
        }
        Ok(key)
    }

    /// `None`: there is no event key, or one of its values is missing.
    fn key_hash(&self, json: &str) -> Option<KeyHash> {
        self.event_key.as_ref()?.hash(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_by_two_ways_is_known_whichever_of_them_has_an_event_key() {
        let decoder = |event_key: Vec<crate::pipeline::Pointer>| {
            let mut mapping = Mapping::default();
            mapping.event_key = event_key;
            Decoder::new("map-1".into(), mapping, Arc::default()).in_stream("site".into(), true)
        };
        let raw = r#"{"clientId":3,"deviceId":1,"newState":"故障","uuid":"z1"}"#.as_bytes();
        let [keyed, without] = [vec!["/uuid".parse().unwrap()], Vec::new()]
            .map(|event_key| decoder(event_key).status_key(raw).unwrap());
        assert!(keyed.event_key.is_some() && without.event_key.is_none());
        assert!(keyed.shared_hash.is_some() && keyed.shared_hash == without.shared_hash);
    }

    #[test]
    fn a_status_is_the_same_where_its_fields_were_found_before() {
        let decoder = |client: &str| {
            let mut mapping = Mapping::default();
            mapping.set(Field::Client, Some(client.parse().unwrap()));
            Decoder::new("map-1".into(), mapping, Arc::default())
        };
        let (first, same, other) = (
            decoder("/clientId"),
            decoder("/clientId"),
            decoder("/owner"),
        );
        let origin = Origin {
            journal: uuid::Uuid::nil(),
            position: crate::model::Position(7),
        };
        for raw in [
            r#"{"clientId":3,"deviceId":"a","deviceId":"b","newState":"故障","owner":4}"#,
            "\u{feff} {\"deviceId\":1,\"newState\":\"x\",\"address\":{\"city\":\"盐城市\"}}\n",
            r#"{"serialNo":"\u6545","newState":" ok ","x":[1,{"deviceId":7}],"clientId":null}"#,
        ] {
            let at = Timestamp::UNIX_EPOCH;
            let raw = utf8(raw.as_bytes()).unwrap();
            let elements = first.split(raw.as_bytes(), at);
            let [element] = elements.as_slice() else {
                panic!("{raw}: {elements:?}")
            };
            let places = element.places.as_ref();
            let found = |by: &Decoder| places.unwrap().found(&by.fields, raw).is_some();
            assert!(found(&first) && !found(&same), "{raw}");
            for decoder in [&first, &same, &other] {
                let read = |places| {
                    let event = decoder.event_with(&element.raw, places, origin, at, None);
                    format!("{event:?}")
                };
                assert_eq!(read(places), read(None), "{raw}");
            }
        }
    }
}
