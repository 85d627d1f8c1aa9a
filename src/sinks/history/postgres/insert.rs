//! INSERTs of many rows, column by column.

use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgConnection, PgHasArrayType, PgTypeInfo};
use sqlx::{AssertSqlSafe, Encode, Postgres, Type};

use super::session::{Statement, query};
use crate::pipeline::portable;
use crate::sinks::history::copy::{date, timestamptz};
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
    let query = query(AssertSqlSafe(statement(table)));
    let query = bind(query, table.columns, rows);
    query.execute(connection).await.map(drop)
}

/// Updates rows that are there, by the first column, all columns but the constant ones. Gives how
/// many there were. ON CONFLICT would lock each before it updates it.
pub(super) async fn update<Row>(
    connection: &mut PgConnection,
    table: &Table<Row>,
    constant: &[&str],
    rows: &[Row],
) -> Result<u64, sqlx::Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let changes = |(name, _): &&Column<Row>| !constant.contains(name);
    let columns = || table.columns.iter().filter(changes);
    let query = query(AssertSqlSafe(update_statement(table.name, columns())));
    let query = bind(query, columns(), rows);
    Ok(query.execute(connection).await?.rows_affected())
}

type Column<Row> = (&'static str, Cell<Row>);

/// An array for each column.
fn bind<'c, Row: 'static>(
    mut query: Statement,
    columns: impl IntoIterator<Item = &'c Column<Row>>,
    rows: &[Row],
) -> Statement {
    for (_, cell) in columns {
        let rows = rows.iter();
        query = match cell {
            Cell::Integer(read) | Cell::Key(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Word(read) | Cell::Text(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Flag(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Number(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Bytes(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            Cell::Time(read) => {
                let times = rows.map(|row| storable(read(row)).map(Instant));
                query.bind(times.collect::<Vec<_>>())
            }
            Cell::Day(read) => query.bind(rows.map(|row| Day(read(row))).collect::<Vec<_>>()),
            Cell::Json(read) => {
                let texts = rows.map(|row| read(row).map(|payload| portable(payload.get())));
                query.bind(texts.collect::<Vec<_>>())
            }
        };
    }
    query
}

/// An INSERT that takes an array for each column. JSON travels as texts.
fn statement<Row>(table: &Table<Row>) -> String {
    let names = table.column_names();
    let mut arrays = Vec::with_capacity(table.columns.len());
    let mut values = Vec::with_capacity(table.columns.len());
    for (number, (name, cell)) in (1..).zip(table.columns) {
        let (array, cast) = types(cell);
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

/// An UPDATE that takes the same.
fn update_statement<'c, Row: 'static>(
    table: &str,
    columns: impl Iterator<Item = &'c Column<Row>>,
) -> String {
    let (mut names, mut arrays, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (name, cell)) in (1..).zip(columns) {
        let (array, cast) = types(cell);
        names.push(*name);
        arrays.push(format!("${number}::{array}[]"));
        values.push(format!("{name} = batch.{name}{cast}"));
    }
    let (key, values) = (names[0], values[1..].join(", "));
    format!(
        "UPDATE {table} AS kept SET {values} FROM UNNEST({}) AS batch ({}) \
         WHERE kept.{key} = batch.{key}",
        arrays.join(", "),
        names.join(", ")
    )
}

/// How a column's values travel, and what makes the column's type of that.
fn types<Row>(cell: &Cell<Row>) -> (&'static str, &'static str) {
    match cell {
        Cell::Integer(_) | Cell::Key(_) => ("bigint", ""),
        Cell::Word(_) | Cell::Text(_) => ("text", ""),
        Cell::Flag(_) => ("boolean", ""),
        Cell::Number(_) => ("double precision", ""),
        Cell::Bytes(_) => ("bytea", ""),
        Cell::Time(_) => ("timestamptz", ""),
        Cell::Day(_) => ("date", ""),
        Cell::Json(_) => ("text", "::json"),
    }
}

/// A timestamptz in its binary form: the server would parse a text, which takes it longer than all
/// else with it. sqlx writes those of other crates only.
#[derive(Debug, Clone, Copy)]
struct Instant(Timestamp);

/// A date, likewise.
#[derive(Debug, Clone, Copy)]
struct Day(Date);

/// The keys of these types in `pg_type`, which are the same everywhere.
const TIMESTAMPTZ: [Oid; 2] = [Oid(1184), Oid(1185)];
const DATE: [Oid; 2] = [Oid(1082), Oid(1182)];

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ[0])
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ[1])
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(timestamptz(self.0));
        Ok(IsNull::No)
    }
}

impl Type<Postgres> for Day {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(DATE[0])
    }
}

impl PgHasArrayType for Day {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(DATE[1])
    }
}

impl Encode<'_, Postgres> for Day {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(date(self.0));
        Ok(IsNull::No)
    }
}
