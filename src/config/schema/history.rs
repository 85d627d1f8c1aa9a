//! The keys of the histories: of a sink `sqlite`, and of a sink `postgres`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::TIMEZONE_DEFAULT;
use crate::config::units::{Mode, Retention};
use crate::secret::Secret;
use crate::sinks::history::sqlite;

/// How long a history keeps its rows, by what they are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HistoryRetention {
    /// How long rows of `status_event` stay.
    pub(in crate::config) statuses: Retention,
    /// How long rows of `state_interval`, `fault_episode`, `state_daily` and `coverage_gap` stay.
    pub(in crate::config) intervals: Retention,
}

impl Default for HistoryRetention {
    fn default() -> HistoryRetention {
        HistoryRetention {
            statuses: Retention(Some(Duration::from_secs(365 * 86_400))),
            intervals: Retention(Some(Duration::from_secs(5 * 365 * 86_400))),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Sqlite {
    /// The file. A relative path lies under `$STATE_DIRECTORY` where systemd sets it, else beside
    /// the configuration.
    pub(in crate::config) path: PathBuf,
    /// Who may read and write the file. `0640` lets a group read it, such as that of a dashboard,
    /// and enter folders that are made for it.
    pub(in crate::config) mode: Mode,
    /// How long rows stay. A clock that jumps ahead deletes nothing.
    pub(in crate::config) retention: HistoryRetention,
    /// The zone of the days of `state_daily`.
    pub(in crate::config) timezone: String,
}

impl Default for Sqlite {
    fn default() -> Sqlite {
        Sqlite {
            path: PathBuf::from("history.db"),
            mode: Mode(sqlite::Settings::MODE),
            retention: HistoryRetention::default(),
            timezone: TIMEZONE_DEFAULT.to_owned(),
        }
    }
}

/// The default server: a `Secret` says nothing of itself in the schema.
const POSTGRES_URL: &str = "postgres://127.0.0.1/devices";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Postgres {
    /// The server and the database, such as `postgres://bridge:{{ secret('db') }}@db/devices`.
    /// Another machine needs TLS with a verified certificate, unless `?sslmode=` says otherwise.
    /// `?sslrootcert=ca.pem`, beside the configuration: one more authority. Of several hosts the
    /// first that accepts writes is used.
    #[schemars(extend("default" = POSTGRES_URL))]
    pub(in crate::config) url: Secret,
    /// The schema of the tables; it is made where it is missing. By default the first that the
    /// server looks into (`public`).
    pub(in crate::config) schema: Option<String>,
    /// How long rows stay. Statuses go by whole months (UTC), below `60d` by whole days.
    pub(in crate::config) retention: HistoryRetention,
    /// The zone of the days of `state_daily`.
    pub(in crate::config) timezone: String,
}

impl Default for Postgres {
    fn default() -> Postgres {
        Postgres {
            url: POSTGRES_URL.into(),
            schema: None,
            retention: HistoryRetention::default(),
            timezone: TIMEZONE_DEFAULT.to_owned(),
        }
    }
}
