//! The rows of a batch's statuses.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::count::{count_swept, enter};
use super::keys::{Seen, newest};
use super::known::{Found, Wanted};
use super::recording::{Recording, is_below};
use super::{Recorder, journal_of};
use crate::model::StatusEvent;
use crate::sinks::Reason;
use crate::sinks::history::daily::Sign;
use crate::sinks::history::device::{Device, DeviceId, Profile, ProfileRow};
use crate::sinks::history::tables::{Digest, EventRow, PieceRow, own_id};
use crate::sinks::history::timeline::{Met, Open};
use crate::sinks::history::times::{storable, whole};

/// A longer payload stands in its own row, whether it comes again or not.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

impl Recorder {
    /// What has to be looked up for these statuses.
    pub(in crate::sinks::history) fn prepare(&mut self, statuses: &[&Arc<StatusEvent>]) -> Wanted {
        let mut wanted = Wanted::default();
        let mut devices = HashSet::new();
        let mut words = HashSet::new();
        let mut payloads = HashSet::new();
        // Where each payload has its own time, none has a row: there is nothing to find.
        let have_rows = self.last.payload > 0;
        self.digests.clear();
        for status in statuses {
            if let Some(journal) = self.journals.get(journal_of(&status.origin))
                && status.position.0 <= journal.through
            {
                let positions = wanted.positions.entry(journal.key).or_default();
                positions.push(status.position.0);
                let at = status.received_at;
                let times = wanted.times.get_or_insert((at, at));
                *times = (times.0.min(at), times.1.max(at));
            }
            wanted.ids.extend(own_id(status).map(str::to_owned));
            if !self.devices.has(status) {
                devices.insert(DeviceId::of(status));
            }
            if self.words.get(status.new_state.as_str()).is_none() {
                words.insert(status.new_state.as_str());
            }
            let payload = status.payload.get().as_bytes();
            let digest = (payload.len() <= PAYLOAD_BYTES_MAX)
                .then(|| (self.months.month(status.received_at), digest(payload)));
            if let Some(digest) = digest
                && have_rows
                && self.payloads.get(&digest).is_none()
            {
                payloads.insert(digest);
            }
            self.digests.push(digest);
        }
        wanted.devices = devices.into_iter().collect();
        wanted.words = words.into_iter().map(str::to_owned).collect();
        wanted.payloads = payloads.into_iter().collect();
        wanted
    }

    /// The rows of these statuses, of which `prepare` said what to look up.
    pub(in crate::sinks::history) fn record(
        &mut self,
        statuses: &[&Arc<StatusEvent>],
        mut found: Found,
        reason: Reason,
    ) -> Recording {
        for device in found.devices.drain(..) {
            self.devices.hold(device);
        }
        for (word, state) in found.states.drain(..) {
            self.states_of(&word).push(state);
        }
        for (month, digest, key) in found.payloads.drain(..) {
            self.payloads.insert((month, digest), Seen::Row(key));
        }
        let digests = std::mem::take(&mut self.digests);
        let mut recording = Recording::default();
        // Then none of them is there twice.
        let are_in_order = statuses.is_sorted_by(|a, b| a.position < b.position);
        for (status, digest) in statuses.iter().zip(&digests) {
            if self.floor.is_some() && storable(Some(status.received_at)).is_none() {
                recording.too_old += 1;
                continue;
            }
            let journal = self.journal(status, &mut recording);
            let origin = (journal, status.position.0);
            let is_new = match are_in_order {
                true => !found.positions.contains(&origin),
                false => found.positions.insert(origin),
            } && own_id(status).is_none_or(|id| found.ids.insert(id.to_owned()));
            if is_new {
                self.status(status, journal, *digest, reason, &mut recording);
            }
        }
        self.digests = digests;
        recording
    }

    fn status(
        &mut self,
        status: &Arc<StatusEvent>,
        journal_key: i64,
        digest: Option<(i64, Digest)>,
        reason: Reason,
        recording: &mut Recording,
    ) {
        self.last.sequence += 1;
        let sequence = self.last.sequence;
        let topic_key = self.topic(&status.topic, recording);
        let state = self.state(status, recording);
        let floor = self.floor;
        let is_too_old = is_below(floor, status);
        let payload_key = digest
            .filter(|_| !is_too_old)
            .and_then(|digest| self.payload(status, digest, recording));
        let month = self.months.month(status.received_at);
        let received_at = whole(status.received_at);
        let met = |at| Met {
            at,
            sequence,
            state: state.clone(),
            missed: status.missed_transition,
        };
        let mut row = EventRow {
            sequence,
            journal_key,
            device_key: 0,
            topic_key,
            state_key: state.key,
            profile_key: 0,
            placed_at: None,
            payload_key,
            status: Arc::clone(status),
        };
        let Some(device) = self.devices.change(status) else {
            self.last.device += 1;
            self.last.profile += 1;
            let profile = profile_row(self.last.profile, month, status, None);
            recording.profiles.push(profile.clone());
            row.device_key = self.last.device;
            row.profile_key = profile.key;
            recording.event(row, floor);
            let device = Device {
                key: self.last.device,
                id: Arc::new(DeviceId::of(status)),
                topic_key,
                journal_key,
                position: status.position.0,
                sequence,
                profile,
                word_key: state.key,
                received_at,
                first_seen: received_at,
                open: Open::first(&met(received_at)),
                swept: None,
            };
            if device.key < self.recounted_below {
                let entered = (&device.open.state, received_at, received_at);
                enter(&mut self.days, Sign::Add, device.key, entered);
            }
            self.devices.hold(device);
            self.devices.change(status);
            return;
        };
        row.device_key = device.key;
        let is_next = reason == Reason::Log
            && journal_key == device.journal_key
            && status.position.0 > device.position;
        // Of two with the same time, one that comes late is not the newest, whatever its position:
        // that of a body that was taken apart afterwards is new.
        let last_seen = device.open.last_seen;
        let is_beaten = reason != Reason::Log
            && received_at == last_seen
            && status.position.0 > device.position;
        let placed_at = match is_beaten {
            true => just_before(received_at),
            false => received_at,
        };
        let order = (placed_at, status.position.0);
        let is_late = !is_next && order < (last_seen, device.position);
        let known = &device.profile;
        let is_known = known.month == month
            && known
                .profile
                .as_ref()
                .is_some_and(|profile| profile.is_of(status));
        if is_known {
            row.profile_key = known.key;
        } else {
            self.last.profile += 1;
            let before = device.profile.profile.as_deref();
            let profile = profile_row(self.last.profile, month, status, before);
            recording.profiles.push(profile.clone());
            row.profile_key = profile.key;
            if !is_late {
                device.profile = profile;
            }
        }
        if is_late {
            row.placed_at = is_beaten.then_some(placed_at);
            recording.event(row, floor);
            if is_too_old {
                return;
            }
            let late = recording.late.entry(Arc::clone(&device.id));
            let earliest = late.or_insert(placed_at);
            *earliest = placed_at.min(*earliest);
            return;
        }
        let at = received_at.max(last_seen);
        row.placed_at = (at > received_at).then_some(at);
        recording.event(row, floor);
        let mut met = met(at);
        met.missed |= lacks(status.changed, device.word_key, state.key);
        let before = self.topic_names.get(&device.topic_key);
        let newest = newest(&self.journals, device);
        let gap = before.and_then(|topic| self.gaps.first(topic, newest, at));
        let counts = device.key < self.recounted_below;
        if counts && device.open.is_left_by(&met) {
            self.days.enter(Sign::Add, device.key, &met.state, at);
        }
        let swept_state = device.open.state.clone();
        let swept_since = device.open.since;
        for piece in device.open.meet(&met, gap).into_iter().flatten() {
            // What was counted in another zone is no longer there.
            if let Some(swept) = device.swept.take().filter(|_| counts) {
                let stay = (device.key, &swept_state, swept_since);
                count_swept(&mut self.days, Sign::Remove, stay, swept);
            }
            if counts {
                self.days.piece(Sign::Add, device.key, &piece);
            }
            recording.pieces.push(PieceRow {
                device_key: device.key,
                piece,
            });
        }
        device.topic_key = topic_key;
        device.journal_key = journal_key;
        device.position = status.position.0;
        device.sequence = sequence;
        device.word_key = state.key;
        device.received_at = received_at;
    }
}

/// Whether a status lacks one before it that was not stored, such as a dead letter: it changed the
/// state, and to the word that the history has already.
pub(super) fn lacks(changed: bool, before: i64, word: i64) -> bool {
    changed && before == word
}

fn profile_row(key: i64, month: i64, status: &StatusEvent, before: Option<&Profile>) -> ProfileRow {
    ProfileRow {
        key,
        month,
        profile: Some(Arc::new(Profile::after(before, status))),
    }
}

fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond() - 1).unwrap_or(time)
}

fn digest(payload: &[u8]) -> Digest {
    let whole = Sha256::digest(payload);
    let mut digest = Digest::default();
    digest.copy_from_slice(&whole[..16]);
    digest
}
