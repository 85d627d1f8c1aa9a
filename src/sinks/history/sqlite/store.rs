//! One transaction of a batch.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

use super::insert::{insert, text_time};
use super::look_up;
use crate::faults::{self, Failpoint};
use crate::sinks::Batch;
use crate::sinks::history::recorder::{Changed, Covered, Recorder, Recording};
use crate::sinks::history::rows::{Rows, RowsStored};
use crate::sinks::history::tables;

/// IMMEDIATE, since one that begins by reading cannot wait for another writer. Where it fails, the
/// recorder is to forget. Gives what became of the events.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    sink: &str,
    batch: Batch<'_>,
) -> Result<RowsStored, sqlx::Error> {
    let mut transaction = begin(connection, recorder).await?;
    let stored = fill(&mut transaction, recorder, sink, batch).await?;
    faults::reach(Failpoint::InHistory);
    transaction.commit().await?;
    faults::reach(Failpoint::AfterHistory);
    recorder.reach(&batch.journal.simple().to_string(), batch.through.0);
    Ok(stored)
}

/// Stores the rows and the cursor. Gives what became of the events.
pub(super) async fn fill(
    transaction: &mut SqliteConnection,
    recorder: &mut Recorder,
    sink: &str,
    batch: Batch<'_>,
) -> Result<RowsStored, sqlx::Error> {
    let rows = Rows::of(batch.events);
    let stored = look_up::covered(transaction, rows.coverage_ids()).await?;
    let mut covered = recorder.cover(&rows.coverage, stored);
    take_over(transaction, &mut covered).await?;
    cover(transaction, recorder, &covered).await?;
    let wanted = recorder.prepare(&rows.statuses);
    let found = look_up::found(transaction, wanted).await?;
    let recording = recorder.record(&rows.statuses, found, batch.reason);
    let stored = RowsStored::of(batch.events, &covered, &recording);
    write(transaction, recorder, recording).await?;
    sqlx::query(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES (?, ?, ?) \
         ON CONFLICT (journal, sink) DO UPDATE SET position = excluded.position",
    )
    .bind(batch.journal.simple().to_string())
    .bind(sink)
    .bind(batch.through.0)
    .execute(transaction)
    .await?;
    Ok(stored)
}

/// Begins a transaction that writes. Where somebody else has written since, the recorder begins
/// with what is stored now.
pub(super) async fn begin<'a>(
    connection: &'a mut SqliteConnection,
    recorder: &mut Recorder,
) -> Result<Transaction<'a, Sqlite>, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut *transaction)
        .await?;
    if !recorder.is_as_of(version) {
        let base = look_up::base(&mut transaction, &recorder.held()).await?;
        recorder.load(version, base);
    }
    Ok(transaction)
}

/// What a restored journal has not heard since its backup was made, the journal that it goes on for
/// may have: then the gap begins where that one ends.
async fn take_over(
    connection: &mut SqliteConnection,
    covered: &mut Covered,
) -> Result<(), sqlx::Error> {
    for index in &covered.taken_over {
        let event = &mut covered.rows[*index].event;
        if let Some(until) = look_up::heard_elsewhere(connection, event).await? {
            event.coverage.at = event.coverage.at.max(until);
        }
    }
    Ok(())
}

async fn cover(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    covered: &Covered,
) -> Result<(), sqlx::Error> {
    insert(connection, &tables::COVERAGE, &covered.rows).await?;
    for (event_id, until) in &covered.ends {
        sqlx::query("UPDATE coverage SET gap_until = ? WHERE event_id = ?")
            .bind(text_time(*until))
            .bind(event_id)
            .execute(&mut *connection)
            .await?;
    }
    for topic in &covered.topics {
        let rows = look_up::heard(connection, topic).await?;
        for (event_id, begins) in recorder.cover_again(topic, rows) {
            sqlx::query("UPDATE coverage SET begins_gap = ?, gap_until = ? WHERE event_id = ?")
                .bind(begins.gap)
                .bind(begins.until.map(text_time))
                .bind(event_id)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

async fn write(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    recording: Recording,
) -> Result<(), sqlx::Error> {
    insert(connection, &tables::JOURNAL, &recording.journals).await?;
    insert(connection, &tables::TOPIC, &recording.topics).await?;
    insert(connection, &tables::STATE, &recording.states).await?;
    insert(connection, &tables::PROFILE, &recording.profiles).await?;
    insert(connection, &tables::PAYLOAD, &recording.payloads).await?;
    insert(connection, &tables::EVENT, &recording.events).await?;
    insert(connection, &tables::PIECE, &recording.pieces).await?;
    for (id, late) in recording.late {
        let Some(device) = recorder.key_of(&id) else {
            continue;
        };
        let part = look_up::part(connection, device, late).await?;
        let rebuilt = recorder.rebuild(&id, &part.kept, &part.closed, part.from_first);
        for (since, ends_sequence) in rebuilt.remove {
            sqlx::query(
                "DELETE FROM state_interval_row \
                 WHERE device_key = ? AND since = ? AND ends_sequence = ?",
            )
            .bind(device)
            .bind(text_time(since))
            .bind(ends_sequence)
            .execute(&mut *connection)
            .await?;
        }
        insert(connection, &tables::PIECE, &rebuilt.add).await?;
    }
    write_devices(connection, recorder).await
}

/// The devices as they are now, and what is to be added to their days.
pub(super) async fn write_devices(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let Changed { known, new } = recorder.take_devices();
    insert(connection, &tables::DEVICE, &known).await?;
    insert(connection, &tables::DEVICE, &new).await?;
    insert(connection, &tables::DAILY, &recorder.take_counts()).await
}
