//! Asks a history questions, whichever database it is in, without changing anything. A question
//! that takes too long is given up with a sentence that says so.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::day_zone::DayZone;
use super::dialect::Dialect;
use super::postgres::{PostgresReader, PostgresUnread};
use super::question::{Filter, Question, Value};
use super::sqlite::{SqliteReader, SqliteUnread, explained};
use crate::pipeline::{Mapping, ZONE_DEFAULT};
use crate::secret::Secret;

/// The longest time of a statement.
pub(super) const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// Where a history is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres {
        /// With the password.
        url: Secret,
        /// Where the tables are; `None`: where the server looks first.
        schema: Option<String>,
        /// What the files of certificates in `url` are relative to.
        folder: PathBuf,
    },
}

/// Why a history does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error(
        "there is no history {0}: the sink makes it when it stores its first status; --file names another"
    )]
    Missing(PathBuf),
    /// This user may not read the file.
    #[error(
        "this user may not read {0}: run this as the daemon's user, or let the sink's `mode` open it to a group"
    )]
    Denied(String),
    /// It has not the views of a history.
    #[error(
        "{0} is no history of this version, but another database or another version's: it lacks views such as status_event"
    )]
    Foreign(String),
    /// Its rows are in a `-wal` that this user cannot read.
    #[error(
        "SQLite cannot read the -wal of {0}: there is no -shm file, and this user may not make one; start the daemon, which makes it, or copy {0} and {0}-wal to a folder of yours, and name the copy with --file"
    )]
    Unshared(String),
    /// It was read as a file that nobody writes, and somebody does.
    #[error("{0} was changed while it was read: ask again")]
    Changed(String),
    /// The file that was read is gone, or has another name by now.
    #[error("{0} was removed or replaced by another file while it was read: ask again")]
    Replaced(String),
    /// A statement was given up.
    #[error("{name} did not answer within {limit} s: ask for less, by --device, --since or --limit", name = .0, limit = .1.as_secs())]
    Slow(String, Duration),
    /// The database's own words, and what to do about them.
    #[error("read {name}: {why}")]
    Failed {
        /// The history.
        name: String,
        /// Why.
        why: String,
    },
}

/// A history that is open.
#[derive(Debug)]
pub struct Reader {
    /// The file's path, or the server without user and password.
    name: String,
    store: Open,
    zone: DayZone,
    limit: Duration,
}

#[derive(Debug)]
enum Open {
    Sqlite(SqliteReader),
    Postgres(Box<PostgresReader>),
}

impl Reader {
    /// Opens a history.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn open(store: &Store) -> Result<Reader, ReadError> {
        match store {
            Store::Sqlite(path) => {
                let name = path.display().to_string();
                let said = |error| of_sqlite(&name, path.clone(), error, STATEMENT_MAX);
                let mut reader = SqliteReader::open(path).await.map_err(said)?;
                let zone = reader.zone().await.map_err(said)?;
                Ok(Reader {
                    store: Open::Sqlite(reader),
                    name,
                    zone,
                    limit: STATEMENT_MAX,
                })
            }
            Store::Postgres {
                url,
                schema,
                folder,
            } => {
                let url = url.expose_secret();
                let reader = PostgresReader::open(url, folder, schema.as_deref()).await;
                let mut reader = reader
                    .map_err(|error| of_postgres("the Postgres history", error, STATEMENT_MAX))?;
                let name = match schema {
                    Some(schema) => format!("{} (schema {schema})", reader.server()),
                    None => reader.server().to_owned(),
                };
                let zone = reader
                    .zone()
                    .await
                    .map_err(|error| of_postgres(&name, error, STATEMENT_MAX))?;
                Ok(Reader {
                    store: Open::Postgres(Box::new(reader)),
                    name,
                    zone,
                    limit: STATEMENT_MAX,
                })
            }
        }
    }

    /// Statements end within this time, which is 30 s at first.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Takes leave of the server; without it a server of TLS logs an error.
    pub async fn close(self) {
        if let Open::Postgres(reader) = self.store {
            reader.close().await;
        }
    }

    /// What to call it: its path, or its server without user and password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone of its days; UTC where it names none that is known here.
    pub fn zone(&self) -> TimeZone {
        let default = Mapping::default().zone;
        match self.zone.name.as_deref() {
            // Known without a time zone database.
            Some(ZONE_DEFAULT) => default,
            Some(zone) => TimeZone::get(zone).unwrap_or(TimeZone::UTC),
            None => TimeZone::UTC,
        }
    }

    /// Why the zone is not that of its days, where that is so, and what to do about it.
    pub fn doubt(&self) -> Option<&'static str> {
        match &self.store {
            Open::Postgres(reader) if reader.is_zone_denied() => Some(
                "times are of UTC: the user may not read the zone of the days; grant the user SELECT \
                 on history_setting",
            ),
            _ => None,
        }
    }

    /// Whether its days may still be of another zone: they were being counted again when it was
    /// opened.
    pub fn is_recounting(&self) -> bool {
        self.zone.is_recounting
    }

    /// The name of that zone.
    pub fn zone_name(&self) -> String {
        match self.zone.name.as_deref() {
            Some(ZONE_DEFAULT) => ZONE_DEFAULT.to_owned(),
            _ => self.zone().iana_name().unwrap_or("UTC").to_owned(),
        }
    }

    /// The rows of an answer, at most `limit`.
    ///
    /// # Errors
    /// The history does not answer, or not in time.
    pub async fn rows(
        &mut self,
        question: &Question,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Vec<Vec<Value>>, ReadError> {
        let mut rows = Vec::new();
        self.each(question, filter, limit, &mut |row| rows.push(row))
            .await?;
        Ok(rows)
    }

    /// Gives each row of an answer as it comes.
    ///
    /// # Errors
    /// The history does not answer, or not in time.
    pub async fn each(
        &mut self,
        question: &Question,
        filter: &Filter,
        limit: Option<usize>,
        each: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<(), ReadError> {
        match &mut self.store {
            Open::Sqlite(reader) => {
                let statement = question.statement(Dialect::Sqlite, filter, limit);
                let asked = reader.ask(statement, self.limit, each).await;
                let path = || PathBuf::from(&self.name);
                asked.map_err(|error| of_sqlite(&self.name, path(), error, self.limit))
            }
            Open::Postgres(reader) => {
                let statement = question.statement(Dialect::Postgres, filter, limit);
                let asked = reader.ask(statement, self.limit, each).await;
                asked.map_err(|error| of_postgres(&self.name, error, self.limit))
            }
        }
    }
}

pub(super) fn of_sqlite(
    name: &str,
    path: PathBuf,
    error: SqliteUnread,
    limit: Duration,
) -> ReadError {
    let name = name.to_owned();
    match error {
        SqliteUnread::Missing => ReadError::Missing(path),
        SqliteUnread::Denied => ReadError::Denied(name),
        SqliteUnread::Foreign => ReadError::Foreign(name),
        SqliteUnread::Unshared => ReadError::Unshared(name),
        SqliteUnread::Changed => ReadError::Changed(name),
        SqliteUnread::Replaced => ReadError::Replaced(name),
        SqliteUnread::Slow => ReadError::Slow(name, limit),
        SqliteUnread::Sql(error) => ReadError::Failed {
            name,
            why: explained(&error),
        },
    }
}

fn of_postgres(name: &str, error: PostgresUnread, limit: Duration) -> ReadError {
    let name = name.to_owned();
    match error {
        PostgresUnread::Foreign => ReadError::Foreign(name),
        PostgresUnread::Slow => ReadError::Slow(name, limit),
        PostgresUnread::Failed(why) => ReadError::Failed { name, why },
    }
}
