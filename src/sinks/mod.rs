//! Where events go. A sink makes one attempt at a batch and says how far it came; reading the
//! journal, moving cursors, retrying and dead-lettering are `delivery`'s.

mod health;
pub mod history;
pub mod mqtt;
pub mod webhook;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use crate::model::{Event, Origin, Position};

pub use health::{Health, HealthReport};

/// Events for one sink, in the journal's order.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The journal they come from.
    pub journal: Uuid,
    /// At least one.
    pub events: &'a [Event],
    /// Where the cursor stands once all of them are confirmed.
    pub through: Position,
    /// See [`Reason`].
    pub reason: Reason,
}

/// Why events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// They come next in the log. After trouble they may come again.
    #[default]
    Log,
    /// They were dead-lettered, and an operator wants them delivered. The sink may have newer ones:
    /// nothing newer may be overwritten by them.
    Redrive,
    /// They are part of a replay, and may be older than what the sink has, too.
    Replay,
}

/// Why a sink could not deliver, by what `delivery` does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The sink's trouble: it is tried again for ever, not before `after` where the sink named a
    /// time.
    Retry {
        /// What failed and where, for one log line.
        error: String,
        /// How long the other side asked us to wait.
        after: Option<Duration>,
    },
    /// The attempt failed, and nobody can tell whether by the sink or by what it was given (a
    /// timeout, HTTP 500): where each device has an order of its own, this one's events wait while
    /// the others' go on. Elsewhere it is the sink's trouble.
    Unclear {
        /// What failed and where, for one log line.
        error: String,
    },
    /// Something in the batch will never be taken. With an `index` it is `events[index]`; without,
    /// the batch is bisected until one event is left, which is dead-lettered.
    Refused {
        /// Which event of the batch, where the sink knows.
        index: Option<usize>,
        /// See [`By`].
        by: By,
        /// What was refused and why.
        error: String,
    },
    /// The other side wants nothing any more (HTTP 410): the sink stops, its entries are kept.
    Disabled {
        /// What it said.
        error: String,
    },
}

/// Who refuses an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Our own rules: the other side was not asked, so it says nothing of the other side.
    Us,
    /// The other side. Where it refuses too much, that is its trouble and not the events'.
    Them,
}

/// A batch that was not delivered whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The first so many events are confirmed.
    pub confirmed: usize,
    /// Why not the rest.
    pub trouble: Trouble,
}

/// The newest status that a destination has. A journal with another entry in its place is not the
/// one that has brought it, but a stale copy that has gone on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// The entry that it came from.
    pub origin: Origin,
    /// When that was received, to the microsecond or nearly so.
    pub received_at: Timestamp,
}

/// What a sink can do: the same for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Events of one attempt at most; at least 1. What is not confirmed when the process is killed
    /// comes again: where that shows, as few as cost little more than many.
    pub batch_max: usize,
    /// See [`Ordering`].
    pub ordering: Ordering,
    /// The destination keeps a cursor of its own: [`Sink::open`] gives it.
    pub keeps_cursor: bool,
    /// Between two calls of [`Sink::idle`].
    pub idle_interval: Duration,
}

impl Default for Capabilities {
    fn default() -> Capabilities {
        Capabilities {
            batch_max: 1000,
            ordering: Ordering::Global,
            keeps_cursor: false,
            idle_interval: Duration::from_secs(60),
        }
    }
}

/// Which events wait for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// All events keep the log's order: one attempt at a time, whose events may be confirmed in
    /// part.
    Global,
    /// Each device's events keep their order. Several attempts are under way at once, and a device
    /// that fails does not hold the others.
    PerDevice {
        /// Attempts at once; at least 1.
        concurrency: usize,
        /// How long events may wait for others to go with them.
        batch_wait: Duration,
    },
}

/// One destination.
pub trait Sink: Send {
    /// The same for as long as it lives.
    fn capabilities(&self) -> Capabilities;

    /// Connects, again after trouble; whether that makes it up is the delivery's to say. Gives
    /// the cursor that the destination keeps itself (SQL histories: in the same transaction as
    /// their rows); `None` where it keeps none, or none for this journal.
    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>>;

    /// The newest status that the destination has, as [`Sink::open`] has found it; `None`: it does
    /// not say.
    fn newest(&self) -> Option<Newest> {
        None
    }

    /// One attempt at these events, in order; returns once the other side has confirmed all of
    /// them. Must be safe to make again with the same events: after an error, and after a crash.
    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Another one for the same destination, whose attempts are under way beside this one's. Only
    /// [`Ordering::PerDevice`] asks for it.
    fn another(&self) -> Option<Box<dyn Sink>> {
        None
    }

    /// There is nothing to deliver: time to see whether the other side answers, without sending it
    /// anything, and for what does not depend on deliveries, such as deleting what is too old.
    /// Called every [`Capabilities::idle_interval`] while nothing waits; takes a second or two
    /// where the other side answers.
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>>;

    /// Says goodbye within a second or two; nothing is delivered afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()>;
}

/// A sink, and where it needs one, the task that drives its connection (spawned and supervised by
/// `app`; it ends when the sink is dropped).
pub struct Built {
    /// See [`Sink`].
    pub sink: Box<dyn Sink>,
    /// Must be running for `sink` to make progress.
    pub driver: Option<BoxFuture<'static, ()>>,
}

/// Validated settings of one sink's destination.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// History tables in SQLite.
    Sqlite(history::sqlite::Settings),
    /// History tables in Postgres.
    Postgres(history::postgres::Settings),
    /// MQTT.
    Mqtt(mqtt::Settings),
    /// HTTP POST.
    Webhook(webhook::Settings),
}

/// Why a sink cannot be built: its settings name something that is not there or that cannot be
/// used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    /// A setting that only its sink can judge; says which and what is expected.
    #[error("sink {name}: {problem}")]
    Settings {
        /// The sink's name in the configuration.
        name: String,
        /// Which setting, and what is expected of it.
        problem: String,
    },
}

/// Makes a sink from its settings. Connects to nothing: that is [`Sink::open`]'s, which may be
/// tried again.
///
/// # Errors
/// See [`BuildError`]: trying again without another configuration is of no use.
pub fn build(settings: Settings) -> Result<Built, BuildError> {
    match settings {
        Settings::Sqlite(settings) => Ok(history::sqlite::build(settings)),
        Settings::Postgres(settings) => history::postgres::build(settings),
        Settings::Mqtt(settings) => mqtt::build(settings),
        Settings::Webhook(settings) => webhook::build(settings),
    }
}
