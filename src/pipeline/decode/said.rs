//! What one status says, still as JSON texts, and how each field of an event is read from it.

use std::borrow::Cow;

use jiff::Timestamp;

use super::element::{Doubts, StatusKey};
use crate::model::{Coordinates, Place};
use crate::pipeline::constants::Constants;
use crate::pipeline::coordinates::{System, is_on_earth, to_wgs84};
use crate::pipeline::scalar::{number, text, time};
use crate::pipeline::{Field, Mapping, Undecodable};
use crate::secret::beginning;

/// A device id, a client id and a state: they are kept for each device, and name MQTT topics and
/// rows. A status with a longer one is undecodable; a serial, which nothing hangs on, is cut.
const NAME_BYTES_MAX: usize = 512;

/// What a reason shows of a value that is not what was expected.
const FOUND_CHARS_MAX: usize = 60;

/// What one status says, still as JSON texts.
pub(super) struct Said<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) constants: &'a Constants,
    pub(super) found: Vec<Option<&'a str>>,
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
    pub(super) fn serial(&self) -> Option<String> {
        let mut serial = self.words(Field::Serial)?;
        serial.truncate(serial.floor_char_boundary(NAME_BYTES_MAX));
        Some(serial)
    }

    /// A text where it is one; what else may stand there is still in the payload.
    fn words(&self, field: Field) -> Option<String> {
        text(self.json(field)).ok().flatten().map(Cow::into_owned)
    }

    /// Client and device, where they can be read.
    pub(super) fn device(&self) -> Option<(String, String)> {
        let client_id = self.name(Field::Client).ok()?.unwrap_or_default();
        let device_id = match self.name(Field::Device).ok()? {
            Some(device) => device,
            None => self.name(Field::Serial).ok()??,
        };
        Some((client_id, device_id))
    }

    pub(super) fn status_key(&self) -> Result<StatusKey, Undecodable> {
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

    pub(super) fn place(&self) -> Place {
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

    pub(super) fn occurred_at(&self, received: Timestamp) -> Option<Timestamp> {
        time(self.json(Field::OccurredAt), &self.mapping.zone, received)
    }

    /// What of it cannot be read, except for the new state.
    pub(super) fn doubts(&self, received_at: Timestamp) -> Doubts {
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
