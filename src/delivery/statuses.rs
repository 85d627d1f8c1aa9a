//! Decodes the entries' statuses for all sinks. What one sink has decoded is there for the others,
//! which mostly come by within milliseconds: decoding costs more than all else that is done to a
//! status before a sink has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::Entry;
use crate::model::{Origin, Position, StatusEvent};
use crate::pipeline::{Decoder, Decoders};

/// How many of the newest decoded statuses are kept: more than come while a sink writes a batch.
const KEPT: usize = 1024;

/// A larger body is decoded by each sink: all that is kept takes 16 MiB at most.
const KEPT_BODY_BYTES_MAX: usize = 8 * 1024;

/// The statuses of entries, for all sinks. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Statuses {
    decoders: Decoders,
    recent: Arc<Mutex<Recent>>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Those that have decoded it; by others it may be another status.
    decoders: Arc<HashMap<Arc<str>, Decoder>>,
    /// Each at its position modulo [`KEPT`].
    slots: Vec<Option<Arc<StatusEvent>>>,
}

impl Statuses {
    /// By the decoders of the topics, as they are when an entry is read.
    pub fn new(decoders: Decoders) -> Statuses {
        Statuses {
            decoders,
            recent: Arc::default(),
        }
    }

    /// An entry's status.
    ///
    /// # Errors
    /// Why the entry cannot be read, for its dead letter.
    pub(super) fn status(
        &self,
        entry: &Entry,
        origin: Origin,
        previous: Option<&str>,
    ) -> Result<Arc<StatusEvent>, String> {
        let decoders = self.decoders.current();
        if let Some(known) = self.recent(&decoders, entry.position) {
            return Ok(known);
        }
        let Some(decoder) = decoders.get(&entry.topic) else {
            let topic = &entry.topic;
            return Err(format!(
                "topic {topic} is no longer in the configuration: add it to decode this"
            ));
        };
        let status = decoder
            .event(&entry.body, origin, entry.received_at, previous)
            .map_err(|undecodable| format!("can no longer be decoded: {undecodable}"))?;
        let status = Arc::new(status);
        if entry.body.len() <= KEPT_BODY_BYTES_MAX {
            self.keep(decoders, Arc::clone(&status));
        }
        Ok(status)
    }

    fn recent(
        &self,
        decoders: &Arc<HashMap<Arc<str>, Decoder>>,
        position: Position,
    ) -> Option<Arc<StatusEvent>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let status = recent.slots.get(slot(position))?.as_ref()?;
        let same = Arc::ptr_eq(&recent.decoders, decoders) && status.position == position;
        same.then(|| Arc::clone(status))
    }

    fn keep(&self, decoders: Arc<HashMap<Arc<str>, Decoder>>, status: Arc<StatusEvent>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&recent.decoders, &decoders) {
            recent.slots.clear();
            recent.decoders = decoders;
        }
        recent.slots.resize(KEPT, None);
        let slot = slot(status.position);
        recent.slots[slot] = Some(status);
    }
}

fn slot(position: Position) -> usize {
    position.0.unsigned_abs() as usize % KEPT
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::journal::EntryContent;
    use crate::pipeline::{Mapping, State, States};

    fn decoders(fault: &str) -> Arc<HashMap<Arc<str>, Decoder>> {
        let state = State {
            name: fault.to_owned(),
            severity: crate::model::Severity::Critical,
        };
        let states = Arc::new(States {
            words: HashMap::from([("x".to_owned(), state)]),
        });
        let decoder = Decoder::new("map-1".into(), Mapping::default(), states);
        Arc::new(HashMap::from([("map-1".into(), decoder)]))
    }

    fn status(statuses: &Statuses, position: i64, body: String) -> Arc<StatusEvent> {
        let position = Position(position);
        let entry = Entry {
            position,
            topic: "map-1".into(),
            received_at: Timestamp::UNIX_EPOCH,
            body: body.into(),
            content: EntryContent::Status {
                previous: None,
                repeat: false,
            },
        };
        let origin = Origin {
            journal: Uuid::nil(),
            position,
        };
        statuses.status(&entry, origin, None).unwrap()
    }

    #[test]
    fn status_is_decoded_once_for_all_sinks_until_the_decoders_change() {
        let current = Decoders::new(decoders("fault"));
        let statuses = Statuses::new(current.clone());
        let small = || r#"{"deviceId":1,"newState":"x"}"#.to_owned();
        let first = status(&statuses, 7, small());
        assert!(Arc::ptr_eq(&first, &status(&statuses.clone(), 7, small())));
        assert_eq!(status(&statuses, 8, small()).position, Position(8));

        // Another one has its slot.
        let far = 7 + i64::try_from(KEPT).unwrap();
        status(&statuses, far, small());
        assert!(!Arc::ptr_eq(&first, &status(&statuses, 7, small())));

        current.replace(decoders("broken"));
        assert_eq!(status(&statuses, 7, small()).state, "broken");
        assert_eq!(status(&statuses, 8, small()).state, "broken");

        let padding = "x".repeat(KEPT_BODY_BYTES_MAX);
        let large = || format!(r#"{{"deviceId":1,"newState":"x","padding":"{padding}"}}"#);
        let first = status(&statuses, 9, large());
        assert!(!Arc::ptr_eq(&first, &status(&statuses, 9, large())));
    }
}
