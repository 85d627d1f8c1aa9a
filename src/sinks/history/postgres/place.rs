//! In which schema the tables are, or would be made, and why our role sees or makes none there. It
//! only looks: the server's own words for all of these are that a relation does not exist.

use sqlx::postgres::PgConnection;

use super::super::migration::MIGRATIONS_TABLE;
use super::connect::CONNECT_TIMEOUT;
use super::failure::{Failure, bounded};
use super::rights;
use super::session::{Purpose, Session, end, query_as};
use super::unusable::Unusable;

/// The schema `$1`, or those that the server looks in, in its order. `$2`: the table of migrations;
/// `$3`: the other tables.
const PLACES: &str = "SELECT quote_ident(n.nspname), has_schema_privilege(n.oid, 'USAGE'), \
         has_schema_privilege(n.oid, 'CREATE'), \
         EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = $2), \
         ARRAY(SELECT relname::text FROM pg_class \
             WHERE relnamespace = n.oid AND relname = ANY($3) ORDER BY 1) \
     FROM unnest(CASE WHEN $1::text IS NOT NULL THEN ARRAY[$1::text] \
             ELSE string_to_array(current_setting('search_path'), ',') END) \
         WITH ORDINALITY AS p (name, number) \
     JOIN pg_namespace AS n ON n.nspname = CASE WHEN $1::text IS NOT NULL THEN $1::text \
         WHEN btrim(p.name, ' \"') = '$user' THEN current_user::text ELSE btrim(p.name, ' \"') END \
     ORDER BY p.number";

/// Who asks, where, and for which schema, as SQL writes them.
const WHO: &str = "SELECT quote_ident(current_user), quote_ident(current_database()), \
     has_database_privilege(current_database(), 'CREATE'), quote_ident($1)";

/// A schema, and what our role finds there.
struct Place {
    schema: String,
    has_usage: bool,
    has_create: bool,
    has_migrations: bool,
    tables: Vec<String>,
}

/// Those that are there.
async fn places(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<Vec<Place>, sqlx::Error> {
    let rows: Vec<(String, bool, bool, bool, Vec<String>)> = query_as(PLACES)
        .bind(schema.map(str::to_owned))
        .bind(MIGRATIONS_TABLE)
        .bind(rights::made_tables())
        .fetch_all(connection)
        .await?;
    let places =
        rows.into_iter().map(
            |(schema, has_usage, has_create, has_migrations, tables)| Place {
                schema,
                has_usage,
                has_create,
                has_migrations,
                tables,
            },
        );
    Ok(places.collect())
}

/// Our role, the database, and the schema, as SQL writes them; whether a schema may be made.
async fn who(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<(String, String, bool, Option<String>), sqlx::Error> {
    query_as(WHO)
        .bind(schema.map(str::to_owned))
        .fetch_one(connection)
        .await
}

/// Why tables that may be there are not seen; `None`: they would be seen.
async fn unseen(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<Option<Unusable>, sqlx::Error> {
    let places = places(connection, schema).await?;
    let (user, database, _, named) = who(connection, schema).await?;
    if let Some(schema) = named.filter(|_| places.is_empty()) {
        return Ok(Some(Unusable::NoSchema { database, schema }));
    }
    let there = places.into_iter().find(|place| place.has_migrations);
    let hidden = there.filter(|place| !place.has_usage);
    Ok(hidden.map(|Place { schema, .. }| Unusable::Hidden { schema, user }))
}

/// Says why the first table could not be made, as far as that is known before.
///
/// # Errors
/// It could not, or the server does not say.
pub(super) async fn assert_makeable(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<(), Failure> {
    if let Some(hidden @ Unusable::Hidden { .. }) = unseen(connection, schema).await? {
        return Err(hidden.into());
    }
    let mut places = places(connection, schema).await?;
    let (user, database, may_make, named) = who(connection, schema).await?;
    // Where the server would make them: it passes over schemas without USAGE.
    let first = places.iter().position(|place| place.has_usage);
    if places.is_empty() {
        return match named {
            Some(schema) if !may_make => Err(Failure::from(Unusable::MayMakeNoSchema {
                database,
                schema,
                user,
            })),
            // It will be made; or the server finds none to make them in, and says so.
            _ => Ok(()),
        };
    }
    let place = places.swap_remove(first.unwrap_or_default());
    let schema = place.schema;
    if !place.tables.is_empty() {
        let tables = place.tables.join(", ");
        return Err(Unusable::Foreign { schema, tables }.into());
    }
    let lacks = match (place.has_usage, place.has_create) {
        (true, true) => return Ok(()),
        (false, true) => "USAGE",
        (true, false) => "CREATE",
        (false, false) => "USAGE, CREATE",
    };
    Err(Failure::from(Unusable::MayMakeNone {
        schema,
        user,
        lacks,
    }))
}

/// The failure; or, where the server has missed a table only since our role does not see it, that.
pub(super) async fn explained(
    connection: &mut PgConnection,
    session: &Session,
    schema: Option<&str>,
    failure: Failure,
) -> Failure {
    if !failure.misses_tables() {
        return failure;
    }
    let looked = async {
        let mut transaction = session.begin(connection, Purpose::Read).await?;
        let unseen = unseen(&mut transaction, schema).await;
        end(transaction, unseen).await
    };
    match bounded(CONNECT_TIMEOUT, looked).await {
        Ok(Some(unusable)) => unusable.into(),
        // What the server has said first is what is known.
        Ok(None) | Err(_) => failure,
    }
}
