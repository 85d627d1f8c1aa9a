//! The keys of what many events have in common: their journal, topic, state and payload.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::recording::Recording;
use super::{Recorder, journal_of};
use crate::model::StatusEvent;
use crate::sinks::history::device::Device;
use crate::sinks::history::gaps::LastStatus;
use crate::sinks::history::tables::{Digest, Named, PayloadRow, StateRow};
use crate::sinks::history::timeline::State;

#[derive(Debug)]
pub(super) struct Journal {
    pub(super) key: i64,
    /// The newest position that may be stored.
    pub(super) through: i64,
}

/// The status that gaps are looked for behind: where it stands in the timeline, when it was received,
/// the key of its journal and its position. It stands later than it was received where the clock was
/// set back: only then its place in the journal says more than the times. That of a status that was
/// taken out of an undecodable body says nothing.
pub(super) fn last_status(
    journals: &HashMap<String, Journal>,
    (at, received_at, journal_key, position): (Timestamp, Timestamp, i64, i64),
) -> LastStatus<'_> {
    let journal = match received_at < at {
        true => journals
            .iter()
            .find(|(_, journal)| journal.key == journal_key),
        false => None,
    };
    LastStatus {
        at,
        journal: journal.map(|(name, _)| name.as_str()),
        position,
    }
}

/// The newest status of a device, as [`last_status`] has it.
pub(super) fn newest<'j>(
    journals: &'j HashMap<String, Journal>,
    device: &Device,
) -> LastStatus<'j> {
    let placed = (
        device.open.last_seen,
        device.received_at,
        device.journal_key,
        device.position,
    );
    last_status(journals, placed)
}

/// A payload that came before, within its month.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    /// It stands in an event's row.
    Once,
    /// It has a row of its own.
    Row(i64),
}

impl Recorder {
    pub(super) fn journal(&mut self, status: &StatusEvent, recording: &mut Recording) -> i64 {
        let text = journal_of(&status.origin);
        if let Some(journal) = self.journals.get_mut(text) {
            journal.through = journal.through.max(status.position.0);
            return journal.key;
        }
        let key = self.journals.values().map(|journal| journal.key).max();
        let key = key.unwrap_or(0) + 1;
        let through = status.position.0;
        self.journals
            .insert(text.to_owned(), Journal { key, through });
        recording.journals.push(Named {
            key,
            name: text.into(),
        });
        key
    }

    pub(super) fn topic(&mut self, topic: &Arc<str>, recording: &mut Recording) -> i64 {
        if let Some(key) = self.topics.get(topic) {
            return *key;
        }
        let key = self.topic_names.keys().max().unwrap_or(&0) + 1;
        self.topics.insert(Arc::clone(topic), key);
        self.topic_names.insert(key, Arc::clone(topic));
        recording.topics.push(Named {
            key,
            name: Arc::clone(topic),
        });
        key
    }

    pub(super) fn states_of(&mut self, word: &str) -> &mut Vec<State> {
        self.words.entry(word.to_owned()).or_insert_with(Vec::new)
    }

    pub(super) fn state(&mut self, status: &Arc<StatusEvent>, recording: &mut Recording) -> State {
        if let Some(known) = self.words.get(status.new_state.as_str()) {
            let means =
                |known: &&State| *known.state == *status.state && known.severity == status.severity;
            if let Some(known) = known.iter().find(means) {
                return known.clone();
            }
        }
        self.last.state += 1;
        let key = self.last.state;
        let state = State {
            key,
            state: status.state.as_str().into(),
            severity: status.severity,
        };
        // It is counted by this key from now on, unless the state has another one.
        self.days.key(&state);
        self.states_of(&status.new_state).push(state.clone());
        let status = Arc::clone(status);
        recording.states.push(StateRow { key, status });
        state
    }

    /// The key of the payload's own row; `None`: it came for the first time.
    pub(super) fn payload(
        &mut self,
        status: &Arc<StatusEvent>,
        digest: (i64, Digest),
        recording: &mut Recording,
    ) -> Option<i64> {
        match self.payloads.get(&digest) {
            Some(Seen::Row(key)) => Some(*key),
            Some(Seen::Once) => {
                self.last.payload += 1;
                let key = self.last.payload;
                let (month, of) = digest;
                recording.payloads.push(PayloadRow {
                    key,
                    month,
                    digest: of,
                    status: Arc::clone(status),
                });
                self.payloads.insert(digest, Seen::Row(key));
                Some(key)
            }
            None => {
                self.payloads.insert(digest, Seen::Once);
                None
            }
        }
    }
}
