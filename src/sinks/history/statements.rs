//! Statements that both databases understand, and what runs them. What is faster in each by a way
//! of its own, such as the rows of a batch, is a function of its own.

use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::device::Device;
use super::dialect::Dialect;
use super::recorder::{Found, Wanted};
use super::tables::{EventRow, Table};

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bind {
    Text(String),
    Integer(i64),
    Flag(bool),
    /// As a text; null where it is none, or none that a row can hold.
    Time(Option<Timestamp>),
    /// One parameter: an array, or JSON.
    Texts(Vec<String>),
    Integers(Vec<i64>),
}

impl From<&str> for Bind {
    fn from(text: &str) -> Bind {
        Bind::Text(text.to_owned())
    }
}

impl From<i64> for Bind {
    fn from(integer: i64) -> Bind {
        Bind::Integer(integer)
    }
}

impl From<u32> for Bind {
    fn from(integer: u32) -> Bind {
        Bind::Integer(integer.into())
    }
}

impl From<Timestamp> for Bind {
    fn from(time: Timestamp) -> Bind {
        Bind::Time(Some(time))
    }
}

/// A row that is read alike from both.
pub(super) trait Answer:
    Send + Unpin + for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>
{
}

impl<Row> Answer for Row where
    Row: Send + Unpin + for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>
{
}

/// Runs statements, each in the transaction that it was made for.
pub(super) trait Statements: Send {
    /// What differs in their texts.
    const DIALECT: Dialect;

    /// Changes rows; gives how many.
    fn run(
        &mut self,
        sql: &str,
        binds: Vec<Bind>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Asks for rows.
    fn rows<Row: Answer>(
        &mut self,
        sql: &str,
        binds: Vec<Bind>,
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// Inserts rows, or does with those that are there what the table says.
    fn insert<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[Row],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Inserts many rows that the table does not have.
    fn add<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[Row],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Inserts events, and what is remembered of them beside their rows.
    fn add_events(
        &mut self,
        events: &[EventRow],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes devices that have rows.
    fn update_devices(
        &mut self,
        devices: &[Device],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Looks up what the statuses of a batch ask for.
    fn found(&mut self, wanted: Wanted) -> impl Future<Output = Result<Found, sqlx::Error>> + Send;

    /// Deletes some of what no status has any longer, where those of before this time are gone;
    /// gives how many rows.
    fn delete_months(
        &mut self,
        statuses: Option<Timestamp>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// The payloads that only this device's events have.
    fn own_payloads(
        &mut self,
        device: i64,
    ) -> impl Future<Output = Result<Vec<i64>, sqlx::Error>> + Send;

    /// Deletes some of a device's events, and what is remembered of them; gives how many.
    fn delete_events(
        &mut self,
        device: i64,
        limit: u32,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// The first row, where one is known to be there.
    fn row<Row: Answer>(
        &mut self,
        sql: &str,
        binds: Vec<Bind>,
    ) -> impl Future<Output = Result<Row, sqlx::Error>> + Send {
        async move {
            let rows = self.rows(sql, binds).await?;
            rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)
        }
    }
}
