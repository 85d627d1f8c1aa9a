//! Which rows are asked for.

use jiff::Timestamp;

use crate::model::Severity;

/// A device, as a history tells it from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// The stream of its topics.
    pub stream: String,
    /// The owner of the device.
    pub client_id: String,
    /// The device.
    pub device_id: String,
}

/// Which devices are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Devices {
    /// Every device.
    #[default]
    All,
    /// Those of this owner.
    OfClient(String),
    /// The device of this id, of every client where none is given.
    One {
        /// The owner.
        client_id: Option<String>,
        /// The device.
        device_id: String,
    },
    /// Those of a list, in whichever stream: client and device.
    Listed(Vec<(String, String)>),
    /// Those of a list, each in its stream.
    Keys(Vec<DeviceKey>),
}

impl Devices {
    /// Those of a list, in whichever stream: client and device. One of them is found by an index.
    pub fn listed(devices: Vec<(String, String)>) -> Devices {
        match <[(String, String); 1]>::try_from(devices) {
            Ok([(client_id, device_id)]) => Devices::One {
                client_id: Some(client_id),
                device_id,
            },
            Err(devices) => Devices::Listed(devices),
        }
    }

    /// A device, in whichever stream.
    pub fn one(key: &DeviceKey) -> Devices {
        Devices::One {
            client_id: Some(key.client_id.clone()),
            device_id: key.device_id.clone(),
        }
    }
}

/// Which rows are asked for. What a question has no column for is ignored by it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// The devices.
    pub devices: Devices,
    /// The stream of the devices.
    pub stream: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The state, by its name or by the word as sent.
    pub state: Option<String>,
    /// The names that the state has as a word, for what has no words.
    pub state_names: Vec<String>,
    /// The severity.
    pub severity: Option<String>,
    /// Only states that are neither ok nor info.
    pub in_trouble: bool,
    /// Only states that may have changed since, unheard.
    pub uncertain: bool,
    /// Only statuses that have changed the state.
    pub changed: bool,
    /// The province.
    pub province: Option<String>,
    /// What a person looks for: a device, the beginning of a serial number or a part of a place.
    pub text: Option<String>,
    /// Only the devices behind this one.
    pub after: Option<After>,
    /// The topic's name.
    pub topic: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// A place in the order of [`Question::Devices`](super::Question::Devices).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// How much the device's state matters.
    pub severity: Severity,
    /// Since when it is in it.
    pub since: Timestamp,
    /// The device.
    pub device: DeviceKey,
}
