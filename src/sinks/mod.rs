//! Where events go. A sink delivers a batch in order and says how far it came, or several devices'
//! events at once ([`Lanes`]); reading the journal, moving cursors, dead-lettering and backing off
//! are `delivery`'s.

mod health;
pub mod history;
pub mod mqtt;
pub mod webhook;

use std::sync::Arc;
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
    /// Where the cursor stands once all of them are confirmed: at or after the last event's
    /// position.
    pub through: Position,
    /// See [`Occasion`].
    pub occasion: Occasion,
}

/// Why a batch is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// It is its turn. After trouble it may come again.
    #[default]
    Turn,
    /// Somebody wants it once more, though the sink may have newer ones: nothing newer may be
    /// overwritten by it.
    Again,
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
    /// timeout, HTTP 500): where the sink has lanes only this one waits, while the others get on.
    /// Elsewhere it is the sink's trouble.
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

/// One destination.
pub trait Sink: Send {
    /// Connects, again after trouble; whether that makes it up is the delivery's to say. Gives
    /// the cursor that the destination keeps itself (SQL histories: in the same transaction as
    /// their rows); `None` where it keeps none, or none for this journal.
    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>>;

    /// Delivers the events in order and returns once the other side has confirmed all of them. Must
    /// be safe to call again with the same events: after an error, and after a crash.
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Says goodbye within a second or two; nothing is delivered afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// How many events it is given at once, where so many wait. What is not confirmed when the
    /// process is killed comes again: where that shows, as few as cost little more than many.
    fn batch_events_max(&self) -> usize {
        1000
    }

    /// Whether the destination keeps a cursor of its own.
    fn keeps_cursor(&self) -> bool {
        false
    }

    /// The newest status that the destination has, as [`Sink::open`] has found it; `None`: it does
    /// not say.
    fn newest(&self) -> Option<Newest> {
        None
    }

    /// How it delivers several devices' events at once; `None`: a batch is its unit.
    fn lanes(&self) -> Option<Lanes> {
        None
    }

    /// There is nothing to deliver: time for what does not depend on deliveries, such as deleting
    /// what is too old. Called now and then while the sink is up; takes a second or two at most.
    fn tend(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A sink that takes several devices' events at once: each device is a lane of its own, in order,
/// and one that fails does not hold the others. [`Sink::deliver`] is not called for it.
#[derive(Clone)]
pub struct Lanes {
    /// Makes the attempts.
    pub courier: Arc<dyn Courier>,
    /// Attempts that may be under way at once; at least 1.
    pub concurrency: usize,
    /// Events of one attempt at most; at least 1.
    pub batch_max: usize,
    /// How long events may wait for others to go with them.
    pub batch_wait: Duration,
    /// Waits before the first and each further attempt at the same events, their number that of the
    /// attempts before they are dead-lettered, if the sink takes others meanwhile. The last is
    /// repeated. At least one.
    pub schedule: Vec<Duration>,
}

/// Makes attempts that do not wait for each other.
pub trait Courier: Send + Sync {
    /// One attempt at these events, of one or several devices, each device's in order: all are
    /// confirmed, or none.
    fn attempt(&self, events: Vec<Arc<Event>>) -> BoxFuture<'static, Result<(), Trouble>>;
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
pub fn build(settings: Settings, health: Health) -> Result<Built, BuildError> {
    match settings {
        Settings::Sqlite(settings) => Ok(history::sqlite::build(settings, health)),
        Settings::Postgres(settings) => history::postgres::build(settings, health),
        Settings::Mqtt(settings) => mqtt::build(settings, health),
        Settings::Webhook(settings) => webhook::build(settings),
    }
}
