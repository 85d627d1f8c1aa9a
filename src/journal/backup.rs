//! A copy of a journal that a daemon may be writing. The log is copied in small steps, so that the
//! WAL can begin again between them; the rest of it and everything else, cursors included, as of one
//! moment. The copy is marked: no daemon takes it for a journal. [`restore`](super::restore) makes one
//! of it.

use std::io;
use std::path::Path;
use std::time::Instant;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::error::failed;
use super::file::{self, Kind};
use super::{Error, disk};
use crate::model::Position;
use crate::new_file::{NewFile, Unmade};

/// A copy is its owner's alone, as the journal is.
const MODE: u32 = 0o600;

/// What one step copies: some milliseconds of reading.
const STEP_ENTRIES: i64 = 2000;
const STEP_BYTES: i64 = 4 << 20;

/// What may be left for the last step, in positions.
const REST: i64 = 2 * STEP_ENTRIES;

/// How often the copy goes after what has come meanwhile. In a flood, the last step copies the rest.
const PASSES_MAX: u32 = 10;

const COPYING: &str = "be copied";

/// A copy that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// The newest position in it.
    pub head: Position,
    /// The size of the file.
    pub bytes: u64,
}

/// Copies the journal to a file that is not there yet. Durable on return.
///
/// # Errors
/// [`Error::InTheWay`] where there is a file; the others as they say.
pub async fn back_up(journal: &Path, to: &Path) -> Result<BackedUp, Error> {
    let kind = async {
        let mut source = file::open_to_read(journal).await?;
        let kind = file::kind(&mut source, journal).await?;
        source.close().await.map_err(failed(COPYING))?;
        Ok(kind)
    };
    let kind = kind.await.map_err(|error| file::unread(journal, error))?;
    if kind == Kind::Backup {
        return Err(Error::Backup {
            path: journal.to_owned(),
        });
    }
    let unwritten = |source| Error::NotWritten {
        path: to.to_owned(),
        source,
    };
    let to = &std::path::absolute(to).map_err(unwritten)?;
    let part = begin(to)?;
    let copied = copy(journal, part.path()).await;
    let head = copied.map_err(|error| match error.is_out_of_space() {
        true => unwritten(io::ErrorKind::StorageFull.into()),
        false => error,
    })?;
    let bytes = part.take(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::InTheWay {
            path: to.to_owned(),
        },
        _ => unwritten(error),
    })?;
    Ok(BackedUp { head, bytes })
}

/// Begins a file of the journal's own kind, which is not there.
pub(super) fn begin(to: &Path) -> Result<NewFile, Error> {
    NewFile::begin(to, MODE).map_err(|unmade| match unmade {
        Unmade::InTheWay(path) => Error::InTheWay { path },
        Unmade::BeingWritten(path) => Error::BeingWritten { path },
        Unmade::NoFolder(folder) => Error::NoFolder { folder },
        Unmade::Io(path, source) => Error::NotWritten { path, source },
    })
}

async fn copy(journal: &Path, to: &Path) -> Result<Position, Error> {
    let mut copy = Copy::begin(journal, to).await?;
    let mut head = copy.head().await?;
    for _ in 0..PASSES_MAX {
        copy.pass(head).await?;
        head = copy.head().await?;
        if head.0 - copy.at.0 <= REST {
            break;
        }
    }
    copy.finish().await
}

/// A connection to the copy, with the journal beside it to be read.
struct Copy {
    connection: SqliteConnection,
    /// The log is copied up to here.
    at: Position,
    /// Made last, since they count what others have counted.
    triggers: Vec<String>,
}

impl Copy {
    /// Makes the tables as the journal has them, whatever its version is.
    async fn begin(journal: &Path, to: &Path) -> Result<Copy, Error> {
        const SCHEMA: &str = "SELECT type, sql FROM source.sqlite_schema \
             WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY type <> 'table', rowid";
        let connection = SqliteConnectOptions::new()
            .filename(to)
            .page_size(file::PAGE_BYTES)
            // What is not whole is removed, and what is whole is synced.
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(file::BUSY_TIMEOUT)
            .disable_statement_logging()
            .connect()
            .await;
        let mut connection = connection.map_err(failed(COPYING))?;
        let path = percent_encode(journal.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
        sqlx::query("ATTACH ? AS source")
            .bind(format!("file:{path}?mode=ro"))
            .execute(&mut connection)
            .await
            .map_err(failed(COPYING))?;
        let schema: Vec<(String, String)> = sqlx::query_as(SCHEMA)
            .fetch_all(&mut connection)
            .await
            .map_err(failed(COPYING))?;
        let (triggers, made): (Vec<_>, Vec<_>) =
            schema.into_iter().partition(|(kind, _)| kind == "trigger");
        for (_, sql) in made {
            execute(&mut connection, sql).await?;
        }
        Ok(Copy {
            connection,
            at: Position::START,
            triggers: triggers.into_iter().map(|(_, sql)| sql).collect(),
        })
    }

    /// The journal's newest position.
    async fn head(&mut self) -> Result<Position, Error> {
        const HEAD: &str = "SELECT max(head, coalesce((SELECT max(position) FROM source.entry), 0)) \
             FROM source.journal";
        let head = sqlx::query_scalar(HEAD).fetch_one(&mut self.connection);
        Ok(Position(head.await.map_err(failed(COPYING))?))
    }

    /// Copies the log up to there, in steps. Between two of them the daemon gets through.
    async fn pass(&mut self, head: Position) -> Result<(), Error> {
        while self.at < head {
            let began = Instant::now();
            let Some(through) = self.step_end().await? else {
                break;
            };
            self.entries(through).await?;
            tokio::time::sleep(began.elapsed()).await;
        }
        Ok(())
    }

    /// The last position of the next step; `None`: there is no further entry.
    async fn step_end(&mut self) -> Result<Option<Position>, Error> {
        const END: &str = "WITH next AS ( \
                 SELECT position, length(body) AS bytes FROM source.entry \
                 WHERE position > ?1 ORDER BY position LIMIT ?2), \
             summed AS (SELECT position, sum(bytes) OVER (ORDER BY position) AS bytes FROM next) \
             SELECT coalesce(max(position) FILTER (WHERE bytes <= ?3), min(position)) FROM summed";
        let end: Option<i64> = sqlx::query_scalar(END)
            .bind(self.at.0)
            .bind(STEP_ENTRIES)
            .bind(STEP_BYTES)
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed(COPYING))?;
        Ok(end.map(Position))
    }

    async fn entries(&mut self, through: Position) -> Result<(), Error> {
        const ENTRIES: &str = "INSERT INTO main.entry SELECT * FROM source.entry \
             WHERE position > ? AND position <= ?";
        sqlx::query(ENTRIES)
            .bind(self.at.0)
            .bind(through.0)
            .execute(&mut self.connection)
            .await
            .map_err(failed(COPYING))?;
        self.at = through;
        Ok(())
    }

    /// Copies all that is left, as of one moment, and marks the copy.
    async fn finish(mut self) -> Result<Position, Error> {
        self.run("BEGIN".to_owned()).await?;
        // From here on the journal is read as of this moment.
        let head = self.head().await?;
        self.entries(head).await?;
        self.catch_up().await?;
        const TABLES: &str = "SELECT name FROM source.sqlite_schema WHERE type = 'table' \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'entry'";
        let tables: Vec<String> = sqlx::query_scalar(TABLES)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed(COPYING))?;
        for table in tables {
            let name = format!("\"{}\"", table.replace('"', "\"\""));
            self.run(format!(
                "INSERT INTO main.{name} SELECT * FROM source.{name}"
            ))
            .await?;
        }
        // The newest entry may be gone.
        disk::save_head(&mut self.connection, head).await?;
        let layout: i64 = sqlx::query_scalar("PRAGMA source.user_version")
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed(COPYING))?;
        let mark = file::mark(Kind::Backup, layout);
        self.run(mark).await?;
        self.run("COMMIT".to_owned()).await?;
        self.run("DETACH source".to_owned()).await?;
        for trigger in std::mem::take(&mut self.triggers) {
            self.run(trigger).await?;
        }
        self.connection.close().await.map_err(failed(COPYING))?;
        Ok(head)
    }

    /// What was copied is as it is now: what was removed since is removed, what was settled is settled.
    async fn catch_up(&mut self) -> Result<(), Error> {
        const REMOVED: &str = "DELETE FROM main.entry \
             WHERE position < (SELECT coalesce(min(position), 9223372036854775807) FROM source.entry)";
        const SETTLED: &str = "UPDATE main.entry SET settled = 1 \
             WHERE kind = 'undecodable' AND settled IS NULL AND position NOT IN \
             (SELECT position FROM source.entry WHERE kind = 'undecodable' AND settled IS NULL)";
        const EVICTED: &str = "DELETE FROM main.entry WHERE position BETWEEN ? AND ? \
             AND position NOT IN (SELECT position FROM source.entry WHERE position BETWEEN ? AND ?)";
        self.run(REMOVED.to_owned()).await?;
        self.run(SETTLED.to_owned()).await?;
        let evicted: Vec<(i64, i64)> =
            sqlx::query_as("SELECT from_position, to_position FROM source.eviction")
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed(COPYING))?;
        for (from, to) in evicted {
            let removed = sqlx::query(EVICTED).bind(from).bind(to).bind(from).bind(to);
            let removed = removed.execute(&mut self.connection).await;
            removed.map_err(failed(COPYING))?;
        }
        Ok(())
    }

    async fn run(&mut self, sql: String) -> Result<(), Error> {
        execute(&mut self.connection, sql).await
    }
}

/// `sql` is ours, or the journal's own schema.
async fn execute(connection: &mut SqliteConnection, sql: String) -> Result<(), Error> {
    let executed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    executed.map(drop).map_err(failed(COPYING))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Settings};

    async fn on(path: &Path, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(path);
        let mut other = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    }

    async fn entries(path: &Path) -> Vec<(i64, String, Option<i64>)> {
        let options = SqliteConnectOptions::new().filename(path);
        let mut other = options.connect().await.unwrap();
        sqlx::query_as("SELECT position, kind, settled FROM entry ORDER BY position")
            .fetch_all(&mut other)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn what_changes_between_two_steps_is_in_the_copy_as_it_is_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path().join("journal.db"));
        let (_, writer) = Journal::open(&settings).await.unwrap();
        writer.leave().await.unwrap();
        const LOG: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) \
             INSERT INTO entry (position, kind, topic, received_at, body) SELECT i, CASE i % 5 \
                 WHEN 0 THEN 'undecodable' WHEN 1 THEN 'coverage' ELSE 'status' END, 'a', i, x'00' FROM n";
        on(&settings.path, LOG).await;
        let to = folder.path().join("copy");
        std::fs::File::create(&to).unwrap();
        let mut copy = Copy::begin(&settings.path, &to).await.unwrap();
        copy.pass(Position(12)).await.unwrap();
        assert_eq!(copy.at, Position(20), "one step has all");
        // Some are delivered and removed, some are evicted, one is settled, and two come.
        const CHANGE: &str = "DELETE FROM entry WHERE position <= 3; \
             DELETE FROM entry WHERE position BETWEEN 6 AND 9 AND kind = 'status'; \
             INSERT INTO eviction VALUES (6, 9, 3, 1, 2, 'full'); \
             UPDATE entry SET settled = 1 WHERE position = 10; \
             INSERT INTO entry (position, kind, topic, received_at, body) \
                 VALUES (21, 'status', 'a', 1, x'01'), (22, 'undecodable', 'a', 1, x'01')";
        on(&settings.path, CHANGE).await;
        assert_eq!(copy.finish().await.unwrap(), Position(22));
        let copied = entries(&to).await;
        assert_eq!(copied, entries(&settings.path).await);
        assert_eq!(copied.len(), 16, "{copied:?}");
    }
}
