//! One transaction of a batch.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};

use super::insert::{insert, text_time};
use super::look_up;
use crate::faults::{self, Failpoint};
use crate::sinks::Batch;
use crate::sinks::history::copy::copy;
use crate::sinks::history::recorder::{Covered, Recorder, Recording};
use crate::sinks::history::rows::Rows;
use crate::sinks::history::tables;

/// Fewer events go by INSERT, one message to the server: COPY takes several. sqlx 0.9.0 does not
/// set TCP_NODELAY. So our kernel holds the last, short one until the server's has acknowledged the
/// one before, up to 40 ms later.
const COPY_EVENTS_MIN: usize = 500;

/// How the events of a batch come into `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// COPY for many rows: the server needs half as much processor time. It parses no times, takes
    /// no arrays apart and fills a page at once.
    Copy,
    /// INSERT: a table with row-level security, or a view in its place, takes no COPY.
    Insert,
}

/// Where it fails, the recorder is to forget.
pub(super) async fn store(
    connection: &mut PgConnection,
    recorder: &mut Recorder,
    sink: &str,
    batch: Batch<'_>,
    way: Way,
) -> Result<(), sqlx::Error> {
    let mut transaction = begin(connection, recorder).await?;
    let rows = Rows::of(batch.events);
    let stored = recorder.maybe_covered(&rows.coverage);
    let stored = look_up::covered(&mut transaction, stored).await?;
    let covered = recorder.cover(&rows.coverage, stored);
    cover(&mut transaction, recorder, covered).await?;
    let wanted = recorder.prepare(&rows.statuses);
    let found = look_up::found(&mut transaction, wanted).await?;
    let recording = recorder.record(&rows.statuses, found, batch.reason);
    write(&mut transaction, recorder, recording, way).await?;
    sqlx::query(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES ($1, $2, $3) \
         ON CONFLICT (journal, sink) DO UPDATE SET position = excluded.position",
    )
    .bind(batch.journal.simple().to_string())
    .bind(sink)
    .bind(batch.through.0)
    .execute(&mut *transaction)
    .await?;
    faults::reach(Failpoint::InHistory);
    transaction.commit().await?;
    faults::reach(Failpoint::AfterHistory);
    recorder.reach(&batch.journal.simple().to_string(), batch.through.0);
    Ok(())
}

/// Begins a transaction that writes, one at a time. Where another daemon has written since, the
/// recorder begins with what is stored now.
pub(super) async fn begin<'a>(
    connection: &'a mut PgConnection,
    recorder: &mut Recorder,
) -> Result<Transaction<'a, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let query = "UPDATE bridge_writer SET turn = turn + 1 RETURNING turn";
    let turn: i64 = sqlx::query_scalar(query)
        .fetch_one(&mut *transaction)
        .await?;
    if !recorder.is_as_of(turn - 1) {
        recorder.load(turn, look_up::base(&mut transaction).await?);
    }
    recorder.turn(turn);
    Ok(transaction)
}

async fn cover(
    connection: &mut PgConnection,
    recorder: &mut Recorder,
    covered: Covered,
) -> Result<(), sqlx::Error> {
    insert(connection, &tables::COVERAGE, &covered.rows).await?;
    for (event_id, until) in covered.ends {
        sqlx::query("UPDATE coverage SET gap_until = $1::timestamptz WHERE event_id = $2")
            .bind(text_time(until))
            .bind(event_id)
            .execute(&mut *connection)
            .await?;
    }
    for topic in covered.topics {
        let (mut heard, mut before): (Vec<_>, Vec<_>) = look_up::heard(connection, &topic)
            .await?
            .into_iter()
            .unzip();
        let ids: Vec<String> = heard.iter().map(|row| row.event_id.clone()).collect();
        let before: std::collections::HashMap<_, _> =
            ids.into_iter().zip(before.drain(..)).collect();
        for (event_id, begins) in recorder.cover_again(&topic, &mut heard) {
            if before.get(&event_id) == Some(&begins) {
                continue;
            }
            sqlx::query(
                "UPDATE coverage SET begins_gap = $1, gap_until = $2::timestamptz \
                 WHERE event_id = $3",
            )
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
    connection: &mut PgConnection,
    recorder: &mut Recorder,
    recording: Recording,
    way: Way,
) -> Result<(), sqlx::Error> {
    insert(connection, &tables::JOURNAL, &recording.journals).await?;
    insert(connection, &tables::TOPIC, &recording.topics).await?;
    insert(connection, &tables::STATE, &recording.states).await?;
    insert(connection, &tables::PROFILE, &recording.profiles).await?;
    insert(connection, &tables::PAYLOAD, &recording.payloads).await?;
    match way {
        Way::Copy if recording.events.len() >= COPY_EVENTS_MIN => {
            copy(connection, &tables::EVENT, &recording.events).await?;
        }
        _ => insert(connection, &tables::EVENT, &recording.events).await?,
    }
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
                 WHERE device_key = $1 AND since = $2::timestamptz AND ends_sequence = $3",
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
    connection: &mut PgConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    insert(connection, &tables::DEVICE, &recorder.take_devices()).await?;
    insert(connection, &tables::DAILY, &recorder.take_counts()).await
}
