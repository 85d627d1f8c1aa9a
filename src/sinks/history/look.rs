//! A look into a history for pages: the same questions as a person's, on a connection of its own, and
//! bounded in time, the connection included.

use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::timeout;

use super::reader::{ReadError, Reader, Store};
use super::{postgres, sqlite};

/// A look takes at most this long.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// A history that can be looked into.
#[derive(Debug, Clone)]
pub struct Look {
    name: String,
    zone: TimeZone,
    store: Store,
}

impl Look {
    /// Into a history in SQLite.
    pub fn sqlite(settings: &sqlite::Settings) -> Look {
        Look {
            name: settings.name.clone(),
            zone: settings.zone.clone(),
            store: Store::Sqlite(settings.path.clone()),
        }
    }

    /// Into a history in Postgres.
    pub fn postgres(settings: &postgres::Settings) -> Look {
        Look {
            name: settings.name.clone(),
            zone: settings.zone.clone(),
            store: Store::Postgres {
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

    /// Opens it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn open(&self) -> Result<Reader, ReadError> {
        let mut reader = Reader::open(&self.store).await?;
        reader.set_limit(LOOK_TIMEOUT);
        Ok(reader)
    }

    /// What is asked, with the opening, within the time of a look.
    ///
    /// # Errors
    /// Those of `asked`, or it took too long.
    pub async fn within_its_time<T>(
        &self,
        asked: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        let slow = |_| ReadError::Slow(self.name.clone(), LOOK_TIMEOUT);
        timeout(LOOK_TIMEOUT, asked).await.map_err(slow)?
    }
}
