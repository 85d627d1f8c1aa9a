//! Where events go. A sink delivers a batch in order and says how far it came; reading the journal, moving cursors,
//! setting aside and backing off are `delivery`'s.

mod health;
pub mod history;
pub mod mqtt;
pub mod webhook;

use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::model::{Event, Position};

pub use health::{Health, HealthReport};

/// Events for one sink, in the journal's order.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The journal they come from.
    pub journal: Uuid,
    /// At least one.
    pub events: &'a [Event],
    /// Where the cursor stands once all of them are confirmed: at or after the last event's position.
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
    /// Somebody wants it once more, though the sink may have newer ones: nothing newer may be overwritten by it.
    Again,
}

/// Why a sink could not deliver, by what `delivery` does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The sink's trouble: it is tried again for ever, not before `after` where the sink named a time.
    Retry {
        /// What failed and where, for one log line.
        error: String,
        /// How long the other side asked us to wait.
        after: Option<Duration>,
    },
    /// Something in the batch will never be taken. With an `index` it is `events[index]`; without, the batch is
    /// bisected until one event is left, which is set aside.
    Refused {
        /// Which event of the batch, where the sink knows.
        index: Option<usize>,
        /// What was refused and why.
        error: String,
    },
    /// The other side wants nothing any more (HTTP 410): the sink stops, its entries are kept.
    Disabled {
        /// What it said.
        error: String,
    },
}

/// A batch that was not delivered whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The first so many events are confirmed.
    pub confirmed: usize,
    /// Why not the rest.
    pub trouble: Trouble,
}

/// One destination.
pub trait Sink: Send {
    /// Connects, again after trouble. Gives the cursor that the destination keeps itself (SQL histories: in the same
    /// transaction as their rows); `None` where it keeps none, or none for this journal.
    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>>;

    /// Delivers the events in order and returns once the other side has confirmed all of them. Must be safe to
    /// call again with the same events: after an error, and after a crash.
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Says goodbye within a second or two; nothing is delivered afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// How many events it is given at once, where so many wait. What is not confirmed when the process is killed comes
    /// again: where that shows, as few as cost little more than many.
    fn batch_events_max(&self) -> usize {
        1000
    }

    /// Whether the destination keeps a cursor of its own.
    fn keeps_cursor(&self) -> bool {
        false
    }
}

/// A sink, and where it needs one, the task that drives its connection (spawned and supervised by `app`; it ends
/// when the sink is dropped).
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

/// Why a sink cannot be built: its settings name something that is not there or that cannot be used.
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

/// Makes a sink from its settings. Connects to nothing: that is [`Sink::open`]'s, which may be tried again.
///
/// # Errors
/// See [`BuildError`]: trying again without another configuration is of no use.
pub fn build(settings: Settings, health: Health) -> Result<Built, BuildError> {
    match settings {
        Settings::Sqlite(settings) => Ok(history::sqlite::build(settings, health)),
        Settings::Postgres(settings) => history::postgres::build(settings, health),
        Settings::Mqtt(settings) => mqtt::build(settings, health),
        Settings::Webhook(settings) => webhook::build(settings, health),
    }
}
