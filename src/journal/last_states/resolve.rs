//! A group's entries as they stand in the log: each has its position, and each status was compared
//! with the last state of its device.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::device::{Anticipated, DeviceKey, Said, taken_apart};
use super::{Known, LastStates};
use crate::journal::{Entry, EntryContent, NewContent, NewEntry, Unchanged};
use crate::model::Position;
use crate::pipeline::StatusKey;

/// A message that says the same as a snapshot comes within this time after it.
const ANTICIPATED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How many repeats and missed transitions were met since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::journal) struct Met {
    pub(in crate::journal) missed_transitions: u64,
    pub(in crate::journal) repeats: u64,
}

/// The statuses of a group, as they stand in the log.
#[derive(Debug, Default)]
pub(in crate::journal) struct Resolved {
    pub(in crate::journal) entries: Vec<Entry>,
    /// Places of statuses that make no entry.
    pub(in crate::journal) dropped: Vec<usize>,
    pub(in crate::journal) met: Met,
}

impl Resolved {
    /// The newest position once they are written; `before`: the one before.
    pub(in crate::journal) fn head(&self, before: Position) -> Position {
        self.entries.last().map_or(before, |entry| entry.position)
    }
}

impl LastStates {
    /// Gives entries their positions after `head`, and compares each status with its device's last
    /// state.
    pub(in crate::journal) fn resolve(
        &mut self,
        head: Position,
        entries: Vec<NewEntry>,
    ) -> Resolved {
        let mut resolved = Resolved {
            entries: Vec::with_capacity(entries.len()),
            dropped: Vec::new(),
            met: Met::default(),
        };
        let mut position = head;
        for (place, entry) in entries.into_iter().enumerate() {
            let NewEntry {
                topic,
                received_at,
                body,
                content,
            } = entry;
            // As it is read back.
            let received_at =
                Timestamp::from_microsecond(received_at.as_microsecond()).unwrap_or(received_at);
            let mut places = None;
            let content = match content {
                NewContent::Status {
                    stream,
                    key,
                    places: found,
                } => {
                    places = found;
                    self.status((&topic, received_at), stream, key, &mut resolved.met)
                }
                NewContent::Undecodable { reason } => EntryContent::Undecodable { reason },
                NewContent::Coverage => {
                    *self.turns.entry(Arc::clone(&topic)).or_default() += 1;
                    EntryContent::Coverage
                }
                NewContent::Resync {
                    stream,
                    key,
                    unchanged,
                } => match self.resync((&topic, received_at), stream, key, unchanged) {
                    Some(content) => content,
                    None => {
                        resolved.dropped.push(place);
                        continue;
                    }
                },
            };
            position.0 += 1;
            resolved.entries.push(Entry {
                position,
                topic,
                received_at,
                body,
                content,
                places,
            });
        }
        self.bound_memory();
        resolved
    }

    fn status(
        &mut self,
        (topic, at): (&Arc<str>, Timestamp),
        stream: Arc<str>,
        key: StatusKey,
        met: &mut Met,
    ) -> EntryContent {
        let shared_hash = key.shared_hash;
        let (device, said) = taken_apart(stream, key);
        let redelivered = said
            .event_key
            .zip(self.cache.peek(&device))
            .is_some_and(|(key, known)| known.last.keys.contains(&key));
        if self.is_anticipated(&device, &said, at) && !redelivered {
            met.repeats += 1;
            // Its key tells when it comes again.
            self.learn(device, at, said);
            return EntryContent::Status {
                previous: None,
                repeat: true,
            };
        }
        let is_of_another = |hash| self.recent.is_of_another(hash, topic, at);
        if redelivered || shared_hash.is_some_and(is_of_another) {
            met.repeats += 1;
            return EntryContent::Status {
                previous: None,
                repeat: true,
            };
        }
        let claims = said.old_state.is_some();
        let previous = self.learn(device, at, said);
        met.missed_transitions += u64::from(previous.is_some() && claims);
        EntryContent::Status {
            previous,
            repeat: false,
        }
    }

    /// What a snapshot says of a device; `None`: nothing that is worth an entry.
    fn resync(
        &mut self,
        (topic, at): (&Arc<str>, Timestamp),
        stream: Arc<str>,
        key: StatusKey,
        unchanged: Unchanged,
    ) -> Option<EntryContent> {
        let (device, said) = taken_apart(stream, key);
        let known = self.cache.peek(&device);
        let is_same = known.is_some_and(|known| *known.last.state == *said.new_state.trim());
        if is_same && unchanged == Unchanged::Dropped {
            return None;
        }
        // A message has said it, and another one something newer: the snapshot is older than both.
        let has_said = |known: &Known| {
            said.event_key
                .is_some_and(|key| known.last.keys.contains(&key))
        };
        if !is_same && known.is_some_and(has_said) {
            return None;
        }
        let changes = known.filter(|_| !is_same);
        let anticipated = changes.map(|known| {
            Box::new(Anticipated {
                from: known.last.state.clone(),
                at,
                topic: Arc::clone(topic),
                turns: self.turns(topic),
            })
        });
        let said = Said {
            // It came before.
            event_key: said.event_key.filter(|_| !known.is_some_and(has_said)),
            ..said
        };
        let previous = self.learn(device.clone(), at, said);
        if let Some(known) = self.cache.peek_mut(&device)
            && anticipated.is_some()
        {
            known.anticipated = anticipated;
        }
        Some(EntryContent::Resync {
            previous,
            confirms: is_same,
        })
    }

    /// How often the topic has begun or ceased to be heard.
    fn turns(&self, topic: &str) -> u64 {
        self.turns.get(topic).copied().unwrap_or_default()
    }

    /// Whether a status is the change that a snapshot has just brought: it was in flight then, or is
    /// sent again. Behind another gap nobody knows: the state may have been left and be back.
    fn is_anticipated(&mut self, device: &DeviceKey, said: &Said, at: Timestamp) -> bool {
        let Some(known) = self.cache.peek_mut(device) else {
            return false;
        };
        let Some(anticipated) = known.anticipated.take() else {
            return false;
        };
        let old_state = said.old_state.as_deref().map(str::trim);
        old_state == Some(&*anticipated.from)
            && *known.last.state == *said.new_state.trim()
            && at.duration_since(anticipated.at) <= ANTICIPATED_FOR
            && self.turns(&anticipated.topic) == anticipated.turns
    }

    /// Takes over a status that stands in the log already, and is no repeat.
    pub(in crate::journal) fn learn_again(
        &mut self,
        stream: Arc<str>,
        key: StatusKey,
        at: Timestamp,
    ) {
        let (device, said) = taken_apart(stream, key);
        // A snapshot may say again what a message has said.
        let known = self.cache.peek(&device);
        let is_new = |key: &u64| known.is_none_or(|known| !known.last.keys.contains(key));
        let event_key = said.event_key.filter(is_new);
        self.learn(device, at, Said { event_key, ..said });
    }
}
