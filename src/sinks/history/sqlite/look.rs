//! Reads a SQLite history on a connection that cannot write.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::reader::{STEPS, connect};
use crate::sinks::history::words::words;

/// Another program holds the file for a moment at most.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// The rows of a query, each column of which is a text.
pub(in crate::sinks::history) async fn rows(
    path: &Path,
    sql: &str,
    parameters: &[String],
    limit: Duration,
) -> Result<Vec<Vec<Option<String>>>, String> {
    let deadline = Instant::now() + limit;
    let mut connection = connect(path, BUSY_TIMEOUT)
        .await
        .map_err(|error| words(&error))?;
    let mut handle = connection
        .lock_handle()
        .await
        .map_err(|error| words(&error))?;
    // A thread of its own runs it, which nobody else ends.
    handle.set_progress_handler(STEPS, move || Instant::now() < deadline);
    drop(handle);
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for parameter in parameters {
        query = query.bind(parameter.clone());
    }
    let rows = query.try_map(|row: SqliteRow| (0..row.len()).map(|at| row.try_get(at)).collect());
    rows.fetch_all(&mut connection)
        .await
        .map_err(|error| words(&error))
}
