//! The timelines that both SQL histories keep, held against their definition: window queries over
//! all events, which no history could answer in time.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::{
    Coverage, CoverageCause, CoverageEvent, Event, Severity, StatusEvent, Via,
};
use stomp_bridge::sinks::{Batch, Reason, Sink};

use crate::events::{JOURNAL, batch, coverage, start, status};
use crate::history::Database;

const STATES: [(&str, Severity); 4] = [
    ("normal", Severity::Ok),
    ("fault", Severity::Critical),
    ("overheated", Severity::Critical),
    ("offline", Severity::Warning),
];

/// What a history is given: a batch and why, or a start with nothing in memory.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Given(Reason, Vec<Event>),
    Restart,
    Idle,
}

/// A random story: devices of two topics, gaps, repeats, statuses that were missed, that come again
/// by the server or after trouble, that are dead-lettered and redriven, snapshots of all devices,
/// and a clock that is set back.
pub(crate) struct Story {
    random: Rng,
    position: i64,
    now: Timestamp,
    newest: Timestamp,
    deaf: BTreeSet<&'static str>,
    late: Vec<Event>,
    steps: Vec<Step>,
    /// By device: the state, as it is called and as it was sent, and its severity.
    last: BTreeMap<String, (String, String, Severity)>,
}

impl Story {
    pub(crate) fn told(seed: u64) -> Vec<Step> {
        let begins = "2026-01-02T20:00:00Z".parse().unwrap();
        let mut story = Story {
            random: Rng::with_seed(seed),
            position: 0,
            now: begins,
            newest: begins,
            deaf: BTreeSet::new(),
            late: Vec::new(),
            steps: Vec::new(),
            last: BTreeMap::new(),
        };
        for _ in 0..40 {
            story.step();
        }
        let late = std::mem::take(&mut story.late);
        story.given(Reason::Redrive, late);
        story.steps
    }

    fn step(&mut self) {
        let size = self.random.usize(1..12);
        let events: Vec<Event> = (0..size).filter_map(|_| self.event()).collect();
        self.given(Reason::Log, events);
        match self.random.u32(0..12) {
            0 => self.steps.push(Step::Restart),
            1 => self.steps.push(Step::Idle),
            2 | 3 => {
                // As after a crash whose commit was not seen, or by a replay.
                let reason = [Reason::Log, Reason::Replay][self.random.usize(0..2)];
                let again = self.random.usize(0..self.steps.len());
                if let Step::Given(_, events) = self.steps[again].clone() {
                    self.given(reason, events);
                }
            }
            4 | 5 => {
                let count = self.random.usize(0..=self.late.len());
                let late = self.late.drain(..count).collect();
                self.given(Reason::Redrive, late);
            }
            _ => {}
        }
    }

    fn given(&mut self, reason: Reason, events: Vec<Event>) {
        if !events.is_empty() {
            self.steps.push(Step::Given(reason, events));
        }
    }

    /// `None`: it does not reach the history now.
    fn event(&mut self) -> Option<Event> {
        self.position += 1;
        let ahead = [0, 0, 1, 30, 600, 7200][self.random.usize(0..6)];
        self.now += SignedDuration::from_secs(ahead);
        if self.random.u32(0..25) == 0 {
            let most = [2_000, 50_000][self.random.usize(0..2)];
            self.now -= SignedDuration::from_secs(self.random.i64(1..most));
        }
        self.newest = self.newest.max(self.now);
        let topic = ["a", "b"][self.random.usize(0..2)];
        if self.random.u32(0..8) == 0 {
            return Some(self.coverage(topic).into());
        }
        let status = self.status(topic);
        let event = Event::from(match self.random.u32(0..4) {
            0 => self.resync(status),
            _ => status,
        });
        if self.random.u32(0..10) == 0 {
            self.late.push(event);
            return None;
        }
        Some(event)
    }

    fn coverage(&mut self, topic: &'static str) -> CoverageEvent {
        let cause = match self.deaf.remove(topic) {
            true => None,
            false => {
                self.deaf.insert(topic);
                Some([CoverageCause::Silent, CoverageCause::Refused][self.random.usize(0..2)])
            }
        };
        CoverageEvent {
            coverage: Coverage {
                heard: cause.is_none(),
                at: self.newest,
                cause,
            },
            received_at: self.newest,
            ..coverage(JOURNAL, self.position, topic, "2026-01-02T00:00:00Z", cause)
        }
    }

    /// What a snapshot says of a device: it names no old state, and mostly the state that we knew,
    /// after a gap as within none.
    fn resync(&mut self, status: StatusEvent) -> StatusEvent {
        let known = self.last.get(&status.device_id);
        let known = known.filter(|_| self.random.u32(0..3) > 0).cloned();
        let (state, new_state, severity) =
            known.unwrap_or((status.state, status.new_state, status.severity));
        StatusEvent {
            via: Via::Resync,
            event_id: status.origin.clone(),
            old_state: None,
            missed_transition: false,
            serial: None,
            place: Default::default(),
            state,
            new_state,
            severity,
            ..status
        }
    }

    fn status(&mut self, topic: &str) -> StatusEvent {
        let device = self.random.u32(1..4).to_string();
        let (state, severity) = STATES[self.random.usize(0..STATES.len())];
        let status = status(JOURNAL, self.position, &device, state);
        let key = self.random.u32(0..60);
        let status = StatusEvent {
            topic: topic.into(),
            new_state: format!("{state}{}", self.random.u32(0..2)),
            severity,
            changed: self.random.u32(0..2) == 0,
            missed_transition: self.random.u32(0..6) == 0,
            received_at: self.now,
            // Some come twice by the server, with one key.
            event_id: match key {
                0..10 => format!("key-{key}"),
                _ => status.event_id.clone(),
            },
            ..status
        };
        let said = (
            status.state.clone(),
            status.new_state.clone(),
            status.severity,
        );
        self.last.insert(device, said);
        status
    }
}

pub(crate) async fn tell(database: &Database, steps: &[Step]) {
    let mut sink: Box<dyn Sink> = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    for step in steps {
        match step {
            Step::Given(reason, events) => {
                let given = Batch {
                    reason: *reason,
                    ..batch(events)
                };
                sink.attempt(given).await.unwrap();
            }
            Step::Restart => {
                sink.close().await;
                sink = start(database.settings(None));
                sink.open(JOURNAL).await.unwrap();
            }
            Step::Idle => sink.idle().await.unwrap(),
        }
    }
    sink.close().await;
}

/// Every status of every device with the next one, and where the time between broke.
const DEFINITION: &str = "\
    WITH placed AS ( \
        SELECT e.device_key, coalesce(e.placed_at, e.received_at) AS at, e.position, e.topic_key, \
            e.received_at < coalesce(e.placed_at, e.received_at) AS is_set_back, s.state, s.severity, e.missed_transition AS missed, \
            e.changed, e.state_key \
        FROM event AS e JOIN state AS s ON s.state_key = e.state_key), \
    followed AS ( \
        SELECT *, lead(at) OVER w AS next_at, lead(state) OVER w AS next_state, \
            lead(severity) OVER w AS next_severity, lead(missed) OVER w AS next_missed, \
            lead(changed) OVER w AND lead(state_key) OVER w = state_key AS next_lacks, \
            lag(state) OVER w AS last_state, lag(severity) OVER w AS last_severity \
        FROM placed WINDOW w AS (PARTITION BY device_key ORDER BY at, position)), \
    deaf AS ( \
        SELECT f.*, (SELECT min(g.at) FROM coverage AS g JOIN topic AS t ON t.topic = g.topic \
            WHERE g.begins_gap AND t.topic_key = f.topic_key AND g.at >= f.at AND g.at < f.next_at \
                AND (NOT f.is_set_back OR CAST(substr(g.origin, 34) AS bigint) > f.position)) AS gap_at \
        FROM followed AS f), \
    broken AS ( \
        SELECT *, CASE WHEN gap_at IS NOT NULL THEN gap_at \
            WHEN (next_missed OR next_lacks) AND at < next_at THEN at END AS broke FROM deaf), \
    begun AS ( \
        SELECT *, \
            CASE WHEN last_state = state AND last_severity = severity AND lag(broke) OVER w IS NULL \
                THEN 0 ELSE 1 END AS begins_piece, \
            CASE WHEN last_state = state AND last_severity = severity THEN 0 ELSE 1 END AS begins_run, \
            CASE WHEN last_severity = 'critical' AND severity = 'critical' THEN 0 ELSE 1 END \
                AS begins_fault \
        FROM broken WINDOW w AS (PARTITION BY device_key ORDER BY at, position)), \
    numbered AS ( \
        SELECT *, sum(begins_piece) OVER w AS piece, sum(begins_run) OVER w AS run, \
            sum(begins_fault) OVER w AS fault \
        FROM begun WINDOW w AS (PARTITION BY device_key ORDER BY at, position \
            ROWS UNBOUNDED PRECEDING)), \
    spanned AS ( \
        SELECT *, min(at) OVER (PARTITION BY device_key, run) AS run_since, \
            CASE WHEN severity = 'critical' \
                THEN min(at) OVER (PARTITION BY device_key, fault) END AS fault_since \
        FROM numbered), \
    piece AS ( \
        SELECT device_key, min(at) AS since, max(coalesce(broke, next_at)) AS until, state, \
            'certain' AS kind, run_since, fault_since \
        FROM spanned GROUP BY device_key, piece, state, run_since, fault_since \
        HAVING count(next_at) = count(*) AND (max(broke) IS NULL OR min(at) < max(broke)) \
        UNION ALL \
        SELECT device_key, broke, next_at, state, 'uncertain', run_since, fault_since \
        FROM spanned WHERE broke IS NOT NULL), \
    episode AS ( \
        SELECT device_key, fault_since AS since, max(next_at) AS until \
        FROM spanned WHERE fault_since IS NOT NULL \
        GROUP BY device_key, fault, fault_since HAVING count(next_at) = count(*)), \
    lasting AS ( \
        SELECT device_key, min(at) AS since, state, run_since, fault_since, max(at) AS heard, \
            max(topic_key) FILTER (WHERE next_at IS NULL) AS topic_key, \
            max(position) FILTER (WHERE next_at IS NULL) AS position, \
            max(CAST(is_set_back AS integer)) FILTER (WHERE next_at IS NULL) AS is_set_back FROM spanned \
        GROUP BY device_key, piece, state, run_since, fault_since HAVING count(next_at) < count(*)), \
    heard AS ( \
        SELECT l.*, (SELECT min(g.at) FROM coverage AS g JOIN topic AS t ON t.topic = g.topic \
            WHERE g.begins_gap AND t.topic_key = l.topic_key AND g.at >= l.heard \
                AND (l.is_set_back = 0 OR CAST(substr(g.origin, 34) AS bigint) > l.position)) AS gap_at \
        FROM lasting AS l), \
    timeline AS ( \
        SELECT device_key, since, until, state, kind, run_since, 'closed' AS part FROM piece \
        UNION ALL SELECT device_key, since, gap_at, state, 'certain', run_since, 'lasting' \
            FROM heard WHERE gap_at IS NULL OR since < gap_at \
        UNION ALL SELECT device_key, gap_at, NULL, state, 'uncertain', run_since, 'lasting' \
            FROM heard WHERE gap_at IS NOT NULL) ";

/// Rows as texts that both databases write alike, in an order of their own.
async fn rows(
    database: &Database,
    columns: &[(&str, bool)],
    from: &str,
    with: &str,
) -> Vec<String> {
    let texts = columns.iter().map(|(column, is_time)| {
        let text = match (database, is_time) {
            (Database::Postgres { .. }, true) => {
                format!("to_char({column} AT TIME ZONE 'UTC', 'MM-DD HH24:MI:SS.US')")
            }
            (Database::Sqlite { .. }, true) => {
                format!("replace(substr({column}, 6, 21), 'T', ' ')")
            }
            (_, false) => format!("CAST({column} AS text)"),
        };
        format!("coalesce({text}, '-')")
    });
    let texts: Vec<String> = texts.collect();
    let query = format!("{with} SELECT {} FROM {from}", texts.join(" || ' ' || "));
    let rows = database.texts(&query).await;
    let mut rows: Vec<String> = rows.into_iter().flatten().collect();
    rows.sort();
    rows
}

const PIECE: [(&str, bool); 7] = [
    ("device_key", false),
    ("since", true),
    ("until", true),
    ("state", false),
    ("kind", false),
    ("run_since", true),
    ("fault_since", true),
];
const EPISODE: [(&str, bool); 3] = [("device_key", false), ("since", true), ("until", true)];
const LASTING: [(&str, bool); 5] = [
    ("device_key", false),
    ("since", true),
    ("state", false),
    ("run_since", true),
    ("fault_since", true),
];
/// As users see it.
const TIMELINE: [(&str, bool); 7] = [
    ("device_key", false),
    ("since", true),
    ("until", true),
    ("state", false),
    ("kind", false),
    ("run_since", true),
    ("part", false),
];
const DAY: [(&str, bool); 5] = [
    ("day", false),
    ("device_key", false),
    ("state_key", false),
    ("certain", false),
    ("uncertain", false),
];

/// What the writer has kept, in the words of the definition.
const KEPT_PIECES: &str = "(SELECT i.device_key, i.since, i.until, s.state, \
    coalesce(run_since, since) AS run_since, \
    CASE WHEN severity = 'critical' THEN coalesce(fault_since, since) END AS fault_since, \
    CASE WHEN cause IS NULL THEN 'certain' ELSE 'uncertain' END AS kind \
    FROM state_interval_row AS i JOIN state AS s ON s.state_key = i.state_key) AS kept";
const KEPT_EPISODES: &str = "(SELECT device_key, coalesce(fault_since, since) AS since, until \
    FROM state_interval_row WHERE ends_fault) AS kept";
const KEPT_LASTING: &str = "(SELECT device_key, piece_since AS since, s.state, run_since, \
    fault_since FROM device_row AS d JOIN state AS s ON s.state_key = d.state_key) AS kept";
const KEPT_TIMELINE: &str = "(SELECT d.device_key, since, until, state, \
    i.run_since, CASE WHEN certain THEN 'certain' ELSE 'uncertain' END AS kind, \
    CASE WHEN lasting THEN 'lasting' ELSE 'closed' END AS part \
    FROM state_interval AS i JOIN device_row AS d ON d.stream = i.stream \
        AND d.client_id = i.client_id AND d.device_id = i.device_id) AS kept";
const KEPT_DAYS: &str = "(SELECT day, device_key, state_key, (certain_us + 500000) / 1000000 AS certain, \
    (uncertain_us + 500000) / 1000000 AS uncertain FROM state_daily_row \
    WHERE certain_us >= 500000 OR uncertain_us >= 500000) AS kept";

/// The days of all pieces, and of the open ones as far as they are counted.
const DAYS: &str = "\
    WITH RECURSIVE stay AS ( \
        SELECT device_key, state_key, cause IS NULL AS certain, since, until FROM state_interval_row \
        UNION ALL SELECT device_key, state_key, 1, piece_since, counted_certain_until \
            FROM device_row WHERE counted_until IS NOT NULL \
        UNION ALL SELECT device_key, state_key, 0, counted_certain_until, counted_until \
            FROM device_row WHERE counted_until IS NOT NULL), \
    named AS ( \
        SELECT s.state_key AS word_key, min(o.state_key) AS state_key FROM state AS s \
        JOIN state AS o ON o.state = s.state AND o.severity = s.severity GROUP BY s.state_key), \
    day AS ( \
        SELECT '2026-01-01' AS day UNION ALL SELECT date(day, '+1 day') FROM day \
        WHERE day < date('now', '+1 day')), \
    part AS ( \
        SELECT day, device_key, n.state_key AS state_key, certain, \
            CAST(round((min(julianday(until), julianday(day) + 1) \
                - max(julianday(since), julianday(day))) * 86400) AS integer) AS seconds \
        FROM stay JOIN named AS n ON n.word_key = stay.state_key JOIN day ON since < date(day, '+1 day') AND until > day), \
    counted AS ( \
        SELECT day, device_key, state_key, \
            sum(CASE WHEN certain THEN seconds ELSE 0 END) AS certain, \
            sum(CASE WHEN certain THEN 0 ELSE seconds END) AS uncertain \
        FROM part WHERE seconds > 0 GROUP BY 1, 2, 3) ";

pub(crate) async fn holds(database: &Database, seed: u64) -> Vec<String> {
    let mut told = Vec::new();
    for (columns, kept, defined) in [
        (&PIECE[..], KEPT_PIECES, "piece"),
        (&EPISODE[..], KEPT_EPISODES, "episode"),
        (&LASTING[..], KEPT_LASTING, "lasting"),
        (&TIMELINE[..], KEPT_TIMELINE, "timeline"),
    ] {
        let kept = rows(database, columns, kept, "").await;
        let defined_rows = rows(database, columns, defined, DEFINITION).await;
        assert_eq!(
            kept,
            defined_rows,
            "seed {seed}: {defined} in {}",
            database.url()
        );
        told.extend(kept);
    }
    let days = rows(database, &DAY, KEPT_DAYS, "").await;
    if let Database::Sqlite { .. } = database {
        let defined = rows(database, &DAY, "counted", DAYS).await;
        assert_eq!(days, defined, "seed {seed}: days");
    }
    // Each run was entered.
    let entered = database
        .text("SELECT CAST(sum(entered) AS text) FROM state_daily_row")
        .await;
    let runs = "(SELECT device_key, since AS run_since FROM state_interval_row WHERE run_since IS NULL \
         UNION ALL SELECT device_key, run_since FROM device_row WHERE piece_since = run_since) AS run";
    assert_eq!(
        entered,
        database.count(runs).await.to_string(),
        "seed {seed}"
    );
    told.extend(days);
    told
}

#[tokio::test]
async fn the_writer_keeps_what_the_definition_says_over_random_histories() {
    for seed in 0..60 {
        let database = Database::sqlite();
        tell(&database, &Story::told(seed)).await;
        let told = holds(&database, seed).await;
        let uncertain = told.iter().filter(|row| row.contains("uncertain")).count();
        assert!(
            told.len() > 40 && uncertain > 2,
            "seed {seed} tells of little: {told:?}"
        );
    }
}

#[tokio::test]
async fn both_databases_keep_the_same_of_one_story() {
    for seed in 100..104 {
        let steps = Story::told(seed);
        let mut told = Vec::new();
        for database in Database::both().await {
            tell(&database, &steps).await;
            told.push(holds(&database, seed).await);
        }
        assert_eq!(told[0], told[1], "seed {seed}");
    }
}
