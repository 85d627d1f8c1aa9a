//! SQL histories: rows and cursor in one transaction, so each event is stored exactly once. What
//! the views show is promised, and means the same in both databases; the tables below them are
//! narrow.
//!
//! - `timeline`: which pieces the statuses of a device close; `gaps`: when its topic was not heard;
//!   `daily`: how long it was in each state of a day; `day_zone`: whose days
//! - `device`, `devices`: a device as a history knows it, and those that it holds in memory;
//!   `tables`: what a batch writes to
//! - `recorder`: what a history makes of a batch, and what it keeps in memory for that
//! - `sqlite`, `postgres`: one folder for each database, and its sink; `copy`: COPY of Postgres
//! - `statements`: what both databases run; `dialect`: what they write each in its own way;
//!   `look_up`, `store`: a transaction's statements; `stored`: what both give back
//! - `standing`, `newest`: where a history stands when it is opened
//! - `rows`, `retention`: the events of a batch by kind, rows that are too old; `too_old`: statuses that get no row; `upkeep`: what else comes next beside the batches
//! - `question`: what a person asks a history; `reader`: asks it, without changing anything; `row`: a
//!   row of the answer; `look`: the same for pages, within seconds
//! - `operator`: what an operator deletes or copies beside the daemon; `removal`: the statements of
//!   that; `kept`: what is kept of a device
//! - `capabilities`, `migration`, `another_journal`, `times`, `words`: what else both share

mod another_journal;
mod capabilities;
mod copy;
mod daily;
mod day_zone;
mod device;
mod devices;
mod dialect;
mod gaps;
pub mod kept;
mod look;
mod look_up;
mod migration;
mod newest;
pub mod operator;
pub mod postgres;
pub mod question;
pub mod reader;
mod recorder;
mod removal;
mod retention;
pub mod row;
mod rows;
pub mod sqlite;
mod standing;
mod statements;
mod store;
mod stored;
mod tables;
mod timeline;
mod times;
mod too_old;
mod upkeep;
mod words;

pub use look::Look;
