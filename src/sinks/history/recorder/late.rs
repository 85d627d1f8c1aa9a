//! A timeline that is made again, since an event belongs before what its device has already.

use std::collections::HashSet;

use super::Recorder;
use super::count::{count_swept, enter};
use super::keys::last_status;
use super::recording::{Kept, Rebuilt};
use super::statuses::lacks;
use crate::sinks::history::daily::Sign;
use crate::sinks::history::device::DeviceId;
use crate::sinks::history::tables::PieceRow;
use crate::sinks::history::timeline::{Open, Piece};

impl Recorder {
    /// Makes the pieces of a device again: `kept` are its events from a time on, in order, that of
    /// the first of them before all that are late; `closed` are its pieces that last up to then or
    /// longer, in order. Where `from_first`, nothing stands before `kept`.
    pub(in crate::sinks::history) fn rebuild(
        &mut self,
        id: &DeviceId,
        kept: &[Kept],
        closed: &[Piece],
        from_first: bool,
    ) -> Rebuilt {
        let mut rebuilt = Rebuilt::default();
        let (Some(device), [first, rest @ ..]) = (self.devices.change_id(id), kept) else {
            return rebuilt;
        };
        let begins = first.met.at;
        let before = closed.iter().rfind(|piece| piece.since < begins);
        let is_open_before = device.open.since < begins;
        if from_first && (before.is_some() || is_open_before) {
            // The events that stood before are past the retention: nothing is known of that time.
            return rebuilt;
        }
        let again = match before {
            Some(piece) if piece.until >= begins => Open::again(piece, &first.met),
            _ => None,
        };
        let mut open = match (before, again) {
            _ if is_open_before => device
                .open
                .at(&first.met)
                .unwrap_or_else(|| Open::first(&first.met)),
            (_, Some(open)) => open,
            (Some(piece), None) => Open::after(piece, &first.met),
            (None, None) => Open::first(&first.met),
        };
        let is_reopened = |piece: &Piece| piece.since >= begins || open.since < begins;
        let removed: Vec<&Piece> = closed.iter().filter(|piece| is_reopened(piece)).collect();
        let sequences: HashSet<i64> = kept.iter().map(|kept| kept.met.sequence).collect();
        let is_open_kept =
            is_open_before || kept.iter().any(|kept| kept.met.at == device.open.since);
        if !is_open_kept
            || removed
                .iter()
                .any(|it| !sequences.contains(&it.ends_sequence))
        {
            // Statuses that these pieces were made of are past the retention.
            return rebuilt;
        }
        let counts = device.key < self.recounted_below;
        if counts {
            for piece in &removed {
                self.days.piece(Sign::Remove, device.key, piece);
                let entered = (&piece.state, piece.since, piece.run_since);
                enter(&mut self.days, Sign::Remove, device.key, entered);
            }
            let entered = (&device.open.state, device.open.since, device.open.run_since);
            enter(&mut self.days, Sign::Remove, device.key, entered);
            if let Some(swept) = device.swept.take() {
                let stay = (device.key, &device.open.state, device.open.since);
                count_swept(&mut self.days, Sign::Remove, stay, swept);
            }
        }
        rebuilt.remove = removed
            .iter()
            .map(|piece| (piece.since, piece.ends_sequence))
            .collect();
        device.first_seen = device.first_seen.min(begins);
        let mut last = first;
        for next in rest {
            let topic = self.topic_names.get(&last.topic_key);
            let before = (
                open.last_seen,
                last.received_at,
                last.journal_key,
                last.position,
            );
            let before = last_status(&self.journals, before);
            let gap = topic.and_then(|topic| self.gaps.first(topic, before, next.met.at));
            let mut met = next.met.clone();
            met.missed |= lacks(next.changed, last.met.state.key, met.state.key);
            for piece in open.meet(&met, gap).into_iter().flatten() {
                if counts {
                    self.days.piece(Sign::Add, device.key, &piece);
                    let entered = (&piece.state, piece.since, piece.run_since);
                    enter(&mut self.days, Sign::Add, device.key, entered);
                }
                rebuilt.add.push(PieceRow {
                    device_key: device.key,
                    piece,
                });
            }
            last = next;
        }
        if counts {
            enter(
                &mut self.days,
                Sign::Add,
                device.key,
                (&open.state, open.since, open.run_since),
            );
        }
        device.open = open;
        if let Some(newest) = kept.last() {
            device.topic_key = newest.topic_key;
            device.journal_key = newest.journal_key;
            device.position = newest.position;
            device.sequence = newest.met.sequence;
            device.word_key = newest.met.state.key;
            device.received_at = newest.received_at;
            if device.profile.key != newest.profile_key {
                device.profile.key = newest.profile_key;
                device.profile.profile = None;
            }
        }
        rebuilt
    }
}
