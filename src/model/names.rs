//! What people call their devices: a name and a group for each, by serial number or by client and
//! device. It reads no file.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What a device is called; `None`: nobody said it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Label {
    /// The name of the device.
    pub name: Option<Arc<str>>,
    /// The group of the device.
    pub group: Option<Arc<str>>,
}

/// The labels of all devices.
#[derive(Debug, Clone, Default)]
pub struct Names {
    devices: HashMap<Arc<str>, Label>,
    serials: HashMap<Arc<str>, Label>,
    /// Of all of them, in whichever order: a reload compares those of each topic.
    fingerprint: u64,
}

/// By their fingerprints, which differ where any label does.
impl PartialEq for Names {
    fn eq(&self, other: &Names) -> bool {
        (self.fingerprint, self.len()) == (other.fingerprint, other.len())
    }
}

impl Eq for Names {}

/// By what a device is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named<'a> {
    /// `client/device`.
    Device(&'a str),
    /// Its serial number.
    Serial(&'a str),
}

impl Names {
    /// Adds a device; `false`: it was there already, and keeps its label.
    pub fn add(&mut self, named: Named<'_>, label: Label) -> bool {
        let (labels, key) = match named {
            Named::Device(key) => (&mut self.devices, key),
            Named::Serial(key) => (&mut self.serials, key),
        };
        if labels.contains_key(key) {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        (named, &label).hash(&mut hasher);
        self.fingerprint = self.fingerprint.wrapping_add(hasher.finish());
        labels.insert(Arc::from(key), label);
        true
    }

    /// What a device is called: by its ids, else by its serial number.
    pub fn of(&self, client_id: &str, device_id: &str, serial: Option<&str>) -> Option<&Label> {
        let by_ids = match self.devices.is_empty() {
            true => None,
            false => self.devices.get(&*device_key(client_id, device_id)),
        };
        by_ids.or_else(|| self.serials.get(serial?))
    }

    /// Whether devices are named by serial numbers.
    pub fn has_serials(&self) -> bool {
        !self.serials.is_empty()
    }

    /// Every device with its label.
    pub fn iter(&self) -> impl Iterator<Item = (Named<'_>, &Label)> {
        let devices = self.devices.iter();
        let serials = self.serials.iter();
        devices
            .map(|(key, label)| (Named::Device(key), label))
            .chain(serials.map(|(key, label)| (Named::Serial(key), label)))
    }

    /// The devices of the wanted labels, as far as ids name them: client and device, in order.
    /// `None`: no label is wanted.
    pub fn chosen(&self, wanted: impl Fn(&Label) -> bool) -> Option<Vec<(String, String)>> {
        let mut chosen = None;
        for (named, _) in self.iter().filter(|(_, label)| wanted(label)) {
            let devices: &mut Vec<_> = chosen.get_or_insert_default();
            if let Named::Device(key) = named
                && let Some((client, device)) = key.split_once('/')
            {
                devices.push((client.to_owned(), device.to_owned()));
            }
        }
        if let Some(devices) = &mut chosen {
            devices.sort_unstable();
        }
        chosen
    }

    /// The serial numbers of the wanted labels, in order.
    pub fn serials_of(&self, wanted: impl Fn(&Label) -> bool) -> Vec<Arc<str>> {
        let wanted = self.serials.iter().filter(|(_, label)| wanted(label));
        let mut serials: Vec<Arc<str>> = wanted.map(|(serial, _)| Arc::clone(serial)).collect();
        serials.sort_unstable();
        serials
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.devices.len() + self.serials.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a device is written in one word: `client/device`.
pub fn device_key(client_id: &str, device_id: &str) -> String {
    format!("{client_id}/{device_id}")
}

/// The same for people: a device without a client has only its own id.
pub fn device_name(client_id: &str, device_id: &str) -> String {
    match client_id.is_empty() {
        true => device_id.to_owned(),
        false => device_key(client_id, device_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str) -> Label {
        Label {
            name: Some(Arc::from(name)),
            group: None,
        }
    }

    #[test]
    fn ids_go_before_serial_numbers_and_the_first_label_stays() {
        let mut names = Names::default();
        assert!(names.of("1", "7", Some("sn")).is_none());
        assert!(names.add(Named::Serial("sn"), label("by serial")));
        assert_eq!(names.of("1", "7", Some("sn")), Some(&label("by serial")));
        assert!(names.add(Named::Device("1/7"), label("by ids")));
        assert!(!names.add(Named::Device("1/7"), label("another")));
        assert_eq!(names.of("1", "7", Some("sn")), Some(&label("by ids")));
        assert_eq!(names.of("1", "8", None), None);
        assert_eq!(names.len(), names.iter().count());
        let mut others = Names::default();
        assert!(others.add(Named::Device("1/7"), label("by ids")));
        assert_ne!(names, others);
        assert!(others.add(Named::Serial("sn"), label("by serial")));
        assert_eq!(names, others);
    }
}
