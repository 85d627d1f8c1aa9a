//! What may be removed from the log and when it is full: decisions only, the disk is the writer's.

use std::time::Duration;

use jiff::Timestamp;

use super::{NewEntry, Settings, WhenFull};
use crate::model::Position;

/// Entries removed in one transaction at least: small enough that an append hardly waits. Where more than half as
/// many come in at once, twice as many go, so that removing keeps up.
const PIECE_ENTRIES_MIN: usize = 1000;

/// What the file system must keep free, so that the last thing it has room for is not half a commit.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What the journal occupies, and what the file system still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Without the file's freed pages.
    pub(super) used_bytes: u64,
    /// With the file's freed pages.
    pub(super) free_bytes: u64,
}

/// Where the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Begin {
    /// The oldest entry.
    pub(super) oldest: Option<Position>,
    /// The oldest one that is not set aside for any sink, and when it was received, in microseconds.
    pub(super) removable: Option<(Position, i64)>,
}

/// Entries to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trim {
    /// Every sink is past them; those set aside stay, and those received at or after `received_before`
    /// (microseconds).
    Past { from: Position, through: Position, received_before: i64 },
    /// There is no more room: all of them go, and the loss is recorded.
    Drop { from: Position, through: Position },
}

impl Trim {
    pub(super) fn from(self) -> Position {
        let (Trim::Past { from, .. } | Trim::Drop { from, .. }) = self;
        from
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Retention {
    bytes_max: u64,
    when_full: WhenFull,
    retain: Duration,
    begin: Begin,
    head: Position,
    usage: Usage,
    out_of_room: bool,
}

impl Retention {
    pub(super) fn new(settings: &Settings, head: Position, begin: Begin) -> Retention {
        Retention {
            bytes_max: settings.bytes_max,
            when_full: settings.when_full,
            retain: settings.retain,
            begin,
            head,
            usage: Usage { used_bytes: 0, free_bytes: u64::MAX },
            out_of_room: false,
        }
    }

    /// Nothing may be accepted.
    pub(super) fn full(&self) -> bool {
        self.out_of_room && self.when_full == WhenFull::Pause
    }

    pub(super) fn oldest(&self) -> Option<Position> {
        self.begin.oldest
    }

    pub(super) fn begins(&mut self, begin: Begin) {
        self.begin = begin;
    }

    /// Entries were written after `before`.
    pub(super) fn wrote(&mut self, before: Position, entries: &[NewEntry]) {
        let Some(first) = entries.first() else { return };
        let position = Position(before.0 + 1);
        self.begin.oldest.get_or_insert(position);
        self.begin.removable.get_or_insert((position, first.received_at.as_microsecond()));
        self.head = Position(before.0 + i64::try_from(entries.len()).unwrap_or(i64::MAX));
    }

    /// Out of room at the limit, and until a twentieth of it is free again: a journal at its limit would otherwise
    /// start and stop with every entry.
    pub(super) fn measured(&mut self, usage: Usage) {
        self.usage = usage;
        let limit = if self.out_of_room { self.bytes_max - self.bytes_max / 20 } else { self.bytes_max };
        let free_bytes_min = if self.out_of_room { 2 * FREE_BYTES_MIN } else { FREE_BYTES_MIN };
        self.out_of_room = usage.used_bytes >= limit || usage.free_bytes < free_bytes_min;
    }

    /// The next piece to remove. `floor`: every sink is past it (`None`: not known yet). `incoming`: how many entries
    /// are being written in the same transaction.
    pub(super) fn due(&self, floor: Option<Position>, incoming: usize, now: Timestamp) -> Option<Trim> {
        let floor = floor?;
        let piece = i64::try_from(PIECE_ENTRIES_MIN.max(2 * incoming)).unwrap_or(i64::MAX);
        let short = self.out_of_room || self.usage.used_bytes >= self.bytes_max - self.bytes_max / 10;
        let retain_us = i64::try_from(self.retain.as_micros()).unwrap_or(i64::MAX);
        let received_before = if short { i64::MAX } else { now.as_microsecond().saturating_sub(retain_us) };
        if let Some((from, received_at)) = self.begin.removable
            && from <= floor
            && received_at < received_before
        {
            let through = Position(from.0 + piece - 1).min(floor);
            return Some(Trim::Past { from, through, received_before });
        }
        let from = self.begin.oldest?;
        let drop = self.out_of_room && self.when_full == WhenFull::DropOldest;
        drop.then(|| Trim::Drop { from, through: Position(from.0 + piece - 1).min(self.head) })
    }
}
