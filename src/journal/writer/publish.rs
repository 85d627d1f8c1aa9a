//! What is on disk becomes known to everybody: readers see it, and those who wait are answered.

use std::sync::atomic::Ordering;

use super::Writer;
use crate::faults::{self, Failpoint};
use crate::journal::command::{Command, QueuedCommand};
use crate::journal::group::WrittenGroup;
use crate::journal::lock::{Left, Mark};
use crate::journal::{Entry, Error, coverage};
use crate::model::EntryKind;

impl Writer {
    /// Waits until all that is written is on disk.
    pub(super) async fn sync_all(&mut self) -> Result<(), Error> {
        let synced = self.wal.sync_all().await?;
        self.publish(synced)
    }

    /// Makes groups that are on disk known to everybody, in order.
    pub(super) fn publish(&mut self, groups: Vec<WrittenGroup>) -> Result<(), Error> {
        groups
            .into_iter()
            .try_for_each(|written| self.publish_one(written))
    }

    pub(super) fn publish_one(&mut self, written: WrittenGroup) -> Result<(), Error> {
        let WrittenGroup {
            at,
            entries,
            group,
            changed,
        } = written;
        if coverage::received(&entries) {
            faults::reach(Failpoint::AfterCommit);
        }
        let head = self.state.head();
        let new_head = entries.last().map_or(head, |entry| entry.position);
        let fences = |queued: &QueuedCommand| matches!(queued.command, Command::Fence);
        if group.commands.iter().any(fences) {
            self.fenced = true;
            self.lock.mark(Mark {
                journal: self.state.uuid,
                head: new_head,
                left: Left::Fenced,
            })?;
        }
        let count = |kind: EntryKind| {
            let of_kind = |entry: &&Entry| entry.content.kind() == kind;
            entries.iter().filter(of_kind).count() as u64
        };
        // First: the one who reads both meanwhile takes what was appended as waiting, not as received.
        let parts = group.commands.iter().map(|queued| queued.command.parts());
        self.state.parts.fetch_add(parts.sum(), Ordering::Relaxed);
        self.state
            .undecodable
            .fetch_add(count(EntryKind::Undecodable), Ordering::Relaxed);
        self.state
            .accepted
            .fetch_add(count(EntryKind::Status), Ordering::Relaxed);
        self.state
            .resynced
            .fetch_add(count(EntryKind::Resync), Ordering::Relaxed);
        self.state.begins(self.retention.oldest());
        if let Some(first) = entries.first() {
            self.state.wrote_from(first.position, at);
        }
        self.state.cache().wrote(entries);
        self.state
            .head
            .send_if_modified(|known| std::mem::replace(known, new_head) != new_head);
        if group
            .commands
            .iter()
            .any(|queued| queued.command.concerns_sinks())
        {
            self.state.commands.send_modify(|count| *count += 1);
        }
        group.answer(head, changed);
        Ok(())
    }
}
