//! Undecodable entries that can be decoded by now: many of them in one request and one transaction.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::journal::{self, Entry, Journal, NewContent, NewEntry, Reader};
use crate::model::Position;

/// Entries that go at once: the journal's writer is held for some milliseconds.
const ENTRIES_MAX: usize = 256;

/// Bytes of statuses that go at once, unless one entry has more: a command is in memory as a whole,
/// and has a limit.
const BYTES_MAX: usize = 1024 * 1024;

/// What a part counts for besides its text.
const PART_BYTES: usize = 64;

/// One status of an undecodable entry, as it can be decoded by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// It stands there in the entry's body, in bytes.
    Range(Range<usize>),
    /// The body has it in another form: in another charset, compressed or within a JSON text.
    Text(String),
}

impl Part {
    /// Its bytes; `None`: the body has no such part.
    fn of(&self, body: &Bytes) -> Option<Bytes> {
        let part = match self {
            Part::Range(range) => {
                let is_within = range.start <= range.end && range.end <= body.len();
                is_within.then(|| body.slice(range.clone()))?
            }
            Part::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        };
        (!part.is_empty()).then_some(part)
    }

    fn bytes(&self) -> usize {
        match self {
            Part::Range(range) => range.len() + PART_BYTES,
            Part::Text(text) => text.len() + PART_BYTES,
        }
    }
}

/// An undecodable entry that can be decoded by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redecoded {
    /// The entry.
    pub position: Position,
    /// Its statuses, in order.
    pub parts: Vec<Part>,
}

/// Entries that go to the sinks at once.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Redecoded>,
    bytes: usize,
}

impl Batch {
    /// Adds one; gives all of them once they are enough.
    pub fn add(&mut self, entry: Redecoded) -> Option<Vec<Redecoded>> {
        self.bytes += entry.parts.iter().map(Part::bytes).sum::<usize>();
        self.entries.push(entry);
        let is_full = self.entries.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX;
        is_full.then(|| self.take()).flatten()
    }

    /// Those that are left.
    pub fn take(&mut self) -> Option<Vec<Redecoded>> {
        self.bytes = 0;
        let entries = std::mem::take(&mut self.entries);
        (!entries.is_empty()).then_some(entries)
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Entries that are on their way to every sink.
    pub(super) entries: u64,
    /// Those that stay where they are, and why.
    pub(super) refused: Vec<(Position, String)>,
}

/// Delivers entries to every sink of the configuration.
///
/// # Errors
/// The journal has failed.
pub(super) async fn redrive(
    journal: &Journal,
    wanted: Vec<Redecoded>,
) -> Result<Outcome, journal::Error> {
    let mut outcome = Outcome::default();
    if !journal.log.status().sinks.iter().any(|it| it.configured) {
        let why = "there is no sink that it could be delivered to";
        let refused = wanted.iter().map(|it| (it.position, why.to_owned()));
        outcome.refused.extend(refused);
        return Ok(outcome);
    }
    let mut reader = journal.log.reader().await?;
    let mut accepted: Vec<(Position, Vec<NewEntry>)> = Vec::new();
    let (mut events, mut bytes) = (0, 0);
    for Redecoded { position, parts } in wanted {
        let found = match statuses(&mut reader, position, &parts).await? {
            Ok(found) => found,
            Err(why) => {
                outcome.refused.push((position, why));
                continue;
            }
        };
        let (entry, bodies) = found;
        let more_bytes: usize = bodies.iter().map(Bytes::len).sum();
        let (all, all_bytes) = (events + bodies.len(), bytes + more_bytes);
        if let Some(sink) = without_room(journal, all, all_bytes.div_ceil(all)) {
            let why = format!(
                "the dead letters of {sink} have no room for entry {position}: redrive or drop some \
                 of them, or raise journal.dlq_max_bytes"
            );
            outcome.refused.push((position, why));
            continue;
        }
        (events, bytes) = (all, all_bytes);
        if parts == [Part::Range(0..entry.body.len())] {
            accepted.push((position, Vec::new()));
            continue;
        }
        if journal.log.is_full() {
            let why = format!(
                "the journal is full, and the statuses of entry {position} would be appended to it: \
                 redrive it once the sinks have made room"
            );
            outcome.refused.push((position, why));
            continue;
        }
        let statuses = bodies.into_iter().map(|body| NewEntry {
            topic: entry.topic.clone(),
            received_at: entry.received_at,
            body,
            content: NewContent::Undecodable {
                reason: format!("a status of entry {position}, which was undecodable").into(),
            },
        });
        accepted.push((position, statuses.collect()));
    }
    outcome.entries = accepted.len() as u64;
    if !accepted.is_empty() {
        journal.admin.redrive_undecodable(accepted).await?;
    }
    Ok(outcome)
}

/// An entry and its statuses; the inner error: it has none of these.
async fn statuses(
    reader: &mut Reader,
    position: Position,
    parts: &[Part],
) -> Result<Result<(Entry, Vec<Bytes>), String>, journal::Error> {
    // One that somebody has dealt with since it was listed would be delivered twice.
    let before = Position(position.0.saturating_sub(1));
    let listed = reader.undecodable_page(before, 1, 0).await?;
    let is_listed = listed.iter().any(|letter| letter.position == position);
    let entry = reader.entry(position).await?;
    let Some(entry) = entry.filter(|_| is_listed) else {
        return Ok(Err(format!("there is no undecodable entry {position}")));
    };
    let bodies: Option<Vec<Bytes>> = parts.iter().map(|part| part.of(&entry.body)).collect();
    Ok(match bodies.filter(|bodies| !bodies.is_empty()) {
        Some(bodies) => Ok((entry, bodies)),
        None => Err(format!("these are no parts of entry {position}")),
    })
}

/// The sink whose dead letters have no room for so many more.
fn without_room(journal: &Journal, entries: usize, body_bytes: usize) -> Option<String> {
    let has_room = |name: &str| journal.cursors.has_dlq_room(name, entries, body_bytes);
    let sinks = journal.log.status().sinks.into_iter();
    let mut full = sinks.filter(|sink| sink.configured && !has_room(&sink.name));
    full.next().map(|sink| sink.name.to_string())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::journal::{NewBatch, Settings, Start};

    #[tokio::test]
    async fn what_was_redriven_since_it_was_listed_is_not_delivered_again() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path().join("journal.db"));
        let (journal, writer) = Journal::open(&settings).await.unwrap();
        let stop = CancellationToken::new();
        let writer = tokio::spawn(writer.run(stop.clone()));
        let sinks = [("site".into(), Start::Newest)];
        journal.cursors.register_sinks(&sinks).await.unwrap();
        let undecodable = NewEntry {
            topic: "map-1".into(),
            received_at: Timestamp::now(),
            body: Bytes::from_static(b"[1, 2]"),
            content: NewContent::Undecodable {
                reason: "no such field".into(),
            },
        };
        let entries = vec![undecodable];
        journal.log.append(NewBatch { entries }).await.unwrap();
        let listed = || Redecoded {
            position: Position(1),
            parts: vec![Part::Range(1..2), Part::Range(4..5)],
        };
        let first = redrive(&journal, vec![listed()]).await.unwrap();
        assert_eq!((first.entries, first.refused.len()), (1, 0));
        let head = journal.log.status().head;
        let second = redrive(&journal, vec![listed()]).await.unwrap();
        assert_eq!((second.entries, second.refused.len()), (0, 1));
        assert_eq!(journal.log.status().head, head, "nothing is appended");
        stop.cancel();
        writer.await.unwrap().unwrap();
    }

    #[test]
    fn a_batch_is_full_by_its_entries_or_by_its_bytes() {
        let entry = |position, bytes| Redecoded {
            position: Position(position),
            parts: vec![Part::Text("x".repeat(bytes))],
        };
        let mut batch = Batch::default();
        for position in 1..ENTRIES_MAX as i64 {
            assert_eq!(batch.add(entry(position, 1)), None);
        }
        let full = batch.add(entry(256, 1)).expect("a full batch");
        assert_eq!(full.len(), ENTRIES_MAX);
        assert_eq!(batch.add(entry(1, BYTES_MAX / 2)), None);
        let full = batch.add(entry(2, BYTES_MAX / 2)).expect("a full batch");
        assert_eq!(full.len(), 2);
        assert_eq!(batch.take(), None);
        assert_eq!(batch.add(entry(3, 1)), None);
        assert_eq!(batch.take().map(|rest| rest.len()), Some(1));
    }
}
