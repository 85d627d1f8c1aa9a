//! INSERTs of many rows, column by column.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::session::query;
use crate::pipeline::portable;
use crate::sinks::history::tables::{Cell, Table};
use crate::sinks::history::times::storable;

/// Inserts the rows in order.
pub(super) async fn insert<Row>(
    connection: &mut PgConnection,
    table: &Table<Row>,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = query(AssertSqlSafe(statement(table)));
    for (_, cell) in table.columns {
        let rows = rows.iter();
        query = match cell {
            Cell::Integer(read) | Cell::Key(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Word(read) | Cell::Text(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Flag(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Number(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Bytes(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Time(read) => {
                let texts = rows.map(|row| storable(read(row)).map(text_time));
                query.bind(texts.collect::<Vec<_>>())
            }
            Cell::Day(read) => {
                query.bind(rows.map(|row| read(row).to_string()).collect::<Vec<_>>())
            }
            Cell::Json(read) => {
                let texts = rows.map(|row| read(row).map(portable));
                query.bind(texts.collect::<Vec<_>>())
            }
        };
    }
    query.execute(connection).await.map(drop)
}

/// An INSERT that takes an array for each column. Times and JSON travel as texts, so that no
/// further crate has to know them.
fn statement<Row>(table: &Table<Row>) -> String {
    let names = table.column_names();
    let mut arrays = Vec::with_capacity(table.columns.len());
    let mut values = Vec::with_capacity(table.columns.len());
    for (number, (name, cell)) in (1..).zip(table.columns) {
        let (array, cast) = match cell {
            Cell::Integer(_) | Cell::Key(_) => ("bigint", ""),
            Cell::Word(_) | Cell::Text(_) => ("text", ""),
            Cell::Flag(_) => ("boolean", ""),
            Cell::Number(_) => ("double precision", ""),
            Cell::Bytes(_) => ("bytea", ""),
            Cell::Time(_) => ("text", "::timestamptz"),
            Cell::Day(_) => ("text", "::date"),
            Cell::Json(_) => ("text", "::json"),
        };
        arrays.push(format!("${number}::{array}[]"));
        values.push(format!("{name}{cast}"));
    }
    format!(
        "INSERT INTO {} ({names}) SELECT {} FROM UNNEST({}) AS batch ({names}) {}",
        table.name,
        values.join(", "),
        arrays.join(", "),
        table.on_conflict
    )
}

/// Whole microseconds, as timestamptz has them.
pub(super) fn text_time(time: Timestamp) -> String {
    format!("{time:.6}")
}
