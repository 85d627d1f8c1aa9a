//! Whether a server would store rows, without changing anything on it.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::connect::{CONNECT_TIMEOUT, connect};
use super::failure::{Failure, bounded};
use super::migrations::{assert_makeable, is_complete};
use super::partitions::Partitions;
use super::rights::Missing;
use super::server::Server;
use super::session::{Purpose, Session};
use crate::sinks::Answer;

/// What was found, in words for a person, and what deserves a look although rows are stored.
///
/// # Errors
/// It cannot be reached, or would store nothing.
pub(super) async fn probe(server: &Server, schema: Option<&str>) -> Result<Answer, Failure> {
    let (mut connection, _) = connect(server).await?;
    let session = Session::new(schema);
    bounded(CONNECT_TIMEOUT, tables(&mut connection, &session, schema)).await
}

async fn tables(
    connection: &mut PgConnection,
    session: &Session,
    schema: Option<&str>,
) -> Result<Answer, Failure> {
    let is_complete = is_complete(connection, session).await;
    let mut transaction = session.begin(connection, Purpose::Read).await?;
    let found = match is_complete {
        Ok(true) => usable(&mut transaction).await,
        // Which right that is, and which others are missing.
        Err(denial) if denial.is_denied() => match Missing::read(&mut transaction).await {
            Ok(missing) if !missing.is_empty() => Err(missing.into()),
            _ => Err(denial),
        },
        Err(failure) => Err(failure),
        Ok(false) => {
            let makeable = assert_makeable(&mut transaction, schema).await;
            makeable.map(|()| Answer {
                text: "the daemon can make its tables".to_owned(),
                advice: None,
            })
        }
    };
    // It has changed nothing, however it ends.
    transaction.rollback().await?;
    found
}

/// What may be done with tables that are there.
async fn usable(connection: &mut PgConnection) -> Result<Answer, Failure> {
    let missing = Missing::read(connection).await?;
    if !missing.lets_store(true) {
        return Err(missing.into());
    }
    let mut partitions = Partitions::new(None);
    partitions.load(connection).await?;
    if !missing.lets_store(!partitions.lacks(Timestamp::now())) {
        return Err(missing.into());
    }
    let rights = (!missing.is_empty()).then(|| format!("{missing}; {}", missing.advice()));
    let problem = partitions.problem().map(str::to_owned);
    let advice: Vec<String> = problem.into_iter().chain(rights).collect();
    Ok(Answer {
        text: "its tables are those of this version".to_owned(),
        advice: (!advice.is_empty()).then(|| advice.join("; ")),
    })
}
