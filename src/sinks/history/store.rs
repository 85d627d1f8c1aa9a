//! One transaction's part of a batch, whichever database it is in: what has to be looked up, and the
//! rows in their order. It neither begins the transaction nor ends it.

use super::look_up;
use super::recorder::{Changed, Covered, Recorder, Recording};
use super::rows::{Rows, RowsStored};
use super::statements::{Bind, Statements};
use super::tables;
use crate::sinks::Batch;

/// Stores the rows and the cursor of a sink. Gives what became of the events. Where it fails, or the
/// transaction does, the recorder is to forget.
pub(super) async fn fill(
    on: &mut impl Statements,
    recorder: &mut Recorder,
    sink: &str,
    batch: Batch<'_>,
) -> Result<RowsStored, sqlx::Error> {
    let rows = Rows::of(batch.events);
    let stored = look_up::covered(on, rows.coverage_ids()).await?;
    let mut covered = recorder.cover(&rows.coverage, stored);
    take_over(on, &mut covered).await?;
    cover(on, recorder, &covered).await?;
    let wanted = recorder.prepare(&rows.statuses);
    let found = on.found(wanted).await?;
    let recording = recorder.record(&rows.statuses, found, batch.reason);
    let stored = RowsStored::of(batch.events, &covered, &recording);
    write(on, recorder, recording).await?;
    let (journal, through) = (batch.journal.simple().to_string(), batch.through.0);
    recorder.reach(&journal, through);
    on.run(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES ($1, $2, $3) \
         ON CONFLICT (journal, sink) DO UPDATE SET position = excluded.position",
        vec![Bind::Text(journal), sink.into(), through.into()],
    )
    .await?;
    Ok(stored)
}

/// What a restored journal has not heard since its backup was made, the journal that it goes on for
/// may have: then the gap begins where that one ends.
async fn take_over(on: &mut impl Statements, covered: &mut Covered) -> Result<(), sqlx::Error> {
    for index in &covered.taken_over {
        let event = &mut covered.rows[*index].event;
        if let Some(until) = look_up::heard_elsewhere(on, event).await? {
            event.coverage.at = event.coverage.at.max(until);
        }
    }
    Ok(())
}

async fn cover<On: Statements>(
    on: &mut On,
    recorder: &mut Recorder,
    covered: &Covered,
) -> Result<(), sqlx::Error> {
    on.insert(&tables::COVERAGE, &covered.rows).await?;
    let ends = format!(
        "UPDATE coverage SET gap_until = {} WHERE event_id = $1",
        On::DIALECT.time(2)
    );
    for (event_id, until) in &covered.ends {
        let binds = vec![event_id.as_str().into(), (*until).into()];
        on.run(&ends, binds).await?;
    }
    let begins_sql = format!(
        "UPDATE coverage SET gap_until = {}, begins_gap = $3 WHERE event_id = $1",
        On::DIALECT.time(2)
    );
    for topic in &covered.topics {
        let rows = look_up::heard(on, topic).await?;
        for (event_id, begins) in recorder.cover_again(topic, rows) {
            let binds = vec![
                Bind::Text(event_id),
                Bind::Time(begins.until),
                Bind::Flag(begins.gap),
            ];
            on.run(&begins_sql, binds).await?;
        }
    }
    Ok(())
}

/// What an event refers to comes before it: somebody's trigger may look it up.
async fn write<On: Statements>(
    on: &mut On,
    recorder: &mut Recorder,
    recording: Recording,
) -> Result<(), sqlx::Error> {
    on.insert(&tables::JOURNAL, &recording.journals).await?;
    on.insert(&tables::TOPIC, &recording.topics).await?;
    on.insert(&tables::STATE, &recording.states).await?;
    on.add(&tables::PROFILE, &recording.profiles).await?;
    on.add(&tables::PAYLOAD, &recording.payloads).await?;
    on.add_events(&recording.events).await?;
    on.add(&tables::PIECE, &recording.pieces).await?;
    let remove = format!(
        "DELETE FROM state_interval_row \
         WHERE device_key = $1 AND since = {} AND {}",
        On::DIALECT.time(2),
        On::DIALECT.is_ended_by(3)
    );
    for (id, late) in recording.late {
        let Some(device) = recorder.key_of(&id) else {
            continue;
        };
        let part = look_up::part(on, device, late).await?;
        let rebuilt = recorder.rebuild(&id, &part.kept, &part.closed, part.from_first);
        for (since, ends_sequence) in rebuilt.remove {
            let binds = vec![device.into(), since.into(), ends_sequence.into()];
            on.run(&remove, binds).await?;
        }
        on.insert(&tables::PIECE, &rebuilt.add).await?;
    }
    write_devices(on, recorder).await
}

/// The devices as they are now, and what is to be added to their days.
pub(super) async fn write_devices(
    on: &mut impl Statements,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let Changed { known, new } = recorder.take_devices();
    on.update_devices(&known).await?;
    on.insert(&tables::DEVICE, &new).await?;
    on.insert(&tables::DAILY, &recorder.take_counts()).await
}
