//! What can go wrong with a server, whose fault it is, and what to do about it.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::time::timeout;

use super::super::migration::{ANOTHER_LAYOUT, NEWER_LAYOUT};
use super::super::words::words;
use super::rights::Missing;
use super::unusable::Unusable;

/// What can go wrong in a bounded call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}", words(.0))]
    Sql(#[from] sqlx::Error),
    /// Says what to do.
    #[error("{0}")]
    Tls(String),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// Tables of another version, or not of ours.
    #[error(
        "{}: begin a new database, or a new `schema`; the journal fills it as far as it reaches",
        ANOTHER_LAYOUT
    )]
    Layout,
    /// Tables of this version, and what a later one has added.
    #[error(
        "{}, or begin a new database, or a new `schema`; the journal fills it as far as it reaches",
        NEWER_LAYOUT
    )]
    Newer,
    /// The server's encoding, which holds too few characters.
    #[error("the database has the encoding {0}, which lacks most of the world's characters")]
    Encoding(String),
    /// It answers, and stores nothing; why.
    #[error("{0}")]
    ReadOnly(&'static str),
    /// There are no tables that our role can use.
    #[error("{0}")]
    Unusable(#[from] Unusable),
    /// Our role lacks rights on the tables, or some are gone.
    #[error("{0}")]
    Rights(Box<Missing>),
    /// Of several hosts, each with what it says.
    #[error("no host stores rows: {}", each(.0))]
    NoHost(Vec<(String, Failure)>),
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Failure {
        Failure::Rights(Box::new(missing))
    }
}

impl Failure {
    /// Our role lacks a right.
    pub(super) fn is_denied(&self) -> bool {
        state(self).as_deref() == Some(DENIED)
    }

    /// The server finds no such table, function or schema: maybe our role does not see it.
    pub(super) fn misses_tables(&self) -> bool {
        state(self).is_some_and(|state| MISSED.contains(&state.as_str()))
    }

    /// The server has answered, and goes on: the connection is as good as before.
    pub(super) fn is_answer(&self) -> bool {
        let Failure::Sql(error) = self else {
            return false;
        };
        let error = error.as_database_error();
        let error = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        error.is_some_and(|error| error.severity() == PgSeverity::Error)
    }

    /// It, where something beside the batches has failed, and what to do about it.
    pub(super) fn of_upkeep(&self) -> String {
        match state(self).as_deref() {
            Some("42501") => format!(
                "{self}; grant the user DELETE on the tables, beside SELECT, INSERT and UPDATE, and \
                 EXECUTE on the functions bridge_make_partition and bridge_drop_before"
            ),
            _ => self.with_advice(),
        }
    }

    /// It, where an operator's command has failed, and what to do about it.
    pub(super) fn of_operator(&self) -> String {
        match state(self).as_deref() {
            Some("42501") => format!(
                "{self}; the command needs more rights than the daemon: grant the user SELECT on all \
                 tables, UPDATE on bridge_writer, INSERT and UPDATE on history_setting, EXECUTE on \
                 the function bridge_drop_before, and DELETE on event, event_key_seen, payload, \
                 profile, device_row, state_interval_row and state_daily_row"
            ),
            _ => self.with_advice(),
        }
    }

    /// It, and what to do about it.
    pub(super) fn with_advice(&self) -> String {
        match self {
            Failure::Unusable(unusable) => format!("{self}; {}", unusable.advice()),
            Failure::Rights(missing) if missing.gone.is_empty() => {
                format!("{self}; {}", missing.advice())
            }
            _ => match advice(self) {
                Some(advice) => format!("{self}; {advice}"),
                None => self.to_string(),
            },
        }
    }
}

fn each(hosts: &[(String, Failure)]) -> String {
    let each = hosts
        .iter()
        .map(|(host, failure)| format!("{host}: {}", failure.with_advice()));
    each.collect::<Vec<_>>().join(" | ")
}

/// A call that ends, whatever the server does.
pub(super) async fn bounded<T, E: Into<Failure>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(Failure::Silent(limit)),
    }
}

/// The SQLSTATE, where the server itself reported the error.
fn state(failure: &Failure) -> Option<String> {
    let Failure::Sql(error) = failure else {
        return None;
    };
    code(error)
}

/// The same of sqlx's error.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// An event is there already, maybe since this moment. Or the table has row-level security, which
/// takes no COPY.
pub(super) fn only_insert_can(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["23505", "0A000"].contains(&code.as_str()))
}

/// A row has no partition: somebody has dropped it since it was known. A CHECK has the same code, and
/// a name.
pub(super) fn lacks_partition(error: &sqlx::Error) -> bool {
    let named = |error: &sqlx::Error| error.as_database_error()?.constraint().map(str::to_owned);
    code(error).is_some_and(|code| code == "23514") && named(error).is_none()
}

/// PostgreSQL's insufficient_privilege.
pub(super) const DENIED: &str = "42501";

/// Its undefined_table, undefined_function and invalid_schema_name.
pub(super) const MISSED: [&str; 3] = ["42P01", "42883", "3F000"];

const DISK_FULL: &str = "the server's disk is full: free some space";

const RESTORE: &str =
    "the tables are not as stomp-bridge made them: restore them or use another database";

/// What PostgreSQL says where another session holds a lock.
pub(super) const LOCKED: &str = "55P03";

/// Another session holds a lock.
pub(super) fn is_locked(failure: &Failure) -> bool {
    state(failure).as_deref() == Some(LOCKED)
}

/// Whose fault it is that rows are refused, which another attempt cannot mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An event's own: its data (class 22, such as a character that the encoding lacks), or their
    /// size (class 54, such as a too long index key). The tables are well.
    Event,
    /// Maybe the tables': a constraint (class 23) that somebody may have added.
    Tables,
}

/// The fault, if this is a refusal of rows.
pub(super) fn fault(failure: &Failure) -> Option<Fault> {
    let state = state(failure)?;
    match state.get(..2)? {
        "22" | "54" => Some(Fault::Event),
        "23" => Some(Fault::Tables),
        _ => None,
    }
}

/// What to do about it, by <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn advice(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::Encoding(_) => {
            return Some(
                "create one with ENCODING 'UTF8', and name it in `url`; nothing is stored until then",
            );
        }
        Failure::ReadOnly(_) => return Some("name the primary in `url`"),
        Failure::Rights(_) => return Some(RESTORE),
        _ => {}
    }
    let state = state(failure)?;
    match (state.get(..2)?, state.as_str()) {
        _ if finds_no_room(failure) => Some(DISK_FULL),
        (_, "28000") => Some(
            "check user and database in `url`, and the server's pg_hba.conf: it may want TLS \
             (sslmode) or a client certificate (sslcert, sslkey)",
        ),
        ("28", _) => Some("check user and password in `url`"),
        (_, "3F000") => Some("create the schema, or grant the user USAGE and CREATE on it"),
        ("3D", _) => Some("create the database, or name another one in `url`"),
        (_, "42501") => Some(
            "grant the user SELECT, INSERT, UPDATE and DELETE on the tables, and EXECUTE on the \
             functions bridge_make_partition and bridge_drop_before: `stomp-bridge doctor` names \
             what it lacks",
        ),
        (_, "53100") => Some(DISK_FULL),
        (_, "53300") => {
            Some("the server has no free connection: raise max_connections or close some")
        }
        (_, "55P03") => {
            Some("another session holds a lock on the tables: see pg_locks, and end it")
        }
        (_, "40P01") => Some("another session writes our tables in another order: it should not"),
        (_, "57014") => Some("the server is overloaded, or its statement_timeout too short"),
        (_, "25006") => Some("this server is read-only: name the primary in `url`"),
        (_, "42P05" | "26000") => Some(
            "a pooler stands between, and does not keep a transaction on one connection of the \
             server: let it pool by transaction or session, or name the server itself in `url`",
        ),
        (_, "08P01") if asks_at_the_start(failure) => Some(
            "a pooler stands between, and does not pass this on: remove `options` from `url`; \
             `schema` replaces options[search_path]",
        ),
        (_, "08P01") => Some(
            "a pooler stands between: see its log; it has to pool by transaction or session, not \
             by statement",
        ),
        ("42" | "0A", _) => Some(RESTORE),
        _ => None,
    }
}

/// What a new session says where the server's disk is full, under another SQLSTATE.
fn finds_no_room(failure: &Failure) -> bool {
    failure.to_string().contains("could not write init file")
}

/// What pgbouncer says of a setting that a client sends as it connects.
fn asks_at_the_start(failure: &Failure) -> bool {
    failure.to_string().contains("startup parameter")
}
