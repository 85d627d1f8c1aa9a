//! What the writer looks at now and then, and not with every commit: its room, the WAL, and dead
//! letters that are too old.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{OUT_OF_SPACE_INTERVAL, Writer};
use crate::journal::due::SAVE_INTERVAL;
use crate::journal::group::Group;
use crate::journal::lock::{Left, Mark};
use crate::journal::retention::{FREE_BYTES_AGAIN, Worth};
use crate::journal::{Error, dead_letters, disk};
use crate::sqlite_file::beside;

/// From this size of the WAL on, the writer waits until no reader needs it. So a busy reader cannot
/// make it grow without end.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long it waits for the readers. The daemon's reads take milliseconds; for an external reader
/// that takes longer it tries again later.
const WAL_RESTART_TIMEOUT: Duration = Duration::from_millis(100);
const WAL_RESTART_INTERVAL: Duration = Duration::from_secs(2);

/// Between two looks for dead letters that are older than `journal.dlq_keep`.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// Dead letters that are dropped in one transaction because of their age.
const EXPIRED_AT_ONCE: u32 = 4000;

impl Writer {
    /// Commits a group, with the checks that are made now and then and not with every commit.
    pub(super) async fn look_round(
        &mut self,
        group: Group,
        now: Instant,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.wal.check().await?;
        self.keep_mark()?;
        // What bounds it may be its disk, and others use that too.
        let limit = self.retention.limit();
        let by_disk = limit.is_some_and(|limit| limit < self.settings.bytes_max);
        if self.unmeasured_bytes > 0 || self.retention.out_of_room() || by_disk {
            self.measure().await?;
        }
        self.bound_wal().await?;
        self.expire_dead_letters().await?;
        self.save_time().await?;
        let (slowest, time) = (self.state.slowest(), self.age.now());
        let removal = self.retention.wait(slowest, time);
        let full = self.retention.out_of_room();
        let again = [
            removal.map(|wait| wait.max(SAVE_INTERVAL)),
            full.then_some(OUT_OF_SPACE_INTERVAL),
            self.wal_held.map(|_| WAL_RESTART_INTERVAL),
        ];
        self.due.looked(now, again.into_iter().flatten());
        self.commit(group, Worth::Any, now, stop).await
    }

    /// Makes the file with the mark again where somebody has removed it: without it, the next start
    /// knows neither how this one ended nor whether it has a stale copy. Where it cannot be made,
    /// the lock on the journal itself still keeps others out, and it is tried again with the next
    /// look.
    fn keep_mark(&mut self) -> Result<(), Error> {
        if self.lock.is_there() {
            return Ok(());
        }
        let left = match self.fenced {
            true => Left::Fenced,
            false => Left::Open,
        };
        let mark = Mark {
            journal: self.state.uuid,
            head: self.state.head(),
            left,
        };
        if self.lock.mark_or_say(mark, &mut self.mark_missing)? {
            self.mark_missing = false;
            warn!(
                journal = %self.settings.path.display(),
                "journal's -lock was removed or replaced, and was made again: leave it where it \
                 is, since it tells a stale copy from the journal"
            );
        }
        Ok(())
    }

    /// Keeps the time that is believed, now and then.
    async fn save_time(&mut self) -> Result<(), Error> {
        let Some(time) = self.age.take_unsaved() else {
            return Ok(());
        };
        match disk::save_believed_at(&mut self.connection, time).await {
            // It is kept the next time.
            Err(error) if error.is_out_of_space() => Ok(()),
            saved => saved,
        }
    }

    /// Drops the dead letters that are older than they may be.
    async fn expire_dead_letters(&mut self) -> Result<(), Error> {
        let Some(keep) = self.settings.dlq_keep else {
            return Ok(());
        };
        if Instant::now() < self.expire_at {
            return Ok(());
        }
        self.expire_at = Instant::now() + EXPIRE_INTERVAL;
        let now = self.age.now();
        let keep_us = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let before = now.as_microsecond().saturating_sub(keep_us);
        let at_once = match self.age.dead_letters(EXPIRED_AT_ONCE) {
            Some(at_once) => at_once,
            None => {
                let count = dead_letters::count(&mut self.connection).await?;
                self.age.begin_dead_letters(count);
                self.age.dead_letters(EXPIRED_AT_ONCE).unwrap_or(0)
            }
        };
        let expired = match dead_letters::expire(&mut self.connection, before, at_once).await {
            // It is tried again in a minute.
            Err(error) if error.is_out_of_space() => 0,
            expired => expired?,
        };
        self.age.dead_letters_gone(expired, at_once);
        if expired > 0 {
            let operator_state = disk::operator_state(&mut self.connection).await?;
            self.dlq_watch.look(&operator_state.dead_letters);
            self.state.set_operator_state(operator_state);
            self.state.commands.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Measures what the journal occupies, and says so where it fills up or has room again.
    pub(in crate::journal) async fn measure(&mut self) -> Result<(), Error> {
        let was_full = self.retention.full();
        let mut usage = disk::usage(&mut self.connection, &self.settings.path).await?;
        // Dead letters, last states and proofs have bounds of their own.
        let others = [
            self.state.dlq_bytes(),
            self.last_states.size().bytes,
            self.state.proofs_bytes(),
        ];
        usage.used_bytes = usage.used_bytes.saturating_sub(others.iter().sum());
        self.retention.measured(usage);
        let full = self.retention.full();
        if full && !was_full && usage.used_bytes < self.settings.bytes_max {
            warn!(
                bytes = usage.used_bytes,
                free_bytes = usage.free_bytes,
                "journal stopped: its disk is nearly full, and nothing is accepted until more \
                 than {} MiB are free; free some space",
                FREE_BYTES_AGAIN >> 20
            );
        } else if full && !was_full {
            warn!(
                bytes = usage.used_bytes,
                free_bytes = usage.free_bytes,
                held_by = self.state.held_by(),
                "journal full: nothing is accepted until the sinks have caught up; see what holds \
                 its entries, or raise journal.max_bytes"
            );
        } else if was_full && !full {
            info!(
                bytes = usage.used_bytes,
                "journal continues: it has free space again"
            );
        }
        if let Some(percent) = self.retention.watermark(self.state.slowest()) {
            warn!(
                percent,
                bytes = usage.used_bytes,
                free_bytes = usage.free_bytes,
                held_by = self.state.held_by(),
                "journal fills up with pending entries: see what holds them, raise \
                 journal.max_bytes or free some space"
            );
        }
        self.state.full.store(full, Ordering::Relaxed);
        let disk_full = self.retention.disk_full();
        self.state.disk_full.store(disk_full, Ordering::Relaxed);
        self.state
            .measured(usage.used_bytes, self.retention.limit());
        self.unmeasured_bytes = 0;
        Ok(())
    }

    /// SQLite starts the WAL over only in a moment without readers; under a steady load that moment
    /// has to be made.
    async fn bound_wal(&mut self) -> Result<(), Error> {
        if self
            .wal_held
            .is_some_and(|since| since.elapsed() < WAL_RESTART_INTERVAL)
        {
            return Ok(());
        }
        let wal = std::fs::metadata(beside(&self.settings.path, "-wal"));
        let restarted = match wal.is_ok_and(|wal| wal.len() > WAL_BYTES_MAX) {
            false => true,
            true => match disk::restart_wal(&mut self.connection, WAL_RESTART_TIMEOUT).await {
                // The database itself cannot grow: its entries stay in the WAL.
                Err(error) if error.is_out_of_space() => false,
                restarted => restarted?,
            },
        };
        self.wal_held = (!restarted).then(Instant::now);
        Ok(())
    }
}
