//! The last state of each device, by stream: it tells a change, a missed transition and a repeat.
//! The table on disk holds all of them, up to a bound; the devices heard lately are in memory too.
//! The table may be a second behind the log: what it lacks waits here, and after a crash it is read
//! again from the log. Does no IO: [`super::last_state_rows`] reads and writes the table.

mod device;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use hashlink::LruCache;
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use device::{Anticipated, CACHED_BYTES, Said};
pub(super) use device::{DeviceKey, LastState, ROW_BYTES, Row, WaitingRow};
pub(super) use resolve::{Met, Resolved};

use super::Settings;
use super::device_states::{Change, DeviceStates};
use super::recent_topics::RecentTopics;
use crate::model::Position;
use crate::pipeline::StatusKey;

/// Event keys that are kept for each device: a redelivery comes soon.
const KEYS_MAX: usize = 8;

/// The cache's bound in bytes: some hundred thousand devices.
const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The table's bound on disk, in bytes, however many devices it holds.
const TABLE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Devices that are forgotten in one transaction: as many as one group may bring.
const EVICTED_MAX: u64 = 4096;

/// That a device was heard is written this much later at most, where nothing else of it changes.
const HEARD_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Rows that may wait until the next save; with more of them the next commit writes them.
const WAITING_MAX: usize = 4096;

/// Bytes of rows that may wait likewise.
const WAITING_BYTES_MAX: u64 = 1024 * 1024;

/// Shares of the bounds, in percent, at which it warns.
const WATERMARKS: [u64; 2] = [80, 95];

/// The size of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TableSize {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// A device in memory.
#[derive(Debug)]
struct Known {
    last: LastState,
    /// The table does not have it yet.
    waits: bool,
    /// How its state came to be the last one, where no message has said anything since.
    anticipated: Option<Box<Anticipated>>,
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
    /// How often each topic has begun or ceased to be heard, since the start.
    turns: HashMap<Arc<str>, u64>,
    watermark: u64,
    states: DeviceStates,
    /// Readers do not have `states` yet.
    states_news: bool,
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
            turns: HashMap::new(),
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
