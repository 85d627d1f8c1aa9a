//! The parts of the SQL that both databases share. The columns are those of the lists in
//! `model::columns`, and nothing else names them.

use std::sync::LazyLock;

use crate::model::Column;
use crate::model::columns::STATUS;
use crate::sinks::Reason;

/// The names of the columns, separated by commas.
pub(super) fn column_names<Row>(columns: &[Column<Row>]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

/// What follows an INSERT of events: one that is there already is the same one.
pub(super) const KEEP_FIRST: &str = "ON CONFLICT (event_id) DO NOTHING";

/// What follows an INSERT into `device`: the row becomes the newer of the two. A replay never
/// rewinds it. Within a journal its positions decide; between journals only the time of receipt
/// can.
static KEEP_NEWEST: LazyLock<String> = LazyLock::new(|| {
    upsert(
        "CASE WHEN substr(excluded.origin, 1, 32) = substr(device.origin, 1, 32) \
         THEN CAST(substr(excluded.origin, 34) AS bigint) > CAST(substr(device.origin, 34) AS bigint) \
         ELSE excluded.received_at > device.received_at END",
    )
});

/// The same for redelivered statuses, which may be late. The statuses of a body that was taken
/// apart afterwards have newer positions than statuses received after it. Of two with the same time
/// the existing row stays.
static KEEP_NEWEST_RECEIVED: LazyLock<String> =
    LazyLock::new(|| upsert("excluded.received_at > device.received_at"));

/// What to do with a row of `device` that is there already.
pub(super) fn keep_newest(reason: Reason) -> &'static str {
    match reason {
        Reason::Log => &KEEP_NEWEST,
        Reason::Redrive | Reason::Replay => &KEEP_NEWEST_RECEIVED,
    }
}

fn upsert(newer: &str) -> String {
    let assignments: Vec<String> = STATUS
        .iter()
        .map(|column| column.name)
        .filter(|column| !["client_id", "device_id"].contains(column))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    format!(
        "ON CONFLICT (client_id, device_id) DO UPDATE SET {} WHERE {newer}",
        assignments.join(", ")
    )
}
