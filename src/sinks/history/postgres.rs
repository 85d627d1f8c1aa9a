//! History tables in Postgres.

use std::time::Duration;

use secrecy::SecretString;

/// Validated settings of a Postgres history.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// `postgres://user:password@host/database?options`, with the password, hence secret.
    pub url: SecretString,
    /// How long `status_event` rows stay; `None`: for ever.
    pub retention: Option<Duration>,
}

pub(in crate::sinks) fn build(
    _settings: Settings,
    _health: crate::sinks::Health,
) -> Result<crate::sinks::Built, crate::sinks::BuildError> {
    todo!("being built")
}
