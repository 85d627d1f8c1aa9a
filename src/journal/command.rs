//! Commands to the writer, besides the batches. The writer carries out each in one transaction,
//! whole or not at all. No entry is ever rewritten.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Start;
use crate::model::Position;

/// Entries that are dead-lettered for a sink, or that were undecodable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All of them.
    All,
    /// These positions; one that is not listed is ignored.
    Positions(Vec<Position>),
}

/// A slice of the log that one sink gets again. It keeps its entries in the log until they are
/// delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Everything at or before it is done.
    pub done: Position,
    /// The last entry of the slice.
    pub through: Position,
    /// Only entries received at or after it.
    pub since: Option<Timestamp>,
    /// Only entries received before it.
    pub until: Option<Timestamp>,
    /// Only this device's.
    pub device_id: Option<String>,
}

impl Replay {
    /// Whether an entry that was received then is in the slice.
    pub fn wants(&self, received_at: Timestamp) -> bool {
        self.since.is_none_or(|since| received_at >= since)
            && self.until.is_none_or(|until| received_at < until)
    }
}

/// The outcome of a redelivered entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The sink has it, or does not want it: it is no longer a dead letter.
    Done,
    /// The sink rejected it again, for this reason: it stays dead-lettered until the next redrive.
    Refused(String),
}

/// What has brought an entry that is dead-lettered, and whether that can wait for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// The log; room was kept for it.
    Log,
    /// The log, only if there is room.
    LogIfRoom,
    /// A replay, only if there is room. The accounting has counted the entry before.
    ReplayIfRoom,
}

/// A device whose last state is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForgottenDevice {
    /// The stream of its topics.
    pub stream: String,
    /// Empty where its messages name none.
    pub client_id: String,
    /// Its id.
    pub device_id: String,
}

/// What became of the wish to forget a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgottenSink {
    /// The journal keeps nothing for it.
    Forgotten,
    /// The journal does not know it.
    Unknown,
    /// It is in the configuration, and is left as it is.
    Configured,
}

/// A change that its sender waits for until it is on disk.
#[derive(Debug)]
pub(super) enum Command {
    /// Cursors as they stand.
    Flush,
    /// These sinks are in the configuration, and no others. The writer registers them before it
    /// decides what is removed: a sink that begins with the oldest entry gets that.
    Register { sinks: Vec<(Arc<str>, Start)> },
    /// Dead-letter an entry for a sink. Changes nothing if it is listed already; gives 0 if there is
    /// no room, and it is to be listed only then.
    DeadLetter {
        sink: Arc<str>,
        position: Position,
        error: Box<str>,
        listing: Listing,
    },
    /// This journal is a stale copy.
    Fence,
    /// The server was heard at this time.
    LinkProven { at: Timestamp },
    /// What a sink's `when` makes of statuses is known.
    Judged { sink: Arc<str>, digest: Arc<[u8]> },
    /// Deliver a sink's dead letters again.
    Redrive { sink: Arc<str>, which: Which },
    /// Drop a sink's dead letters.
    Discard { sink: Arc<str>, which: Which },
    /// Undecodable entries can be decoded now: deliver these to these sinks, each in the place of
    /// one.
    RedriveUndecodable {
        entries: Vec<(Position, Vec<Position>)>,
        sinks: Vec<Arc<str>>,
    },
    /// These undecodable entries are settled: no list has them.
    DiscardUndecodable { which: Which },
    /// An entry was redelivered, with this outcome.
    Settle {
        sink: Arc<str>,
        position: Position,
        settled: Settled,
    },
    /// Begin a replay; it replaces one that has not ended.
    Replay { sink: Arc<str>, replay: Replay },
    /// This replay has reached a position; at its end it is removed. Changes nothing where another
    /// one is in its place.
    Replayed {
        sink: Arc<str>,
        replay: Replay,
        done: Position,
    },
    /// A sink is forgotten: its cursor, its dead letters and its replay go. Changes nothing where it
    /// is in the configuration by then.
    Forget { sink: Arc<str> },
    /// Devices count as never seen: their last states go.
    ForgetDevices { devices: Vec<ForgottenDevice> },
}

impl Command {
    /// Whether nothing may be written with it that comes after it: only then the memory has forgotten
    /// what the disk has.
    pub(super) fn ends_its_group(&self) -> bool {
        matches!(self, Command::Forget { .. })
    }

    /// How many entries it has appended in the place of others.
    pub(super) fn parts(&self) -> u64 {
        let Command::RedriveUndecodable { entries, .. } = self else {
            return 0;
        };
        let is_part = |whole: Position| move |part: &&Position| **part != whole;
        let of = |(whole, parts): &(Position, Vec<Position>)| {
            parts.iter().filter(is_part(*whole)).count() as u64
        };
        entries.iter().map(of).sum()
    }

    /// Whether the deliveries must look again: it changes redrives, replays or dead letters.
    pub(super) fn concerns_sinks(&self) -> bool {
        !matches!(
            self,
            Command::Flush
                | Command::Register { .. }
                | Command::DeadLetter { .. }
                | Command::Fence
                | Command::LinkProven { .. }
                | Command::Judged { .. }
                | Command::ForgetDevices { .. }
        )
    }
}

/// A command on its way, and who waits for the number of entries (or sinks) that it has changed.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) command: Command,
    pub(super) done: oneshot::Sender<u64>,
}
