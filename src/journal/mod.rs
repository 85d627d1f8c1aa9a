//! The log: every accepted or rejected status, synced to disk before it is acknowledged, and one
//! cursor per sink.
//!
//! # On disk
//! One SQLite file in WAL mode, `synchronous=FULL`, with pages of 8 KiB and `application_id`
//! `StBj`; beside it SQLite's `-wal` and `-shm`, and `-lock`, which the daemon holds while it runs:
//! one line with the uuid, a position that was on disk, and `open`, `closed` or, where a sink has
//! told us that this is an older copy, `copy`. Times are microseconds since 1970 in UTC.
//!
//! | table | a row is |
//! |---|---|
//! | `journal` | the journal: its uuid (32 hex digits), which with a position is an event's origin |
//! | `entry` | a status: `position`, `topic`, `received_at`, `body` as it came, `previous` (the last state seen, where the status gives another), `reason` (why it was rejected; NULL: accepted), `settled` (a rejected one that somebody has dealt with) |
//! | `cursor` | a sink that was ever seen, the position up to which it is done, and its account ([`Ledger`]) |
//! | `set_aside` | an entry that one sink will not get, and why; `again`: an operator wants it delivered all the same; `intake`: it is one that was rejected |
//! | `replay` | a slice that one sink is to get again, and how far that has come |
//! | `last_state` | the newest state of a device on a topic |
//! | `gap` | a run of entries that were dropped before every sink had them |
//!
//! # What holds at every moment, a crash included
//! - A position is given once: `AUTOINCREMENT` counts on after every entry is gone, and positions
//!   follow each other without a hole.
//! - `append` returns, and readers see an entry, only after the sync.
//! - An entry is removed only once every sink that was not forgotten is past it, and it is set
//!   aside for none and in no replay; or by [`WhenFull::DropOldest`], which leaves a `gap`.
//! - A cursor and its account are written together, so that they agree after a crash, too.
//! - A cursor on disk is never ahead of what its sink has confirmed; it may be up to 200 ms behind.

mod check;
mod disk;
mod entry;
mod error;
mod file;
mod handle;
mod ledger;
mod lock;
mod order;
mod reader;
mod recent;
mod renewal;
mod retention;
mod settings;
mod state;
mod status;
mod writer;

pub use entry::{Entry, Gap, LastState, NewBatch, NewEntry, SetAside, Verdict};
pub use error::Error;
pub use handle::Journal;
pub use ledger::{Account, Ledger, Passed};
pub use order::{Replay, Settled, Which};
pub use reader::Reader;
pub use renewal::{Renewed, renew};
pub use settings::{Settings, Start, WhenFull};
pub use status::{SinkStatus, Status};
pub use writer::Writer;
