//! The audit of one rig. After every session of the daemon it compares the acknowledged messages,
//! the journal and the arrivals, by the invariants of ARCHITECTURE.md. At the end it checks the
//! accounting too. It returns errors and does not panic, since the mutations' tests want to see
//! them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use crate::plan::FLOW_PER_SECOND;
use crate::queue::Queue;
use crate::rig::BACKLOG_MAX;
use crate::warehouse::Warehouse;
use peers::configuration::PREFETCH;
use peers::{Receiver, Subscriber, wait};

/// Devices that report in turn.
pub(crate) const DEVICES: usize = 20;

/// The names of the sinks in the configuration.
pub(crate) const HISTORY: &str = "history";
pub(crate) const WAREHOUSE: &str = "warehouse";
pub(crate) const MQTT: &str = "site";
pub(crate) const WEBHOOK: &str = "oncall";
pub(crate) const SINKS: [&str; 4] = [HISTORY, WAREHOUSE, MQTT, WEBHOOK];

/// The other side of each sink.
pub(crate) struct Ends {
    /// The folder of the journal and of the SQLite history.
    pub(crate) data: PathBuf,
    pub(crate) warehouse: Warehouse,
    pub(crate) receiver: Receiver,
    pub(crate) subscriber: Subscriber,
}

/// A sink's batch.
const BATCH: usize = 1000;

/// Events confirmed in the middle of a batch may come again after a crash. So may those before it,
/// whose cursor is on disk a second later at most: what came in within that second, and what had
/// waited before. Twice the batch, for room.
const WINDOW: usize = 2 * BATCH + PREFETCH + FLOW_PER_SECOND + BACKLOG_MAX;

/// mosquitto acknowledges before it has sent to its subscribers.
const MQTT_PATIENCE: Duration = Duration::from_secs(30);

/// The histories refuse these messages by a trigger; the other sinks take them.
fn is_poison(n: usize) -> bool {
    n % 97 == 13
}

fn refuses(sink: &str, n: usize) -> bool {
    [HISTORY, WAREHOUSE].contains(&sink) && is_poison(n)
}

/// See [`is_poison`]; [`Warehouse`] has its own.
pub(crate) const POISON: &str = "CREATE TRIGGER poison BEFORE INSERT ON event \
     WHEN json_extract(coalesce(NEW.payload, \
         (SELECT body FROM payload WHERE payload_key = NEW.payload_key)), '$.n') % 97 = 13 \
     BEGIN SELECT RAISE(ABORT, 'poison'); END";

/// What has arrived at one sink.
#[derive(Debug, Default)]
struct Arrivals {
    /// Of each arrival in order: the message's number and its journal position.
    all: Vec<(usize, i64)>,
    numbers: BTreeSet<usize>,
    positions: BTreeSet<i64>,
    /// How many had arrived when the life began.
    before: usize,
}

/// What a journal's file holds, read while nobody writes it.
#[derive(Debug, Default)]
struct Pages {
    sequence: i64,
    entries: BTreeMap<i64, usize>,
    cursors: HashMap<String, i64>,
    /// The messages of each sink's dead letters.
    dead_lettered: BTreeSet<(String, usize)>,
    /// Sinks whose accounting does not balance, with it.
    accounting_errors: Vec<String>,
}

/// The two equations of `migrations/journal/0001_journal.sql`; each dead letter is counted once
/// the cursor has passed it.
const ACCOUNTING_ERRORS: &str = "SELECT format('%s: at %d, started %d, rewound %d, delivered %d, filtered %d, undecodable %d, \
     dead-lettered %d (%d listed), evicted %d, removed %d, redriven %d, discarded %d', sink, position, started, rewound, \
     delivered, filtered, undecodable, dead_lettered, listed, evicted, removed, redriven, discarded) \
     FROM (SELECT *, (SELECT count(*) FROM dead_letter WHERE dead_letter.sink = cursor.sink AND intake = 0 \
     AND dead_letter.position <= cursor.position) AS listed FROM cursor) \
     WHERE position - started + rewound <> delivered + filtered + undecodable + dead_lettered + evicted + removed \
     OR dead_lettered <> listed + redriven + discarded";

/// The arrivals at each sink, and the checks of the invariants.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    arrivals: HashMap<&'static str, Arrivals>,
    /// The last row of each history that was read.
    row: i64,
    warehouse_row: i64,
    sequence: i64,
    /// Which message has which position.
    positions: HashMap<i64, usize>,
    /// The cursors on disk when the life began.
    cursors: HashMap<String, i64>,
    /// Messages that were acknowledged and have arrived everywhere.
    settled: BTreeSet<usize>,
    /// The most that came again in one life.
    again_max: usize,
}

impl Audit {
    /// How many different messages have arrived everywhere.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived_at(&SINKS)
    }

    /// How many have arrived at all of these sinks, MQTT among them.
    pub(crate) fn arrived_at(&self, sinks: &[&str]) -> usize {
        let refused = |sink: &str| self.numbers(MQTT).filter(|n| refuses(sink, **n)).count();
        sinks
            .iter()
            .map(|sink| self.numbers(sink).count() + refused(sink))
            .min()
            .unwrap_or(0)
    }

    fn numbers(&self, sink: &str) -> impl Iterator<Item = &usize> {
        self.arrivals
            .get(sink)
            .into_iter()
            .flat_map(|arrivals| &arrivals.numbers)
    }

    /// How many entries the journal holds that every sink has got.
    pub(crate) async fn kept(&self, ends: &Ends) -> usize {
        read_journal(&ends.data.join("journal.db"))
            .await
            .entries
            .len()
    }

    /// The most messages that came again in one life, over all sinks.
    pub(crate) fn again_max(&self) -> usize {
        self.again_max
    }

    /// Looks at everything between two lives.
    pub(crate) async fn check(&mut self, queue: &Queue, ends: &Ends) -> Result<(), String> {
        let acknowledged = queue.acknowledged();
        let pages = read_journal(&ends.data.join("journal.db")).await;
        self.read_arrivals(ends).await;
        self.check_positions(&pages)?;
        if let Some(account) = pages.accounting_errors.first() {
            return Err(format!("an account does not balance: {account}"));
        }
        self.check_passed(&pages, &ends.subscriber).await?;
        self.check_acknowledged(&acknowledged, &pages, &ends.subscriber)
            .await?;
        self.check_again()?;
        self.cursors = pages.cursors;
        Ok(())
    }

    /// Looks at what has arrived, without the rest.
    pub(crate) async fn read_arrivals(&mut self, ends: &Ends) {
        self.read_mqtt(&ends.subscriber);
        let webhook = self.arrivals.entry(WEBHOOK).or_default();
        for event in ends.receiver.delivered_since(webhook.all.len()) {
            webhook.add(event.n, event.position);
        }
        let history = self.arrivals.entry(HISTORY).or_default();
        for (row, origin, payload) in read_history(&ends.data.join("history.db"), self.row).await {
            history.add(number(&payload), position(&origin));
            self.row = row;
        }
        let warehouse = self.arrivals.entry(WAREHOUSE).or_default();
        for (row, origin, n) in ends.warehouse.arrivals_after(self.warehouse_row).await {
            warehouse.add(
                usize::try_from(n).expect("a message's number"),
                position(&origin),
            );
            self.warehouse_row = row;
        }
    }

    fn read_mqtt(&mut self, subscriber: &Subscriber) {
        let mqtt = self.arrivals.entry(MQTT).or_default();
        for event in subscriber.delivered_since(mqtt.all.len()) {
            mqtt.add(event.n, event.position);
        }
    }

    /// I4: a position is never given twice.
    fn check_positions(&mut self, pages: &Pages) -> Result<(), String> {
        if pages.sequence < self.sequence {
            return Err(format!(
                "the journal's sequence went back from {} to {}",
                self.sequence, pages.sequence
            ));
        }
        self.sequence = pages.sequence;
        let arrived = self
            .arrivals
            .values()
            .flat_map(|arrivals| &arrivals.all[arrivals.before..]);
        let arrived = arrived.map(|(n, position)| (*position, *n));
        for (position, n) in pages
            .entries
            .iter()
            .map(|(position, n)| (*position, *n))
            .chain(arrived)
        {
            let known = *self.positions.entry(position).or_insert(n);
            if known != n {
                return Err(format!(
                    "position {position} is message {n} and was message {known}"
                ));
            }
        }
        Ok(())
    }

    /// I2: what a cursor has passed has arrived or is dead-lettered.
    async fn check_passed(&mut self, pages: &Pages, subscriber: &Subscriber) -> Result<(), String> {
        for sink in SINKS {
            let cursor = pages.cursors.get(sink).copied().unwrap_or(0);
            for (position, n) in pages.entries.range(..=cursor) {
                // Also where this is a redelivery of it.
                let is_dead_letter = pages.dead_lettered.contains(&(sink.to_owned(), *n));
                if !is_dead_letter && !self.has(sink, *n, subscriber).await {
                    return Err(format!(
                        "the cursor of {sink} is at {cursor}, past {position} (message {n}), which has not arrived"
                    ));
                }
            }
        }
        Ok(())
    }

    /// I1 and I3: every acknowledged message is in the journal, or at each sink has arrived or is a
    /// dead letter.
    async fn check_acknowledged(
        &mut self,
        acknowledged: &BTreeSet<usize>,
        pages: &Pages,
        subscriber: &Subscriber,
    ) -> Result<(), String> {
        let kept: BTreeSet<usize> = pages.entries.values().copied().collect();
        let open: Vec<usize> = acknowledged
            .difference(&self.settled)
            .copied()
            .filter(|n| !kept.contains(n))
            .collect();
        for n in open {
            for sink in SINKS {
                let is_dead_letter = pages.dead_lettered.contains(&(sink.to_owned(), n));
                if !is_dead_letter && !self.has(sink, n, subscriber).await {
                    return Err(format!(
                        "message {n} was acknowledged and is neither in the journal nor with {sink}"
                    ));
                }
            }
            self.settled.insert(n);
        }
        Ok(())
    }

    /// What comes again after a crash was not past the cursor on disk, and is no more than what may
    /// be in flight.
    fn check_again(&mut self) -> Result<(), String> {
        for (sink, arrivals) in &mut self.arrivals {
            let cursor = self.cursors.get(*sink).copied().unwrap_or(0);
            let (before, new) = arrivals.all.split_at(arrivals.before);
            let known: BTreeSet<i64> = before.iter().map(|(_, position)| *position).collect();
            let again: Vec<i64> = new
                .iter()
                .map(|(_, p)| *p)
                .filter(|p| known.contains(p))
                .collect();
            if let Some(position) = again.iter().find(|position| **position <= cursor) {
                return Err(format!(
                    "{sink} was given {position} again, although its cursor was at {cursor}"
                ));
            }
            if again.len() > WINDOW {
                return Err(format!(
                    "{sink} was given {} again, more than {WINDOW}",
                    again.len()
                ));
            }
            self.again_max = self.again_max.max(again.len());
            arrivals.before = arrivals.all.len();
        }
        Ok(())
    }

    async fn has(&mut self, sink: &str, n: usize, subscriber: &Subscriber) -> bool {
        let known = |audit: &Audit| {
            audit
                .arrivals
                .get(sink)
                .is_some_and(|arrivals| arrivals.numbers.contains(&n))
        };
        if sink != MQTT || known(self) {
            return known(self);
        }
        let arrived = wait::within(MQTT_PATIENCE, async || {
            self.read_mqtt(subscriber);
            known(self).then_some(())
        });
        arrived.await.is_some()
    }

    /// At the end: every sink holds all that was published, in order, and the histories hold each
    /// message once. `deliveries`: how often the server has sent each, where it can tell.
    pub(crate) async fn check_accounting(
        &self,
        published: usize,
        deliveries: Option<Vec<u32>>,
        ends: &Ends,
    ) -> Result<(), String> {
        let pages = read_journal(&ends.data.join("journal.db")).await;
        let dead_letters =
            |sink: &str, n: usize| pages.dead_lettered.contains(&(sink.to_owned(), n));
        let histories = [
            (HISTORY, count_history(&ends.data.join("history.db")).await),
            (WAREHOUSE, ends.warehouse.counts().await),
        ];
        for (history, (rows, messages)) in histories {
            let arrived = self.numbers(history).count();
            if rows != messages || usize::try_from(rows) != Ok(arrived) {
                return Err(format!(
                    "{history} has {rows} rows of {messages} messages; {arrived} had arrived"
                ));
            }
        }
        for sink in SINKS {
            let Some(arrivals) = self.arrivals.get(sink) else {
                return Err(format!("nothing has arrived at {sink}"));
            };
            let refused = |n: usize| refuses(sink, n);
            let missing: Vec<usize> = (0..published)
                .filter(|n| !arrivals.numbers.contains(n) && !refused(*n))
                .take(20)
                .collect();
            if !missing.is_empty() {
                return Err(format!("{sink} misses {missing:?} of {published}"));
            }
            if let Some(n) = (0..published).find(|n| refused(*n) && !dead_letters(sink, *n)) {
                return Err(format!(
                    "{sink} has refused message {n}, which is not dead-lettered"
                ));
            }
            if arrivals
                .numbers
                .iter()
                .any(|n| *n >= published || refused(*n))
            {
                return Err(format!("{sink} has messages that it cannot have"));
            }
            let stores_once = [HISTORY, WAREHOUSE].contains(&sink);
            if stores_once && arrivals.all.len() != arrivals.numbers.len() {
                return Err(format!(
                    "{sink} has {} rows of {} messages",
                    arrivals.all.len(),
                    arrivals.numbers.len()
                ));
            }
            arrivals.check_order(sink)?;
        }
        let mut entries = vec![0; published];
        self.positions.values().for_each(|n| entries[*n] += 1);
        let sent = |n: usize| {
            deliveries
                .as_ref()
                .map_or(u32::MAX, |deliveries| deliveries[n])
        };
        match (0..published).find(|n| entries[*n] > sent(*n)) {
            Some(n) => Err(format!(
                "message {n} has {} entries, but was sent {} times",
                entries[n],
                sent(n)
            )),
            None => Ok(()),
        }
    }
}

impl Arrivals {
    fn add(&mut self, n: usize, position: i64) {
        self.all.push((n, position));
        self.numbers.insert(n);
        self.positions.insert(position);
    }

    fn check_order(&self, sink: &str) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut last = [None; DEVICES];
        for (n, _) in self.all.iter().filter(|(n, _)| seen.insert(*n)) {
            if let Some(before) = last[n % DEVICES].replace(*n)
                && before > *n
            {
                return Err(format!(
                    "{sink} has message {n} after {before} of the same device"
                ));
            }
        }
        Ok(())
    }
}

async fn open(path: &Path) -> Option<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .connect()
        .await
        .ok()
}

/// Empty where there is none yet.
async fn read_journal(path: &Path) -> Pages {
    let mut pages = Pages::default();
    let Some(mut connection) = open(path).await else {
        return pages;
    };
    let sequence = sqlx::query_scalar(
        "SELECT max(head, coalesce((SELECT max(position) FROM entry), 0)) FROM journal",
    );
    // Killed before it had its tables, it has nothing.
    let Ok(sequence) = sequence.fetch_optional(&mut connection).await else {
        return pages;
    };
    pages.sequence = sequence.unwrap_or(0);
    let entries: Vec<(i64, String)> =
        sqlx::query_as("SELECT position, CAST(body AS TEXT) FROM entry WHERE kind <> 'coverage'")
            .fetch_all(&mut connection)
            .await
            .expect("read the journal's entries");
    pages.entries = entries
        .into_iter()
        .map(|(position, body)| (position, number(&body)))
        .collect();
    let cursors: Vec<(String, i64)> = sqlx::query_as("SELECT sink, position FROM cursor")
        .fetch_all(&mut connection)
        .await
        .expect("read cursors");
    pages.cursors = cursors.into_iter().collect();
    // One whose entry was gone before it could be copied keeps no message: that is a loss.
    let dead_lettered: Vec<(String, String)> =
        sqlx::query_as("SELECT sink, CAST(body AS TEXT) FROM dead_letter WHERE body <> x''")
            .fetch_all(&mut connection)
            .await
            .expect("read the dead letters");
    pages.dead_lettered = dead_lettered
        .into_iter()
        .map(|(sink, body)| (sink, number(&body)))
        .collect();
    pages.accounting_errors = sqlx::query_scalar(ACCOUNTING_ERRORS)
        .fetch_all(&mut connection)
        .await
        .expect("read the sinks' accounts");
    pages
}

async fn read_history(path: &Path, after: i64) -> Vec<(i64, String, String)> {
    let Some(mut connection) = open(path).await else {
        return Vec::new();
    };
    let rows = sqlx::query_as(
        "SELECT sequence, origin, payload FROM status_event WHERE sequence > ? ORDER BY sequence",
    );
    rows.bind(after)
        .fetch_all(&mut connection)
        .await
        .unwrap_or_default()
}

/// How many rows there are, and of how many messages.
async fn count_history(path: &Path) -> (i64, i64) {
    let mut connection = open(path).await.expect("the daemon has made its history");
    let counts = "SELECT count(*), count(DISTINCT json_extract(payload, '$.n')) FROM status_event";
    sqlx::query_as(counts)
        .fetch_one(&mut connection)
        .await
        .expect("count in the history")
}

fn position(origin: &str) -> i64 {
    let position = origin
        .rsplit_once('-')
        .and_then(|(_, position)| position.parse().ok());
    position.expect("an origin ends in a position")
}

/// The `n` of a message, without the time that a parser takes for the rest.
fn number(body: &str) -> usize {
    let rest = body.split_once("\"n\":").map(|(_, rest)| rest.trim_start());
    let digits = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number in {body}"))
}
