//! One commit: a group of batches and commands, and what goes along with it, in one transaction.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Writer;
use crate::journal::command::{Command, QueuedCommand};
use crate::journal::group::{Group, WrittenGroup};
use crate::journal::identity::Wrote;
use crate::journal::proof::ProofSave;
use crate::journal::retention::{Truncation, Worth};
use crate::journal::state::CursorRow;
use crate::journal::transaction::{Transaction, Written};
use crate::journal::{Entry, Error, disk};
use crate::model::{EntryKind, Position};

/// Bodies written before the file is measured again: measuring is a round trip to the connection's
/// thread.
const MEASURE_BYTES: u64 = 1024 * 1024;

/// What an entry needs beside its body, until the file is measured.
const ENTRY_BYTES: u64 = 128;

/// What the writer adds to a group on its own.
#[derive(Debug, Default)]
struct Upkeep {
    cursors: Vec<CursorRow>,
    /// They go with cursors, and are no reason to write but for the stop.
    proofs: ProofSave,
    /// The last states that wait.
    last_states: bool,
    /// How many devices are forgotten.
    excess: u64,
    truncation: Option<Truncation>,
}

impl Writer {
    /// Writes one transaction: all of the group, and what is due besides. It is on disk, and those
    /// who wait hear of it, once the sync that begins after it has ended. `now`: when the writer
    /// asked whether to look round, since a save is a look too.
    pub(super) async fn commit(
        &mut self,
        mut group: Group,
        worth: Worth,
        now: Instant,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.carry_out(&mut group.commands);
        let mut truncation = self.due_truncation(group.entries.len(), worth);
        let resolved = self.resolve(std::mem::take(&mut group.entries)).await?;
        group.drop_entries(&resolved.dropped);
        group.place_redrives(self.head);
        let head = resolved.head(self.head);
        // Once: what is tried again is tried for the same reason.
        let is_save = self.due.is_save(now);
        let mut upkeep = self.upkeep(&group, head, truncation, is_save);
        if upkeep.is_empty() && group.is_empty() && !self.is_last(&upkeep, stop) {
            if worth == Worth::Any {
                self.age.nothing_is_old();
            }
            return Ok(());
        }
        let began_at = Timestamp::now();
        let written = loop {
            match self.write(&resolved.entries, head, &group, &upkeep).await {
                Err(error) if error.is_out_of_space() && !stop.is_cancelled() => {
                    self.wait_for_space(&error, stop).await?;
                    truncation = self.due_truncation(resolved.entries.len(), worth);
                    upkeep = self.upkeep(&group, head, truncation, is_save);
                }
                // Said before the group goes, and with it those who wait for it.
                written => break written.inspect_err(|error| self.state.closes(error))?,
            }
        };
        if std::mem::take(&mut self.out_of_space) {
            info!("journal continues: its disk has free space again");
            self.measure().await?;
        }
        self.state.saved(&upkeep.cursors);
        self.state
            .saved_proofs(&upkeep.proofs, written.proofs_bytes);
        self.count(&group.commands).await?;
        if upkeep.last_states {
            self.last_states.mark_saved(head);
        }
        self.last_states.evicted(&written.evicted);
        self.last_states.settle();
        self.state.tell_devices(
            &mut self.last_states,
            written.evicted.len() - written.forgotten,
            resolved.met,
        );
        let on_its_way = WrittenGroup {
            at: began_at,
            entries: resolved.entries,
            group,
            changed: written.changed,
        };
        self.prove(&on_its_way);
        // It is on disk with the next sync: without it, the gap after a power cut is longer.
        match on_its_way.group.is_proof() {
            true => self.publish_one(on_its_way)?,
            false => self.wrote(on_its_way),
        }
        if self.last_states.waits(head) || self.unmeasured_bytes > 0 {
            self.due.waits(Instant::now());
        }
        match truncation {
            Some(truncation) => self.removed(truncation, written.removed).await?,
            None if worth == Worth::Any => self.age.nothing_is_old(),
            None => {}
        }
        if self.unmeasured_bytes >= MEASURE_BYTES.min(self.settings.bytes_max / 32) {
            self.measure().await?;
        }
        Ok(())
    }

    /// Registers the sinks of the configuration: nothing is being removed meanwhile. A sink that is
    /// among them by now is not forgotten.
    fn carry_out(&self, commands: &mut [QueuedCommand]) {
        for QueuedCommand { command, .. } in commands {
            match command {
                Command::Register { sinks } => self.state.register(sinks),
                Command::Forget { sink } if self.state.is_configured(sink) => {
                    *command = Command::Flush;
                }
                Command::Forget { sink } => self.state.forget_judged(sink),
                _ => {}
            }
        }
    }

    /// Nothing comes after it that proofs could go with.
    fn is_last(&self, upkeep: &Upkeep, stop: &CancellationToken) -> bool {
        stop.is_cancelled() && !upkeep.proofs.is_empty()
    }

    /// What goes along with a group that brings the log to `head`. Cursors and last states are never
    /// the reason of a commit before they are due: `is_save`.
    fn upkeep(
        &mut self,
        group: &Group,
        head: Position,
        truncation: Option<Truncation>,
        is_save: bool,
    ) -> Upkeep {
        let excess = self.last_states.excess();
        let with_cursors = is_save || truncation.is_some() || !group.commands.is_empty();
        let forgets =
            |queued: &QueuedCommand| matches!(queued.command, Command::ForgetDevices { .. });
        // What waits of such a device would bring it back.
        let with_last_states = is_save
            || truncation.is_some()
            || excess > 0
            || self.last_states.is_full()
            || group.commands.iter().any(forgets);
        if with_cursors && with_last_states {
            self.due.saved();
        }
        Upkeep {
            cursors: match with_cursors {
                true => self.state.moved(),
                false => Vec::new(),
            },
            proofs: match with_cursors {
                true => self.state.proofs_to_save(),
                false => ProofSave::default(),
            },
            last_states: with_last_states && self.last_states.waits(head),
            excess,
            truncation,
        }
    }

    async fn write(
        &mut self,
        entries: &[Entry],
        head: Position,
        group: &Group,
        upkeep: &Upkeep,
    ) -> Result<Written, Error> {
        let last_states = upkeep.last_states.then(|| self.last_states.waiting_rows());
        let transaction = Transaction {
            settings: &self.settings,
            head,
            entries,
            last_states: last_states.as_deref(),
            proven_at: self.proven_at,
            excess: upkeep.excess,
            commands: &group.commands,
            cursors: &upkeep.cursors,
            proofs: &upkeep.proofs,
            truncation: upkeep.truncation,
        };
        transaction
            .write(&mut self.connection, &self.statements)
            .await
    }

    /// Reads the state that commands have changed on disk.
    async fn count(&mut self, commands: &[QueuedCommand]) -> Result<(), Error> {
        let counts_nothing = |queued: &QueuedCommand| {
            matches!(
                queued.command,
                Command::Flush
                    | Command::Register { .. }
                    | Command::LinkProven { .. }
                    | Command::Judged { .. }
                    | Command::ForgetDevices { .. }
            )
        };
        if commands.iter().all(counts_nothing) {
            return Ok(());
        }
        let operator_state = disk::operator_state(&mut self.connection).await?;
        self.dlq_watch.look(&operator_state.dead_letters);
        self.state.set_operator_state(operator_state);
        Ok(())
    }

    /// Takes note of when the link lived, by what is written.
    fn prove(&mut self, written: &WrittenGroup) {
        for entry in &written.entries {
            match entry.content.kind() {
                kind if kind.is_received() => self.proven_at = Some(entry.received_at),
                EntryKind::Resync => self.proven_at = self.proven_at.max(Some(entry.received_at)),
                _ => {}
            }
        }
        for QueuedCommand { command, .. } in &written.group.commands {
            if let Command::LinkProven { at } = command {
                self.proven_at = Some(*at);
            }
        }
    }

    /// Takes note of a group that is written, and has it synced.
    fn wrote(&mut self, written: WrittenGroup) {
        let entries = &written.entries;
        let new_head = entries.last().map_or(self.head, |entry| entry.position);
        let count = i64::try_from(entries.len()).expect("a group fits in memory");
        assert_eq!(
            new_head.0,
            self.head.0 + count,
            "positions follow each other without a hole (I4)"
        );
        self.head = new_head;
        // One more: a commit without a body takes room too, and is measured within a second.
        let bodies = entries.iter().map(|entry| entry.body.len() as u64);
        let bodies = bodies.sum::<u64>();
        self.unmeasured_bytes += bodies + 1;
        self.state.unmeasured_bytes.fetch_add(
            bodies + ENTRY_BYTES * entries.len() as u64,
            Ordering::Relaxed,
        );
        self.retention.wrote(entries);
        self.checkpoint.wrote(entries);
        self.checkpoint.begin(&self.settings.path);
        let wrote = match written.entries.is_empty() {
            true => Wrote::Anything,
            false => Wrote::Entries,
        };
        self.wal.wrote(written, wrote);
    }
}

impl Upkeep {
    fn is_empty(&self) -> bool {
        self.cursors.is_empty()
            && !self.last_states
            && self.excess == 0
            && self.truncation.is_none()
    }
}
