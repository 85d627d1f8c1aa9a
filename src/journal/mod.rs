//! The log: every accepted or undecodable status, synced to disk before it is acknowledged, and one
//! cursor per sink.
//!
//! # On disk
//! One SQLite file in WAL mode, `synchronous=FULL`, with pages of 8 KiB and `application_id`
//! `StBj`; beside it SQLite's `-wal` and `-shm`, and `-lock`, which the daemon holds while it runs:
//! one line with the uuid, a position that was on disk, and `open`, `closed` or, where a sink has
//! told us that this is a stale copy, `stale`. Times are microseconds since 1970 in UTC.
//!
//! | table | a row is |
//! |---|---|
//! | `journal` | the journal: its uuid (32 hex digits), which with a position is an event's origin |
//! | `entry` | a status: `position`, `topic`, `received_at`, `body` as it came, `previous` (the last state seen, where the status gives another), `reason` (why it was undecodable; NULL: accepted), `settled` (an undecodable one that somebody has dealt with) |
//! | `cursor` | a sink that was ever seen, the position up to which it is done, and its account ([`Accounting`]) |
//! | `dead_letter` | an entry that one sink will not get, and why; `redrive`: an operator wants it delivered after all; `intake`: it is one that was undecodable |
//! | `replay` | a slice that one sink is to get again, and how far that has come |
//! | `last_state` | the newest state of a device on a topic |
//! | `eviction` | a run of entries that were evicted before every sink had them |
//!
//! # What holds at every moment, a crash included
//! - A position is given once: `AUTOINCREMENT` counts on after every entry is gone, and positions
//!   follow each other without a hole.
//! - `append` returns, and readers see an entry, only after the sync.
//! - An entry is removed only once every sink that was not forgotten is past it, and it is dead-
//!   lettered for none and in no replay; or by [`WhenFull::DropOldest`], which leaves an `eviction`.
//! - A cursor and its account are written together, so that they agree after a crash, too.
//! - A cursor on disk is never ahead of what its sink has confirmed; it may be up to 200 ms behind.

mod accounting;
mod beside;
mod cache;
mod check;
mod command;
mod dead_letters;
mod disk;
mod dlq_watch;
mod entry;
mod error;
mod file;
mod handle;
mod lock;
mod reader;
mod replays;
mod reset_id;
mod retention;
mod row;
mod settings;
mod state;
mod status;
mod transaction;
mod writer;

pub use accounting::{Accounting, Passed, SinkAccounting};
pub use command::{Replay, Settled, Which};
pub use entry::{DeadLetter, Entry, EntryContent, Eviction, LastState, NewBatch, NewEntry};
pub use error::Error;
pub use handle::Journal;
pub use reader::Reader;
pub use reset_id::{ResetId, reset_id};
pub use settings::{DlqWhenFull, Settings, Start, WhenFull};
pub use status::{SinkStatus, Status};
pub use writer::Writer;
