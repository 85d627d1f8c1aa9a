//! Which device a person means: `1/7`, `7` of whichever client, or a name.

use std::sync::Arc;

use crate::cli::meaning::{Ids, splits};
use crate::model::{Label, Names, device_key};

/// A device as it is written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Device {
    /// `client/device`, the device's id alone, or a name.
    text: String,
    /// The devices of that name, where it is one, or of those ids: client and device, in order.
    named: Ids,
    /// The serial numbers of that name, whose devices are not looked up yet.
    serials: Vec<Arc<str>>,
    /// The name of its stream, where only that one is meant.
    pub(in crate::cli) stream: Option<String>,
}

impl Device {
    /// The one of a name of `[names]`, else of ids. The devices of serial numbers are to be
    /// [found](super::serial) first, and so is whether the text is the ids of another device.
    pub(super) fn written(text: &str, stream: Option<&str>, names: Option<&Names>) -> Device {
        let is_named = |label: &Label| label.name.as_deref() == Some(text);
        let named = names.and_then(|names| names.chosen(is_named));
        let serials = names.map(|names| names.serials_of(is_named));
        Device {
            text: text.to_owned(),
            named: named.unwrap_or_default(),
            serials: serials.unwrap_or_default(),
            stream: stream.map(str::to_owned),
        }
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The serial numbers whose devices are to be found.
    pub(super) fn serials(&self) -> &[Arc<str>] {
        &self.serials
    }

    /// Whether it is a name.
    pub(super) fn is_name(&self) -> bool {
        !self.named.is_empty() || !self.serials.is_empty()
    }

    /// The devices of its name.
    pub(super) fn named(&self) -> &[(String, String)] {
        &self.named
    }

    /// The same, by the ids of these devices.
    pub(super) fn of(self, devices: Ids) -> Device {
        let device = Device {
            named: Vec::new(),
            serials: Vec::new(),
            ..self
        };
        device.with(devices)
    }

    /// The same, with these devices of its serial numbers.
    pub(super) fn with(mut self, devices: Ids) -> Device {
        self.named.extend(devices);
        self.named.sort_unstable();
        self.named.dedup();
        self
    }

    /// Whether it is a name of which no device is known.
    pub(super) fn is_nobody(&self) -> bool {
        self.named.is_empty() && !self.serials.is_empty()
    }

    /// The texts that it is found by: each `client/device`, or an id alone.
    pub(in crate::cli) fn texts(&self) -> Vec<String> {
        match self.named.is_empty() {
            true => vec![self.text.clone()],
            false => {
                let named = self.named.iter();
                named
                    .map(|(client, device)| device_key(client, device))
                    .collect()
            }
        }
    }

    /// Client and device of each device that it may be; `None`: the id may be of any client.
    pub(in crate::cli) fn ids(&self) -> Option<Ids> {
        if !self.named.is_empty() {
            return Some(self.named.clone());
        }
        Some(splits(&self.text)).filter(|ids| !ids.is_empty())
    }

    /// Whether it is this one. Ids may hold a slash themselves.
    pub(in crate::cli) fn is(&self, stream: &str, client_id: &str, device_id: &str) -> bool {
        let is_of_stream = self.stream.as_deref().is_none_or(|wanted| wanted == stream);
        if !self.named.is_empty() {
            // A name may have thousands of devices, and each entry is asked about.
            let order = |(client, device): &(String, String)| {
                (client.as_str(), device.as_str()).cmp(&(client_id, device_id))
            };
            return is_of_stream && self.named.binary_search_by(order).is_ok();
        }
        let wanted = self.text.as_str();
        let of_client = wanted
            .strip_prefix(client_id)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|device| device == device_id);
        is_of_stream && (of_client || wanted == device_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Label, Named};

    #[test]
    fn a_device_is_named_with_its_client_or_alone() {
        let device = |text, stream| Device::written(text, stream, None);
        for (text, stream, client, id, expected) in [
            ("1/7", None, "1", "7", true),
            ("1/7", None, "2", "7", false),
            ("1/7", None, "", "1/7", true),
            ("7", None, "2", "7", true),
            ("/7", None, "", "7", true),
            ("7", None, "2", "77", false),
            ("a/b/c", None, "a/b", "c", true),
            ("a/b/c", None, "a", "b/c", true),
            ("1/7", Some("s"), "1", "7", true),
            ("1/7", Some("t"), "1", "7", false),
        ] {
            let device = device(text, stream);
            assert_eq!(device.is("s", client, id), expected, "{text} {client}/{id}");
        }
    }

    #[test]
    fn a_name_is_its_devices_and_those_of_its_serial_numbers() {
        let label = |name: &str| Label {
            name: Some(name.into()),
            group: None,
        };
        let mut names = Names::default();
        names.add(Named::Device("1/7"), label("pump"));
        names.add(Named::Serial("sn"), label("fan"));
        let pump = Device::written("pump", None, Some(&names));
        assert!(pump.is("s", "1", "7") && !pump.is("s", "2", "7"));
        assert_eq!(pump.texts(), ["1/7"]);
        let other = Device::written("2/7", None, Some(&names));
        assert!(other.is("s", "2", "7") && other.serials().is_empty());
        let fan = Device::written("fan", None, Some(&names));
        assert_eq!(fan.serials(), [Arc::from("sn")]);
        let fan = fan.with(vec![("2".to_owned(), "9".to_owned())]);
        assert!(fan.is("s", "2", "9") && !fan.is("s", "1", "7"));
        assert_eq!(fan.texts(), ["2/9"]);
    }

    #[test]
    fn an_id_may_hold_a_slash() {
        let ids = |text| Device::written(text, None, None).ids();
        let pair = |client: &str, device: &str| (client.to_owned(), device.to_owned());
        assert_eq!(ids("1/7"), Some(vec![pair("1", "7")]));
        let both = vec![pair("a", "b/c"), pair("a/b", "c")];
        assert_eq!(ids("a/b/c"), Some(both));
        assert_eq!(ids("7"), None);
    }
}
