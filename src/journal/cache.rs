//! The newest entries in memory, so that a sink that keeps up reads no file. The cache holds only
//! synced entries.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Entry, EntryContent};
use crate::model::Position;
use crate::pipeline::FieldPlaces;

/// The cache's bound in bytes: some six thousand of the platform's messages, a tenth of a second at
/// the highest rate. A sink that is further behind reads the file.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The newest synced entries, in memory.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Without a hole, up to the head.
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Cache {
    /// Adds entries that were written and synced.
    pub(super) fn wrote(&mut self, written: Vec<Entry>) {
        for mut entry in written {
            // A copy, since a body is a part of all that was read from the socket with it.
            entry.body = Bytes::copy_from_slice(&entry.body);
            self.bytes += bytes(&entry);
            self.entries.push_back(entry);
            while self.bytes > BYTES_MAX {
                self.forget_first();
            }
        }
    }

    /// Forgets the entries up to a position: they may be gone from the file.
    pub(super) fn removed(&mut self, through: Position) {
        while self
            .entries
            .front()
            .is_some_and(|first| first.position <= through)
        {
            self.forget_first();
        }
    }

    /// The entries after a position and up to `through`, as
    /// [`Reader::read_after`](super::Reader::read_after) gives them; `None`: they are not all here.
    pub(super) fn between(
        &self,
        after: Position,
        through: Position,
        entries_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.position;
        let skipped = usize::try_from(after.0 + 1 - first.0).ok()?;
        let mut bytes = 0;
        let wanted = self
            .entries
            .iter()
            .skip(skipped)
            .take(entries_max)
            .take_while(|entry| {
                let wanted = bytes < bytes_max && entry.position <= through;
                bytes += entry.body.len();
                wanted
            });
        Some(wanted.cloned().collect())
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= bytes(&first);
        }
    }
}

fn bytes(entry: &Entry) -> usize {
    let text = match &entry.content {
        EntryContent::Status { previous, .. } | EntryContent::Resync { previous, .. } => {
            previous.as_ref().map_or(0, |text| text.len())
        }
        EntryContent::Undecodable { reason } => reason.len(),
        EntryContent::Coverage | EntryContent::Alarm => 0,
    };
    size_of::<Entry>()
        + entry.body.len()
        + text
        + entry.places.as_ref().map_or(0, FieldPlaces::bytes)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn cache(bodies: i64, body_bytes: usize) -> Cache {
        let mut cache = Cache::default();
        let entry = |position| Entry {
            position: Position(position),
            topic: "map-1".into(),
            received_at: Timestamp::UNIX_EPOCH,
            body: Bytes::from(vec![b'x'; body_bytes]),
            content: EntryContent::Coverage,
            places: None,
        };
        cache.wrote((11..11 + bodies).map(entry).collect());
        cache
    }

    /// Up to position 13.
    fn check(
        cache: &Cache,
        after: i64,
        entries_max: usize,
        bytes_max: usize,
        expected: Option<&[i64]>,
    ) {
        let entries = cache.between(Position(after), Position(13), entries_max, bytes_max);
        let positions = entries.map(|entries| {
            entries
                .iter()
                .map(|entry| entry.position.0)
                .collect::<Vec<_>>()
        });
        assert_eq!(
            positions.as_deref(),
            expected,
            "after {after}, {entries_max} entries, {bytes_max} bytes"
        );
    }

    #[test]
    fn what_it_has_is_given_within_the_limits_and_nothing_where_one_is_missing() {
        let mut cache = cache(5, 100);
        check(&cache, 9, 10, 1000, None);
        check(&cache, 10, 10, 1000, Some(&[11, 12, 13]));
        check(&cache, 11, 10, 1000, Some(&[12, 13]));
        check(&cache, 10, 2, 1000, Some(&[11, 12]));
        check(&cache, 10, 10, 101, Some(&[11, 12]));
        check(&cache, 10, 10, 100, Some(&[11]));
        check(&cache, 13, 10, 1000, Some(&[]));
        cache.removed(Position(11));
        check(&cache, 10, 10, 1000, None);
        check(&cache, 11, 10, 1000, Some(&[12, 13]));
        cache.removed(Position(100));
        check(&cache, 13, 10, 1000, None);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let cache = cache(1000, 64 * 1024);
        assert!(cache.bytes <= BYTES_MAX && cache.bytes > BYTES_MAX - 65 * 1024);
        let entries = cache
            .between(Position(1000), Position(1010), 1000, usize::MAX)
            .unwrap();
        assert_eq!(
            entries.last().unwrap().position,
            Position(1010),
            "the newest are kept"
        );
    }
}
