//! One transaction of the writer: entries, last states, cursors, commands and a truncation, whole
//! or not at all.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::command::{Command, QueuedCommand, Which};
use super::dead_letters::{self, Added};
use super::disk;
use super::entry_rows::Removed;
use super::error::failed;
use super::insert::Insert;
use super::last_states::{Row, WaitingRow};
use super::proof::ProofSave;
use super::retention::Truncation;
use super::state::CursorRow;
use super::{
    Entry, Error, Settings, coverage, cursor_rows, entry_rows, last_state_rows, proof_rows, replays,
};
use crate::faults::{self, Failpoint};
use crate::model::Position;

/// The statements of the writer that take many rows, prepared once.
#[derive(Debug)]
pub(super) struct Statements {
    entries: Insert,
    last_states: Insert,
    cursors: Insert,
    proofs: Insert,
}

impl Default for Statements {
    fn default() -> Statements {
        Statements {
            entries: entry_rows::statement(),
            last_states: last_state_rows::upsert_statement(),
            cursors: cursor_rows::statement(),
            proofs: proof_rows::statement(),
        }
    }
}

/// The rows and commands to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transaction<'a> {
    pub(super) settings: &'a Settings,
    /// The newest position after it.
    pub(super) head: Position,
    pub(super) entries: &'a [Entry],
    /// The last states that wait, all of them: the table reaches `head` with them.
    pub(super) last_states: Option<&'a [WaitingRow<'a>]>,
    /// The newest time at which a status was received: its entry may be among those removed.
    pub(super) proven_at: Option<Timestamp>,
    /// How many devices are forgotten.
    pub(super) excess: u64,
    pub(super) commands: &'a [QueuedCommand],
    pub(super) cursors: &'a [CursorRow],
    pub(super) proofs: &'a ProofSave,
    pub(super) truncation: Option<Truncation>,
}

/// The result of a transaction.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How many rows each command has changed, in the order of the commands.
    pub(super) changed: Vec<u64>,
    pub(super) removed: Removed,
    /// The bytes of the proofs that were removed.
    pub(super) proofs_bytes: u64,
    /// How many of those below an operator wanted to be forgotten.
    pub(super) forgotten: usize,
    /// The devices that were forgotten.
    pub(super) evicted: Vec<Row>,
}

impl Transaction<'_> {
    /// Writes it; it is on disk once the WAL is synced.
    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        statements: &Statements,
    ) -> Result<Written, Error> {
        // An ordinary commit: it takes one round trip to the connection's thread.
        if self.is_one_insert(statements) {
            entry_rows::insert(connection, &statements.entries, self.entries).await?;
            return Ok(Written::default());
        }
        if let Some(command) = self.is_one_update() {
            let changed = command.write(connection, self.settings, self.head).await?;
            return Ok(Written {
                changed: vec![changed],
                ..Written::default()
            });
        }
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed("begin a transaction"))?;
        entry_rows::insert(&mut transaction, &statements.entries, self.entries).await?;
        if let Some(rows) = self.last_states {
            last_state_rows::upsert(&mut transaction, &statements.last_states, rows).await?;
            last_state_rows::save_position(&mut transaction, self.head).await?;
        }
        coverage::keep(&mut transaction, self.entries).await?;
        let mut evicted = match self.excess {
            0 => Vec::new(),
            excess => last_state_rows::evict(&mut transaction, excess).await?,
        };
        cursor_rows::save(&mut transaction, &statements.cursors, self.cursors).await?;
        let proofs_bytes =
            proof_rows::save(&mut transaction, &statements.proofs, self.proofs).await?;
        let (mut changed, mut forgotten) = (Vec::new(), Vec::new());
        for QueuedCommand { command, .. } in self.commands {
            if let Command::ForgetDevices { devices } = command {
                let rows = last_state_rows::forget(&mut transaction, devices).await?;
                changed.push(rows.len() as u64);
                forgotten.extend(rows);
                continue;
            }
            let write = command.write(&mut transaction, self.settings, self.head);
            changed.push(write.await?);
        }
        let mut removed = Removed::default();
        if let Some(truncation) = self.truncation {
            disk::save_head(&mut transaction, self.head).await?;
            if let Some(at) = self.proven_at {
                coverage::keep_proof(&mut transaction, at, self.head).await?;
            }
            removed = entry_rows::truncate(&mut transaction, truncation).await?;
            faults::reach(Failpoint::InRetention);
        }
        // A test counts the commits of received entries.
        if coverage::received(self.entries) {
            faults::reach(Failpoint::BeforeCommit);
        }
        transaction.commit().await.map_err(failed("commit"))?;
        evicted.extend(forgotten.iter().cloned());
        Ok(Written {
            changed,
            removed,
            proofs_bytes,
            forgotten: forgotten.len(),
            evicted,
        })
    }

    /// The command that is all of it, where that is one statement. An idle daemon writes one every
    /// few seconds.
    fn is_one_update(&self) -> Option<&Command> {
        let alone = self.entries.is_empty() && self.has_no_upkeep();
        match self.commands {
            [only] if alone && matches!(only.command, Command::LinkProven { .. }) => {
                Some(&only.command)
            }
            _ => None,
        }
    }

    /// Nothing that the writer adds on its own.
    fn has_no_upkeep(&self) -> bool {
        self.cursors.is_empty()
            && self.proofs.is_empty()
            && self.truncation.is_none()
            && self.last_states.is_none()
            && self.excess == 0
    }

    /// One statement is a transaction by itself.
    fn is_one_insert(&self, statements: &Statements) -> bool {
        self.has_no_upkeep()
            && self.commands.is_empty()
            && statements.entries.is_one(self.entries.len())
            && !coverage::changes(self.entries)
            && !faults::awaits(Failpoint::BeforeCommit)
    }
}

impl Command {
    /// Writes it; gives how many entries (or sinks) it has changed.
    async fn write(
        &self,
        connection: &mut SqliteConnection,
        settings: &Settings,
        head: Position,
    ) -> Result<u64, Error> {
        let written = match self {
            // The sinks are the writer's, and the devices the transaction's own.
            Command::Flush
            | Command::Register { .. }
            | Command::Fence
            | Command::ForgetDevices { .. } => Ok(0),
            Command::LinkProven { at } => {
                coverage::keep_proof(connection, *at, head).await?;
                Ok(0)
            }
            Command::DeadLetter {
                sink,
                position,
                error,
                listing,
            } => {
                let entry = (sink, *position);
                let added = dead_letters::add(connection, settings, entry, error, *listing).await?;
                Ok(u64::from(added == Added::Listed))
            }
            Command::Judged { sink, digest } => disk::save_judged(connection, sink, digest).await,
            Command::Redrive { sink, which } => {
                dead_letters::redrive(connection, sink, which).await
            }
            Command::Discard { sink, which } => {
                dead_letters::discard(connection, sink, which).await
            }
            Command::RedriveUndecodable { entries, sinks } => {
                redrive_undecodable(connection, entries, sinks).await
            }
            Command::DiscardUndecodable { which } => {
                entry_rows::settle_undecodable(connection, which).await
            }
            Command::Settle {
                sink,
                position,
                settled,
            } => dead_letters::settle(connection, sink, *position, settled).await,
            Command::Replay { sink, replay } => replays::begin(connection, sink, replay).await,
            Command::Replayed { sink, replay, done } => {
                replays::go_on(connection, sink, replay, *done).await
            }
            Command::Forget { sink } => forget(connection, sink).await,
        };
        written.map_err(failed("write a command"))
    }
}

async fn redrive_undecodable(
    connection: &mut SqliteConnection,
    entries: &[(Position, Vec<Position>)],
    sinks: &[Arc<str>],
) -> Result<u64, sqlx::Error> {
    let mut redriven = Vec::new();
    for (whole, parts) in entries {
        let whole = Which::Positions(vec![*whole]);
        // Else another redrive was faster, and its statuses are on their way.
        if entry_rows::settle_undecodable(connection, &whole).await? > 0 {
            redriven.extend_from_slice(parts);
        }
    }
    let parts = entries.iter().flat_map(|(_, parts)| parts).copied();
    let parts = Which::Positions(parts.collect());
    entry_rows::settle_undecodable(connection, &parts).await?;
    for sink in sinks {
        for part in &redriven {
            dead_letters::redrive_undecodable(connection, sink, *part).await?;
        }
    }
    Ok(redriven.len() as u64)
}

/// Removes everything that is kept for a sink; gives 1 where it was known.
async fn forget(connection: &mut SqliteConnection, sink: &Arc<str>) -> Result<u64, sqlx::Error> {
    const FORGET: [&str; 5] = [
        "DELETE FROM dead_letter WHERE sink = ?",
        "DELETE FROM dlq WHERE sink = ?",
        "DELETE FROM replay WHERE sink = ?",
        "DELETE FROM judged WHERE sink = ?",
        "DELETE FROM cursor WHERE sink = ?",
    ];
    let mut changed = 0;
    for text in FORGET {
        let forget = sqlx::query(text).bind(Arc::clone(sink));
        changed = forget.execute(&mut *connection).await?.rows_affected();
    }
    Ok(changed)
}
