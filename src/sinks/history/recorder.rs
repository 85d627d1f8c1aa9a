//! What a history makes of a batch: rows for its tables. It keeps in memory what most batches ask
//! for, so that no event costs a query; it owns no database, and both histories do what it says.
//!
//! One transaction is: `prepare` says what has to be looked up, the history looks it up and gives
//! it to `record`, and writes the rows. Where an event belongs before what its device has already
//! (a redrive, another journal), `rebuild` makes the pieces from there on again. After a
//! transaction that failed, or after another writer's, `forget` and begin with `Base`.
//!
//! - `known`: what is looked up; `recording`: what is written
//! - `statuses`, `keys`: the rows of statuses; `hearing`: those of coverage; `late`: timelines that are
//!   made again; `count`: days that are counted beside the batches

mod count;
mod hearing;
mod keys;
mod known;
mod late;
mod recording;
mod statuses;

use std::collections::HashMap;
use std::sync::Arc;

use hashlink::LruCache;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::hearing::LastHeard;
use self::keys::{Journal, Seen};
pub(super) use self::known::{Base, Found, Keys, Wanted};
pub(super) use self::recording::{Changed, Covered, Kept, Recording};
use super::daily::{Counted, DailyKey, Days};
use super::device::DeviceId;
use super::devices::Devices;
use super::gaps::Gaps;
use super::tables::Digest;
use super::timeline::{Gap, State};
use super::times::Months;

/// Words of states.
const WORDS_MAX: usize = 10_000;
/// Payloads that were seen lately, 16 bytes of each.
const PAYLOADS_MAX: usize = 50_000;

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
        self.days.know(base.states);
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

    /// The cursor is to stand there: what comes up to it may be stored.
    pub(super) fn reach(&mut self, journal: &str, through: i64) {
        if let Some(journal) = self.journals.get_mut(journal) {
            journal.through = journal.through.max(through);
        }
    }

    /// The key of a device that was looked up for the batch at hand.
    pub(super) fn key_of(&mut self, id: &DeviceId) -> Option<i64> {
        Some(self.devices.get_mut(id)?.key)
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

/// What an origin says before its position.
pub(super) fn journal_of(origin: &str) -> &str {
    origin
        .rsplit_once('-')
        .map_or(origin, |(journal, _)| journal)
}
