//! A look into a history for who shows it: read-only, on a connection of its own, bounded in time.
//! Every column comes as a text, so that both databases give the same.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::timeout;

use super::{postgres, sqlite};
use crate::secret::{Secret, redact};

/// A look takes at most this long, the connection included.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// A row: each column as a text, or null.
pub type LookRow = Vec<Option<String>>;

/// A history that can be looked into.
#[derive(Debug, Clone)]
pub struct Look {
    name: String,
    zone: TimeZone,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Sqlite(PathBuf),
    Postgres {
        url: Secret,
        folder: PathBuf,
        schema: Option<String>,
    },
}

impl Look {
    /// Into a history in SQLite.
    pub fn sqlite(settings: &sqlite::Settings) -> Look {
        Look {
            name: settings.name.clone(),
            zone: settings.zone.clone(),
            place: Place::Sqlite(settings.path.clone()),
        }
    }

    /// Into a history in Postgres.
    pub fn postgres(settings: &postgres::Settings) -> Look {
        Look {
            name: settings.name.clone(),
            zone: settings.zone.clone(),
            place: Place::Postgres {
                url: settings.url.clone(),
                folder: settings.folder.clone(),
                schema: settings.schema.clone(),
            },
        }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone of its days.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// A parameter that is a time, as this database compares it: in place of `$1`.
    pub fn time_parameter(&self, number: usize) -> String {
        match self.place {
            Place::Sqlite(_) => format!("${number}"),
            Place::Postgres { .. } => format!("CAST(${number} AS timestamptz)"),
        }
    }

    /// The rows of a query with the parameters `$1`, `$2` and so on, which are texts.
    ///
    /// # Errors
    /// Why there are none, in words for a person: it took too long, or the database is away.
    pub async fn rows(&self, sql: &str, parameters: &[String]) -> Result<Vec<LookRow>, String> {
        let rows = async {
            match &self.place {
                Place::Sqlite(path) => {
                    sqlite::look::rows(path, sql, parameters, LOOK_TIMEOUT).await
                }
                Place::Postgres {
                    url,
                    folder,
                    schema,
                } => {
                    let place = (url.expose_secret(), folder.as_path(), schema.as_deref());
                    postgres::look::rows(place, sql, parameters, LOOK_TIMEOUT).await
                }
            }
        };
        match timeout(LOOK_TIMEOUT, rows).await {
            Ok(rows) => rows.map_err(|error| redact(&error).into_owned()),
            Err(_) => Err(format!("no answer within {} s", LOOK_TIMEOUT.as_secs())),
        }
    }
}
