//! The snapshots on an open connection: when they are asked for, and how they are taken in. The
//! live stream comes first.

use std::collections::HashMap;
use std::time::Instant;

use super::{BATCH_MAX, Connection, Stage};
use crate::source::clock;
use crate::source::disconnect::DisconnectReason;
use crate::source::reload::ReloadRequest;
use crate::source::resync::Answered;

impl Connection<'_> {
    /// Follows what is heard, and begins the requests that are due.
    pub(super) fn start_resyncs(&mut self, now: Instant) {
        for (topic, since) in self.intake.take_heard_changes() {
            let live = self.intake.live();
            self.resyncs.heard(&topic, since, live, now);
        }
        if self.stage == Stage::Living && self.may_read() {
            let (settings, live) = (&self.wanted.settings, self.intake.live());
            self.resyncs
                .start_due(settings, &self.credentials, live, now);
        }
    }

    /// When a request is to begin.
    pub(super) fn resync_due(&self) -> Option<Instant> {
        let can = self.stage == Stage::Living && self.may_read();
        self.resyncs.due().filter(|_| can)
    }

    /// What has arrived by now is newer than the answer. Where not all of that can be read, the answer
    /// would overtake it.
    pub(super) fn take_answer(&mut self, answered: Answered) -> Result<(), DisconnectReason> {
        self.receive_all()?;
        let can = self.may_read();
        let live = self.intake.live();
        match can {
            true => self.resyncs.take(answered, live, clock::now()),
            false => self.resyncs.ask_later(answered, live, clock::now()),
        }
        Ok(())
    }

    /// Whether a part of a snapshot may be taken in: there is always more room for messages.
    pub(super) fn takes_snapshot(&self) -> bool {
        self.stage == Stage::Living
            && self.intake.entries() < BATCH_MAX
            && !self.journal.is_full()
            && self.resyncs.takes()
            && self.may_read()
    }

    /// Takes a part of a snapshot in.
    pub(super) fn take_part(&mut self) {
        if let Some(part) = self.resyncs.part() {
            self.proof.snapshot(part.at);
            let topic = part.topic.clone();
            let skipped = self.intake.take_snapshot(part);
            let live = self.intake.live();
            self.resyncs.taken(&topic, skipped, live, clock::now());
        }
    }

    /// Other snapshots are wanted, or the same ones otherwise.
    pub(super) fn expect_snapshots(&mut self, wanted: &ReloadRequest) {
        let topics = wanted.settings.resyncs.keys();
        let heard: HashMap<_, _> = topics
            .filter_map(|topic| Some((topic.clone(), self.intake.heard_since(topic)?)))
            .collect();
        let since = |name: &str| heard.get(name).copied();
        let (settings, decoders) = (&wanted.settings, &wanted.decoders);
        let live = self.intake.live();
        self.resyncs
            .expect(settings, decoders, since, live, clock::now());
    }
}
