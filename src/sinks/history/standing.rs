//! Where a history stands when it is opened: how far a sink has come, the newest status, and the time
//! that was believed last; and the zone of its days.

use jiff::Timestamp;
use tracing::info;
use uuid::Uuid;

use super::another_journal::warn_of_another_journal;
use super::device::time;
use super::newest::stored_newest;
use super::statements::Statements;
use crate::model::Position;
use crate::sinks::Newest;

/// What a history says of itself.
pub(super) struct Standing {
    pub(super) cursor: Option<Position>,
    pub(super) newest: Option<Newest>,
    /// When the newest row of `device_current` was received.
    pub(super) received_at: Option<Timestamp>,
    pub(super) believed_at: Timestamp,
}

impl Standing {
    /// Reads it, for this sink and journal.
    pub(super) async fn read<On: Statements>(
        on: &mut On,
        sink: &str,
        journal: Uuid,
    ) -> Result<Standing, sqlx::Error> {
        let cursor = "SELECT position FROM bridge_cursor WHERE journal = $1 AND sink = $2";
        let id = journal.simple().to_string();
        let cursor: Vec<(i64,)> = on
            .rows(cursor, vec![id.as_str().into(), sink.into()])
            .await?;
        if cursor.is_empty() {
            let other = "SELECT journal FROM bridge_cursor WHERE sink = $1 LIMIT 1";
            let other: Vec<(String,)> = on.rows(other, vec![sink.into()]).await?;
            warn_of_another_journal(
                sink,
                journal,
                other.into_iter().next().map(|(other,)| other),
            );
        }
        let newest = format!(
            "SELECT origin, {} FROM device_current ORDER BY last_seen DESC LIMIT 1",
            On::DIALECT.as_text("received_at")
        );
        let newest: Vec<(String, String)> = on.rows(&newest, vec![]).await?;
        let newest = newest.into_iter().next();
        let newest = newest.and_then(|(origin, at)| Some((origin, time(&at)?)));
        let received_at = newest.as_ref().map(|(_, at)| *at);
        Ok(Standing {
            cursor: cursor.first().map(|(position,)| Position(*position)),
            newest: newest.and_then(stored_newest),
            received_at,
            believed_at: believed_at(on, received_at).await?,
        })
    }
}

/// The time that the history believed last. A history that has none begins with its newest row, or
/// with the clock: before the first row of ours, which a wrong clock may date.
async fn believed_at<On: Statements>(
    on: &mut On,
    newest: Option<Timestamp>,
) -> Result<Timestamp, sqlx::Error> {
    let first = newest.unwrap_or_else(Timestamp::now);
    let begin = format!(
        "INSERT INTO bridge_clock (one, believed_at) VALUES (1, {}) ON CONFLICT DO NOTHING",
        On::DIALECT.time(1)
    );
    on.run(&begin, vec![first.into()]).await?;
    let believed = On::DIALECT.as_text("believed_at");
    let believed = format!("SELECT {believed} FROM bridge_clock");
    let (believed,): (String,) = on.row(&believed, vec![]).await?;
    Ok(time(&believed).unwrap_or(first))
}

/// Keeps the time that is believed now.
pub(super) async fn save_believed_at<On: Statements>(
    on: &mut On,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let (_, most) = On::DIALECT.least_and_most();
    let save = format!(
        "UPDATE bridge_clock SET believed_at = {most}(believed_at, {})",
        On::DIALECT.time(1)
    );
    on.run(&save, vec![now.into()]).await.map(drop)
}

/// Whether the zone of the days is the one that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Zone {
    AsItWas,
    /// The upkeep counts all days again, however many there are; this was the zone before.
    InPlaceOf(String),
}

impl Zone {
    /// Says in the log that days are counted again.
    pub(super) fn tell(&self, sink: &str, zone: &str) {
        if let Zone::InPlaceOf(before) = self {
            info!(
                sink,
                zone, before, "days are being counted again: their zone was changed"
            );
        }
    }
}

/// Says in the log that this is done.
pub(super) fn tell_recounted(sink: &str, zone: &str) {
    info!(sink, zone, "days counted again: all are of this zone now");
}

/// The days are those of this zone.
pub(super) async fn set_zone(on: &mut impl Statements, zone: &str) -> Result<Zone, sqlx::Error> {
    let before = "SELECT value FROM history_setting WHERE name = 'day_zone'";
    let before: Vec<(String,)> = on.rows(before, vec![]).await?;
    let set = "INSERT INTO history_setting (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let changed = match before.first() {
        Some((before,)) if before == zone => return Ok(Zone::AsItWas),
        Some((before,)) => {
            let all = vec!["recounted_below".into(), "0".into()];
            on.run(set, all).await?;
            Zone::InPlaceOf(before.clone())
        }
        None => Zone::AsItWas,
    };
    on.run(set, vec!["day_zone".into(), zone.into()]).await?;
    Ok(changed)
}
