//! Takes the samples while the daemon runs: now and then what is in memory, and what only the
//! journal's file knows, where that may be another than before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::samples::{Look, OnDisk};
use super::turns::TURN_MAX;
use super::view::View;
use crate::journal::{Error, SinkStatus};
use crate::model::Position;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The same where nothing happens: an idle daemon hardly wakes.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// Reading the file takes this long at most.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// What tells that something has happened, and that the file may say something else: the head, the
/// cursors, the undecodable entries, the operator's commands and the messages.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    head: Position,
    cursors: Vec<Position>,
    undecodable: [u64; 2],
    commands: u64,
    messages: u64,
}

impl Mark {
    /// Every sink has all: nothing moves before something comes.
    fn is_idle(&self) -> bool {
        self.cursors.iter().all(|cursor| *cursor == self.head)
    }

    fn of(view: &View) -> Mark {
        let status = view.journal.log.status();
        Mark {
            head: status.head,
            cursors: status.sinks.iter().map(|sink| sink.cursor).collect(),
            undecodable: [status.undecodable, status.undecodable_removed],
            commands: *view.journal.cursors.commands().borrow(),
            messages: view.source.counters.messages.load(Relaxed),
        }
    }
}

/// Samples without end. The watchdog sees by it whether the task of the listener turns.
pub(super) async fn sample(view: View) {
    let (mut head, mut commands) = (view.journal.log.head(), view.journal.cursors.commands());
    let mut read = None;
    loop {
        view.turns.http.within(IDLE_INTERVAL + TURN_MAX);
        view.samples.take(Instant::now(), now(&view));
        let mark = Mark::of(&view);
        if read.as_ref() != Some(&mark) {
            match timeout(READ_TIMEOUT, on_disk(&view)).await {
                Ok(Ok(on_disk)) => {
                    view.samples.read(on_disk);
                    read = Some(mark);
                }
                // The next one may do; what was read before is shown.
                Ok(Err(error)) => debug!(%error, "the journal could not be read for the page"),
                Err(_) => debug!("reading the journal for the page took too long"),
            }
        }
        // What has changed up to here was looked at, or is by the next look.
        head.mark_unchanged();
        commands.mark_unchanged();
        sleep(LOOK_INTERVAL).await;
        let mark = Mark::of(&view);
        if mark.is_idle() && read.as_ref() == Some(&mark) {
            tokio::select! {
                Ok(()) = head.changed() => {}
                Ok(()) = commands.changed() => {}
                () = sleep(IDLE_INTERVAL) => {}
            }
        }
    }
}

fn now(view: &View) -> Look {
    let topics = view.source.topics().into_iter();
    let sinks = view.sinks.all();
    let position = |position: i64| position.max(0).unsigned_abs();
    Look {
        topics: topics.map(|(name, it)| (name, it.messages)).collect(),
        sinks: sinks
            .iter()
            .map(|sink| {
                let passed = position(sink.counters.position.load(Relaxed));
                (Arc::clone(&sink.name), passed)
            })
            .collect(),
        messages: view.source.counters.messages.load(Relaxed),
        room: view.journal.log.room().bytes,
        journaled: view.source.journaled.read(),
        confirmed: sinks
            .iter()
            .map(|sink| (Arc::clone(&sink.name), sink.counters.confirmed.read()))
            .collect(),
    }
}

async fn on_disk(view: &View) -> Result<OnDisk, Error> {
    let mut reader = view.journal.log.reader().await?;
    let status = view.journal.log.status();
    let mut oldest_pending: BTreeMap<Arc<str>, (Position, Timestamp)> = BTreeMap::new();
    let waits = |sink: &&SinkStatus| sink.cursor < status.head;
    for sink in status.sinks.iter().filter(waits) {
        let next = Position(sink.cursor.0 + 1);
        if let Some(entry) = reader.entry(next).await? {
            oldest_pending.insert(Arc::clone(&sink.name), (next, entry.received_at));
        }
    }
    Ok(OnDisk {
        undecodable: reader.undecodable_count().await?,
        oldest_pending,
        read_at: Timestamp::now(),
    })
}
