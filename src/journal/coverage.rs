//! The table `coverage`: which topics are heard, as the newest coverage entry of each says, and the
//! last proof of the link. The source decides when a topic is heard.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::error::failed;
use super::row::timestamp;
use super::{Entry, EntryContent, Error, file};
use crate::model::{Coverage, Position};

/// How many of the newest entries are searched for the newest status. Parts of an undecodable entry
/// keep their old time; there are never this many of them in a row.
const NEWEST_ENTRIES: i64 = 1000;

/// What the last process knew of the topics when it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The topics that were heard, and since when: none after a stop in order.
    pub topics: Vec<(Arc<str>, Timestamp)>,
    /// The last time at which the link was known to live; `None`: nothing was ever received.
    pub proven_at: Option<Timestamp>,
}

/// Whether the table changes with these entries.
pub(super) fn changes(entries: &[Entry]) -> bool {
    entries
        .iter()
        .any(|entry| matches!(entry.content, EntryContent::Coverage))
}

/// Whether any of these entries came from the server.
pub(super) fn received(entries: &[Entry]) -> bool {
    entries
        .iter()
        .any(|entry| entry.content.kind().is_received())
}

/// Saves each topic's newest coverage entry. An entry that cannot be read changes nothing.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(), Error> {
    const KEEP: &str = "INSERT INTO coverage (topic, heard, at) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET heard = excluded.heard, at = excluded.at";
    let said = entries
        .iter()
        .filter(|entry| matches!(entry.content, EntryContent::Coverage))
        .filter_map(|entry| Some((&entry.topic, serde_json::from_slice(&entry.body).ok()?)));
    let newest: BTreeMap<&Arc<str>, Coverage> = said.collect();
    for (topic, coverage) in newest {
        sqlx::query(KEEP)
            .bind(Arc::clone(topic))
            .bind(coverage.heard)
            .bind(coverage.at.as_microsecond())
            .execute(&mut *connection)
            .await
            .map_err(failed("write which topics are heard"))?;
    }
    Ok(())
}

/// Keeps when the link was last known to live; `head`: the newest position then.
pub(super) async fn keep_proof(
    connection: &mut SqliteConnection,
    at: Timestamp,
    head: Position,
) -> Result<(), Error> {
    sqlx::query("UPDATE journal SET heard_at = ?, heard_position = ?")
        .bind(at.as_microsecond())
        .bind(head.0)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("write when the link was last known to live"))
}

/// What the file says, read on a connection of its own.
pub(super) async fn heard(path: &Path) -> Result<Heard, Error> {
    let mut connection = file::open_to_read(path).await?;
    let heard = read(&mut connection)
        .await
        .map_err(failed("read which topics were heard"))?;
    connection.close().await.map_err(failed("close its file"))?;
    Ok(heard)
}

async fn read(connection: &mut SqliteConnection) -> Result<Heard, sqlx::Error> {
    const TOPICS: &str = "SELECT topic, at FROM coverage WHERE heard ORDER BY topic";
    let topics: Vec<(String, i64)> = sqlx::query_as(TOPICS).fetch_all(&mut *connection).await?;
    let topic = |(name, at): (String, _)| Ok((name.into(), timestamp(at)?));
    Ok(Heard {
        topics: topics
            .into_iter()
            .map(topic)
            .collect::<Result<_, sqlx::Error>>()?,
        proven_at: proof(connection).await?,
    })
}

/// The last time at which the link was known to live; `None`: nothing was ever received.
pub(super) async fn proven_at(
    connection: &mut SqliteConnection,
) -> Result<Option<Timestamp>, Error> {
    proof(connection)
        .await
        .map_err(failed("read when the link was last known to live"))
}

async fn proof(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, sqlx::Error> {
    // What a snapshot says is of its own time: a gap that began before would not be its devices'.
    const PROOF: &str = "WITH newest AS (SELECT position, kind, received_at FROM entry \
             WHERE position > (SELECT heard_position FROM journal) AND kind <> 'resync' \
             ORDER BY position DESC LIMIT ?), \
         received AS (SELECT position, received_at FROM newest \
             WHERE kind IN ('status', 'undecodable') ORDER BY position DESC LIMIT 1), \
         proven AS (SELECT coalesce((SELECT position FROM received), heard_position) AS position, \
             coalesce((SELECT received_at FROM received), heard_at) AS at FROM journal), \
         resynced AS (SELECT max(entry.received_at) AS at FROM entry, proven \
             WHERE entry.position > proven.position AND kind = 'resync') \
         SELECT coalesce(max(proven.at, resynced.at), proven.at, resynced.at) FROM proven, resynced";
    let proven_at: Option<i64> = sqlx::query_scalar(PROOF)
        .bind(NEWEST_ENTRIES)
        .fetch_one(connection)
        .await?;
    proven_at.map(timestamp).transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::journal::{Journal, NewBatch, NewContent, NewEntry, Settings, Unchanged};
    use crate::model::CoverageCause;
    use crate::pipeline::StatusKey;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn entry(topic: &str, second: i64, heard: Option<bool>) -> NewEntry {
        let coverage = heard.map(|heard| Coverage {
            heard,
            at: at(second),
            cause: (!heard).then_some(CoverageCause::ConnectionLost),
        });
        NewEntry {
            topic: topic.into(),
            received_at: at(second),
            body: coverage.map_or("{}".into(), |coverage| {
                serde_json::to_vec(&coverage).unwrap().into()
            }),
            content: coverage.map_or(NewContent::sample(), |_| NewContent::Coverage),
        }
    }

    /// What a snapshot says of a device.
    fn snapshot(device: i64, second: i64) -> NewEntry {
        let key = StatusKey {
            client_id: "1".to_owned(),
            device_id: device.to_string(),
            old_state: None,
            new_state: format!("since {second}"),
            event_key: None,
            shared_hash: None,
        };
        NewEntry {
            content: NewContent::Resync {
                stream: "a".into(),
                key,
                unchanged: Unchanged::Confirms,
            },
            ..entry("a", second, None)
        }
    }

    async fn append(journal: &Journal, entries: Vec<NewEntry>) {
        journal.log.append(NewBatch { entries }).await.unwrap();
    }

    #[tokio::test]
    async fn journal_remembers_which_topics_are_heard_and_the_last_proof() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            keep: Duration::ZERO,
            ..Settings::new(folder.path().join("journal.db"))
        };
        let (journal, writer) = Journal::open(&settings).await.unwrap();
        let writer = tokio::spawn(writer.run(CancellationToken::new()));
        assert_eq!(journal.log.heard().await.unwrap(), Heard::default());

        let heard = async |topics: &[(&str, i64)], proven: Option<i64>| {
            let expected = Heard {
                topics: topics
                    .iter()
                    .map(|(topic, second)| ((*topic).into(), at(*second)))
                    .collect(),
                proven_at: proven.map(at),
            };
            assert_eq!(journal.log.heard().await.unwrap(), expected);
        };
        // One entry is one INSERT, and a coverage entry is more than that.
        append(&journal, vec![entry("b", 1, Some(true))]).await;
        heard(&[("b", 1)], None).await;
        let both = vec![entry("a", 2, Some(true)), entry("b", 3, Some(false))];
        append(&journal, both).await;
        heard(&[("a", 2)], None).await;
        let twice = vec![entry("a", 4, Some(false)), entry("a", 5, Some(true))];
        append(&journal, twice).await;
        heard(&[("a", 5)], None).await;
        append(&journal, vec![entry("a", 6, None)]).await;
        heard(&[("a", 5)], Some(6)).await;
        journal.log.link_proven(at(9)).await.unwrap();
        heard(&[("a", 5)], Some(9)).await;
        append(&journal, vec![entry("a", 10, None)]).await;
        heard(&[("a", 5)], Some(10)).await;
        // A snapshot may be taken in behind messages that are newer than it.
        append(&journal, vec![snapshot(1, 8)]).await;
        heard(&[("a", 5)], Some(10)).await;
        append(
            &journal,
            (0..=NEWEST_ENTRIES)
                .map(|device| snapshot(device, 9))
                .collect(),
        )
        .await;
        heard(&[("a", 5)], Some(10)).await;
        append(&journal, vec![snapshot(3, 12)]).await;
        heard(&[("a", 5)], Some(12)).await;
        journal.log.link_proven(at(13)).await.unwrap();
        append(&journal, vec![snapshot(4, 11)]).await;
        heard(&[("a", 5)], Some(13)).await;
        // The proof outlives the entries.
        journal.cursors.register_sinks(&[]).await.unwrap();
        while journal.log.status().oldest.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        heard(&[("a", 5)], Some(13)).await;
        let status = journal.log.status();
        assert_eq!((status.accepted, status.undecodable), (2, 0));
        writer.abort();
    }
}
