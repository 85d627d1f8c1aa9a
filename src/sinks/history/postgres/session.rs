//! Transactions and statements that leave nothing behind on the server. A connection pooler in
//! transaction mode, such as pgbouncer, may stand between: it gives each transaction of ours to any
//! of its connections, and other programs get the same ones afterwards. So nothing is set, prepared
//! or locked for longer than a transaction, and a statement with parameters is always within one.

use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr, Transaction};

/// The server keeps its notices. Nobody reads a trigger's notices while a COPY is sent, so the
/// server would wait.
const QUIET: &str = "SET LOCAL client_min_messages = error";

/// What a transaction is for. The server gives up a statement that takes too long, and a transaction
/// whose client has vanished (a power cut, a cable): so neither holds a lock that our next connection
/// needs. A lock that somebody else holds is said by its name, sooner.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Rows of a batch.
    Store,
    /// What is done beside the batches, which would wait for it: the server gives it up before we
    /// do, and says why.
    Upkeep,
    /// Making the tables, which waits for another daemon that does the same.
    Migrate,
    /// A person's question, which ends before the person wonders; it can change nothing.
    Read,
}

impl Purpose {
    const fn begins(self) -> &'static str {
        match self {
            Purpose::Read => "BEGIN READ ONLY",
            Purpose::Store | Purpose::Upkeep | Purpose::Migrate => "BEGIN",
        }
    }

    /// Seconds for a statement, and for a lock.
    const fn limits(self) -> (u8, u8) {
        match self {
            Purpose::Store | Purpose::Read => (30, 10),
            Purpose::Upkeep => (10, 8),
            Purpose::Migrate => (55, 55),
        }
    }
}

/// Rows are looked up by the thousand, each by an index. The planner takes a page anywhere to be four
/// times as dear as the next one: it would read a whole table into a hash, for each batch.
const BY_INDEX: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
     SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// How transactions of ours begin.
#[derive(Debug)]
pub(super) struct Session {
    /// The end of each beginning.
    path: String,
}

impl Session {
    /// Of a history whose tables are in this schema; `None`: where the server looks first.
    pub(super) fn new(schema: Option<&str>) -> Session {
        let path = schema.map_or_else(String::new, |schema| {
            format!("; SET LOCAL search_path = {}", quoted(schema))
        });
        Session { path }
    }

    /// Begins a transaction.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
        purpose: Purpose,
    ) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
        connection
            .begin_with(AssertSqlSafe(self.beginning(purpose)))
            .await
    }

    fn beginning(&self, purpose: Purpose) -> String {
        let (statement, lock) = purpose.limits();
        let plans = match purpose {
            Purpose::Store => format!("; {BY_INDEX}"),
            Purpose::Upkeep | Purpose::Migrate | Purpose::Read => String::new(),
        };
        format!(
            "{}; SET LOCAL statement_timeout = '{statement}s'; SET LOCAL lock_timeout = '{lock}s'; \
             SET LOCAL idle_in_transaction_session_timeout = '60s'; {QUIET}{plans}{}",
            purpose.begins(),
            self.path
        )
    }
}

/// Ends a transaction that failed, at once: until then a pooler lends its connection to nobody else.
pub(super) async fn abandon(transaction: Transaction<'_, Postgres>) {
    // A connection that cannot do it is of no use to anybody.
    let _ = transaction.rollback().await;
}

/// Commits a transaction of which all went well, and abandons another one.
pub(super) async fn end<T>(
    transaction: Transaction<'_, Postgres>,
    outcome: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    match outcome {
        Ok(value) => transaction.commit().await.map(|()| value),
        Err(error) => {
            abandon(transaction).await;
            Err(error)
        }
    }
}

/// A name as SQL writes it, whatever it holds.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A statement with its parameters.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// A statement without a name on the server, for use within a transaction.
pub(super) fn query(sql: impl SqlSafeStr) -> Statement {
    sqlx::query(sql).persistent(false)
}

/// The same with its parameters.
pub(super) fn query_with(sql: impl SqlSafeStr, arguments: PgArguments) -> Statement {
    sqlx::query_with(sql, arguments).persistent(false)
}

/// The same, for the rows as tuples.
pub(super) fn query_as<Row>(sql: impl SqlSafeStr) -> QueryAs<'static, Postgres, Row, PgArguments>
where
    Row: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// The same, for the first column.
pub(super) fn query_scalar<Value>(
    sql: impl SqlSafeStr,
) -> QueryScalar<'static, Postgres, Value, PgArguments>
where
    (Value,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_searched_alone_and_no_name_ends_the_statement() {
        let ends = |schema| {
            let beginning = Session::new(schema).beginning(Purpose::Store);
            let (_, path) = beginning.rsplit_once("; ").unwrap_or_default();
            path.to_owned()
        };
        assert_eq!(ends(None), "SET LOCAL jit = off");
        assert_eq!(ends(Some("bridge")), "SET LOCAL search_path = \"bridge\"");
        assert_eq!(ends(Some("a\"b")), "SET LOCAL search_path = \"a\"\"b\"");
    }

    #[test]
    fn everything_that_is_set_ends_with_its_transaction() {
        let session = Session::new(Some("bridge"));
        for (purpose, first) in [
            (Purpose::Store, "BEGIN"),
            (Purpose::Upkeep, "BEGIN"),
            (Purpose::Migrate, "BEGIN"),
            (Purpose::Read, "BEGIN READ ONLY"),
        ] {
            let beginning = session.beginning(purpose);
            let mut parts = beginning.split("; ");
            assert_eq!(parts.next(), Some(first));
            assert!(
                parts.all(|part| part.starts_with("SET LOCAL ")),
                "{beginning}"
            );
        }
    }
}
