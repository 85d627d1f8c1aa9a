//! History tables in SQLite. One connection, one transaction per batch: rows, devices and cursor
//! together.
//!
//! `synchronous=FULL`, although the journal is the guarantee: it may remove an entry once our
//! cursor is past it. So a batch that we have confirmed must survive a power cut here, too. It
//! costs one fsync per batch.

//!
//! - `sink`: the sink; `store`: one transaction of a batch; `statements`, `insert`, `look_up`: what
//!   runs in it; `upkeep`: what is done beside the batches
//! - `file`, `connect`, `wal`: the file, how it is opened, and what SQLite has beside it; `failure`: what
//!   can go wrong
//! - `reader`: what a person asks; `operator`: what an operator changes; `backup`: a copy
//! - `probe`, `trial`: whether rows would be stored

mod backup;
mod connect;
mod failure;
mod file;
mod insert;
mod look_up;
mod operator;
mod probe;
mod reader;
mod sink;
mod statements;
mod store;
mod trial;
mod upkeep;
mod wal;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::tz::TimeZone;
use sqlx::migrate::Migrator;

pub(super) use self::failure::explained;
use self::failure::in_words;
pub(super) use self::operator::SqliteOperator;
pub(super) use self::reader::{SqliteReader, Unread as SqliteUnread};
pub(in crate::sinks) use self::sink::build;
use super::migration::MIGRATIONS_TABLE;
use crate::sinks::Batch;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| Migrator {
    table_name: MIGRATIONS_TABLE.into(),
    ..sqlx::migrate!("migrations/history_sqlite")
});

/// Deletes a piece of the oldest rows.
const DELETE_OLD: &str = "DELETE FROM event WHERE sequence IN \
     (SELECT sequence FROM event WHERE received_at < ? LIMIT ?)";

/// Validated settings of a SQLite history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// The database file; an absolute path.
    pub path: PathBuf,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
    /// How long intervals, days and gaps stay; `None`: without end.
    pub intervals: Option<Duration>,
    /// The zone of the days of `state_daily`.
    pub zone: TimeZone,
    /// Who may read and write the file, as `chmod` has it.
    pub mode: u32,
}

impl Settings {
    /// The mode by default: what the rows say is nobody else's business.
    pub const MODE: u32 = 0o600;
}

/// Whether the file could be used now, without changing it.
///
/// # Errors
/// Why not, and what to do.
pub(in crate::sinks) async fn probe(settings: &Settings) -> Result<String, String> {
    let path = &settings.path;
    let found = probe::probe(path).await;
    let found = found.map_err(|error| in_words(path, &error))?;
    Ok(format!("{}: {found}", path.display()))
}

/// Stores a batch, and rolls it back.
///
/// # Errors
/// Why it cannot be stored, and what to do.
pub(in crate::sinks) async fn trial(
    settings: &Settings,
    batch: Batch<'_>,
) -> Result<String, String> {
    let path = &settings.path;
    let tried = trial::trial(settings, batch).await;
    let tried = tried.map_err(|error| in_words(path, &error))?;
    Ok(format!("{}: {tried}", path.display()))
}
