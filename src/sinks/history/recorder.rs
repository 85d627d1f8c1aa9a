//! What a history makes of a batch: rows for its tables. It keeps in memory what most batches ask
//! for, so that no event costs a query; it owns no database, and both histories do what it says.
//!
//! One transaction is: `prepare` says what has to be looked up, the history looks it up and gives
//! it to `record`, and writes the rows. Where an event belongs before what its device has already
//! (a redrive, another journal), `rebuild` makes the pieces from there on again. After a
//! transaction that failed, or after another writer's, `forget` and begin with `Base`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use hashlink::LruCache;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::daily::{Counted, DailyKey, Days, Sign, Stay};
use super::device::{Device, DeviceId, Profile, ProfileRow, Swept};
use super::devices::Devices;
use super::gaps::{Begins, Gaps, Heard, gaps_of};
use super::tables::{CoverageRow, Digest, EventRow, Named, PayloadRow, PieceRow, StateRow, own_id};
use super::timeline::{Gap, Met, Open, Piece, State};
use super::times::{Months, storable};
use crate::model::{CoverageEvent, StatusEvent};
use crate::sinks::Reason;

/// Words of states.
const WORDS_MAX: usize = 10_000;
/// Payloads that were seen lately, 16 bytes of each.
const PAYLOADS_MAX: usize = 50_000;
/// Days that are counted in one step, each a row: some ten milliseconds.
const STEP_DAYS: i64 = 1000;
/// A longer payload stands in its own row, whether it comes again or not.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// What a history has, as far as every batch asks for it.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Key, journal, and the newest position that may be stored.
    pub(super) journals: Vec<(i64, String, i64)>,
    pub(super) topics: Vec<(i64, String)>,
    /// Topic and gap.
    pub(super) gaps: Vec<(String, Gap)>,
    pub(super) last: Keys,
    /// The devices with smaller keys are counted in `state_daily_row`.
    pub(super) recounted_below: i64,
    /// Of the devices that were held: somebody has deleted their rows, and not what belongs to them.
    pub(super) robbed: HashSet<i64>,
}

/// The keys that were given last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Keys {
    pub(super) sequence: i64,
    pub(super) device: i64,
    pub(super) state: i64,
    pub(super) profile: i64,
    pub(super) payload: i64,
}

/// What has to be looked up for a batch.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// By journal key: the positions that may be stored already.
    pub(super) positions: HashMap<i64, Vec<i64>>,
    /// The first and the last time at which these were received.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    /// The event ids that are no origins.
    pub(super) ids: Vec<String>,
    pub(super) devices: Vec<DeviceId>,
    pub(super) words: Vec<String>,
    pub(super) payloads: Vec<(i64, Digest)>,
}

/// What was found of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Journal key and position.
    pub(super) positions: HashSet<(i64, i64)>,
    pub(super) ids: HashSet<String>,
    pub(super) devices: Vec<Device>,
    /// Word and state.
    pub(super) states: Vec<(String, State)>,
    /// Month, digest and key.
    pub(super) payloads: Vec<(i64, Digest, i64)>,
}

/// Rows to write, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) journals: Vec<Named>,
    pub(super) topics: Vec<Named>,
    pub(super) states: Vec<StateRow>,
    pub(super) profiles: Vec<ProfileRow>,
    pub(super) payloads: Vec<PayloadRow>,
    pub(super) events: Vec<EventRow>,
    pub(super) pieces: Vec<PieceRow>,
    /// Devices whose timeline is to be made again, from the event that is the earliest.
    pub(super) late: HashMap<Arc<DeviceId>, Timestamp>,
    /// Statuses without a row, since they are older than what the history keeps.
    pub(super) too_old: u64,
}

impl Recording {
    fn event(&mut self, row: EventRow, floor: Option<Timestamp>) {
        match is_below(floor, &row.status) {
            true => self.too_old += 1,
            false => self.events.push(row),
        }
    }
}

/// An event that is stored, as far as a timeline asks for it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) met: Met,
    pub(super) topic_key: i64,
    pub(super) journal_key: i64,
    pub(super) position: i64,
    pub(super) profile_key: i64,
    pub(super) received_at: Timestamp,
}

/// What to do with the pieces of a device.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    /// By their beginning and the event that closed them.
    pub(super) remove: Vec<(Timestamp, i64)>,
    pub(super) add: Vec<PieceRow>,
}

/// What to do with the rows of `coverage`.
#[derive(Debug, Default)]
pub(super) struct Covered {
    pub(super) rows: Vec<CoverageRow>,
    /// Gaps that end, by the event that began them.
    pub(super) ends: Vec<(String, Timestamp)>,
    /// Topics whose gaps have to be made of all rows.
    pub(super) topics: BTreeSet<Arc<str>>,
    /// Of the rows those that may be the first of their topic and journal, and begin a gap: what was
    /// heard before was heard by another journal.
    pub(super) taken_over: Vec<usize>,
}

/// The row of `coverage` that came last of a topic.
#[derive(Debug)]
struct LastHeard {
    journal: String,
    position: i64,
    heard: bool,
    /// The row that began the gap that is open.
    open: Option<String>,
}

/// A payload that came before, within its month.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// It stands in an event's row.
    Once,
    /// It has a row of its own.
    Row(i64),
}

/// Devices that are not as the history has them, in the order of their keys.
pub(super) struct Changed {
    /// They have rows.
    pub(super) known: Vec<Device>,
    pub(super) new: Vec<Device>,
}

#[derive(Debug)]
struct Journal {
    key: i64,
    /// The newest position that may be stored.
    through: i64,
}

/// See the module.
pub(super) struct Recorder {
    days: Days,
    months: Months,
    version: Option<i64>,
    journals: HashMap<String, Journal>,
    topics: HashMap<Arc<str>, i64>,
    topic_names: HashMap<i64, Arc<str>>,
    gaps: Gaps,
    heard: HashMap<Arc<str>, LastHeard>,
    last: Keys,
    /// The devices up to this key have rows.
    stored_devices: i64,
    recounted_below: i64,
    /// Older statuses get no row.
    floor: Option<Timestamp>,
    devices: Devices,
    words: LruCache<String, Vec<State>>,
    payloads: LruCache<(i64, Digest), Seen>,
    /// Of the batch at hand, in its order.
    digests: Vec<Option<(i64, Digest)>>,
}

impl Recorder {
    /// Knows nothing; the days are those of this zone.
    pub(super) fn new(zone: TimeZone) -> Recorder {
        Recorder {
            days: Days::of(zone),
            months: Months::default(),
            version: None,
            journals: HashMap::new(),
            topics: HashMap::new(),
            topic_names: HashMap::new(),
            gaps: Gaps::default(),
            heard: HashMap::new(),
            last: Keys::default(),
            stored_devices: 0,
            recounted_below: i64::MAX,
            floor: None,
            devices: Devices::new(),
            words: LruCache::new(WORDS_MAX),
            payloads: LruCache::new(PAYLOADS_MAX),
            digests: Vec::new(),
        }
    }

    /// What it knew may be wrong.
    pub(super) fn forget(&mut self) {
        self.devices.clear();
        self.forget_others();
    }

    fn forget_others(&mut self) {
        self.version = None;
        self.words.clear();
        self.payloads.clear();
        self.heard.clear();
        self.days.counts.clear();
    }

    /// Whether it has begun with what is stored.
    pub(super) fn is_loaded(&self) -> bool {
        self.version.is_some()
    }

    /// Whether nobody else has written since it was loaded, by what the database says of that.
    pub(super) fn is_as_of(&self, version: i64) -> bool {
        self.version == Some(version)
    }

    /// What the transaction that is begun will leave: it is ours.
    pub(super) fn turn(&mut self, version: i64) {
        self.version = Some(version);
    }

    /// The keys of the devices that it has in memory.
    pub(super) fn held(&self) -> Vec<i64> {
        self.devices.keys()
    }

    /// Begins with what the history has, and with the devices that it ought to have.
    pub(super) fn load(&mut self, version: i64, base: Base) {
        self.devices.keep(&base.robbed);
        self.forget_others();
        self.journals = base
            .journals
            .into_iter()
            .map(|(key, journal, through)| (journal, Journal { key, through }))
            .collect();
        self.topics.clear();
        self.topic_names.clear();
        for (key, topic) in base.topics {
            let topic: Arc<str> = topic.into();
            self.topics.insert(Arc::clone(&topic), key);
            self.topic_names.insert(key, topic);
        }
        let mut gaps: HashMap<String, Vec<Gap>> = HashMap::new();
        for (topic, gap) in base.gaps {
            gaps.entry(topic).or_default().push(gap);
        }
        self.gaps = Gaps::default();
        for (topic, gaps) in gaps {
            self.gaps.replace(&topic, gaps);
        }
        self.last = base.last;
        self.stored_devices = base.last.device;
        self.recounted_below = base.recounted_below;
        self.version = Some(version);
    }

    /// A status that was received before gets no row; the timeline of its device has it, unless
    /// others have come since.
    pub(super) fn set_floor(&mut self, floor: Timestamp) {
        self.floor = Some(floor);
    }

    /// The name of the zone of the days.
    pub(super) fn zone(&self) -> String {
        self.days.zone()
    }

    /// When the day of this time began.
    pub(super) fn midnight(&mut self, at: Timestamp) -> Timestamp {
        self.days.midnight(at)
    }

    /// The rows of `coverage` that may be stored already.
    pub(super) fn maybe_covered(&self, coverage: &[&CoverageEvent]) -> Vec<String> {
        let maybe = coverage.iter().filter(|event| {
            let journal = self.journals.get(journal_of(&event.origin));
            // One that has brought no status is not among them.
            journal.is_none_or(|journal| event.position.0 <= journal.through)
        });
        maybe.map(|event| event.event_id.clone()).collect()
    }

    /// What the coverage of a batch does; `stored` is there already. Comes before its statuses: a
    /// gap that began before a status counts for it, whichever was written down first.
    pub(super) fn cover(
        &mut self,
        coverage: &[&CoverageEvent],
        mut stored: HashSet<String>,
    ) -> Covered {
        let mut covered = Covered::default();
        for event in coverage {
            if stored.insert(event.event_id.clone()) {
                if !event.coverage.heard && !self.has_heard(event) {
                    covered.taken_over.push(covered.rows.len());
                }
                let begins = self.heard(event, &mut covered);
                let event = (*event).clone();
                covered.rows.push(CoverageRow { event, begins });
            }
        }
        covered
    }

    /// Whether the newest row of its topic is of its journal.
    fn has_heard(&self, event: &CoverageEvent) -> bool {
        let last = self.heard.get(&event.topic);
        last.is_some_and(|last| last.journal == journal_of(&event.origin))
    }

    fn heard(&mut self, event: &CoverageEvent, covered: &mut Covered) -> Begins {
        let journal = journal_of(&event.origin);
        let last = self.heard.get_mut(&event.topic).filter(|last| {
            last.journal == journal
                && last.position < event.position.0
                && !covered.topics.contains(&event.topic)
        });
        let Some(last) = last else {
            covered.topics.insert(Arc::clone(&event.topic));
            return Begins::default();
        };
        let was_heard = std::mem::replace(&mut last.heard, event.coverage.heard);
        last.position = event.position.0;
        if event.coverage.heard {
            let ended = last.open.take();
            covered
                .ends
                .extend(ended.map(|gap| (gap, event.coverage.at)));
            return Begins::default();
        }
        if was_heard {
            last.open = Some(event.event_id.clone());
            self.gaps.add(&event.topic, gap_of(event));
        }
        Begins {
            gap: was_heard,
            until: None,
        }
    }

    /// The gaps of a topic by all of its rows, each with what it says of them; gives the rows that
    /// say something else now.
    pub(super) fn cover_again(
        &mut self,
        topic: &Arc<str>,
        mut rows: Vec<(Heard, Begins)>,
    ) -> Vec<(String, Begins)> {
        rows.sort_by(|(a, _), (b, _)| (&a.journal, a.position).cmp(&(&b.journal, b.position)));
        let (rows, said): (Vec<Heard>, Vec<Begins>) = rows.into_iter().unzip();
        let begins = gaps_of(&rows);
        let gaps = rows
            .iter()
            .zip(&begins)
            .filter(|(_, begins)| begins.gap)
            .map(|(row, _)| Gap {
                since: row.at,
                cause: Arc::clone(&row.cause),
            });
        self.gaps.replace(topic, gaps.collect());
        self.heard.remove(topic);
        // Only within one journal the next row says enough.
        if let Some(last) = rows.last().filter(|last| rows[0].journal == last.journal) {
            let open = rows
                .iter()
                .zip(&begins)
                .rev()
                .find(|(_, begins)| begins.gap);
            let open = open.filter(|(_, begins)| begins.until.is_none());
            self.heard.insert(
                Arc::clone(topic),
                LastHeard {
                    journal: last.journal.clone(),
                    position: last.position,
                    heard: last.heard,
                    open: open.map(|(row, _)| row.event_id.clone()),
                },
            );
        }
        let ids = rows.into_iter().map(|row| row.event_id);
        let says = ids.zip(begins).zip(said);
        says.filter(|((_, begins), said)| begins != said)
            .map(|(says, _)| says)
            .collect()
    }

    /// What has to be looked up for these statuses.
    pub(super) fn prepare(&mut self, statuses: &[&Arc<StatusEvent>]) -> Wanted {
        let mut wanted = Wanted::default();
        let mut devices = HashSet::new();
        let mut words = HashSet::new();
        let mut payloads = HashSet::new();
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
    pub(super) fn record(
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
                received_at,
                first_seen: received_at,
                open: Open::first(&met(received_at)),
                swept: None,
            };
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
        let met = met(at);
        let before = self.topic_names.get(&device.topic_key);
        let gap = before.and_then(|topic| self.gaps.first(topic, device.open.last_seen, at));
        let counts = device.key < self.recounted_below;
        if counts && device.open.is_left_by(&met) && at > device.first_seen {
            self.days.enter(Sign::Add, device.key, met.state.key, at);
        }
        let swept_state = device.open.state.key;
        let swept_since = device.open.since;
        for piece in device.open.meet(&met, gap).into_iter().flatten() {
            // What was counted in another zone is no longer there.
            if let Some(swept) = device.swept.take().filter(|_| counts) {
                let stay = (device.key, swept_state, swept_since);
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
        device.received_at = received_at;
    }

    fn journal(&mut self, status: &StatusEvent, recording: &mut Recording) -> i64 {
        let text = journal_of(&status.origin);
        if let Some(journal) = self.journals.get_mut(text) {
            journal.through = journal.through.max(status.position.0);
            return journal.key;
        }
        let key = self.journals.values().map(|journal| journal.key).max();
        let key = key.unwrap_or(0) + 1;
        let through = status.position.0;
        self.journals
            .insert(text.to_owned(), Journal { key, through });
        recording.journals.push(Named {
            key,
            name: text.into(),
        });
        key
    }

    /// The cursor is to stand there: what comes up to it may be stored.
    pub(super) fn reach(&mut self, journal: &str, through: i64) {
        if let Some(journal) = self.journals.get_mut(journal) {
            journal.through = journal.through.max(through);
        }
    }

    fn topic(&mut self, topic: &Arc<str>, recording: &mut Recording) -> i64 {
        if let Some(key) = self.topics.get(topic) {
            return *key;
        }
        let key = self.topic_names.keys().max().unwrap_or(&0) + 1;
        self.topics.insert(Arc::clone(topic), key);
        self.topic_names.insert(key, Arc::clone(topic));
        recording.topics.push(Named {
            key,
            name: Arc::clone(topic),
        });
        key
    }

    fn states_of(&mut self, word: &str) -> &mut Vec<State> {
        self.words.entry(word.to_owned()).or_insert_with(Vec::new)
    }

    fn state(&mut self, status: &Arc<StatusEvent>, recording: &mut Recording) -> State {
        if let Some(known) = self.words.get(status.new_state.as_str()) {
            let means =
                |known: &&State| *known.state == *status.state && known.severity == status.severity;
            if let Some(known) = known.iter().find(means) {
                return known.clone();
            }
        }
        self.last.state += 1;
        let key = self.last.state;
        let state = State {
            key,
            state: status.state.as_str().into(),
            severity: status.severity,
        };
        self.states_of(&status.new_state).push(state.clone());
        let status = Arc::clone(status);
        recording.states.push(StateRow { key, status });
        state
    }

    /// The key of the payload's own row; `None`: it came for the first time.
    fn payload(
        &mut self,
        status: &Arc<StatusEvent>,
        digest: (i64, Digest),
        recording: &mut Recording,
    ) -> Option<i64> {
        match self.payloads.get(&digest) {
            Some(Seen::Row(key)) => Some(*key),
            Some(Seen::Once) => {
                self.last.payload += 1;
                let key = self.last.payload;
                let (month, of) = digest;
                recording.payloads.push(PayloadRow {
                    key,
                    month,
                    digest: of,
                    status: Arc::clone(status),
                });
                self.payloads.insert(digest, Seen::Row(key));
                Some(key)
            }
            None => {
                self.payloads.insert(digest, Seen::Once);
                None
            }
        }
    }

    /// The key of a device that was looked up for the batch at hand.
    pub(super) fn key_of(&mut self, id: &DeviceId) -> Option<i64> {
        Some(self.devices.get_mut(id)?.key)
    }

    /// Makes the pieces of a device again: `kept` are its events from a time on, in order, that of
    /// the first of them before all that are late; `closed` are its pieces that last up to then or
    /// longer, in order. Where `from_first`, nothing stands before `kept`.
    pub(super) fn rebuild(
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
                enter(&mut self.days, Sign::Remove, device, entered);
            }
            let entered = (&device.open.state, device.open.since, device.open.run_since);
            enter(&mut self.days, Sign::Remove, device, entered);
            if let Some(swept) = device.swept.take() {
                let stay = (device.key, device.open.state.key, device.open.since);
                count_swept(&mut self.days, Sign::Remove, stay, swept);
            }
        }
        rebuilt.remove = removed
            .iter()
            .map(|piece| (piece.since, piece.ends_sequence))
            .collect();
        device.first_seen = device.first_seen.min(begins);
        let mut topic_key = first.topic_key;
        for next in rest {
            let topic = self.topic_names.get(&topic_key);
            let gap = topic.and_then(|topic| self.gaps.first(topic, open.last_seen, next.met.at));
            for piece in open.meet(&next.met, gap).into_iter().flatten() {
                if counts {
                    self.days.piece(Sign::Add, device.key, &piece);
                    let entered = (&piece.state, piece.since, piece.run_since);
                    enter(&mut self.days, Sign::Add, device, entered);
                }
                rebuilt.add.push(PieceRow {
                    device_key: device.key,
                    piece,
                });
            }
            topic_key = next.topic_key;
        }
        if counts {
            enter(
                &mut self.days,
                Sign::Add,
                device,
                (&open.state, open.since, open.run_since),
            );
        }
        device.open = open;
        if let Some(newest) = kept.last() {
            device.topic_key = newest.topic_key;
            device.journal_key = newest.journal_key;
            device.position = newest.position;
            device.sequence = newest.met.sequence;
            device.received_at = newest.received_at;
            if device.profile.key != newest.profile_key {
                device.profile.key = newest.profile_key;
                device.profile.profile = None;
            }
        }
        rebuilt
    }

    /// As many of these devices, the first ones, as one step can count up to `until`.
    pub(super) fn one_step(mut devices: Vec<Device>, until: Timestamp) -> Vec<Device> {
        let mut days = 0;
        let fits = |device: &&Device| {
            let since = device.swept.map_or(device.open.since, |swept| swept.until);
            days += 1 + until.duration_since(since).as_hours() / 24;
            days <= STEP_DAYS
        };
        let count = devices.iter().take_while(fits).count();
        devices.truncate(count.max(1));
        devices
    }

    /// Counts the open pieces of these devices up to `until`, the beginning of a day, and what was
    /// counted of them before no longer.
    pub(super) fn sweep(&mut self, devices: Vec<Device>, until: Timestamp) {
        for found in devices {
            let id = Arc::clone(&found.id);
            self.devices.hold_unless_held(found);
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            if device.key >= self.recounted_below || device.open.since >= until {
                continue;
            }
            let stay = (device.key, device.open.state.key, device.open.since);
            if let Some(swept) = device.swept {
                count_swept(&mut self.days, Sign::Remove, stay, swept);
            }
            let topic = self.topic_names.get(&device.topic_key);
            let gap = topic.and_then(|topic| self.gaps.first(topic, device.open.last_seen, until));
            let swept = Swept {
                certain_until: gap.map_or(until, |gap| gap.since),
                until,
            };
            count_swept(&mut self.days, Sign::Add, stay, swept);
            device.swept = Some(swept);
            self.devices.change_id(&id);
        }
    }

    /// Counts the closed pieces of a device, which no day has yet. Its open piece is counted by the
    /// next sweep.
    pub(super) fn recount(&mut self, found: Device, pieces: &[Piece]) {
        let id = Arc::clone(&found.id);
        self.devices.hold_unless_held(found);
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        for piece in pieces {
            self.days.piece(Sign::Add, device.key, piece);
            let entered = (&piece.state, piece.since, piece.run_since);
            enter(&mut self.days, Sign::Add, device, entered);
        }
        let entered = (&device.open.state, device.open.since, device.open.run_since);
        enter(&mut self.days, Sign::Add, device, entered);
        self.recounted_below = device.key + 1;
        if device.swept.take().is_some() {
            self.devices.change_id(&id);
        }
    }

    /// All devices are counted.
    pub(super) fn recounted(&mut self) {
        self.recounted_below = i64::MAX;
    }

    /// The devices with smaller keys are counted.
    pub(super) fn recounted_below(&self) -> i64 {
        self.recounted_below
    }

    /// The devices that are not as the history has them: from now on they are.
    pub(super) fn take_devices(&mut self) -> Changed {
        let mut known = self.devices.take_changed();
        let first_new = known.partition_point(|device| device.key <= self.stored_devices);
        let new = known.split_off(first_new);
        self.stored_devices = self.last.device;
        Changed { known, new }
    }

    /// What is to be added to the days.
    pub(super) fn take_counts(&mut self) -> Vec<(DailyKey, Counted)> {
        let counts = std::mem::take(&mut self.days.counts);
        let is_something = |(_, counted): &(DailyKey, Counted)| *counted != Counted::default();
        counts.into_iter().filter(is_something).collect()
    }
}

/// A run that began with this piece was entered, unless the device was heard for the first time.
fn enter(
    days: &mut Days,
    sign: Sign,
    device: &Device,
    (state, since, run_since): (&State, Timestamp, Timestamp),
) {
    if since == run_since && since > device.first_seen {
        days.enter(sign, device.key, state.key, since);
    }
}

fn count_swept(
    days: &mut Days,
    sign: Sign,
    (device, state, since): (i64, i64, Timestamp),
    swept: Swept,
) {
    for (certain, since, until) in [
        (true, since, swept.certain_until),
        (false, swept.certain_until, swept.until),
    ] {
        let stay = Stay {
            device,
            state,
            certain,
            since,
            until,
        };
        days.stay(sign, stay);
    }
}

fn gap_of(event: &CoverageEvent) -> Gap {
    let cause = event.coverage.cause.map_or("", |cause| cause.as_str());
    Gap {
        since: whole(event.coverage.at),
        cause: cause.into(),
    }
}

fn profile_row(key: i64, month: i64, status: &StatusEvent, before: Option<&Profile>) -> ProfileRow {
    ProfileRow {
        key,
        month,
        profile: Some(Arc::new(Profile::after(before, status))),
    }
}

/// Whether the history keeps nothing of its time.
fn is_below(floor: Option<Timestamp>, status: &StatusEvent) -> bool {
    floor.is_some_and(|floor| status.received_at < floor)
}

/// What an origin says before its position.
pub(super) fn journal_of(origin: &str) -> &str {
    origin
        .rsplit_once('-')
        .map_or(origin, |(journal, _)| journal)
}

fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond() - 1).unwrap_or(time)
}

/// Whole microseconds, as the tables have them.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn digest(payload: &[u8]) -> Digest {
    let whole = Sha256::digest(payload);
    let mut digest = Digest::default();
    digest.copy_from_slice(&whole[..16]);
    digest
}
