//! Decides which entries may be removed and when the journal is full. It does no IO.

use std::time::Duration;

use jiff::Timestamp;

use super::{Entry, Settings, WhenFull};
use crate::model::Position;

/// Entries removed in one transaction at least: small enough that an append hardly waits. Where
/// more than half as many come in at once, twice as many go, so that removing keeps up.
const PIECE_ENTRIES_MIN: usize = 1000;

/// Bytes that the file system must keep free, so that no commit ends half written.
const FREE_BYTES_MIN: u64 = 32 * 1024 * 1024;

/// Bytes that must be free again before a journal that stopped goes on.
pub const FREE_BYTES_AGAIN: u64 = 2 * FREE_BYTES_MIN;

/// Bytes that the journal occupies, and bytes that are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Without the file's freed pages.
    pub(super) used_bytes: u64,
    /// With the file's freed pages.
    pub(super) free_bytes: u64,
}

impl Usage {
    /// The size that the log can have, as its disk is.
    fn limit(self, bytes_max: u64) -> u64 {
        let free = self.free_bytes.saturating_sub(FREE_BYTES_MIN);
        self.used_bytes.saturating_add(free).min(bytes_max)
    }
}

/// The bytes of the entries that some sink still needs, of `used` in all; the others make room when
/// they must.
pub(super) fn waiting_bytes(used: u64, oldest: Position, head: Position, slowest: Position) -> u64 {
    let entries = (head.0 - oldest.0 + 1).max(1).unsigned_abs();
    let waiting = (head.0 - slowest.0.max(oldest.0 - 1)).max(0).unsigned_abs();
    let bytes = u128::from(used) * u128::from(waiting) / u128::from(entries);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Where the log begins: its oldest entry, and when that was received, in microseconds. `None`: the
/// log is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LogStart(pub(super) Option<(Position, i64)>);

impl LogStart {
    /// The position of the oldest entry.
    pub(super) fn oldest(self) -> Option<Position> {
        self.0.map(|(position, _)| position)
    }
}

/// Entries to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truncation {
    /// Every sink is past them; those received at or after `received_before` (microseconds) stay.
    Past {
        from: Position,
        through: Position,
        received_before: i64,
    },
    /// There is no more room: all of them are evicted, and the eviction is recorded.
    Drop { from: Position, through: Position },
}

/// What is worth a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// Room, where it is short: for a commit, which takes longer with each removal.
    Room,
    /// Age too, be it of one entry: for a look round.
    Any,
}

impl Truncation {
    /// Whether more may be to remove, now that it has removed this many entries. Of those that are
    /// past, the ones that are not old yet have stayed.
    pub(super) fn has_more(self, removed: u64) -> bool {
        match self {
            Truncation::Past { .. } => removed >= PIECE_ENTRIES_MIN as u64,
            Truncation::Drop { from, through } => {
                through.0 - from.0 + 1 >= PIECE_ENTRIES_MIN as i64
            }
        }
    }

    /// Whether it removes entries because they are old, and not to make room.
    pub(super) fn is_by_age(self) -> bool {
        matches!(self, Truncation::Past { received_before, .. } if received_before < i64::MAX)
    }

    /// As far as a position; `None`: nothing of it.
    pub(super) fn until(self, head: Position) -> Option<Truncation> {
        match self {
            Truncation::Drop { from, .. } if from > head => None,
            Truncation::Drop { from, through } => Some(Truncation::Drop {
                from,
                through: through.min(head),
            }),
            past => Some(past),
        }
    }

    pub(super) fn through(self) -> Position {
        let (Truncation::Past { through, .. } | Truncation::Drop { through, .. }) = self;
        through
    }
}

/// Decides which entries may go, and when the journal is full.
#[derive(Debug)]
pub(super) struct Retention {
    bytes_max: u64,
    when_full: WhenFull,
    keep: Duration,
    begin: LogStart,
    /// Everything that may be evicted up to here was.
    evicted: Position,
    head: Position,
    usage: Usage,
    out_of_room: bool,
    /// Its disk is the reason.
    out_of_disk: bool,
    /// The last watermark that was reached, in percent.
    watermark: u8,
}

/// Shares of the room, in percent, at which the writer warns.
const WATERMARKS: [u8; 3] = [80, 90, 95];

/// A watermark is forgotten this far below it, in percent.
const WATERMARK_SLACK: u8 = 5;

impl Retention {
    /// `evicted`: everything that may be evicted up to there was, also by an earlier process.
    pub(super) fn new(
        settings: &Settings,
        head: Position,
        begin: LogStart,
        evicted: Position,
    ) -> Retention {
        Retention {
            bytes_max: settings.bytes_max,
            when_full: settings.when_full,
            keep: settings.keep,
            begin,
            evicted,
            head,
            usage: Usage {
                used_bytes: 0,
                free_bytes: u64::MAX,
            },
            out_of_room: false,
            out_of_disk: false,
            watermark: 0,
        }
    }

    /// Whether the journal or its disk has reached its bound.
    pub(super) fn out_of_room(&self) -> bool {
        self.out_of_room
    }

    /// Whether nothing may be accepted.
    pub(super) fn full(&self) -> bool {
        self.out_of_room && self.when_full == WhenFull::Pause
    }

    /// Whether nothing may be accepted at all, be it what a server has sent by our credit: then the
    /// size of the log is no bound, but its disk is.
    pub(super) fn disk_full(&self) -> bool {
        self.out_of_disk && self.when_full == WhenFull::Pause
    }

    /// The size of the log at which nothing is accepted, as its disk is now. `None`: none, since the
    /// oldest entries are evicted.
    pub(super) fn limit(&self) -> Option<u64> {
        (self.when_full == WhenFull::Pause).then(|| self.usage.limit(self.bytes_max))
    }

    pub(super) fn oldest(&self) -> Option<Position> {
        self.begin.oldest()
    }

    /// All that may be evicted at or before it was.
    pub(super) fn evicted(&mut self, through: Position) {
        self.evicted = through;
    }

    pub(super) fn begins(&mut self, begin: LogStart) {
        self.begin = begin;
    }

    /// Takes note of entries that were written.
    pub(super) fn wrote(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        self.begin
            .0
            .get_or_insert((first.position, first.received_at.as_microsecond()));
        self.head = last.position;
    }

    /// Takes a measurement. A full journal stays out of room until a twentieth of its limit is
    /// free: else it would start and stop with every entry.
    pub(super) fn measured(&mut self, usage: Usage) {
        self.usage = usage;
        let limit = if self.out_of_room {
            self.bytes_max - self.bytes_max / 20
        } else {
            self.bytes_max
        };
        let free_bytes_min = if self.out_of_disk {
            FREE_BYTES_AGAIN
        } else {
            FREE_BYTES_MIN
        };
        self.out_of_disk = usage.free_bytes < free_bytes_min;
        self.out_of_room = usage.used_bytes >= limit || self.out_of_disk;
    }

    /// A watermark that was just reached, in percent: once each, until there is clearly more room
    /// again. Only entries that some sink still needs count; the others make room when they must.
    pub(super) fn watermark(&mut self, slowest: Option<Position>) -> Option<u8> {
        let oldest = self.begin.oldest()?;
        let limit = u128::from(self.usage.limit(self.bytes_max).max(1));
        let used = self.usage.used_bytes;
        let waiting_bytes = u128::from(waiting_bytes(used, oldest, self.head, slowest?));
        let percent = u8::try_from((waiting_bytes * 100 / limit).min(100)).unwrap_or(100);
        let reached = WATERMARKS
            .into_iter()
            .rfind(|mark| *mark <= percent)
            .unwrap_or(0);
        if reached > self.watermark {
            self.watermark = reached;
            return Some(reached);
        }
        if percent + WATERMARK_SLACK < self.watermark {
            self.watermark = reached;
        }
        None
    }

    /// How long until the oldest entry may be removed, as the clock says now. `None`: not before a
    /// cursor moves.
    pub(super) fn wait(&self, slowest: Option<Position>, now: Timestamp) -> Option<Duration> {
        let (from, received_at) = self.begin.0?;
        if from > slowest? {
            return None;
        }
        let wait = received_at.saturating_sub(self.received_before(now));
        Some(Duration::from_micros(u64::try_from(wait).unwrap_or(0)))
    }

    /// The journal is nearly full: what every sink is past goes before it is old.
    fn short(&self) -> bool {
        self.out_of_room || self.usage.used_bytes >= self.bytes_max - self.bytes_max / 10
    }

    /// Entries that were received before it need not stay.
    fn received_before(&self, now: Timestamp) -> i64 {
        if self.short() {
            return i64::MAX;
        }
        let keep_us = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
        now.as_microsecond().saturating_sub(keep_us)
    }

    /// The next piece to remove. `slowest`: the position that every sink has passed (`None`: not
    /// known yet). `incoming`: how many entries the same transaction writes.
    pub(super) fn due(
        &self,
        slowest: Option<Position>,
        incoming: usize,
        worth: Worth,
        now: Timestamp,
    ) -> Option<Truncation> {
        let slowest = slowest?;
        let piece = i64::try_from(PIECE_ENTRIES_MIN.max(2 * incoming)).unwrap_or(i64::MAX);
        let received_before = self.received_before(now);
        if let Some((from, received_at)) = self.begin.0
            && from <= slowest
            && received_at < received_before
            && (worth == Worth::Any || self.short())
        {
            let through = Position(from.0 + piece - 1).min(slowest);
            return Some(Truncation::Past {
                from,
                through,
                received_before,
            });
        }
        let from = self.begin.oldest()?.max(Position(self.evicted.0 + 1));
        let drop = self.out_of_room && self.when_full == WhenFull::DropOldest;
        (drop && from <= self.head).then(|| Truncation::Drop {
            from,
            through: Position(from.0 + piece - 1).min(self.head),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// A journal of at most 100 MiB with entries 11 to 5000, the oldest of them received at second
    /// 1000.
    fn retention(when_full: WhenFull) -> Retention {
        let settings = Settings {
            bytes_max: 100 * MIB,
            when_full,
            keep: Duration::from_secs(60),
            ..Settings::new("/nowhere".into())
        };
        let begin = LogStart(Some((Position(11), 1_000_000_000)));
        Retention::new(&settings, Position(5000), begin, Position::START)
    }

    /// Checks the piece that is due at a second, with `used_mib` in use and every sink past
    /// `slowest`.
    fn check(
        when_full: WhenFull,
        used_mib: u64,
        slowest: Option<i64>,
        second: i64,
        expected: Option<(&str, i64)>,
    ) {
        let mut retention = retention(when_full);
        retention.measured(Usage {
            used_bytes: used_mib * MIB,
            free_bytes: u64::MAX,
        });
        let now = Timestamp::from_second(second).unwrap();
        let due = retention
            .due(slowest.map(Position), 0, Worth::Any, now)
            .map(|truncation| match truncation {
                Truncation::Past { through, .. } => ("past", through.0),
                Truncation::Drop { through, .. } => ("drop", through.0),
            });
        assert_eq!(
            due, expected,
            "{when_full:?}, {used_mib} MiB, slowest {slowest:?}, at {second} s"
        );
    }

    #[test]
    fn only_what_every_sink_is_past_goes_unless_the_policy_says_otherwise() {
        use WhenFull::{DropOldest, Pause};
        for when_full in [Pause, DropOldest] {
            check(when_full, 10, Some(4000), 1060, None);
            check(when_full, 10, Some(4000), 1061, Some(("past", 1010)));
            check(when_full, 10, Some(20), 1061, Some(("past", 20)));
            check(when_full, 10, Some(10), 9999, None);
            check(when_full, 10, None, 9999, None);
            // Short of room: young entries go too, once they are past.
            check(when_full, 90, Some(4000), 1000, Some(("past", 1010)));
            check(when_full, 100, Some(4000), 1000, Some(("past", 1010)));
            check(when_full, 99, Some(10), 1000, None);
            // Nobody knows yet who needs them.
            check(when_full, 200, None, 9999, None);
        }
        check(Pause, 100, Some(10), 9999, None);
        check(DropOldest, 100, Some(10), 1000, Some(("drop", 1010)));
    }

    #[test]
    fn removing_keeps_up_with_what_comes_in() {
        let mut retention = retention(WhenFull::Pause);
        retention.measured(Usage {
            used_bytes: 95 * MIB,
            free_bytes: u64::MAX,
        });
        for (incoming, through) in [(0, 1010), (500, 1010), (1500, 3010), (100_000, 4000)] {
            let Some(Truncation::Past { through: found, .. }) = retention.due(
                Some(Position(4000)),
                incoming,
                Worth::Room,
                Timestamp::UNIX_EPOCH,
            ) else {
                panic!("nothing is due")
            };
            assert_eq!(found, Position(through), "{incoming} entries come in");
        }
    }

    #[test]
    fn commit_removes_what_makes_room_and_a_look_whatever_is_old() {
        let mut retention = retention(WhenFull::Pause);
        // Of entries of rising age the oldest is always just old, however many there are.
        for (used_mib, slowest, second, room, any, wait) in [
            (10, 10, 9999, false, false, None),
            (10, 11, 1000, false, false, Some(60)),
            (10, 11, 1061, false, true, Some(0)),
            (10, 1010, 1061, false, true, Some(0)),
            (10, 5000, 1061, false, true, Some(0)),
            (89, 5000, 1061, false, true, Some(0)),
            (90, 5000, 1000, true, true, Some(0)),
        ] {
            retention.measured(Usage {
                used_bytes: used_mib * MIB,
                free_bytes: u64::MAX,
            });
            let (slowest, now) = (
                Some(Position(slowest)),
                Timestamp::from_second(second).unwrap(),
            );
            let is_due = |worth| retention.due(slowest, 5, worth, now).is_some();
            assert_eq!(
                (is_due(Worth::Room), is_due(Worth::Any)),
                (room, any),
                "{used_mib} MiB, {slowest:?} at {second}"
            );
            let expected = wait.map(Duration::from_secs);
            assert_eq!(retention.wait(slowest, now), expected);
        }
    }

    #[test]
    fn more_is_to_remove_where_a_whole_piece_went() {
        let (from, through) = (Position(11), Position(1010));
        let past = Truncation::Past {
            from,
            through,
            received_before: 0,
        };
        // The others of its range are too young.
        assert!(!past.has_more(5) && !past.has_more(999));
        assert!(past.has_more(1000));
        // Coverage entries are not evicted.
        assert!(Truncation::Drop { from, through }.has_more(990));
        let through = Position(1009);
        assert!(!Truncation::Drop { from, through }.has_more(999));
    }

    #[test]
    fn full_journal_is_full_until_it_has_room_to_spare() {
        let mut retention = retention(WhenFull::Pause);
        for (used_mib, free_mib, full) in [
            (99, 1000, false),
            (100, 1000, true),
            (96, 1000, true),
            (94, 1000, false),
            (99, 1000, false),
            (50, 31, true),
            (50, 63, true),
            (50, 64, false),
        ] {
            retention.measured(Usage {
                used_bytes: used_mib * MIB,
                free_bytes: free_mib * MIB,
            });
            assert_eq!(
                retention.full(),
                full,
                "{used_mib} MiB used, {free_mib} MiB free"
            );
        }
    }

    #[test]
    fn each_watermark_is_reached_once_until_there_is_room_again() {
        let mut retention = retention(WhenFull::Pause);
        for (used_mib, free_mib, slowest, expected) in [
            (79, 1000, Some(10), None),
            (80, 1000, Some(10), Some(80)),
            (82, 1000, Some(10), None),
            (79, 1000, Some(10), None),
            (81, 1000, Some(10), None),
            (96, 1000, Some(10), Some(95)),
            (91, 1000, Some(10), None),
            (74, 1000, Some(10), None),
            (91, 1000, Some(10), Some(90)),
            // Half of it is past every sink; and while nobody knows who needs it, nobody is warned.
            (91, 1000, Some(2505), None),
            (99, 1000, Some(2505), None),
            (99, 1000, None, None),
            // The disk is smaller than the journal may be: 9 of 10 MiB that it can have.
            (9, 33, Some(10), Some(90)),
        ] {
            retention.measured(Usage {
                used_bytes: used_mib * MIB,
                free_bytes: free_mib * MIB,
            });
            assert_eq!(
                retention.watermark(slowest.map(Position)),
                expected,
                "{used_mib} MiB, {free_mib} free, {slowest:?}"
            );
        }
    }

    #[test]
    fn log_begins_with_what_was_written_to_an_empty_one() {
        let mut retention = retention(WhenFull::Pause);
        retention.begins(LogStart::default());
        let due = |retention: &Retention, slowest| {
            retention.due(Some(Position(slowest)), 0, Worth::Any, Timestamp::MAX)
        };
        assert_eq!(due(&retention, 5000), None);
        let entry = |position| Entry {
            position: Position(position),
            topic: "map-1".into(),
            received_at: Timestamp::UNIX_EPOCH,
            body: bytes::Bytes::new(),
            content: crate::journal::EntryContent::Coverage,
            places: None,
        };
        retention.wrote(&[entry(5001), entry(5002)]);
        assert_eq!(retention.oldest(), Some(Position(5001)));
        let Some(Truncation::Past { from, through, .. }) = due(&retention, 5002) else {
            panic!("nothing is due")
        };
        assert_eq!((from, through), (Position(5001), Position(5002)));
    }

    #[test]
    fn what_is_not_synced_is_not_evicted() {
        let (from, through) = (Position(11), Position(20));
        let until = |head| Truncation::Drop { from, through }.until(Position(head));
        assert!(until(10).is_none());
        assert!(
            matches!(
                until(15),
                Some(Truncation::Drop {
                    through: Position(15),
                    ..
                })
            ),
            "as far as it is"
        );
        assert!(matches!(
            until(30),
            Some(Truncation::Drop {
                through: Position(20),
                ..
            })
        ));
    }
}
