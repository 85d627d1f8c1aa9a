//! What holds for one connection: the version of MQTT, and what the broker accepts (MQTT 5, section
//! 3.2.2.3). MQTT 3.1.1 cannot say the second.

use std::time::Duration;

use super::incoming::Properties;
use super::settings::Qos;

/// A version of MQTT that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V311,
    V5,
}

impl Version {
    /// As people write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        }
    }
}

/// We say something at least so often; a broker hangs up after one and a half times this (MQTT
/// 3.1.1, section 3.1.2.10).
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Topics with a number instead of a name: beyond these the numbers would cost memory and save
/// little.
const ALIASES_MAX: u16 = 1000;

/// What both sides hold to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) version: Version,
    /// Publishes that may be unconfirmed at once; at least 1.
    pub(super) room: u64,
    /// The largest packet that the broker accepts.
    pub(super) packet_bytes_max: usize,
    /// It keeps retained messages.
    pub(super) retains: bool,
    pub(super) qos_max: Qos,
    /// Between two of our signs of life.
    pub(super) keep_alive: Duration,
    /// Topics that may have a number.
    pub(super) aliases_max: u16,
}

impl Terms {
    /// What a CONNACK means, where we want no more than `max_inflight` in flight.
    pub(super) fn new(version: Version, properties: &Properties, max_inflight: u16) -> Terms {
        let receive_maximum = properties.receive_maximum.unwrap_or(u16::MAX);
        let size = properties.maximum_packet_size.unwrap_or(u32::MAX);
        let keep_alive = match properties.server_keep_alive {
            // 0: the broker does without it, and we still want to know whether it is there.
            None | Some(0) => KEEP_ALIVE,
            Some(seconds) => KEEP_ALIVE.min(Duration::from_secs(seconds.into())),
        };
        Terms {
            version,
            room: max_inflight.min(receive_maximum).max(1).into(),
            packet_bytes_max: usize::try_from(size).unwrap_or(usize::MAX),
            retains: properties.retain_available.unwrap_or(true),
            qos_max: match properties.maximum_qos {
                Some(0) => Qos::AtMostOnce,
                _ => Qos::AtLeastOnce,
            },
            keep_alive,
            aliases_max: properties.topic_alias_maximum.unwrap_or(0).min(ALIASES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_wish_counts() {
        let silent = Terms::new(Version::V311, &Properties::default(), 1000);
        assert_eq!((silent.room, silent.keep_alive), (1000, KEEP_ALIVE));
        assert!(silent.retains && silent.qos_max == Qos::AtLeastOnce);
        assert_eq!(silent.aliases_max, 0);

        let strict = Properties {
            receive_maximum: Some(20),
            maximum_qos: Some(0),
            retain_available: Some(false),
            maximum_packet_size: Some(4000),
            topic_alias_maximum: Some(u16::MAX),
            server_keep_alive: Some(7),
            ..Properties::default()
        };
        let terms = Terms::new(Version::V5, &strict, 1000);
        let expected = Terms {
            version: Version::V5,
            room: 20,
            packet_bytes_max: 4000,
            retains: false,
            qos_max: Qos::AtMostOnce,
            keep_alive: Duration::from_secs(7),
            aliases_max: ALIASES_MAX,
        };
        assert_eq!(terms, expected);
        assert_eq!(Terms::new(Version::V5, &strict, 3).room, 3);
    }
}
