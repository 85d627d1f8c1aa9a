//! The last state of each device, by stream: it tells a change, a missed transition and a repeat.
//! The table on disk holds all of them, up to a bound; the devices heard lately are in memory too.
//! The table may be a second behind the log: what it lacks waits here, and after a crash it is read
//! again from the log. Does no IO: [`super::last_state_rows`] reads and writes the table.

use std::sync::Arc;

use hashlink::LruCache;
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::device_states::{Change, DeviceStates};
use super::recent_topics::RecentTopics;
use super::{Entry, EntryContent, NewContent, NewEntry, Settings, Unchanged};
use crate::model::Position;
use crate::pipeline::StatusKey;

/// Event keys that are kept for each device: a redelivery comes soon.
const KEYS_MAX: usize = 8;

/// The cache's bound in bytes: some hundred thousand devices.
const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes that a device takes in the cache besides its texts.
const CACHED_BYTES: usize = 320;

/// The table's bound on disk, in bytes, however many devices it holds.
const TABLE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Bytes that a row takes on disk besides its texts.
pub(super) const ROW_BYTES: usize = 48;

/// Devices that are forgotten in one transaction: as many as one group may bring.
const EVICTED_MAX: u64 = 4096;

/// That a device was heard is written this much later at most, where nothing else of it changes.
const HEARD_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// A message that says the same as a snapshot comes within this time after it.
const ANTICIPATED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Rows that may wait until the next save; with more of them the next commit writes them.
const WAITING_MAX: usize = 4096;

/// Bytes of rows that may wait likewise.
const WAITING_BYTES_MAX: u64 = 1024 * 1024;

/// Shares of the bounds, in percent, at which it warns.
const WATERMARKS: [u64; 2] = [80, 95];

/// A device, within the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DeviceKey {
    pub(super) stream: Arc<str>,
    pub(super) client_id: Box<str>,
    pub(super) device_id: Box<str>,
}

/// The last state of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastState {
    /// Its newest state as sent, without the blanks around it.
    pub(super) state: Box<str>,
    /// Its last event keys, the newest last.
    pub(super) keys: Vec<u64>,
    /// When it was heard; on disk up to an hour before.
    pub(super) heard_at: Timestamp,
}

/// A change that a snapshot brought: the message that says the same may come after it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Anticipated {
    /// The state before.
    from: Box<str>,
    at: Timestamp,
}

/// A row of the table.
pub(super) type Row = (DeviceKey, LastState);

/// A row that the table does not have yet.
pub(super) type WaitingRow<'a> = (&'a DeviceKey, &'a LastState);

/// The size of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TableSize {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// How many repeats and missed transitions were met since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Met {
    pub(super) missed_transitions: u64,
    pub(super) repeats: u64,
}

/// The statuses of a group, as they stand in the log.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) entries: Vec<Entry>,
    /// Places of statuses that make no entry.
    pub(super) dropped: Vec<usize>,
    pub(super) met: Met,
}

/// A device in memory.
#[derive(Debug)]
struct Known {
    last: LastState,
    /// The table does not have it yet.
    waits: bool,
    /// How its state came to be the last one, where no message has said anything since.
    anticipated: Option<Anticipated>,
}

/// The last states of all devices.
#[derive(Debug)]
pub(super) struct LastStates {
    cache: LruCache<DeviceKey, Known>,
    cache_bytes: usize,
    /// The devices whose rows wait; they stay in the cache until then.
    waiting: Vec<DeviceKey>,
    waiting_bytes: u64,
    /// The table is as it was at this position.
    saved: Position,
    /// What the log has after `saved` was not read again: the table stays as it is, and so do those
    /// entries.
    behind: bool,
    /// The cache has every row of the table.
    complete: bool,
    size: TableSize,
    devices_max: u64,
    recent: RecentTopics,
    watermark: u64,
    states: DeviceStates,
    /// Readers do not have `states` yet.
    states_news: bool,
}

impl Resolved {
    /// The newest position once they are written; `before`: the one before.
    pub(super) fn head(&self, before: Position) -> Position {
        self.entries.last().map_or(before, |entry| entry.position)
    }
}

impl LastState {
    fn table_bytes(&self, key: &DeviceKey) -> u64 {
        let names = key.stream.len() + key.client_id.len() + key.device_id.len();
        // The names stand in the table and in its index.
        (2 * names + self.state.len() + 8 * self.keys.len() + ROW_BYTES) as u64
    }

    fn cached_bytes(&self, key: &DeviceKey) -> usize {
        key.client_id.len() + key.device_id.len() + self.state.len() + CACHED_BYTES
    }
}

impl LastStates {
    /// With the rows that were heard last; `size` is that of the whole table, which is as it was at
    /// `saved`. Where the log goes on to `head`, that is to be read again.
    pub(super) fn new(
        settings: &Settings,
        size: TableSize,
        rows: Vec<Row>,
        saved: Position,
        head: Position,
    ) -> LastStates {
        let mut known = LastStates {
            cache: LruCache::new_unbounded(),
            cache_bytes: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            saved,
            behind: saved < head,
            complete: size.rows <= rows.len() as u64,
            size,
            devices_max: settings.devices_max,
            recent: RecentTopics::default(),
            watermark: 0,
            states: DeviceStates::default(),
            states_news: true,
        };
        // The one that was heard last is to be forgotten last.
        known.found(rows.into_iter().rev());
        known
    }

    /// How many devices of the table are in each state.
    pub(super) fn count_states(&mut self, states: DeviceStates) {
        (self.states, self.states_news) = (states, true);
    }

    /// How many devices are in each state, and the last changes, where that is another than when
    /// this was asked before.
    pub(super) fn take_states(&mut self) -> Option<&DeviceStates> {
        std::mem::take(&mut self.states_news).then_some(&self.states)
    }

    /// Where to begin to read the log again, if that is to be done. From now on all of it counts as
    /// read.
    pub(super) fn catch_up(&mut self) -> Option<Position> {
        std::mem::take(&mut self.behind).then_some(self.saved)
    }

    /// A start needs the entries after this position: nobody writes the last states that they bring.
    pub(super) fn held(&self) -> Option<Position> {
        self.behind.then_some(self.saved)
    }

    /// How many rows to read at a start.
    pub(super) const fn preloaded_max() -> usize {
        CACHE_BYTES_MAX / CACHED_BYTES
    }

    /// The size of the table.
    pub(super) fn size(&self) -> TableSize {
        self.size
    }

    /// Devices of statuses that are to be looked up in the table first.
    pub(super) fn unknown<'a>(
        &self,
        statuses: impl Iterator<Item = (&'a Arc<str>, &'a StatusKey)>,
    ) -> Vec<DeviceKey> {
        if self.complete {
            return Vec::new();
        }
        let keys = statuses.map(|(stream, key)| DeviceKey {
            stream: Arc::clone(stream),
            client_id: key.client_id.as_str().into(),
            device_id: key.device_id.as_str().into(),
        });
        let mut unknown: Vec<DeviceKey> =
            keys.filter(|key| !self.cache.contains_key(key)).collect();
        unknown.sort_unstable_by(|a, b| {
            (&a.stream, &a.client_id, &a.device_id).cmp(&(&b.stream, &b.client_id, &b.device_id))
        });
        unknown.dedup();
        unknown
    }

    /// Rows that were looked up.
    pub(super) fn found(&mut self, rows: impl IntoIterator<Item = Row>) {
        rows.into_iter()
            .for_each(|(key, last)| self.cache(key, last, false));
    }

    /// Gives entries their positions after `head`, and compares each status with its device's last
    /// state.
    pub(super) fn resolve(&mut self, head: Position, entries: Vec<NewEntry>) -> Resolved {
        let mut resolved = Resolved {
            entries: Vec::with_capacity(entries.len()),
            dropped: Vec::new(),
            met: Met::default(),
        };
        let mut position = head;
        for (place, entry) in entries.into_iter().enumerate() {
            let NewEntry {
                topic,
                received_at,
                body,
                content,
            } = entry;
            // As it is read back.
            let received_at =
                Timestamp::from_microsecond(received_at.as_microsecond()).unwrap_or(received_at);
            let content = match content {
                NewContent::Status { stream, key } => {
                    self.status((&topic, received_at), stream, key, &mut resolved.met)
                }
                NewContent::Undecodable { reason } => EntryContent::Undecodable { reason },
                NewContent::Coverage => EntryContent::Coverage,
                NewContent::Resync {
                    stream,
                    key,
                    unchanged,
                } => match self.resync(received_at, stream, key, unchanged) {
                    Some(content) => content,
                    None => {
                        resolved.dropped.push(place);
                        continue;
                    }
                },
            };
            position.0 += 1;
            resolved.entries.push(Entry {
                position,
                topic,
                received_at,
                body,
                content,
            });
        }
        self.bound_memory();
        resolved
    }

    fn status(
        &mut self,
        (topic, at): (&Arc<str>, Timestamp),
        stream: Arc<str>,
        key: StatusKey,
        met: &mut Met,
    ) -> EntryContent {
        let shared_hash = key.shared_hash;
        let (device, said) = taken_apart(stream, key);
        let redelivered = said
            .event_key
            .zip(self.cache.peek(&device))
            .is_some_and(|(key, known)| known.last.keys.contains(&key));
        if self.is_anticipated(&device, &said, at) && !redelivered {
            met.repeats += 1;
            // Its key tells when it comes again.
            self.learn(device, at, said);
            return EntryContent::Status {
                previous: None,
                repeat: true,
            };
        }
        let is_of_another = |hash| self.recent.is_of_another(hash, topic, at);
        if redelivered || shared_hash.is_some_and(is_of_another) {
            met.repeats += 1;
            return EntryContent::Status {
                previous: None,
                repeat: true,
            };
        }
        let claims = said.old_state.is_some();
        let previous = self.learn(device, at, said);
        met.missed_transitions += u64::from(previous.is_some() && claims);
        EntryContent::Status {
            previous,
            repeat: false,
        }
    }

    /// What a snapshot says of a device; `None`: nothing that is worth an entry.
    fn resync(
        &mut self,
        at: Timestamp,
        stream: Arc<str>,
        key: StatusKey,
        unchanged: Unchanged,
    ) -> Option<EntryContent> {
        let (device, said) = taken_apart(stream, key);
        let known = self.cache.peek(&device);
        let is_same = known.is_some_and(|known| *known.last.state == *said.new_state.trim());
        if is_same && unchanged == Unchanged::Dropped {
            return None;
        }
        // A message has said it, and another one something newer: the snapshot is older than both.
        let has_said = |known: &Known| {
            said.event_key
                .is_some_and(|key| known.last.keys.contains(&key))
        };
        if !is_same && known.is_some_and(has_said) {
            return None;
        }
        let changes = known.filter(|_| !is_same);
        let anticipated = changes.map(|known| Anticipated {
            from: known.last.state.clone(),
            at,
        });
        let said = Said {
            // It came before.
            event_key: said.event_key.filter(|_| !known.is_some_and(has_said)),
            ..said
        };
        let previous = self.learn(device.clone(), at, said);
        if let Some(known) = self.cache.peek_mut(&device)
            && anticipated.is_some()
        {
            known.anticipated = anticipated;
        }
        Some(EntryContent::Resync {
            previous,
            confirms: is_same,
        })
    }

    /// Whether a status is the change that a snapshot has just brought: it was in flight then, or is
    /// sent again.
    fn is_anticipated(&mut self, device: &DeviceKey, said: &Said, at: Timestamp) -> bool {
        let Some(known) = self.cache.peek_mut(device) else {
            return false;
        };
        let Some(Anticipated { from, at: since }) = known.anticipated.take() else {
            return false;
        };
        let old_state = said.old_state.as_deref().map(str::trim);
        old_state == Some(&*from)
            && *known.last.state == *said.new_state.trim()
            && at.duration_since(since) <= ANTICIPATED_FOR
    }

    /// Takes over a status that stands in the log already, and is no repeat.
    pub(super) fn learn_again(&mut self, stream: Arc<str>, key: StatusKey, at: Timestamp) {
        let (device, said) = taken_apart(stream, key);
        // A snapshot may say again what a message has said.
        let known = self.cache.peek(&device);
        let is_new = |key: &u64| known.is_none_or(|known| !known.last.keys.contains(key));
        let event_key = said.event_key.filter(is_new);
        self.learn(device, at, Said { event_key, ..said });
    }

    /// Takes over what a status says of its device. Gives the last state known before, where that is
    /// not what the status gives as its old one.
    fn learn(&mut self, device: DeviceKey, at: Timestamp, said: Said) -> Option<Box<str>> {
        let new_state = said.new_state.trim();
        let old_state = said.old_state.as_deref().map(str::trim);
        let Some(known) = self.cache.get_mut(&device) else {
            let last = LastState {
                state: new_state.into(),
                keys: said.event_key.into_iter().collect(),
                heard_at: at,
            };
            let bytes = last.table_bytes(&device);
            self.size.rows += 1;
            self.size.bytes += bytes;
            self.states.enter(&device.stream, new_state);
            // Its own old state counts where nothing else is known of it.
            if let Some(from) = old_state.filter(|from| *from != new_state) {
                let change = change(&device, from.into(), new_state, at);
                self.states.list(change);
            }
            self.states_news = true;
            if !self.behind {
                self.waiting_bytes += bytes;
                self.waiting.push(device.clone());
            }
            self.cache(device, last, !self.behind);
            return None;
        };
        let last = &mut known.last;
        let previous = Some(&*last.state)
            .filter(|state| old_state != Some(*state))
            .map(Into::into);
        let changes = *last.state != *new_state;
        let is_late = at.duration_since(last.heard_at) >= HEARD_INTERVAL;
        if changes || said.event_key.is_some() || is_late {
            let (bytes, cached) = (last.table_bytes(&device), last.cached_bytes(&device));
            if changes {
                let from = std::mem::replace(&mut last.state, new_state.into());
                let change = change(&device, from, new_state, at);
                self.states.change(change);
                self.states_news = true;
            }
            last.heard_at = at;
            if let Some(key) = said.event_key {
                if last.keys.len() == KEYS_MAX {
                    last.keys.remove(0);
                }
                last.keys.push(key);
            }
            self.size.bytes = (self.size.bytes + last.table_bytes(&device)).saturating_sub(bytes);
            self.cache_bytes = self.cache_bytes + last.cached_bytes(&device) - cached;
            if !self.behind && !std::mem::replace(&mut known.waits, true) {
                self.waiting_bytes += known.last.table_bytes(&device);
                self.waiting.push(device);
            }
        }
        previous
    }

    /// Whether the table is not as the log says at its newest position.
    pub(super) fn waits(&self, head: Position) -> bool {
        !self.behind && self.saved != head
    }

    /// Whether too much waits for the next save.
    pub(super) fn is_full(&self) -> bool {
        // Beyond the cache's bound only because rows wait.
        !self.behind
            && (self.waiting.len() >= WAITING_MAX
                || self.waiting_bytes >= WAITING_BYTES_MAX
                || self.cache_bytes > CACHE_BYTES_MAX)
    }

    /// The rows that wait. Written, they bring the table to the position of the newest status that
    /// was compared.
    pub(super) fn waiting_rows(&self) -> Vec<WaitingRow<'_>> {
        let row = |key| Some((key, &self.cache.peek::<DeviceKey>(key)?.last));
        self.waiting.iter().filter_map(row).collect()
    }

    /// Takes note that the table is as the log says at this position.
    pub(super) fn mark_saved(&mut self, at: Position) {
        for key in self.waiting.drain(..) {
            if let Some(known) = self.cache.peek_mut(&key) {
                known.waits = false;
            }
        }
        self.waiting_bytes = 0;
        self.saved = at;
    }

    /// How many devices are over the bound, and a few more, so that not every new device costs a
    /// deletion.
    pub(super) fn excess(&self) -> u64 {
        if self.behind {
            return 0;
        }
        let TableSize { rows, bytes } = self.size;
        let spare = self.devices_max / 1000 + 1;
        let excess = if rows > self.devices_max {
            rows - self.devices_max + spare.min(self.devices_max - 1)
        } else if bytes > TABLE_BYTES_MAX {
            EVICTED_MAX
        } else {
            0
        };
        excess.min(EVICTED_MAX)
    }

    /// Drops devices that were forgotten on disk.
    pub(super) fn evicted(&mut self, rows: &[Row]) {
        for (key, last) in rows {
            self.size.rows = self.size.rows.saturating_sub(1);
            self.size.bytes = self.size.bytes.saturating_sub(last.table_bytes(key));
            self.states.leave(&key.stream, &last.state);
            self.states_news = true;
            if let Some(cached) = self.cache.remove(key) {
                self.cache_bytes -= cached.last.cached_bytes(key);
            }
        }
    }

    /// Drops devices from memory that the table has. Those that wait stay: they were heard last.
    pub(super) fn bound_memory(&mut self) {
        while self.cache_bytes > CACHE_BYTES_MAX
            && self
                .cache
                .iter()
                .next()
                .is_some_and(|(_, known)| !known.waits)
            && let Some((key, known)) = self.cache.remove_lru()
        {
            self.cache_bytes -= known.last.cached_bytes(&key);
            self.complete = false;
        }
    }

    /// Takes note that a transaction is written: bounds the memory, and warns if a bound is near.
    pub(super) fn settle(&mut self) {
        self.bound_memory();
        if let Some(percent) = self.reached() {
            warn!(
                percent,
                devices = self.size.rows,
                bytes = self.size.bytes,
                "last states fill up: beyond the bound the device that was not heard for longest \
                 counts as never seen; raise journal.devices_max, or see whether ids are made up"
            );
        }
    }

    fn reached(&mut self) -> Option<u64> {
        let percent = (self.size.rows.saturating_mul(100) / self.devices_max)
            .max(self.size.bytes * 100 / TABLE_BYTES_MAX);
        let mark = WATERMARKS.into_iter().rfind(|mark| *mark <= percent);
        let mark = mark.unwrap_or(0);
        let news = mark > self.watermark;
        self.watermark = self.watermark.max(mark);
        news.then_some(mark)
    }

    fn cache(&mut self, key: DeviceKey, last: LastState, waits: bool) {
        self.cache_bytes += last.cached_bytes(&key);
        let known = Known {
            last,
            waits,
            anticipated: None,
        };
        match self.cache.peek_mut(&key) {
            Some(before) => {
                let before = std::mem::replace(before, known);
                self.cache_bytes -= before.last.cached_bytes(&key);
            }
            None => drop(self.cache.insert(key, known)),
        }
    }
}

fn change(device: &DeviceKey, from: Box<str>, to: &str, at: Timestamp) -> Change {
    Change {
        stream: Arc::clone(&device.stream),
        client_id: device.client_id.clone(),
        device_id: device.device_id.clone(),
        from,
        to: to.into(),
        at,
    }
}

/// What one status says of its device.
struct Said {
    old_state: Option<String>,
    new_state: String,
    event_key: Option<u64>,
}

fn taken_apart(stream: Arc<str>, key: StatusKey) -> (DeviceKey, Said) {
    let device = DeviceKey {
        stream,
        client_id: key.client_id.into(),
        device_id: key.device_id.into(),
    };
    let said = Said {
        old_state: key.old_state,
        new_state: key.new_state,
        event_key: key.event_key,
    };
    (device, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(devices_max: u64) -> Settings {
        Settings {
            devices_max,
            ..Settings::new("/nowhere".into())
        }
    }

    /// With an empty table, and a log that ends at `head`.
    fn opened(devices_max: u64, head: Position) -> LastStates {
        let size = TableSize::default();
        LastStates::new(&settings(devices_max), size, Vec::new(), Position(0), head)
    }

    fn unknown(known: &LastStates, entries: &[NewEntry]) -> usize {
        let statuses = entries.iter().filter_map(|entry| match &entry.content {
            NewContent::Status { stream, key } => Some((stream, key)),
            _ => None,
        });
        known.unknown(statuses).len()
    }

    fn empty(devices_max: u64) -> LastStates {
        opened(devices_max, Position(0))
    }

    /// A status of device 1 at a second, by a topic of the stream `s`.
    fn status(
        topic: &str,
        second: i64,
        old: Option<&str>,
        new: &str,
        key: Option<u64>,
    ) -> NewEntry {
        NewEntry {
            topic: topic.into(),
            received_at: Timestamp::from_second(second).unwrap(),
            body: bytes::Bytes::new(),
            content: NewContent::Status {
                stream: "s".into(),
                key: StatusKey {
                    client_id: String::new(),
                    device_id: "1".to_owned(),
                    old_state: old.map(str::to_owned),
                    new_state: new.to_owned(),
                    event_key: key,
                    shared_hash: None,
                },
            },
        }
    }

    /// By a topic of a stream with several topics, whose content always has the same hash.
    fn shared(topic: &str, new: &str) -> NewEntry {
        let mut entry = status(topic, 1, None, new, None);
        if let NewContent::Status { key, .. } = &mut entry.content {
            key.shared_hash = Some(7);
        }
        entry
    }

    fn told(known: &mut LastStates, entry: NewEntry) -> (Option<String>, bool) {
        let resolved = known.resolve(Position(0), vec![entry]);
        known.settle();
        match &resolved.entries[0].content {
            EntryContent::Status { previous, repeat } => {
                (previous.as_deref().map(str::to_owned), *repeat)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn previous_is_what_we_knew_where_the_status_says_another() {
        let mut known = empty(10);
        for (old, new, expected) in [
            (Some("ok"), "ok", None),
            (Some("ok"), "fault", None),
            (Some(" fault "), "ok ", None),
            // A transition passed us by.
            (Some("fault"), "ok", Some("ok")),
            (None, "ok", Some("ok")),
            (None, "fault", Some("ok")),
        ] {
            let (previous, repeat) = told(&mut known, status("t", 1, old, new, None));
            assert_eq!(
                (previous.as_deref(), repeat),
                (expected, false),
                "{old:?} {new}"
            );
        }
    }

    #[test]
    fn a_redelivered_key_is_a_repeat_and_moves_nothing() {
        let mut known = empty(10);
        assert_eq!(
            told(&mut known, status("t", 1, None, "ok", Some(1))),
            (None, false)
        );
        told(&mut known, status("t", 2, Some("ok"), "fault", Some(2)));
        assert_eq!(
            told(&mut known, status("t", 3, None, "ok", Some(1))),
            (None, true)
        );
        let next = told(&mut known, status("t", 4, Some("fault"), "ok", Some(3)));
        assert_eq!(next, (None, false), "the last state is still fault");
        // Only the last eight are kept.
        (4..11).for_each(|key| drop(told(&mut known, status("t", 5, None, "ok", Some(key)))));
        assert!(!told(&mut known, status("t", 6, None, "ok", Some(1))).1);
        assert!(told(&mut known, status("t", 6, None, "ok", Some(10))).1);
    }

    #[test]
    fn what_another_topic_brought_is_a_repeat_and_moves_nothing() {
        let mut known = empty(10);
        assert_eq!(told(&mut known, shared("a", "ok")), (None, false));
        assert_eq!(told(&mut known, shared("b", "fault")), (None, true));
        let next = told(&mut known, status("a", 2, Some("ok"), "fault", None));
        assert_eq!(next, (None, false), "the last state was still ok");
    }

    fn snapshot(second: i64, new: &str, key: Option<u64>, unchanged: Unchanged) -> NewEntry {
        let entry = status("t", second, None, new, key);
        let NewContent::Status { stream, key } = entry.content else {
            panic!("no status")
        };
        NewEntry {
            content: NewContent::Resync {
                stream,
                key,
                unchanged,
            },
            ..entry
        }
    }

    /// `None`: it makes no entry.
    fn resynced(known: &mut LastStates, entry: NewEntry) -> Option<(Option<String>, bool)> {
        let resolved = known.resolve(Position(7), vec![entry]);
        known.settle();
        let content = &resolved.entries.first()?.content;
        let EntryContent::Resync { previous, confirms } = content else {
            panic!("{content:?}")
        };
        Some((previous.as_deref().map(str::to_owned), *confirms))
    }

    #[test]
    fn of_a_snapshot_what_differs_makes_an_entry_and_what_we_knew_where_it_is_asked_for() {
        use Unchanged::{Confirms, Dropped};
        let mut known = empty(10);
        let after = |state: &str| Some((Some(state.to_owned()), false));
        for (new, unchanged, expected) in [
            ("ok", Dropped, Some((None, false))),
            ("ok", Dropped, None),
            (" ok ", Confirms, Some((Some("ok".to_owned()), true))),
            ("fault", Dropped, after("ok")),
            ("ok", Confirms, after("fault")),
        ] {
            let entry = snapshot(1, new, None, unchanged);
            assert_eq!(resynced(&mut known, entry), expected, "{new} {unchanged:?}");
        }
    }

    #[test]
    fn positions_follow_each_other_where_a_snapshot_makes_no_entry() {
        let mut known = empty(10);
        let same = || snapshot(1, "ok", None, Unchanged::Dropped);
        let entries = vec![
            same(),
            same(),
            status("t", 2, None, "fault", None),
            same(),
            same(),
        ];
        let resolved = known.resolve(Position(7), entries);
        let positions: Vec<i64> = (resolved.entries.iter())
            .map(|entry| entry.position.0)
            .collect();
        assert_eq!(positions, [8, 9, 10]);
        assert_eq!(resolved.dropped, [1, 4]);
    }

    #[test]
    fn what_a_message_has_said_by_its_key_a_snapshot_does_not_say_again() {
        let mut known = empty(10);
        told(&mut known, status("t", 1, None, "ok", Some(1)));
        told(&mut known, status("t", 2, Some("ok"), "fault", Some(2)));
        let stale = snapshot(3, "ok", Some(1), Unchanged::Confirms);
        assert_eq!(resynced(&mut known, stale), None);
        let same = snapshot(3, "fault", Some(2), Unchanged::Confirms);
        assert!(resynced(&mut known, same).unwrap().1);
        // And the other way round.
        let newer = snapshot(4, "ok", Some(3), Unchanged::Dropped);
        assert!(!resynced(&mut known, newer).unwrap().1);
        let redelivered = status("t", 5, Some("fault"), "ok", Some(3));
        assert!(told(&mut known, redelivered.clone()).1);
        assert!(told(&mut known, redelivered).1);
    }

    #[test]
    fn the_change_that_a_snapshot_brought_is_a_repeat_once_and_soon_after_it() {
        for (second, old, new, expected) in [
            (60, "ok", "fault", true),
            (62, "ok", "fault", false),
            (2, "off", "fault", false),
            (2, "ok", "off", false),
        ] {
            let mut known = empty(10);
            told(&mut known, status("t", 0, None, "ok", None));
            resynced(&mut known, snapshot(1, "fault", None, Unchanged::Dropped));
            let (_, repeat) = told(&mut known, status("t", second, Some(old), new, None));
            assert_eq!(repeat, expected, "{second} {old} {new}");
            let (_, repeat) = told(&mut known, status("t", second, Some(old), new, None));
            assert!(!repeat, "{second} {old} {new}");
        }
    }

    #[test]
    fn only_what_changes_waits_and_each_device_once() {
        let mut known = empty(10);
        let mut head = Position(0);
        for (second, new, key, expected) in [
            (0, "ok", None, 1),
            (3599, "ok", None, 0),
            (3600, "ok", None, 1),
            (3601, "fault", None, 1),
            (3602, "fault", Some(1), 1),
        ] {
            known.resolve(head, vec![status("t", second, None, new, key)]);
            head.0 += 1;
            assert!(known.waits(head), "the position at least");
            assert_eq!(known.waiting_rows().len(), expected, "{second} {new}");
            known.mark_saved(head);
            assert!(!known.waits(head) && known.waiting_rows().is_empty());
        }
        let twice = [
            status("t", 9000, None, "a", None),
            status("t", 9001, None, "b", None),
        ];
        known.resolve(head, twice.into());
        let [(_, last)] = known.waiting_rows()[..] else {
            panic!("one device is one row")
        };
        assert_eq!((&*last.state, known.size().rows), ("b", 1));
    }

    #[test]
    fn what_the_log_has_beyond_the_table_is_read_again_before_anything_is_written() {
        let mut known = opened(10, Position(7));
        assert_eq!(known.held(), Some(Position(0)));
        known.resolve(Position(7), vec![status("t", 1, None, "ok", Some(1))]);
        assert!(!known.waits(Position(8)) && known.waiting_rows().is_empty());
        assert_eq!((known.excess(), known.is_full()), (0, false));

        let mut known = opened(10, Position(7));
        assert_eq!(known.catch_up(), Some(Position(0)));
        assert_eq!((known.catch_up(), known.held()), (None, None));
        let NewContent::Status { stream, key } = status("t", 1, None, "ok", Some(1)).content else {
            panic!("a status")
        };
        known.learn_again(stream, key, Timestamp::UNIX_EPOCH);
        assert!(known.waits(Position(7)) && known.waiting_rows().len() == 1);
        assert!(told(&mut known, status("t", 2, None, "ok", Some(1))).1);
    }

    #[test]
    fn number_and_memory_are_bounded() {
        let mut known = empty(100);
        let entry = |device: usize| {
            let mut entry = status("t", 0, None, "ok", None);
            if let NewContent::Status { key, .. } = &mut entry.content {
                key.device_id = device.to_string();
            }
            entry
        };
        let entries = (0..100).map(entry).collect();
        known.resolve(Position(0), entries);
        known.mark_saved(Position(100));
        assert_eq!(known.excess(), 0);
        known.resolve(Position(100), vec![entry(100)]);
        assert_eq!(known.excess(), 2);
        let new: Vec<Row> = known
            .waiting_rows()
            .into_iter()
            .map(|(key, last)| (key.clone(), last.clone()))
            .collect();
        known.mark_saved(Position(101));
        known.evicted(&new);
        assert_eq!((known.size().rows, known.excess()), (100, 0));
        assert_eq!(
            unknown(&known, &[entry(100)]),
            0,
            "all that there are stand in memory"
        );

        let mut large = empty(u64::MAX / 100);
        let count = 2 * LastStates::preloaded_max();
        large.resolve(Position(0), (0..WAITING_MAX - 1).map(entry).collect());
        assert!(!large.is_full());
        large.resolve(Position(0), (0..count).map(entry).collect());
        large.settle();
        assert!(
            large.is_full() && large.cache_bytes > CACHE_BYTES_MAX,
            "what waits stays in memory"
        );
        assert_eq!(large.waiting_rows().len(), count);
        large.mark_saved(Position(1));
        large.settle();
        assert!(large.cache_bytes <= CACHE_BYTES_MAX && !large.is_full());
        assert_eq!(unknown(&large, &[entry(0), entry(0), entry(count - 1)]), 1);
    }

    #[test]
    fn bound_is_told_before_it_is_reached_by_number_and_by_bytes() {
        let mut known = empty(100);
        for (rows, bytes, expected) in [
            (79, 0, None),
            (80, 0, Some(80)),
            (81, 0, None),
            (81, TABLE_BYTES_MAX - 1, Some(95)),
            (100, TABLE_BYTES_MAX, None),
        ] {
            known.size = TableSize { rows, bytes };
            assert_eq!(known.reached(), expected, "{rows} {bytes}");
        }
        known.size = TableSize {
            rows: 10,
            bytes: TABLE_BYTES_MAX + 1,
        };
        assert_eq!(known.excess(), EVICTED_MAX, "its bytes are a bound, too");
    }

    #[test]
    fn device_that_is_looked_up_is_no_reason_to_save() {
        let row = |device: usize| {
            let key = DeviceKey {
                stream: "s".into(),
                client_id: "".into(),
                device_id: device.to_string().into(),
            };
            let last = LastState {
                state: "ok".into(),
                keys: Vec::new(),
                heard_at: Timestamp::UNIX_EPOCH,
            };
            (key, last)
        };
        let mut known = empty(u64::MAX / 100);
        known.found((0..LastStates::preloaded_max()).map(row));
        known.settle();
        // As a commit does it: looks up, resolves, asks what to save.
        for device in [1, 2, 3] {
            known.found([row(device)]);
            let mut entry = status("t", 0, None, "fault", None);
            if let NewContent::Status { key, .. } = &mut entry.content {
                key.device_id = device.to_string();
            }
            known.resolve(Position(0), vec![entry]);
            assert!(!known.is_full(), "device {device}");
            assert!(known.cache_bytes <= CACHE_BYTES_MAX, "device {device}");
        }
        assert_eq!(known.waiting_rows().len(), 3);
    }

    #[test]
    fn memory_is_counted_as_it_is_given_back() {
        let mut known = empty(10);
        known.resolve(Position(0), vec![status("t", 0, None, "a", None)]);
        known.resolve(
            Position(1),
            vec![status("t", 0, None, "a long state", None)],
        );
        let row = known.waiting_rows()[0];
        let row = (row.0.clone(), row.1.clone());
        known.evicted(&[row]);
        assert_eq!((known.cache_bytes, known.size()), (0, TableSize::default()));
    }
}
