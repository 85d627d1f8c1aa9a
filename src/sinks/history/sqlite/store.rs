//! One transaction of a batch.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

use crate::faults::{self, Failpoint};
use crate::sinks::Batch;
use crate::sinks::history::look_up::load;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::rows::RowsStored;
use crate::sinks::history::store::fill;

/// Gives what became of the events. Where it fails, the recorder is to forget.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    sink: &str,
    batch: Batch<'_>,
) -> Result<RowsStored, sqlx::Error> {
    let mut transaction = begin(connection, recorder).await?;
    let stored = fill(&mut *transaction, recorder, sink, batch).await?;
    faults::reach(Failpoint::InHistory);
    transaction.commit().await?;
    faults::reach(Failpoint::AfterHistory);
    Ok(stored)
}

/// Begins a transaction that writes: IMMEDIATE, since one that begins by reading cannot wait for
/// another writer. Where somebody else has written since, the recorder begins with what is stored
/// now.
pub(super) async fn begin<'a>(
    connection: &'a mut SqliteConnection,
    recorder: &mut Recorder,
) -> Result<Transaction<'a, Sqlite>, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut *transaction)
        .await?;
    if !recorder.is_as_of(version) {
        load(&mut *transaction, recorder, version).await?;
    }
    Ok(transaction)
}
