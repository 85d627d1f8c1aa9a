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

/// Who asks, where, whether a schema may be made there, and for which one, as SQL writes them.
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

/// What the server says of them.
struct Seen {
    /// Those that are there.
    places: Vec<Place>,
    user: String,
    database: String,
    may_make_schema: bool,
    /// The one that the configuration names.
    named: Option<String>,
}

async fn look(connection: &mut PgConnection, schema: Option<&str>) -> Result<Seen, sqlx::Error> {
    let rows: Vec<(String, bool, bool, bool, Vec<String>)> = query_as(PLACES)
        .bind(schema.map(str::to_owned))
        .bind(MIGRATIONS_TABLE)
        .bind(rights::made_tables())
        .fetch_all(&mut *connection)
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
    let (user, database, may_make_schema, named) = query_as(WHO)
        .bind(schema.map(str::to_owned))
        .fetch_one(connection)
        .await?;
    Ok(Seen {
        places: places.collect(),
        user,
        database,
        may_make_schema,
        named,
    })
}

impl Seen {
    /// The schema whose tables our role does not see.
    fn hidden(&self) -> Option<Unusable> {
        let there = self.places.iter().find(|place| place.has_migrations);
        let hidden = there.filter(|place| !place.has_usage)?;
        Some(Unusable::Hidden {
            schema: hidden.schema.clone(),
            user: self.user.clone(),
        })
    }

    /// Why tables that may be there are not seen; `None`: they would be seen.
    fn unseen(self) -> Option<Unusable> {
        match (self.hidden(), self.named) {
            (None, Some(schema)) if self.places.is_empty() => Some(Unusable::NoSchema {
                database: self.database,
                schema,
            }),
            (hidden, _) => hidden,
        }
    }
}

/// Says why the first table could not be made, as far as that is known before.
///
/// # Errors
/// It could not, or the server does not say.
pub(super) async fn assert_makeable(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<(), Failure> {
    let seen = look(connection, schema).await?;
    if let Some(hidden) = seen.hidden() {
        return Err(hidden.into());
    }
    let Seen {
        mut places,
        user,
        database,
        may_make_schema,
        named,
    } = seen;
    // Where the server would make them: it passes over schemas without USAGE.
    let first = places.iter().position(|place| place.has_usage);
    if places.is_empty() {
        return match named {
            Some(schema) if !may_make_schema => Err(Failure::from(Unusable::MayMakeNoSchema {
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
        let seen = look(&mut transaction, schema).await;
        end(transaction, seen).await
    };
    match bounded(CONNECT_TIMEOUT, looked).await {
        Ok(seen) => seen.unseen().map_or(failure, Failure::from),
        // What the server has said first is what is known.
        Err(_) => failure,
    }
}
