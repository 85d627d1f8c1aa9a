//! Makes the tables, where they are not there. sqlx's own runner would name its statements and hold
//! a lock of the session, which a pooler in transaction mode does not give back; and it makes its
//! table each time, which a role without CREATE may not. Its table is the same.

use sqlx::AssertSqlSafe;
use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::PgConnection;

use super::super::migration::{Applied, Layout, MIGRATIONS_TABLE, layout};
use super::failure::Failure;
use super::place;
use super::session::{Purpose, Session, abandon, query, query_as, query_scalar, quoted};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/history_postgres");

/// Of a lock that holds until the end of the transaction, in this database: `stompbri` in bytes.
const LOCK: i64 = 0x7374_6f6d_7062_7269;

/// Makes what is missing, as one transaction. Where nothing is, it only looks.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    session: &Session,
    schema: Option<&str>,
) -> Result<(), Failure> {
    if is_complete(connection, session).await? {
        return Ok(());
    }
    let mut transaction = session.begin(connection, Purpose::Migrate).await?;
    match make(&mut transaction, schema).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(failure) => {
            abandon(transaction).await;
            Err(failure)
        }
    }
}

/// Whether nothing is missing.
///
/// # Errors
/// The tables are another version's, or the server does not say.
pub(super) async fn is_complete(
    connection: &mut PgConnection,
    session: &Session,
) -> Result<bool, Failure> {
    let mut transaction = session.begin(connection, Purpose::Store).await?;
    let applied = applied(&mut transaction).await;
    transaction.commit().await?;
    Ok(missing(applied?.as_ref())?.is_empty())
}

/// Makes what is missing, within a transaction.
pub(super) async fn make(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<(), Failure> {
    query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    // Another daemon may have made them meanwhile.
    let applied = applied(connection).await?;
    if !is_begun(applied.as_ref()) {
        place::assert_makeable(connection, schema).await?;
    }
    if let Some(schema) = schema {
        make_schema(connection, schema).await?;
    }
    if applied.is_none() {
        make_table(connection).await?;
    }
    for migration in missing(applied.as_ref())? {
        sqlx::raw_sql(migration.sql.clone())
            .execute(&mut *connection)
            .await?;
        record(connection, migration).await?;
    }
    Ok(())
}

/// Says why what is missing could not be made, as far as that is known before.
///
/// # Errors
/// It could not, or the server does not say.
pub(super) async fn assert_makeable(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<(), Failure> {
    match is_begun(applied(connection).await?.as_ref()) {
        true => Ok(()),
        false => place::assert_makeable(connection, schema).await,
    }
}

/// Whether some are made.
fn is_begun(applied: Option<&Applied>) -> bool {
    applied.is_some_and(|applied| !applied.is_empty())
}

/// `None`: there is no table of them. It reads pg_class, since to_regclass may answer from before
/// the lock was ours.
async fn applied(connection: &mut PgConnection) -> Result<Option<Applied>, sqlx::Error> {
    let sql =
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND pg_table_is_visible(oid))";
    let exists: bool = query_scalar(sql)
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    let sql = format!("SELECT version, checksum FROM {MIGRATIONS_TABLE} WHERE success");
    let rows: Vec<(i64, Vec<u8>)> = query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(Some(rows.into_iter().collect()))
}

/// What is still to be made, in order. One that we do not know as it was made is another version's.
fn missing(applied: Option<&Applied>) -> Result<Vec<&'static Migration>, Failure> {
    let none = Applied::new();
    let applied = applied.unwrap_or(&none);
    match layout(applied, &MIGRATIONS) {
        Layout::Another => return Err(Failure::Layout),
        Layout::Newer => return Err(Failure::Newer),
        Layout::Ours => {}
    }
    let missing = MIGRATIONS.iter();
    Ok(missing
        .filter(|migration| !applied.contains_key(&migration.version))
        .collect())
}

/// CREATE SCHEMA wants its right even where IF NOT EXISTS has nothing to do.
async fn make_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let exists: bool = query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        let sql = format!("CREATE SCHEMA {}", quoted(schema));
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// As sqlx 0.9.0 makes it.
async fn make_table(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = format!(
        "CREATE TABLE {MIGRATIONS_TABLE} (version bigint PRIMARY KEY, description text NOT NULL, \
         installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, \
         checksum bytea NOT NULL, execution_time bigint NOT NULL)"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?;
    Ok(())
}

/// -1: nobody has measured it, as sqlx says it before it does.
async fn record(connection: &mut PgConnection, migration: &Migration) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO {MIGRATIONS_TABLE} (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, true, $3, -1)"
    );
    query(AssertSqlSafe(sql))
        .bind(migration.version)
        .bind(migration.description.as_ref())
        .bind(migration.checksum.as_ref())
        .execute(connection)
        .await?;
    Ok(())
}
