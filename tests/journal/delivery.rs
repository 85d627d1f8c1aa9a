//! Delivery as the daemon starts it: the platform's own messages, from the journal through the
//! decoders to a sink.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use stomp_bridge::delivery::{self, Confirmations, Counters, Statuses};
use stomp_bridge::journal::{
    self, Journal, NewBatch, NewContent, NewEntry, Reader, Replay, Start, Which,
};
use stomp_bridge::model::{Event, EventKind, Omit, Position, Severity};
use stomp_bridge::pipeline::{Decoder, Decoders, Expression, Mapping, State, States};
use stomp_bridge::retry::Retry;
use stomp_bridge::sinks::{Batch, By, Capabilities, Health, Sink, Trouble, Undelivered};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Accepts everything but the events it must reject.
#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<Event>>>,
    rejects: Arc<Mutex<Option<EventKind>>>,
}

impl Collector {
    /// The positions of the events accepted since the last call.
    fn positions(&self) -> Vec<i64> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        taken.iter().map(|event| event.position().0).collect()
    }
}

impl Sink for Collector {
    fn open(&mut self, _: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        Box::pin(async { Ok(None) })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        let rejects = *self.rejects.lock().unwrap();
        let rejected = |event: &Event| Some(event.kind()) == rejects;
        let outcome = match batch.events.iter().position(rejected) {
            Some(index) => Err(Undelivered {
                confirmed: index,
                trouble: Trouble::Refused {
                    index: Some(index),
                    by: By::Us,
                    error: "not wanted".to_owned(),
                },
            }),
            None => Ok(()),
        };
        let taken = outcome
            .as_ref()
            .map_or_else(|failed| failed.confirmed, |()| batch.events.len());
        let mut all = self.taken.lock().unwrap();
        all.extend_from_slice(&batch.events[..taken]);
        Box::pin(async { outcome })
    }

    fn answer(&mut self) -> Option<String> {
        Some("taken".to_owned())
    }

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async { Ok(()) })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn statuses() -> Statuses {
    let fault = State {
        name: "fault".to_owned(),
        severity: Severity::Critical,
    };
    let states = Arc::new(States {
        words: HashMap::from([("故障".to_owned(), fault)]),
    });
    let decoder = |topic: &str| {
        (
            topic.into(),
            Decoder::new(topic.into(), Mapping::default(), Arc::clone(&states)),
        )
    };
    Statuses::new(Decoders::new(Arc::new(
        ["map-1", "status"].map(decoder).into(),
    )))
}

fn entry(topic: &str, body: impl Into<String>) -> NewEntry {
    NewEntry {
        topic: topic.into(),
        received_at: Timestamp::now(),
        body: body.into().into(),
        content: NewContent::sample(),
    }
}

fn coverage(topic: &str, body: &str) -> NewEntry {
    NewEntry {
        content: NewContent::Coverage,
        ..entry(topic, body)
    }
}

fn status(device: &str, new_state: &str) -> String {
    format!(
        r#"{{"clientId":1,"deviceId":"{device}","sn":"52","oldState":"正常","newState":"{new_state}"}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn sink_gets_the_events_that_it_wants_and_every_entry_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let settings = journal::Settings {
        bytes_max: 1 << 30,
        keep: Duration::from_secs(3600),
        ..journal::Settings::new(folder.path().join("journal.db"))
    };
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    let stop_writer = CancellationToken::new();
    let writer = tokio::spawn(writer.run(stop_writer.clone()));
    journal
        .cursors
        .register_sinks(&[("oncall".into(), Start::Newest)])
        .await
        .unwrap();
    // The last state known is another.
    let mut missed = NewContent::sample();
    if let NewContent::Status { key, .. } = &mut missed {
        key.old_state = Some("正常".to_owned());
    }
    let undecodable = NewContent::Undecodable {
        reason: "not JSON".into(),
    };
    let entries = vec![
        entry("map-1", status("1", "故障")),
        entry("map-1", status("2", "正常")),
        entry("status", status("3", "故障")),
        NewEntry {
            content: undecodable,
            ..entry("map-1", "{")
        },
        entry("map-1", "no longer JSON"),
        entry("gone", status("5", "故障")),
        entry("map-1", status("six", "故障")),
        NewEntry {
            content: missed,
            ..entry("map-1", status("7", "故障"))
        },
        coverage("map-1", r#"{"heard":true,"at":"2026-01-02T03:04:05Z"}"#),
    ];
    let head = journal.log.append(NewBatch { entries }).await.unwrap();

    let collector = Collector::default();
    let counters = Arc::new(Counters::default());
    let stop = CancellationToken::new();
    let running = tokio::spawn(delivery::run(
        delivery::Settings {
            name: "oncall".into(),
            kinds: [EventKind::Status].into(),
            topics: Some(["map-1".into(), "gone".into()].into()),
            // Fails for a device whose id is no number.
            when: Some(Expression::parse("severity == 'critical' and device_id|int > 0").unwrap()),
            omit: Omit::default(),
            start: Start::Newest,
            retry: Retry::default(),
            confirmations: Confirmations::Filtered,
        },
        Box::new(collector.clone()),
        Health::default(),
        Arc::clone(&counters),
        journal.clone(),
        statuses(),
        stop.clone(),
    ));
    while journal.cursors.cursor("oncall") != Some(head) {
        // Paused time: it passes while nothing else can go on.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    running.await.unwrap().unwrap();

    let origin = |position: i64| format!("{}-{position}", journal.log.uuid().simple());
    let events = collector.taken.lock().unwrap().clone();
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            let status = event.status().unwrap();
            (
                status.position.0,
                status.origin.as_str(),
                status.state.as_str(),
                status.missed_transition,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, &*origin(1), "fault", false),
            (8, &*origin(8), "fault", true)
        ]
    );
    let dead_letters = journal
        .log
        .reader()
        .await
        .unwrap()
        .dead_letters()
        .await
        .unwrap();
    let dead_letters: Vec<_> = dead_letters
        .iter()
        .map(|letter| (letter.position.0, letter.error.as_str()))
        .collect();
    for ((position, error), (expected, text)) in dead_letters.iter().zip([
        (5, "can no longer be decoded"),
        (6, "topic gone is no longer in the configuration"),
        (7, "`when` cannot be evaluated"),
    ]) {
        assert!(
            *position == expected && error.contains(text),
            "{position}: {error}, not {expected}: {text}"
        );
    }
    let Counters {
        delivered,
        filtered,
        dead_lettered,
        ..
    } = &*counters;
    assert_eq!(
        [delivered, filtered, dead_lettered].map(|counter| counter.load(Ordering::Relaxed)),
        [2, 3, 3],
        "an undecodable entry is neither"
    );
    assert_eq!(dead_letters.len(), 3);
    stop_writer.cancel();
    writer.await.unwrap().unwrap();

    let mut reader = Reader::open(&settings.path).await.unwrap();
    for (position, proofs) in [(1, 1), (2, 0), (5, 0), (8, 1), (9, 0)] {
        let found = reader.proofs(Position(position)).await.unwrap();
        assert_eq!(found.len(), proofs, "{position}: {found:?}");
        for proof in found {
            assert_eq!((&*proof.sink, proof.attempts), ("oncall", 1));
            assert_eq!(proof.answer, "taken");
            assert_eq!(proof.positions, Some(vec![Position(1), Position(8)]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn coverage_is_delivered_redriven_and_replayed_as_a_status_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = journal::Settings {
        bytes_max: 1 << 30,
        keep: Duration::from_secs(3600),
        ..journal::Settings::new(folder.path().join("journal.db"))
    };
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    let stop_writer = CancellationToken::new();
    let writer = tokio::spawn(writer.run(stop_writer.clone()));
    let sink: Arc<str> = "history".into();
    let sinks = [(Arc::clone(&sink), Start::Oldest)];
    journal.cursors.register_sinks(&sinks).await.unwrap();
    let lost = r#"{"heard":false,"at":"2026-01-02T03:04:05Z","cause":"connection_lost"}"#;
    let entries = vec![
        entry("map-1", status("1", "故障")),
        // Its topic has left the configuration.
        coverage("gone", lost),
        coverage("map-1", r#"{"heard":"maybe"}"#),
        entry("map-1", status("2", "正常")),
    ];
    let head = journal.log.append(NewBatch { entries }).await.unwrap();

    let collector = Collector::default();
    *collector.rejects.lock().unwrap() = Some(EventKind::Coverage);
    let stop = CancellationToken::new();
    let running = tokio::spawn(delivery::run(
        delivery::Settings {
            name: Arc::clone(&sink),
            kinds: EventKind::ALL.into(),
            topics: None,
            when: None,
            omit: Omit::default(),
            start: Start::Oldest,
            retry: Retry::default(),
            confirmations: Confirmations::Filtered,
        },
        Box::new(collector.clone()),
        Health::default(),
        Arc::default(),
        journal.clone(),
        statuses(),
        stop.clone(),
    ));
    while journal.cursors.cursor(&sink) != Some(head) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(collector.positions(), [1, 4]);

    // Of the two dead letters one can be read.
    *collector.rejects.lock().unwrap() = None;
    assert_eq!(journal.admin.redrive(&sink, Which::All).await.unwrap(), 2);
    let mut reader = journal.log.reader().await.unwrap();
    while collector.taken.lock().unwrap().is_empty()
        || reader.dead_letters().await.unwrap().len() > 1
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(collector.positions(), [2]);
    let left = reader.dead_letters().await.unwrap();
    assert_eq!(left[0].position, Position(3));
    let error = &left[0].error;
    assert!(error.contains("this coverage cannot be read"), "{error}");

    for (device, expected) in [(None, &[1, 2, 4][..]), (Some("1"), &[1])] {
        let replay = Replay {
            done: Position::START,
            through: head,
            since: None,
            until: None,
            device_id: device.map(str::to_owned),
        };
        journal.admin.begin_replay(&sink, replay).await.unwrap();
        while journal.cursors.replay(&sink).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(collector.positions(), expected, "{device:?}");
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    stop_writer.cancel();
    writer.await.unwrap().unwrap();
}
