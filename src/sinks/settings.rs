//! Which kinds of sinks there are, and how one is made.

use super::error::BuildError;
use super::history::{self, Look};
use super::sink::Built;
use super::{mqtt, webhook};
use crate::paced::Interval;

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

impl Settings {
    /// A look into the history that it writes; `None`: it is no history.
    pub fn look(&self) -> Option<Look> {
        match self {
            Settings::Sqlite(settings) => Some(Look::sqlite(settings)),
            Settings::Postgres(settings) => Some(Look::postgres(settings)),
            Settings::Mqtt(_) | Settings::Webhook(_) => None,
        }
    }

    /// What the configuration calls its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Settings::Sqlite(_) => "sqlite",
            Settings::Postgres(_) => "postgres",
            Settings::Mqtt(_) => "mqtt",
            Settings::Webhook(_) => "webhook",
        }
    }
}

/// Makes a sink from its settings; under load, new events come once in a `commit_interval`. Connects
/// to nothing: that is [`Sink::open`](super::Sink::open)'s, which may be tried again.
///
/// # Errors
/// See [`BuildError`]: trying again without another configuration is of no use.
pub fn build(settings: Settings, commit_interval: &Interval) -> Result<Built, BuildError> {
    match settings {
        Settings::Sqlite(settings) => Ok(history::sqlite::build(settings)),
        Settings::Postgres(settings) => history::postgres::build(settings),
        Settings::Mqtt(settings) => mqtt::build(settings, commit_interval),
        Settings::Webhook(settings) => webhook::build(settings),
    }
}
