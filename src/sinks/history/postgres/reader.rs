//! Reads a Postgres history beside the daemon that writes it. Each question is a transaction that
//! can change nothing.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::connect::{CONNECT_TIMEOUT, connect};
use super::failure::{DENIED, Failure, MISSED, bounded, code};
use super::place::explained;
use super::server::Server;
use super::session::{Purpose, Session, abandon, end, query_as, query_with};
use super::statements::arguments;
use crate::sinks::history::day_zone::{self, DayZone};
use crate::sinks::history::question::{Kind, Statement, Value};

/// Beside the server's own limit for a statement: so that its error is seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection for questions.
#[derive(Debug)]
pub(in crate::sinks::history) struct PostgresReader {
    connection: PgConnection,
    session: Session,
    schema: Option<String>,
    /// The server without its password.
    server: String,
    is_zone_denied: bool,
}

/// Why a server is not read.
#[derive(Debug)]
pub(in crate::sinks::history) enum Unread {
    /// Its database has none of the views.
    Foreign,
    /// A statement took too long.
    Slow,
    /// It, and what to do about it.
    Failed(String),
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Unread {
        match &failure {
            Failure::Silent(_) => Unread::Slow,
            Failure::Sql(error) => match code(error).as_deref() {
                Some("57014") => Unread::Slow,
                Some(missed) if MISSED.contains(&missed) => Unread::Foreign,
                Some(DENIED) => Unread::Failed(format!(
                    "{failure}; grant the user SELECT on the views, and USAGE on their schema"
                )),
                _ => Unread::Failed(failure.with_advice()),
            },
            _ => Unread::Failed(failure.with_advice()),
        }
    }
}

impl PostgresReader {
    /// Connects to a server. A standby serves, too.
    pub(in crate::sinks::history) async fn open(
        url: &str,
        folder: &Path,
        schema: Option<&str>,
    ) -> Result<PostgresReader, Unread> {
        let server = Server::parse_quietly(url, folder).map_err(Unread::Failed)?;
        let connection = match connect(&server).await {
            Ok((connection, _)) => connection,
            Err(failure @ (Failure::ReadOnly(_) | Failure::NoHost(_))) => {
                standby(&server).await.ok_or(failure)?
            }
            Err(Failure::Silent(limit)) => {
                let failure = Failure::Silent(limit);
                return Err(Unread::Failed(format!("{server}: {failure}")));
            }
            Err(failure) => {
                return Err(Unread::Failed(format!(
                    "{server}: {}",
                    failure.with_advice()
                )));
            }
        };
        Ok(PostgresReader {
            connection,
            session: Session::new(schema),
            schema: schema.map(str::to_owned),
            server: server.to_string(),
            is_zone_denied: false,
        })
    }

    /// Its server, without user and password.
    pub(in crate::sinks::history) fn server(&self) -> &str {
        &self.server
    }

    /// Whether the user may not read the zone, as far as that was tried.
    pub(in crate::sinks::history) fn is_zone_denied(&self) -> bool {
        self.is_zone_denied
    }

    /// Takes leave of the server.
    pub(in crate::sinks::history) async fn close(self) {
        // Whether it hears of it matters as little as its rows do.
        let _ = self.connection.close().await;
    }

    /// The zone of its days; none where the user may not read it.
    pub(in crate::sinks::history) async fn zone(&mut self) -> Result<DayZone, Unread> {
        let mut transaction = self
            .session
            .begin(&mut self.connection, Purpose::Read)
            .await
            .map_err(Failure::from)?;
        let zone = query_as(day_zone::SELECT).fetch_all(&mut *transaction);
        let zone = bounded(CONNECT_TIMEOUT, zone).await;
        match zone {
            Ok(zone) => {
                transaction.commit().await.map_err(Failure::from)?;
                Ok(DayZone::of(zone))
            }
            Err(Failure::Sql(error)) if code(&error).as_deref() == Some(DENIED) => {
                abandon(transaction).await;
                self.is_zone_denied = true;
                Ok(DayZone::default())
            }
            Err(failure) => {
                abandon(transaction).await;
                Err(self.unread(failure).await)
            }
        }
    }

    /// Why an answer did not come.
    async fn unread(&mut self, failure: Failure) -> Unread {
        let (session, schema) = (&self.session, self.schema.as_deref());
        explained(&mut self.connection, session, schema, failure)
            .await
            .into()
    }

    /// Gives each row of an answer, within a time.
    pub(in crate::sinks::history) async fn ask(
        &mut self,
        statement: Statement,
        limit: Duration,
        each: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<(), Unread> {
        let arguments = arguments(statement.binds).map_err(Failure::from)?;
        let fields = statement.fields;
        let asked = async {
            let mut transaction = self
                .session
                .begin(&mut self.connection, Purpose::Read)
                .await?;
            let timeout = format!("SET LOCAL statement_timeout = {}", limit.as_millis());
            let asked = async {
                sqlx::raw_sql(AssertSqlSafe(timeout))
                    .execute(&mut *transaction)
                    .await?;
                let query = query_with(AssertSqlSafe(statement.sql), arguments);
                let mut rows = query.fetch(&mut *transaction);
                while let Some(row) = rows.try_next().await? {
                    let fields = fields.iter().enumerate();
                    let row: Result<_, sqlx::Error> = fields
                        .map(|(index, field)| value(&row, index, field.kind))
                        .collect();
                    each(row?);
                }
                Ok(())
            };
            let asked = asked.await;
            end(transaction, asked).await
        };
        match bounded(limit + PATIENCE, asked).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.unread(failure).await),
        }
    }
}

/// Any host that answers.
async fn standby(server: &Server) -> Option<PgConnection> {
    for host in server.hosts() {
        if let Ok(connection) = bounded(CONNECT_TIMEOUT, server.dial(host)).await {
            return Some(connection);
        }
    }
    None
}

fn value(row: &PgRow, index: usize, kind: Kind) -> Result<Value, sqlx::Error> {
    let value = match kind {
        Kind::Text => row.try_get::<Option<String>, _>(index)?.map(Value::Text),
        Kind::Time => {
            let text: Option<String> = row.try_get(index)?;
            text.map(|text| match text.parse::<Timestamp>() {
                Ok(time) => Value::Time(time),
                Err(_) => Value::Text(text),
            })
        }
        Kind::Number => row.try_get::<Option<f64>, _>(index)?.map(Value::Number),
        Kind::Integer => row.try_get::<Option<i64>, _>(index)?.map(Value::Integer),
        Kind::Boolean => row.try_get::<Option<bool>, _>(index)?.map(Value::Boolean),
    };
    Ok(value.unwrap_or(Value::Null))
}
