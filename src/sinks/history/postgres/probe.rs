//! Whether a server would store rows, without changing anything on it.

use sqlx::postgres::PgConnection;

use super::connect::{CONNECT_TIMEOUT, connect};
use super::failure::{Failure, bounded};
use super::migrations::is_complete;
use super::partitions;
use super::server::Server;
use super::session::{Purpose, Session, query_as};

/// Whether our role may make tables where they are to be: `$1`, or where the server looks first.
/// NULL: there is no such schema.
const MAY_MAKE: &str = "SELECT (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace \
     WHERE nspname = coalesce($1, current_schema())), \
     has_database_privilege(current_database(), 'CREATE')";

/// What was found, in words for a person.
///
/// # Errors
/// It cannot be reached, or would store nothing.
pub(super) async fn probe(server: &Server, schema: Option<&str>) -> Result<String, Failure> {
    let (mut connection, _) = connect(server).await?;
    let session = Session::new(schema);
    bounded(CONNECT_TIMEOUT, tables(&mut connection, &session, schema)).await
}

async fn tables(
    connection: &mut PgConnection,
    session: &Session,
    schema: Option<&str>,
) -> Result<String, Failure> {
    let is_complete = is_complete(connection, session).await?;
    let mut transaction = session.begin(connection, Purpose::Store).await?;
    if is_complete {
        let problem = partitions::problem(&mut transaction).await?;
        transaction.commit().await?;
        let tables = "its tables are those of this version";
        return Ok(match problem {
            Some(problem) => format!("{tables}, but {problem}"),
            None => tables.to_owned(),
        });
    }
    let (in_schema, in_database): (Option<bool>, bool) = query_as(MAY_MAKE)
        .bind(schema.map(str::to_owned))
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    match in_schema.unwrap_or(in_database) {
        true => Ok("the daemon can make its tables".to_owned()),
        false => Err(Failure::ReadOnly(
            "its tables are not there, and the user may make none: grant it CREATE on the schema, \
             or on the database where the schema is not there",
        )),
    }
}
