//! One transaction of a batch.

use sqlx::postgres::PgConnection;

use super::failure::{lacks_partition, only_insert_can};
use super::insert::{insert, text_time, update};
use super::look_up;
use super::partitions::{Partitions, count_too_old};
use super::session::{Session, abandon, query, query_scalar};
use crate::faults::{self, Failpoint};
use crate::sinks::Batch;
use crate::sinks::history::copy::copy;
use crate::sinks::history::recorder::{Changed, Covered, Recorder, Recording};
use crate::sinks::history::rows::{Rows, RowsStored};
use crate::sinks::history::tables::{self, EventRow, Table, own_id};

/// Fewer rows go by INSERT, one message to the server: COPY takes several. sqlx 0.9.0 does not
/// set TCP_NODELAY. So our kernel holds the last, short one until the server's has acknowledged the
/// one before, up to 40 ms later.
const COPY_ROWS_MIN: usize = 500;

/// How the many rows of a batch come into tables that only get new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// COPY for many rows: the server needs half as much processor time. It parses no times, takes
    /// no arrays apart and fills a page at once.
    Copy,
    /// INSERT: a table with row-level security takes no COPY.
    Insert,
}

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
    let mut transaction = session.begin(connection).await?;
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
    take_turn(transaction, recorder).await?;
    recorder.set_floor(partitions.load(transaction).await?);
    let rows = Rows::of(batch.events);
    let stored = look_up::covered(transaction, rows.coverage_ids()).await?;
    let mut covered = recorder.cover(&rows.coverage, stored);
    take_over(transaction, &mut covered).await?;
    cover(transaction, recorder, &covered).await?;
    let wanted = recorder.prepare(&rows.statuses);
    let found = look_up::found(transaction, wanted).await?;
    let recording = recorder.record(&rows.statuses, found, batch.reason);
    let stored = RowsStored::of(batch.events, &covered, &recording);
    if stored.too_old > 0 {
        count_too_old(transaction, stored.too_old).await?;
    }
    write(transaction, recorder, recording, way).await?;
    let journal = batch.journal.simple().to_string();
    recorder.reach(&journal, batch.through.0);
    query(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES ($1, $2, $3) \
         ON CONFLICT (journal, sink) DO UPDATE SET position = excluded.position",
    )
    .bind(journal)
    .bind(sink)
    .bind(batch.through.0)
    .execute(transaction)
    .await?;
    Ok(stored)
}

/// One transaction at a time writes. Where another daemon has written since, the recorder begins
/// with what is stored now.
pub(super) async fn take_turn(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE bridge_writer SET turn = turn + 1 RETURNING turn";
    let turn: i64 = query_scalar(sql).fetch_one(&mut *transaction).await?;
    if !recorder.is_as_of(turn - 1) {
        let base = look_up::base(transaction, &recorder.held()).await?;
        recorder.load(turn, base);
    }
    recorder.turn(turn);
    Ok(())
}

/// The days are those of this zone: where they were another's, the upkeep counts all again, however
/// many there are.
pub(super) async fn set_zone(
    transaction: &mut PgConnection,
    zone: &str,
) -> Result<(), sqlx::Error> {
    let sql = "SELECT value FROM history_setting WHERE name = 'day_zone'";
    let before: Option<String> = query_scalar(sql).fetch_optional(&mut *transaction).await?;
    if before.as_deref() == Some(zone) {
        return Ok(());
    }
    if before.is_some() {
        sqlx::raw_sql(
            "UPDATE bridge_writer SET turn = turn + 1; \
             INSERT INTO history_setting (name, value) VALUES ('recounted_below', '0') \
                 ON CONFLICT (name) DO UPDATE SET value = '0'",
        )
        .execute(&mut *transaction)
        .await?;
    }
    query(
        "INSERT INTO history_setting (name, value) VALUES ('day_zone', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(zone)
    .execute(transaction)
    .await
    .map(drop)
}

/// What a restored journal has not heard since its backup was made, the journal that it goes on for
/// may have: then the gap begins where that one ends.
async fn take_over(
    connection: &mut PgConnection,
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
    connection: &mut PgConnection,
    recorder: &mut Recorder,
    covered: &Covered,
) -> Result<(), sqlx::Error> {
    insert(connection, &tables::COVERAGE, &covered.rows).await?;
    for (event_id, until) in &covered.ends {
        query("UPDATE coverage SET gap_until = $1::timestamptz WHERE event_id = $2")
            .bind(text_time(*until))
            .bind(event_id)
            .execute(&mut *connection)
            .await?;
    }
    for topic in &covered.topics {
        let rows = look_up::heard(connection, topic).await?;
        for (event_id, begins) in recorder.cover_again(topic, rows) {
            query(
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
    add(connection, &tables::PROFILE, &recording.profiles, way).await?;
    add(connection, &tables::PAYLOAD, &recording.payloads, way).await?;
    add(connection, &tables::EVENT, &recording.events, way).await?;
    let has_key = |row: &&EventRow| own_id(&row.status).is_some();
    let keys: Vec<EventRow> = recording.events.iter().filter(has_key).cloned().collect();
    insert(connection, &tables::EVENT_KEY, &keys).await?;
    add(connection, &tables::PIECE, &recording.pieces, way).await?;
    for (id, late) in recording.late {
        let Some(device) = recorder.key_of(&id) else {
            continue;
        };
        let part = look_up::part(connection, device, late).await?;
        let rebuilt = recorder.rebuild(&id, &part.kept, &part.closed, part.from_first);
        for (since, ends_sequence) in rebuilt.remove {
            query(
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

/// Rows that the table does not have.
async fn add<Row>(
    connection: &mut PgConnection,
    table: &Table<Row>,
    rows: &[Row],
    way: Way,
) -> Result<(), sqlx::Error> {
    match way {
        Way::Copy if rows.len() >= COPY_ROWS_MIN => copy(connection, table, rows).await,
        _ => insert(connection, table, rows).await,
    }
}

/// The devices as they are now, and what is to be added to their days.
pub(super) async fn write_devices(
    connection: &mut PgConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let Changed { known, new } = recorder.take_devices();
    let updated = update(
        connection,
        &tables::DEVICE,
        &tables::DEVICE_CONSTANT,
        &known,
    )
    .await?;
    // A person may have deleted some.
    if updated < known.len() as u64 {
        insert(connection, &tables::DEVICE, &known).await?;
    }
    insert(connection, &tables::DEVICE, &new).await?;
    insert(connection, &tables::DAILY, &recorder.take_counts()).await
}
