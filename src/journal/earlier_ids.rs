//! The rows of the ids that a journal had before it was restored from a backup.

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::error::failed;
use super::{Error, file};
use crate::model::{JournalIds, Position};

/// The ids of the journal, whichever they were.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<JournalIds, Error> {
    // A running daemon of an older version has no such table.
    const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'earlier_id')";
    const EARLIER: &str = "SELECT through, uuid FROM earlier_id ORDER BY through";
    let now = file::read_id(&mut *connection).await?;
    let is_there: bool = sqlx::query_scalar(IS_THERE)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("read its earlier ids"))?;
    let rows: Vec<(i64, String)> = match is_there {
        true => sqlx::query_as(EARLIER).fetch_all(connection).await,
        false => Ok(Vec::new()),
    }
    .map_err(failed("read its earlier ids"))?;
    let earlier = rows.into_iter().map(|(through, id)| {
        let id = Uuid::parse_str(&id);
        id.map(|id| (Position(through), id))
            .map_err(|error| failed("read its earlier ids")(sqlx::Error::Decode(error.into())))
    });
    Ok(JournalIds::new(now, earlier.collect::<Result<_, _>>()?))
}

/// From `head` on the journal has another id than now.
pub(super) async fn keep(connection: &mut SqliteConnection, head: Position) -> Result<(), Error> {
    // Where nothing came since the last restore, the id before has given no position.
    const KEEP: &str = "INSERT INTO earlier_id (through, uuid) SELECT ?1, uuid FROM journal \
         WHERE ?1 > coalesce((SELECT max(through) FROM earlier_id), 0)";
    let kept = sqlx::query(KEEP).bind(head.0).execute(connection).await;
    kept.map(drop).map_err(failed("keep its id"))
}

/// Every entry is to have the id of now.
pub(super) async fn forget(connection: &mut SqliteConnection) -> Result<(), Error> {
    let forgotten = sqlx::query("DELETE FROM earlier_id").execute(connection);
    forgotten
        .await
        .map(drop)
        .map_err(failed("forget its earlier ids"))
}
