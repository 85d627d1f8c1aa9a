//! SQL histories: rows and cursor in one transaction, so each event is stored exactly once. The
//! columns of `status_event` and `device` are those of [`STATUS`], in both databases.

mod copy;
mod newest;
pub mod postgres;
mod retention;
pub mod sqlite;

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::MigrateError;
use tracing::warn;
use uuid::Uuid;

use crate::model::columns::STATUS;
use crate::model::{Column, Origin};
use crate::sinks::{Capabilities, Newest, Ordering, Reason};

/// A transaction while it catches up: each brings a device's row up to date once, however many
/// statuses the device has in it, and syncs once. Nothing of it is stored twice after a crash.
const BATCH_EVENTS_MAX: usize = 4000;

/// What both can do.
const CAPABILITIES: Capabilities = Capabilities {
    batch_max: BATCH_EVENTS_MAX,
    ordering: Ordering::Global,
    keeps_cursor: true,
    idle_interval: Duration::from_secs(30),
};

/// Both histories keep their migrations apart from those of other programs in the same database.
const MIGRATIONS_TABLE: &str = "bridge_migration";

/// The names of the columns, separated by commas.
fn column_names<Row>(columns: &[Column<Row>]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

/// What `device` says of its newest row: its origin, and when it was received.
fn newest((origin, received_at): (String, Timestamp)) -> Option<Newest> {
    Some(Newest {
        origin: Origin::parse(&origin)?,
        received_at,
    })
}

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

/// The same for what comes once more, and may be late: the statuses of a body that was taken apart
/// afterwards have positions of their own, newer than those of what was received after it. Of two
/// of one instant the row stays.
static KEEP_NEWEST_RECEIVED: LazyLock<String> =
    LazyLock::new(|| upsert("excluded.received_at > device.received_at"));

fn keep_newest(reason: Reason) -> &'static str {
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

/// A journal that the history does not know, although it knows another: it was deleted, moved or
/// restored, or two daemons write one history under one name.
fn warn_of_another_journal(sink: &str, journal: Uuid, other: Option<String>) {
    if let Some(other) = other {
        warn!(
            sink,
            journal = %journal.simple(),
            other,
            "the history was written from another journal: this one begins at its oldest entry; what the other still \
             held for this sink is not there: where that one was moved, stop and bring it back"
        );
    }
}

/// The database's own error where a migration ran into one, so that its code can be read; what is
/// left speaks of tables that another version made.
fn migration_failure(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::from(error),
    }
}
