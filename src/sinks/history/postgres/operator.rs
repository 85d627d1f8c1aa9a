//! What an operator changes in a Postgres history beside the daemon that writes it. Each step is a
//! transaction of its own, which takes its turn as a daemon's does: so the daemon sees that somebody
//! else has written, and begins with the rows that are there.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::connect::connect;
use super::failure::{Failure, LOCKED, bounded, code};
use super::insert::text_time;
use super::partitions::{Partitions, drop_before};
use super::place::explained;
use super::row_count::count;
use super::server::Server;
use super::session::{Purpose, Session, end, query, query_scalar};
use super::statements::Writing;
use super::{TURN, UPKEEP_TIMEOUT};
use crate::sinks::history::kept::STEP_ROWS;
use crate::sinks::history::statements::Statements;

/// A look at many events; longer than the server's own limit, so that its error is seen.
const LOOK_TIMEOUT: Duration = Duration::from_secs(100);
/// The server's own: a person waits, and the daemon does not wait for who only looks.
const LOOK_LIMIT: &str = "SET LOCAL statement_timeout = '90s'";

/// A connection that writes.
#[derive(Debug)]
pub(in crate::sinks::history) struct PostgresOperator {
    connection: PgConnection,
    session: Session,
    /// The server without its password.
    server: String,
    user: String,
    schema: Option<String>,
}

impl PostgresOperator {
    /// Connects to a server that takes rows.
    pub(in crate::sinks::history) async fn open(
        url: &str,
        folder: &Path,
        schema: Option<&str>,
    ) -> Result<PostgresOperator, String> {
        let server = Server::parse_quietly(url, folder)?;
        let connected = connect(&server).await;
        let (connection, _) =
            connected.map_err(|failure| format!("{server}: {}", failure.with_advice()))?;
        Ok(PostgresOperator {
            connection,
            session: Session::new(schema),
            server: server.to_string(),
            user: server.user().to_owned(),
            schema: schema.map(str::to_owned),
        })
    }

    /// Its server, without user and password.
    pub(in crate::sinks::history) fn server(&self) -> &str {
        &self.server
    }

    /// The command that copies the history to a file; it asks for the password.
    pub(in crate::sinks::history) fn dump(&self, to: &Path) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let schema = self
            .schema
            .as_deref()
            .map(|schema| format!(" --schema={}", quoted(schema)));
        format!(
            "pg_dump --format=custom --username={}{} --file={} {}",
            quoted(&self.user),
            schema.unwrap_or_default(),
            quoted(&to.to_string_lossy()),
            quoted(&self.server)
        )
    }

    /// Looks at as many rows as there are, and changes nothing.
    pub(in crate::sinks::history) async fn look<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Writing<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, String> {
        let looked = async {
            let mut transaction = self
                .session
                .begin(&mut self.connection, Purpose::Read)
                .await?;
            let limited = sqlx::raw_sql(LOOK_LIMIT).execute(&mut *transaction).await;
            let looked = match limited {
                Ok(_) => work(&mut Writing::few(&mut transaction)).await,
                Err(error) => Err(error),
            };
            end(transaction, looked).await
        };
        match bounded(LOOK_TIMEOUT, looked).await {
            Ok(looked) => Ok(looked),
            Err(failure) => Err(self.failed(failure).await),
        }
    }

    /// Why a command has failed, and what to do about it.
    async fn failed(&mut self, failure: Failure) -> String {
        let (session, schema) = (&self.session, self.schema.as_deref());
        let failure = explained(&mut self.connection, session, schema, failure).await;
        failure.of_operator()
    }

    /// Changes rows in one transaction, which has its turn as a daemon's has.
    pub(in crate::sinks::history) async fn change<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Writing<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, String> {
        let transacted = async {
            let mut transaction = self
                .session
                .begin(&mut self.connection, Purpose::Upkeep)
                .await?;
            let done = async {
                let mut on = Writing::few(&mut transaction);
                on.run(TURN, vec![]).await?;
                work(&mut on).await
            };
            let done = done.await;
            end(transaction, done).await
        };
        match bounded(UPKEEP_TIMEOUT, transacted).await {
            Ok(done) => Ok(done),
            Err(failure) => Err(self.failed(failure).await),
        }
    }

    /// Deletes some of the statuses that were received before a time; gives how many. A partition of
    /// which all is older goes whole.
    pub(in crate::sinks::history) async fn prune_some(
        &mut self,
        before: Timestamp,
    ) -> Result<u64, String> {
        const DELETE_OLD: &str = "DELETE FROM event AS e USING (SELECT received_at, sequence \
             FROM event WHERE received_at < $1::timestamptz ORDER BY received_at LIMIT $2) AS old \
             WHERE e.received_at = old.received_at AND e.sequence = old.sequence";
        const HAS_OLD: &str =
            "SELECT EXISTS (SELECT 1 FROM event WHERE received_at < $1::timestamptz)";
        let mut dropped = 0;
        while let Some(rows) = self.drop_oldest(before).await? {
            dropped += rows;
        }
        let has_old = async |on: &mut Writing<'_>| {
            let has_old = query_scalar::<bool>(HAS_OLD).bind(text_time(before));
            has_old.fetch_one(&mut *on.connection).await
        };
        if !self.look(has_old).await? {
            return Ok(dropped);
        }
        self.change(async |on| {
            let delete = query(DELETE_OLD).bind(text_time(before));
            let delete = delete.bind(i64::from(STEP_ROWS));
            let deleted = delete.execute(&mut *on.connection).await?;
            Ok(dropped + deleted.rows_affected())
        })
        .await
    }

    /// Drops the oldest partition, if all in it was received before; gives its rows. `None`: there
    /// is none, or somebody reads it, and its rows go one by one.
    async fn drop_oldest(&mut self, before: Timestamp) -> Result<Option<u64>, String> {
        // A daemon's batch waits for who has the turn: what takes long comes before.
        let counted = self.look(async |on| {
            let mut partitions = Partitions::new(None);
            partitions.load(on.connection).await?;
            match partitions.oldest_before(before) {
                Some(oldest) => count(on.connection, &oldest).await.map(Some),
                None => Ok(partitions.has_payloads_before(before).then_some(0)),
            }
        });
        let Some(rows) = counted.await? else {
            return Ok(None);
        };
        self.change(async |on| match drop_before(on.connection, before).await {
            Ok(dropped) => Ok(dropped.map(|_| rows)),
            Err(error) if code(&error).as_deref() == Some(LOCKED) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }
}
