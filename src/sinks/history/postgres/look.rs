//! Reads a Postgres history in a transaction that cannot write.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::connect::connect;
use super::server::Server;
use super::session::{abandon, query, quoted};
use crate::sinks::history::words::words;

/// The rows of a query, each column of which is a text. The place: the URL, the folder of its files
/// and the schema.
pub(in crate::sinks::history) async fn rows(
    (url, folder, schema): (&str, &Path, Option<&str>),
    sql: &str,
    parameters: &[String],
    limit: Duration,
) -> Result<Vec<Vec<Option<String>>>, String> {
    let server = Server::parse_quietly(url, folder)?;
    let connected = connect(&server).await;
    let (mut connection, _) = connected.map_err(|failure| failure.to_string())?;
    let path = schema.map_or_else(String::new, |schema| {
        format!("; SET LOCAL search_path = {}", quoted(schema))
    });
    let milliseconds = limit.as_millis();
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}{path}");
    let begun = connection.begin_with(AssertSqlSafe(begin)).await;
    let mut transaction = begun.map_err(|error| words(&error))?;
    let mut asked = query(AssertSqlSafe(sql));
    for parameter in parameters {
        asked = asked.bind(parameter.clone());
    }
    let rows = asked.try_map(|row: PgRow| (0..row.len()).map(|at| row.try_get(at)).collect());
    let rows = rows.fetch_all(&mut *transaction).await;
    abandon(transaction).await;
    let _ = connection.close().await;
    rows.map_err(|error| words(&error))
}
