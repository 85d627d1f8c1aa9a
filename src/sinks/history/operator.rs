//! What an operator changes in a history, whichever database it is in, while the daemon writes it or
//! while none does: a device is forgotten, rows of before a time go, a copy is made. It goes in
//! small steps, and waits between them as long as they take, so that a daemon gets through.

use std::io;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;

use super::kept::{KeptDevice, Left, STEP_ROWS};
use super::postgres::PostgresOperator;
use super::reader::{ReadError, STATEMENT_MAX, Store, of_sqlite};
use super::removal;
use super::sqlite::{SqliteOperator, explained};

/// How a copy is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// It is made, and has so many bytes.
    Bytes(u64),
    /// By this command of the database's own.
    By(String),
}

/// A history that is open to be changed.
#[derive(Debug)]
pub struct Operator {
    /// The file's path, or the server without user and password.
    name: String,
    store: Open,
}

#[derive(Debug)]
enum Open {
    Sqlite(SqliteOperator),
    Postgres(Box<PostgresOperator>),
}

/// Calls the same of both databases.
macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {
        match &mut $self.store {
            Open::Sqlite($store) => $call
                .await
                .map_err(|error| failed(&$self.name, explained(&error))),
            Open::Postgres($store) => $call.await.map_err(|why| failed(&$self.name, why)),
        }
    };
}

impl Operator {
    /// Opens a history that is there.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn open(store: &Store) -> Result<Operator, ReadError> {
        match store {
            Store::Sqlite(path) => {
                let name = path.display().to_string();
                let opened = SqliteOperator::open(path).await;
                let store =
                    opened.map_err(|error| of_sqlite(&name, path.clone(), error, STATEMENT_MAX))?;
                let store = Open::Sqlite(store);
                Ok(Operator { name, store })
            }
            Store::Postgres {
                url,
                schema,
                folder,
            } => {
                let url = url.expose_secret();
                let opened = PostgresOperator::open(url, folder, schema.as_deref()).await;
                let store = opened.map_err(|why| failed("the Postgres history", why))?;
                Ok(Operator {
                    name: store.server().to_owned(),
                    store: Open::Postgres(Box::new(store)),
                })
            }
        }
    }

    /// What to call it: its path, or its server without user and password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The devices of a name, `client/device` or the id alone, with what is kept of each.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn devices(&mut self, name: &str) -> Result<Vec<KeptDevice>, ReadError> {
        either!(self, store => store.look(async |on| removal::devices(on, name).await))
    }

    /// Deletes all rows of a device: its statuses, its timeline, its days and itself.
    ///
    /// # Errors
    /// The history does not answer; what is deleted by then stays deleted.
    pub async fn forget(&mut self, device: &KeptDevice) -> Result<(), ReadError> {
        let key = device.key;
        let beside = either!(self, store => store.look(async |on| removal::beside(on, key).await))?;
        loop {
            let began = Instant::now();
            let left = either!(self, store => store.change(async |on| removal::forget_some(on, key).await))?;
            if left == Left::Little {
                break;
            }
            tokio::time::sleep(began.elapsed()).await;
        }
        let rest = &beside;
        either!(self, store => store.change(async |on| removal::forget_rest(on, key, rest).await))
    }

    /// How many statuses were received before a time.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn older(&mut self, before: Timestamp) -> Result<u64, ReadError> {
        either!(self, store => store.look(async |on| removal::older(on, before).await))
    }

    /// Deletes the statuses that were received before a time. `tell` hears how many have gone so
    /// far. Gives how many there were.
    ///
    /// # Errors
    /// The history does not answer; what is deleted by then stays deleted.
    pub async fn prune(
        &mut self,
        before: Timestamp,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, ReadError> {
        let mut deleted = 0;
        loop {
            let began = Instant::now();
            let some = either!(self, store => store.prune_some(before))?;
            deleted += some;
            tell(deleted);
            if some < u64::from(STEP_ROWS) {
                return Ok(deleted);
            }
            tokio::time::sleep(began.elapsed()).await;
        }
    }

    /// Copies a SQLite history as it is at one moment to a file that is not there yet, for its owner
    /// alone. Gives its bytes. A Postgres history is not copied: gives the command that does it.
    ///
    /// # Errors
    /// The file is there, or cannot be written.
    pub async fn back_up(&mut self, to: &Path) -> io::Result<Copied> {
        match &mut self.store {
            Open::Sqlite(store) => store.back_up(to).await.map(Copied::Bytes),
            Open::Postgres(store) => Ok(Copied::By(store.dump(to))),
        }
    }
}

fn failed(name: &str, why: String) -> ReadError {
    ReadError::Failed {
        name: name.to_owned(),
        why,
    }
}
