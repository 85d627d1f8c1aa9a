//! The devices that a history holds in memory, and which of them are not as its tables have them. A
//! status finds its device without a copy of any text.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashlink::linked_hash_map::RawEntryMut;
use hashlink::{DefaultHashBuilder, LruCache};

use super::device::{Device, DeviceId};
use crate::model::StatusEvent;

/// Some hundred bytes each; others are looked up again.
const DEVICES_MAX: usize = 16_384;

type Held = LruCache<Arc<DeviceId>, Known, DefaultHashBuilder>;

/// See the module.
pub(super) struct Devices {
    held: Held,
    hasher: DefaultHashBuilder,
    /// Each of them once.
    changed: Vec<Arc<DeviceId>>,
}

struct Known {
    device: Device,
    is_changed: bool,
}

impl Devices {
    /// None.
    pub(super) fn new() -> Devices {
        let hasher = DefaultHashBuilder::default();
        Devices {
            held: LruCache::with_hasher(DEVICES_MAX, hasher.clone()),
            hasher,
            changed: Vec::new(),
        }
    }

    /// From now on it holds none.
    pub(super) fn clear(&mut self) {
        self.held.clear();
        self.changed.clear();
    }

    /// The keys of those that it holds.
    pub(super) fn keys(&self) -> Vec<i64> {
        let held = self.held.iter();
        held.map(|(_, known)| known.device.key).collect()
    }

    /// From now on it holds these alone, and the tables do not have them.
    pub(super) fn keep(&mut self, keys: &HashSet<i64>) {
        let held = self.held.iter().map(|(_, known)| &known.device);
        let kept: Vec<Device> = held
            .filter(|device| keys.contains(&device.key))
            .cloned()
            .collect();
        self.clear();
        for device in kept {
            let id = Arc::clone(&device.id);
            self.hold(device);
            self.change_id(&id);
        }
    }

    /// A device as the tables have it.
    pub(super) fn hold(&mut self, device: Device) {
        let known = Known {
            device,
            is_changed: false,
        };
        self.held.insert(Arc::clone(&known.device.id), known);
    }

    /// The same, unless it is held as it was changed since.
    pub(super) fn hold_unless_held(&mut self, device: Device) {
        if self.get_mut(&device.id).is_none() {
            self.hold(device);
        }
    }

    /// The device of that id, as it is.
    pub(super) fn get_mut(&mut self, id: &DeviceId) -> Option<&mut Device> {
        Some(&mut self.held.get_mut(id)?.device)
    }

    /// Whether the device of a status is held.
    pub(super) fn has(&mut self, status: &StatusEvent) -> bool {
        find(&mut self.held, &self.hasher, status).is_some()
    }

    /// The device of a status, to be changed.
    pub(super) fn change(&mut self, status: &StatusEvent) -> Option<&mut Device> {
        let known = find(&mut self.held, &self.hasher, status)?;
        known.change(&mut self.changed)
    }

    /// The device of that id, to be changed.
    pub(super) fn change_id(&mut self, id: &DeviceId) -> Option<&mut Device> {
        self.held.get_mut(id)?.change(&mut self.changed)
    }

    /// The devices that are not as the tables have them, in the order of their keys. They are as
    /// the tables have them once these are written.
    pub(super) fn take_changed(&mut self) -> Vec<Device> {
        let changed = std::mem::take(&mut self.changed);
        let mut devices = Vec::with_capacity(changed.len());
        for id in &changed {
            if let Some(known) = self.held.peek_mut(id) {
                known.is_changed = false;
                devices.push(known.device.clone());
            }
        }
        devices.sort_unstable_by_key(|device| device.key);
        devices
    }
}

impl Known {
    fn change(&mut self, changed: &mut Vec<Arc<DeviceId>>) -> Option<&mut Device> {
        if !std::mem::replace(&mut self.is_changed, true) {
            changed.push(Arc::clone(&self.device.id));
        }
        Some(&mut self.device)
    }
}

fn find<'a>(
    held: &'a mut Held,
    hasher: &DefaultHashBuilder,
    status: &StatusEvent,
) -> Option<&'a mut Known> {
    let hash = hasher.hash_one(DeviceId::parts(status));
    let found = held.raw_entry_mut().from_hash(hash, |id| id.is_of(status));
    match found {
        RawEntryMut::Occupied(mut found) => {
            found.to_back();
            Some(found.into_mut())
        }
        RawEntryMut::Vacant(_) => None,
    }
}
