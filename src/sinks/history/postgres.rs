//! History tables in Postgres. One connection, one transaction per batch: rows, devices and cursor
//! together. Every call has a timeout, since a silent server never answers.
//!
//! - `sink`: the sink; `server`, `exposure`, `hosts`: what a URL says; `connect`: from it to a connection
//! - `session`: how transactions begin, so that a pooler may stand between; `migrations`: the tables
//! - `place`: in which schema they are; `unusable`: why there are none for us; `rights`: what our role
//!   needs there; `probe`: looks at all of it
//! - `store`: one transaction of a batch; `statements`, `insert`, `look_up`: what runs in it; `upkeep`:
//!   what is done beside the batches
//! - `trial`: a batch that is rolled back
//! - `reader`: what a person asks
//! - `partitions`: the parts of the large tables by time; `keeping`: the retention takes them whole,
//!   and what else goes by age beside the upkeep; `row_count`: how many rows there are
//! - `failure`: what can go wrong, and what to do about it

mod connect;
mod exposure;
mod failure;
mod hosts;
mod insert;
mod keeping;
mod look_up;
mod migrations;
mod operator;
mod partitions;
mod place;
mod probe;
mod reader;
mod rights;
mod row_count;
mod server;
mod session;
mod sink;
mod statements;
mod store;
mod trial;
mod unusable;
mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use self::exposure::Exposure;
pub use self::hosts::urls;
pub(super) use self::operator::PostgresOperator;
pub(super) use self::reader::{PostgresReader, Unread as PostgresUnread};
use self::server::Server;
pub(in crate::sinks) use self::sink::build;
use crate::secret::Secret;
use crate::sinks::{Answer, Batch};

/// Creating the tables, which waits for another daemon that does the same.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(60);
/// What is done beside the batches; longer than the server's own limits, so that its error is seen.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(25);

/// Who writes next has to begin with the rows that are there.
const TURN: &str = "UPDATE bridge_writer SET turn = turn + 1 RETURNING turn";

/// Validated settings of a Postgres history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// `postgres://user:password@host/database?options`, with the password, hence secret.
    pub url: Secret,
    /// Where the tables are; `None`: where the server looks first.
    pub schema: Option<String>,
    /// What the files of certificates in `url` are relative to.
    pub folder: PathBuf,
    /// How long `status_event` rows stay at least, until their partition is dropped; `None`: without
    /// end.
    pub retention: Option<Duration>,
    /// How long intervals, days and gaps stay; `None`: without end.
    pub intervals: Option<Duration>,
    /// How long an event key is remembered: a status that the server delivers again later is a new
    /// row.
    pub event_keys: Duration,
    /// The zone of the days of `state_daily`.
    pub zone: TimeZone,
}

/// What the URL leaves open on the way to its server, if anything; connects to nothing.
///
/// # Errors
/// The URL, or a file of certificates that it names, cannot be used; says why, and shows nothing
/// else of the URL.
pub fn exposure(settings: &Settings) -> Result<Option<Exposure>, String> {
    let server = Server::parse_quietly(settings.url.expose_secret(), &settings.folder)?;
    server.check_files().map_err(|error| error.to_string())?;
    Ok(server.exposure())
}

/// Whether the server would store rows now, without changing anything on it.
///
/// # Errors
/// Why not, and what to do.
pub(in crate::sinks) async fn probe(settings: &Settings) -> Result<Answer, String> {
    let server = Server::parse(settings.url.expose_secret(), &settings.folder)?;
    let found = probe::probe(&server, settings.schema.as_deref()).await;
    let found = found.map_err(|failure| format!("{server}: {}", failure.with_advice()))?;
    Ok(Answer {
        text: format!("{server}: {}", found.text),
        ..found
    })
}

/// Stores a batch, and rolls it back.
///
/// # Errors
/// Why it cannot be stored, and what to do.
pub(in crate::sinks) async fn trial(
    settings: &Settings,
    batch: Batch<'_>,
) -> Result<String, String> {
    let server = Server::parse(settings.url.expose_secret(), &settings.folder)?;
    let tried = trial::trial(&server, settings, batch).await;
    let tried = tried.map_err(|failure| format!("{server}: {}", failure.with_advice()))?;
    Ok(format!("{server}: {tried}"))
}
