//! One transaction of a batch.

use sqlx::postgres::PgConnection;

use super::TURN;
use super::failure::{lacks_partition, only_insert_can};
use super::partitions::{Partitions, count_too_old};
use super::session::{Purpose, Session, abandon, query_scalar};
use super::statements::{Way, Writing};
use crate::faults::{self, Failpoint};
use crate::sinks::Batch;
use crate::sinks::history::look_up::load;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::rows::RowsStored;
use crate::sinks::history::store;

/// One transaction; another one by INSERT where COPY is not the way, or where somebody has dropped a
/// partition. Gives the way for the next batch, and what became of the events. `batch`: of the sink
/// of this name.
pub(super) async fn store(
    connection: &mut PgConnection,
    session: &Session,
    memory: (&mut Recorder, &mut Partitions),
    batch: (&str, Batch<'_>),
    way: Way,
) -> Result<(Way, RowsStored), sqlx::Error> {
    let (recorder, partitions) = memory;
    match transact(connection, session, (recorder, partitions), batch, way).await {
        Err(error) if way == Way::Copy && only_insert_can(&error) => {
            let memory = (recorder, partitions);
            let rows = transact(connection, session, memory, batch, Way::Insert).await?;
            Ok((Way::Insert, rows))
        }
        Err(error) if lacks_partition(&error) => {
            let memory = (recorder, partitions);
            let rows = transact(connection, session, memory, batch, way).await?;
            Ok((way, rows))
        }
        Err(error) => Err(error),
        Ok(rows) => Ok((way, rows)),
    }
}

/// All of it, or nothing.
async fn transact(
    connection: &mut PgConnection,
    session: &Session,
    (recorder, partitions): (&mut Recorder, &mut Partitions),
    batch: (&str, Batch<'_>),
    way: Way,
) -> Result<RowsStored, sqlx::Error> {
    partitions
        .make_for(connection, session, batch.1.events)
        .await?;
    let mut transaction = session.begin(connection, Purpose::Store).await?;
    match fill(&mut transaction, (recorder, partitions), batch, way).await {
        Ok(rows) => {
            faults::reach(Failpoint::InHistory);
            let committed = transaction.commit().await;
            if committed.is_err() {
                forget(recorder, partitions);
            }
            committed?;
            faults::reach(Failpoint::AfterHistory);
            Ok(rows)
        }
        Err(error) => {
            forget(recorder, partitions);
            abandon(transaction).await;
            Err(error)
        }
    }
}

/// What was to be stored is not, or nobody knows.
fn forget(recorder: &mut Recorder, partitions: &mut Partitions) {
    recorder.forget();
    partitions.forget();
}

/// Stores the rows and the cursor.
pub(super) async fn fill(
    transaction: &mut PgConnection,
    (recorder, partitions): (&mut Recorder, &mut Partitions),
    (sink, batch): (&str, Batch<'_>),
    way: Way,
) -> Result<RowsStored, sqlx::Error> {
    let mut on = Writing {
        connection: transaction,
        way,
    };
    take_turn(&mut on, recorder).await?;
    recorder.set_floor(partitions.load(on.connection).await?);
    let stored = store::fill(&mut on, recorder, sink, batch).await?;
    if stored.too_old > 0 {
        count_too_old(on.connection, stored.too_old).await?;
    }
    Ok(stored)
}

/// One transaction at a time writes. Where another daemon has written since, the recorder begins
/// with what is stored now.
pub(super) async fn take_turn(
    on: &mut Writing<'_>,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let turn: i64 = query_scalar(TURN).fetch_one(&mut *on.connection).await?;
    if !recorder.is_as_of(turn - 1) {
        load(on, recorder, turn).await?;
    }
    recorder.turn(turn);
    Ok(())
}
