//! The journal: a log whose entries are synced to disk before they are acknowledged, and one cursor
//! per sink. `handle` opens it and gives three handles: [`Log`] for the source and readers,
//! [`Cursors`] for the deliveries, [`Admin`] for the operator.
//!
//! # On disk
//! One SQLite file in WAL mode with pages of 2 KiB, `application_id` `StBj` and the layout's number
//! as `user_version`. A backup (`backup`) is the same with `StBk`, and no writer takes it. The
//! writer syncs the WAL itself (`wal`). Beside it are SQLite's `-wal` and `-shm`, and `-lock`,
//! which the daemon holds while it runs. The lock file has one line: the uuid, a position that was
//! on disk, and `open`, `closed` or `stale`. `stale`: a sink has found that this is a stale copy.
//! Times are microseconds since 1970 in UTC.
//!
//! | table | a row is |
//! |---|---|
//! | `journal` | the journal: its uuid (32 hex digits), which with a position is an event's origin, the newest position where its entry may be gone, the position that `last_state` has reached, and how many undecodable entries were removed before anybody had dealt with them |
//! | `entry` | one entry: `position`, `kind` ([`EntryKind`](crate::model::EntryKind)), `topic`, `received_at`, `body` as it came; of a status `previous` (the last state known, where it gives another as its old one) and `repeat`; of an undecodable entry `reason` and `settled` (somebody has dealt with it) |
//! | `cursor` | a known sink: the position up to which it is done, and its accounting ([`Accounting`]) |
//! | `dead_letter` | a copy of an entry that one sink will not get, and why; `redrive`: an operator wants it delivered after all; `intake`: the accounting does not count it, since it was undecodable, or was rejected in a replay |
//! | `dlq` | how many dead letters a sink has, and their bytes, kept by triggers |
//! | `judged` | a sink whose `when` has held for a status, or for none of the first; by the digest of that `when` |
//! | `replay` | a slice that one sink gets again, and how far that has come |
//! | `last_state` | the newest state of a device of a stream, and its last event keys, as they were at `last_states_position` |
//! | `coverage` | whether a topic is heard, as its newest coverage entry says |
//! | `proof` | what a sink has confirmed in one attempt, and what the other side answered ([`DeliveryProof`]); the newest 100,000 |
//! | `clock` | the time that was believed last: a clock far ahead of it removes nothing by age |
//! | `earlier_id` | an id that the journal had before it was restored from a backup, and the last position that was given under it |
//! | `eviction` | a run of entries that were evicted before every sink had them |
//!
//! # What holds at every moment, a crash included
//! - A position is given once, even if every entry is gone. Positions have no holes.
//! - `append` returns, and readers see an entry, only after the sync.
//! - An entry is removed only once every known sink is past it and no replay has it, or by
//!   [`WhenFull::DropOldest`], which records an `eviction`. A dead letter is a copy and holds no
//!   entry.
//! - A cursor and its accounting are written together, so that they agree after a crash, too.
//! - A cursor on disk is never ahead of what its sink has confirmed; it may be a second behind.
//! - Proofs are written with the cursors that they belong to, and never alone: a crash loses both.
//! - The last states on disk are those of one position, which may be a second behind. The entries
//!   after it are not removed: a start reads them again.

mod accounting;
mod admin;
mod age;
mod backup;
mod beside;
mod cache;
mod check;
mod checkpoint;
mod command;
mod command_sender;
mod coverage;
mod cursor_rows;
mod cursors;
mod dead_letters;
mod device_states;
mod disk;
mod dlq_watch;
mod due;
mod earlier_ids;
mod entry;
mod entry_rows;
mod error;
mod file;
mod group;
mod handle;
mod identity;
mod insert;
mod last_state_rows;
mod last_states;
mod lock;
mod log;
mod proof;
mod proof_rows;
mod reader;
mod received_times;
mod recent_topics;
mod replays;
mod reset_id;
mod restore;
mod retention;
mod row;
mod settings;
mod sqlite_build;
mod state;
mod status;
mod transaction;
mod wal;
mod wal_end;
mod writer;

pub use accounting::{Accounting, Passed, SinkAccounting};
pub use admin::Admin;
pub use backup::{BackedUp, back_up};
pub use command::{ForgottenDevice, ForgottenSink, Replay, Settled, Which};
pub use coverage::Heard;
pub use cursors::Cursors;
pub use dead_letters::DlqTotal;
pub use device_states::{Change, StateCount};
pub use entry::{
    DeadLetter, Entry, EntryContent, Eviction, Letter, NewBatch, NewContent, NewEntry, Unchanged,
};
pub use error::{Error, Taken};
pub use file::{Kind, real_path};
pub use handle::Journal;
pub use last_state_rows::KnownDevice;
pub use lock::is_held;
pub use log::{Log, Queued};
pub use proof::DeliveryProof;
pub use reader::{Backwards, Reader};
pub use reset_id::{Proof, ResetId, reset_id};
pub use restore::{Restored, restore};
pub use retention::FREE_BYTES_AGAIN;
pub use settings::{Bound, DlqWhenFull, Settings, Start, WhenFull};
pub use sqlite_build::SqliteDifference;
pub use status::{Room, SinkStatus, Status};
pub use writer::Writer;
