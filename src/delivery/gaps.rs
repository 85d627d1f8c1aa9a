//! Positions whose entries are gone, by the journal's evictions. An entry that no eviction covers
//! is counted as removed if the cursor had passed it before; else the audit finds it.

use std::collections::BTreeSet;

use super::decode::Decoded;
use crate::journal::{self, Entry, Eviction, Reader};
use crate::model::Position;

/// Entries between the cursor and `through` that are gone, by runs. A dead letter is a copy, and is
/// a run by itself.
pub(super) async fn missing(
    cursor: Position,
    furthest: Position,
    entries: &[Entry],
    through: Position,
    dead_letters: &BTreeSet<Position>,
    reader: &mut Reader,
) -> Result<Vec<(Position, Decoded)>, journal::Error> {
    if usize::try_from(through.0 - cursor.0).is_ok_and(|span| span == entries.len()) {
        return Ok(Vec::new());
    }
    let evictions = reader.evictions().await?;
    let present: BTreeSet<Position> = entries.iter().map(|entry| entry.position).collect();
    let listed = dead_letters
        .range(Position(cursor.0 + 1)..=through)
        .filter(|position| !present.contains(position));
    let listed: Vec<Position> = listed.copied().collect();
    let mut known: BTreeSet<Position> = present;
    known.extend(&listed);
    known.insert(Position(through.0 + 1));
    let mut missing: Vec<_> = listed
        .into_iter()
        .map(|position| (position, Decoded::DeadLetter))
        .collect();
    let mut before = cursor;
    for position in known {
        let (first, last) = (Position(before.0 + 1), Position(position.0 - 1));
        before = position;
        if first > last {
            continue;
        }
        let lost = recorded(first, last, &evictions);
        let before = last.min(furthest);
        let passed = (before.0 - first.0 + 1).max(0).unsigned_abs();
        let removed = passed.saturating_sub(recorded(first, before, &evictions));
        if lost > 0 {
            missing.push((last, Decoded::Evicted(lost)));
        }
        if removed > 0 {
            missing.push((last, Decoded::Removed(removed)));
        }
    }
    missing.sort_by_key(|(position, _)| *position);
    Ok(missing)
}

/// How many entries of a missing run the journal's evictions record, which are in the order of where
/// they begin. An entry is evicted once, whatever they say.
fn recorded(first: Position, last: Position, evictions: &[Eviction]) -> u64 {
    let mut next = first;
    let mut recorded = 0;
    for eviction in evictions {
        let through = eviction.to.min(last);
        let entries = through.0 - eviction.from.max(next).0 + 1;
        recorded += entries.max(0).unsigned_abs();
        next = next.max(Position(through.0 + 1));
    }
    recorded
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_two_evictions_have_is_counted_once() {
        let eviction = |(from, to)| Eviction {
            from: Position(from),
            to: Position(to),
            entries: 0,
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            reason: "full".to_owned(),
        };
        let evictions = [(2, 20), (5, 9), (15, 30), (40, 41)].map(eviction);
        for (first, last, expected) in [(1, 50, 31), (4, 10, 7), (18, 40, 14), (31, 39, 0)] {
            let recorded = recorded(Position(first), Position(last), &evictions);
            assert_eq!(recorded, expected, "{first} to {last}");
        }
    }
}
