//! Decodes the entries' statuses for all sinks. What one sink has decoded is there for the others,
//! which come by within milliseconds, or within a second where the processor is short: decoding
//! costs more than all else that is done to a status before a sink has it.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::{Entry, EntryContent};
use crate::model::{Origin, Position, StatusEvent};
use crate::pipeline::{Decoder, Decoders};

/// How long a decoded status is kept: longer than a sink writes a batch.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// All that is kept takes no more: some ten thousand of the platform's statuses.
const KEPT_BYTES_MAX: usize = 12 * 1024 * 1024;

/// A larger body is decoded by each sink: few of them would take the place of all others.
const KEPT_BODY_BYTES_MAX: usize = 8 * 1024;

/// What a status takes beside its struct and its payload: some ten short texts.
const TEXTS_BYTES: usize = 400;

/// The statuses of entries, for all sinks. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Statuses {
    decoders: Decoders,
    recent: Arc<Mutex<Recent>>,
    /// How many sinks decode.
    sinks: Arc<AtomicUsize>,
}

/// The statuses as one sink decodes them.
#[derive(Debug)]
pub(super) struct SinkStatuses(Statuses);

impl Deref for SinkStatuses {
    type Target = Statuses;

    fn deref(&self) -> &Statuses {
        &self.0
    }
}

impl Drop for SinkStatuses {
    /// One that is left alone asks for nothing that is kept.
    fn drop(&mut self) {
        if self.0.sinks.fetch_sub(1, Ordering::Relaxed) <= 2 {
            *self.0.lock_recent() = Recent::default();
        }
    }
}

#[derive(Debug, Default)]
struct Recent {
    /// Those that have decoded it; by others it may be another status.
    decoders: Arc<HashMap<Arc<str>, Decoder>>,
    statuses: HashMap<Position, Arc<StatusEvent>>,
    /// Since when each of them is kept, in that order.
    since: VecDeque<(Instant, Position)>,
    bytes: usize,
}

impl Recent {
    fn keep(&mut self, status: Arc<StatusEvent>, now: Instant) {
        let (position, size) = (status.position, bytes(&status));
        // Two sinks may have decoded it at once.
        if self.statuses.insert(position, status).is_some() {
            return;
        }
        self.since.push_back((now, position));
        self.bytes += size;
        while let Some((since, oldest)) = self.since.front().copied()
            && (self.bytes > KEPT_BYTES_MAX || now.duration_since(since) > KEPT_FOR)
        {
            self.since.pop_front();
            let gone = self.statuses.remove(&oldest);
            self.bytes -= gone.map_or(0, |gone| bytes(&gone));
        }
    }
}

fn bytes(status: &StatusEvent) -> usize {
    size_of::<StatusEvent>() + TEXTS_BYTES + status.payload.get().len()
}

/// What reads a topic's entry of this kind: a snapshot is not read as a message.
pub fn decoder_of<'d>(decoder: &'d Decoder, content: &EntryContent) -> Cow<'d, Decoder> {
    match content {
        EntryContent::Resync { .. } => Cow::Owned(decoder.of_snapshots()),
        _ => Cow::Borrowed(decoder),
    }
}

impl Statuses {
    /// By the decoders of the topics, as they are when an entry is read.
    pub fn new(decoders: Decoders) -> Statuses {
        Statuses {
            decoders,
            recent: Arc::default(),
            sinks: Arc::default(),
        }
    }

    /// For one sink more.
    pub(super) fn for_sink(self) -> SinkStatuses {
        self.sinks.fetch_add(1, Ordering::Relaxed);
        SinkStatuses(self)
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
        let is_shared = self.sinks.load(Ordering::Relaxed) > 1;
        if is_shared && let Some(known) = self.recent(&decoders, entry.position) {
            return Ok(known);
        }
        let Some(decoder) = decoders.get(&entry.topic) else {
            let topic = &entry.topic;
            return Err(format!(
                "topic {topic} is no longer in the configuration: add it to decode this"
            ));
        };
        let status = decoder_of(decoder, &entry.content)
            .event_with(
                &entry.body,
                entry.places.as_ref(),
                origin,
                entry.received_at,
                previous,
            )
            .map_err(|undecodable| format!("can no longer be decoded: {undecodable}"))?;
        let status = Arc::new(status);
        if is_shared && entry.body.len() <= KEPT_BODY_BYTES_MAX {
            self.keep(decoders, Arc::clone(&status));
        }
        Ok(status)
    }

    fn recent(
        &self,
        decoders: &Arc<HashMap<Arc<str>, Decoder>>,
        position: Position,
    ) -> Option<Arc<StatusEvent>> {
        let recent = self.lock_recent();
        let same = Arc::ptr_eq(&recent.decoders, decoders);
        let status = recent.statuses.get(&position).filter(|_| same);
        status.map(Arc::clone)
    }

    fn lock_recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, decoders: Arc<HashMap<Arc<str>, Decoder>>, status: Arc<StatusEvent>) {
        let now = Instant::now();
        let mut recent = self.lock_recent();
        if !Arc::ptr_eq(&recent.decoders, &decoders) {
            *recent = Recent {
                decoders,
                ..Recent::default()
            };
        }
        recent.keep(status, now);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
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
            places: None,
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
        let one = statuses.clone().for_sink();
        let alone = status(&statuses, 7, small());
        assert!(!Arc::ptr_eq(&alone, &status(&one, 7, small())));
        let _another = statuses.clone().for_sink();
        let first = status(&statuses, 7, small());
        assert!(Arc::ptr_eq(&first, &status(&statuses.clone(), 7, small())));
        assert_eq!(status(&statuses, 8, small()).position, Position(8));

        current.replace(decoders("broken"));
        assert_eq!(status(&statuses, 7, small()).state, "broken");
        assert_eq!(status(&statuses, 8, small()).state, "broken");

        let padding = "x".repeat(KEPT_BODY_BYTES_MAX);
        let large = || format!(r#"{{"deviceId":1,"newState":"x","padding":"{padding}"}}"#);
        let first = status(&statuses, 9, large());
        assert!(!Arc::ptr_eq(&first, &status(&statuses, 9, large())));

        drop(one);
        assert!(statuses.lock_recent().statuses.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_time() {
        let mut recent = Recent::default();
        let status = |position| {
            Arc::new(StatusEvent {
                position: Position(position),
                ..StatusEvent::sample()
            })
        };
        let size = bytes(&status(0));
        let count = i64::try_from(KEPT_BYTES_MAX / size).unwrap();
        let now = Instant::now();
        for position in 0..=count {
            recent.keep(status(position), now);
        }
        recent.keep(status(count), now);
        assert_eq!(recent.since.len(), recent.statuses.len());
        assert_eq!(recent.bytes, recent.statuses.len() * size);
        assert!(recent.bytes <= KEPT_BYTES_MAX && recent.bytes > KEPT_BYTES_MAX - size);
        assert!(!recent.statuses.contains_key(&Position(0)));

        recent.keep(status(count + 1), now + KEPT_FOR * 2);
        assert_eq!((recent.statuses.len(), recent.bytes), (1, size));
    }
}
