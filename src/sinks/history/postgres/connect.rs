//! Tries the hosts of a server in turn, until one stores what histories hold.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::failure::{Failure, bounded};
use super::server::{Host, Server, Wanted};

/// Dialling a host, TLS, signing in, and a question.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, and the encoding of the database behind it.
pub(super) async fn connect(server: &Server) -> Result<(PgConnection, String), Failure> {
    let mut failures = Vec::new();
    for host in server.hosts() {
        match bounded(CONNECT_TIMEOUT, reach(server, host)).await {
            Ok(connected) => return Ok(connected),
            Err(failure) => failures.push((host.to_string(), failure)),
        }
    }
    match failures.pop() {
        Some((_, failure)) if failures.is_empty() => Err(failure),
        last => Err(Failure::NoHost(failures.into_iter().chain(last).collect())),
    }
}

/// Asks without parameters, so that a pooler needs no transaction for it.
const QUESTION: &str = "SELECT pg_is_in_recovery()::text AS standby, \
     current_setting('transaction_read_only') AS read_only, \
     current_setting('server_encoding') AS encoding";

async fn reach(server: &Server, host: &Host) -> Result<(PgConnection, String), Failure> {
    let mut connection = server.dial(host).await?;
    let row = sqlx::raw_sql(QUESTION).fetch_one(&mut connection).await?;
    let text = |column: &str| row.try_get::<String, _>(column);
    let (standby, read_only) = (text("standby")? == "true", text("read_only")? == "on");
    let encoding = text("encoding")?;
    match server.wanted() {
        Wanted::ReadWrite | Wanted::Primary if standby => {
            return Err(Failure::ReadOnly("the server is a standby"));
        }
        Wanted::ReadWrite if read_only => {
            return Err(Failure::ReadOnly("the server is read-only"));
        }
        Wanted::Any | Wanted::ReadWrite | Wanted::Primary => {}
    }
    match repertoire(&encoding) {
        Repertoire::Poor => Err(Failure::Encoding(encoding)),
        Repertoire::Language | Repertoire::All => Ok((connection, encoding)),
    }
}

/// How many of the characters that devices send a database can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repertoire {
    /// All of them.
    All,
    /// One language's: a status with another one is refused.
    Language,
    /// A few hundred.
    Poor,
}

/// By the encodings of <https://www.postgresql.org/docs/current/multibyte.html>. SQL_ASCII keeps
/// every byte as it is sent.
pub(super) fn repertoire(encoding: &str) -> Repertoire {
    match encoding {
        "UTF8" | "SQL_ASCII" => Repertoire::All,
        "MULE_INTERNAL" => Repertoire::Language,
        _ if encoding.starts_with("EUC_") => Repertoire::Language,
        _ => Repertoire::Poor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_of_one_alphabet_is_too_poor() {
        for (encoding, expected) in [
            ("UTF8", Repertoire::All),
            ("SQL_ASCII", Repertoire::All),
            ("EUC_CN", Repertoire::Language),
            ("EUC_JIS_2004", Repertoire::Language),
            ("LATIN1", Repertoire::Poor),
            ("WIN1252", Repertoire::Poor),
        ] {
            assert_eq!(repertoire(encoding), expected, "{encoding}");
        }
    }
}
