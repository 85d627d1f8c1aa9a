//! SQL histories: rows and cursor in one transaction, so each event is stored exactly once. What
//! the views show is promised, and means the same in both databases; the tables below them are
//! narrow.
//!
//! - `timeline`: which pieces the statuses of a device close; `gaps`: when its topic was not heard;
//!   `daily`: how long it was in each state of a day
//! - `device`, `devices`: a device as a history knows it, and those that it holds in memory;
//!   `tables`: what a batch writes to
//! - `recorder`: what a history makes of a batch, and what it keeps in memory for that
//! - `sqlite`, `postgres`: one folder for each database, and its sink; `copy`: COPY of Postgres;
//!   `stored`: what both give back
//! - `rows`, `newest`, `retention`: the events of a batch by kind, the newest status, rows that are
//!   too old; `too_old`: statuses that get no row; `upkeep`: what else comes next beside the batches
//! - `look`: reads a history for who shows it
//! - `question`: what a person asks a history; `reader`: asks it, without changing anything
//! - `operator`: what an operator deletes or copies beside the daemon; `kept`: what is kept of a
//!   device
//! - `capabilities`, `migration`, `another_journal`, `times`, `words`: what else both share

mod another_journal;
mod capabilities;
mod copy;
mod daily;
mod device;
mod devices;
mod gaps;
pub mod kept;
mod look;
mod migration;
mod newest;
pub mod operator;
pub mod postgres;
pub mod question;
pub mod reader;
mod recorder;
mod retention;
mod rows;
pub mod sqlite;
mod stored;
mod tables;
mod timeline;
mod times;
mod too_old;
mod upkeep;
mod words;

pub use look::{Look, LookRow};
