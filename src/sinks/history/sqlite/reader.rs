//! Reads a SQLite history beside the daemon that writes it. It cannot write.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use jiff::Timestamp;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Row};

use super::connect::{Sharing, Unshared, reading};
use super::failure::primary_code;
use super::statements::query;
use crate::sinks::history::day_zone::{self, DayZone};
use crate::sinks::history::question::{Kind, Statement, Value};
use crate::sqlite_file::{FileId, beside};

/// The views that make a database a history.
const VIEWS: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name IN \
     ('status_event', 'device_current', 'state_interval', 'fault_episode', 'state_daily', 'coverage_gap')";
const VIEWS_COUNT: i64 = 6;
/// A statement's time is looked at each time SQLite has made this number of steps, some 0.1 ms.
const STEPS: i32 = 10_000;

/// SQLite's code of a file that is no database.
const NOTADB: i32 = 26;
/// Its code of a statement that was given up.
const INTERRUPT: i32 = 9;

/// A connection that cannot write.
#[derive(Debug)]
pub(in crate::sinks::history) struct SqliteReader {
    connection: SqliteConnection,
    path: PathBuf,
    /// The file of that name when it was opened.
    file: Option<FileId>,
    sharing: Sharing,
}

/// Why a file is not read.
#[derive(Debug)]
pub(in crate::sinks::history) enum Unread {
    /// There is no such file.
    Missing,
    /// This user may not read it.
    Denied,
    /// It is no SQLite database, or has none of the views.
    Foreign,
    /// Rows stand in the `-wal`, and this user cannot make the `-shm` that SQLite reads them with.
    Unshared,
    /// It was read without a `-shm`, and somebody has begun to write it meanwhile.
    Changed,
    /// Another file has its name, or none has.
    Replaced,
    /// A statement took too long.
    Slow,
    Sql(sqlx::Error),
}

impl From<Unshared> for Unread {
    fn from(_: Unshared) -> Unread {
        Unread::Unshared
    }
}

impl From<sqlx::Error> for Unread {
    fn from(error: sqlx::Error) -> Unread {
        match primary_code(&error) {
            Some(NOTADB) => Unread::Foreign,
            Some(INTERRUPT) => Unread::Slow,
            _ => Unread::Sql(error),
        }
    }
}

impl SqliteReader {
    /// Opens a file that is there.
    pub(in crate::sinks::history) async fn open(path: &Path) -> Result<SqliteReader, Unread> {
        if !path.try_exists().unwrap_or(true) {
            return Err(Unread::Missing);
        }
        // Never by opening them: the one who closes a file drops all locks that its process has on it
        // (fcntl(2)), so those of a sink in this process, too. Another program would take the file for
        // its own then, and truncate the `-shm` that the sink has mapped.
        let is_denied = |suffix| {
            let access = access(beside(path, suffix), Access::READ_OK);
            access.is_err_and(|error| error == Errno::ACCESS)
        };
        if ["", "-wal", "-shm"].into_iter().any(is_denied) {
            return Err(Unread::Denied);
        }
        let sharing = Sharing::of(path)?;
        let file = FileId::at(path);
        let mut connection = connect(path, sharing).await?;
        let views: i64 = sqlx::query_scalar(VIEWS).fetch_one(&mut connection).await?;
        match views {
            VIEWS_COUNT => Ok(SqliteReader {
                connection,
                path: path.to_owned(),
                file,
                sharing,
            }),
            _ => Err(Unread::Foreign),
        }
    }

    /// The zone of its days.
    pub(in crate::sinks::history) async fn zone(&mut self) -> Result<DayZone, Unread> {
        let zone = sqlx::query_as(day_zone::SELECT).fetch_all(&mut self.connection);
        Ok(DayZone::of(zone.await?))
    }

    /// Gives each row of an answer, within a time.
    pub(in crate::sinks::history) async fn ask(
        &mut self,
        statement: Statement,
        limit: Duration,
        each: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<(), Unread> {
        if self.is_replaced() {
            return Err(Unread::Replaced);
        }
        if self.is_changed() {
            *self = SqliteReader::open(&self.path).await?;
        }
        let answered = self.answer(statement, limit, each).await;
        // What SQLite says of a file that was taken away is not the reason.
        if answered.is_err() && self.is_replaced() {
            return Err(Unread::Replaced);
        }
        answered?;
        match self.is_changed() {
            true => Err(Unread::Changed),
            false => Ok(()),
        }
    }

    /// Whether the name is no longer that of the file that was opened.
    fn is_replaced(&self) -> bool {
        FileId::at(&self.path) != self.file
    }

    /// Whether the file is not what a connection that nobody shares has read.
    fn is_changed(&self) -> bool {
        self.sharing != Sharing::WithWriter && Sharing::of(&self.path) != Ok(self.sharing)
    }

    async fn answer(
        &mut self,
        statement: Statement,
        limit: Duration,
        each: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<(), Unread> {
        let end = Instant::now() + limit;
        let mut handle = self.connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || Instant::now() < end);
        drop(handle);
        let asked = query(statement.sql, statement.binds)?;
        let mut rows = asked.fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            let fields = statement.fields.iter().enumerate();
            let row: Result<_, sqlx::Error> = fields
                .map(|(index, field)| value(&row, index, field.kind))
                .collect();
            each(row?);
        }
        Ok(())
    }
}

async fn connect(path: &Path, sharing: Sharing) -> Result<SqliteConnection, sqlx::Error> {
    let options = reading(path)
        .immutable(sharing != Sharing::WithWriter)
        .thread_name(|_| "history-reader".to_owned())
        .pragma("query_only", "1");
    options.connect().await
}

fn value(row: &SqliteRow, index: usize, kind: Kind) -> Result<Value, sqlx::Error> {
    let value = match kind {
        Kind::Text => row
            .try_get_unchecked::<Option<String>, _>(index)?
            .map(Value::Text),
        Kind::Time => {
            let text: Option<String> = row.try_get_unchecked(index)?;
            text.map(|text| match text.parse::<Timestamp>() {
                Ok(time) => Value::Time(time),
                Err(_) => Value::Text(text),
            })
        }
        Kind::Number => row
            .try_get_unchecked::<Option<f64>, _>(index)?
            .map(Value::Number),
        Kind::Integer => row
            .try_get_unchecked::<Option<i64>, _>(index)?
            .map(Value::Integer),
        Kind::Boolean => row
            .try_get_unchecked::<Option<bool>, _>(index)?
            .map(Value::Boolean),
    };
    Ok(value.unwrap_or(Value::Null))
}
