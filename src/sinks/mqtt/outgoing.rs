//! The packets that we send, of MQTT 3.1.1 and 5, as rumqttc writes them.

use bytes::{Bytes, BytesMut};
use rumqttc::QoS;
use rumqttc::mqttbytes::v4 as four;
use rumqttc::v5::mqttbytes::{self, v5 as five};

use super::settings::Qos;
use super::terms::Version;

/// Largest length that a packet can state (MQTT 3.1.1, section 2.2.3).
pub(super) const REMAINING_BYTES_MAX: usize = 268_435_455;

/// A sign of life (section 3.12).
pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];
/// The end that we want: no will is published (section 3.14).
pub(super) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// CONNECT (section 3.1): a clean session.
#[derive(Debug)]
pub(super) struct Connect<'a> {
    pub(super) version: Version,
    pub(super) keep_alive_seconds: u16,
    /// The largest packet that we accept.
    pub(super) packet_bytes_max: u32,
    pub(super) client_id: &'a str,
    pub(super) will: Option<Will<'a>>,
    pub(super) username: Option<&'a str>,
    pub(super) password: Option<&'a str>,
}

/// What the broker publishes for a client that vanishes.
#[derive(Debug)]
pub(super) struct Will<'a> {
    pub(super) topic: &'a str,
    pub(super) body: &'a str,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

impl Connect<'_> {
    /// # Errors
    /// It is too long to be sent.
    pub(super) fn write(&self, packet: &mut BytesMut) -> Result<(), String> {
        let written = match self.version {
            Version::V311 => self.four().write(packet).map_err(|error| error.to_string()),
            Version::V5 => self.write_five(packet).map_err(|error| error.to_string()),
        };
        written.map(drop)
    }

    fn four(&self) -> four::Connect {
        let will = self.will.as_ref();
        four::Connect {
            keep_alive: self.keep_alive_seconds,
            last_will: will.map(|will| {
                four::LastWill::new(will.topic, will.body, level(will.qos), will.retain)
            }),
            login: self
                .login()
                .map(|(username, password)| four::Login::new(username, password)),
            ..four::Connect::new(self.client_id)
        }
    }

    fn write_five(&self, packet: &mut BytesMut) -> Result<usize, mqttbytes::Error> {
        let mut properties = five::ConnectProperties::new();
        properties.max_packet_size = Some(self.packet_bytes_max);
        let connect = five::Connect {
            keep_alive: self.keep_alive_seconds,
            client_id: self.client_id.to_owned(),
            clean_start: true,
            properties: Some(properties),
        };
        let will = self.will.as_ref().map(|will| {
            five::LastWill::new(
                will.topic,
                will.body,
                level_five(will.qos),
                will.retain,
                None,
            )
        });
        let login = self
            .login()
            .map(|(username, password)| five::Login::new(username, password));
        connect.write(&will, &login, packet)
    }

    /// An empty one is not sent.
    fn login(&self) -> Option<(&str, &str)> {
        let has_login = self.username.is_some() || self.password.is_some();
        has_login.then_some((
            self.username.unwrap_or_default(),
            self.password.unwrap_or_default(),
        ))
    }
}

/// PUBLISH (section 3.3).
#[derive(Debug)]
pub(super) struct Publish<'a> {
    pub(super) version: Version,
    pub(super) topic: &'a str,
    /// A number that stands for the topic from now on; with an empty topic it does so already.
    pub(super) alias: Option<u16>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// Counts with QoS 1 only, and is at least 1 there.
    pub(super) packet_id: u16,
    pub(super) body: Bytes,
}

impl Publish<'_> {
    /// # Errors
    /// It is too long to be sent.
    pub(super) fn write(self, packet: &mut BytesMut) -> Result<(), String> {
        let written = match self.version {
            Version::V311 => self.four().write(packet).map_err(|error| error.to_string()),
            Version::V5 => self.five().write(packet).map_err(|error| error.to_string()),
        };
        written.map(drop)
    }

    /// Bytes of the whole packet.
    pub(super) fn size(self) -> usize {
        match self.version {
            Version::V311 => self.four().size(),
            Version::V5 => self.five().size(),
        }
    }

    fn four(self) -> four::Publish {
        four::Publish {
            dup: false,
            qos: level(self.qos),
            retain: self.retain,
            topic: self.topic.to_owned(),
            pkid: self.packet_id,
            payload: self.body,
        }
    }

    fn five(self) -> five::Publish {
        let properties = self.alias.map(|alias| five::PublishProperties {
            topic_alias: Some(alias),
            ..five::PublishProperties::default()
        });
        five::Publish {
            dup: false,
            qos: level_five(self.qos),
            retain: self.retain,
            topic: Bytes::copy_from_slice(self.topic.as_bytes()),
            pkid: self.packet_id,
            payload: self.body,
            properties,
        }
    }
}

fn level(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}

/// The same in rumqttc's packets of MQTT 5.
fn level_five(qos: Qos) -> mqttbytes::QoS {
    match qos {
        Qos::AtMostOnce => mqttbytes::QoS::AtMostOnce,
        Qos::AtLeastOnce => mqttbytes::QoS::AtLeastOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

    fn connect(version: Version) -> Connect<'static> {
        Connect {
            version,
            keep_alive_seconds: 30,
            packet_bytes_max: 65_536,
            client_id: "b",
            will: Some(Will {
                topic: "t",
                body: "x",
                qos: Qos::AtLeastOnce,
                retain: true,
            }),
            username: Some("u"),
            password: Some("p"),
        }
    }

    fn written(connect: &Connect<'_>) -> BytesMut {
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes).unwrap();
        bytes
    }

    /// Sections 3.1 of both versions.
    #[test]
    fn a_connect_is_as_the_standard_has_it() {
        let old = b"\x10\x19\0\x04MQTT\x04\xEE\0\x1E\0\x01b\0\x01t\0\x01x\0\x01u\0\x01p";
        assert_eq!(written(&connect(Version::V311))[..], old[..]);
        let new = b"\x10\x20\0\x04MQTT\x05\xEE\0\x1E\x05\x27\0\x01\0\0\0\x01b\
            \0\0\x01t\0\x01x\0\x01u\0\x01p";
        assert_eq!(written(&connect(Version::V5))[..], new[..]);
    }

    #[test]
    fn a_connect_says_what_it_has() {
        for (version, (username, password, flags)) in VERSIONS.into_iter().flat_map(|version| {
            let logins = [
                (None, None, 0b10),
                (Some("u"), None, 0b1000_0010),
                (None, Some("p"), 0b0100_0010),
            ];
            logins.map(|login| (version, login))
        }) {
            let bare = Connect {
                will: None,
                username,
                password,
                ..connect(version)
            };
            assert_eq!(written(&bare)[9], flags, "{version:?}");
        }
    }

    #[test]
    fn the_size_is_the_packets() {
        for (topic, body) in [
            (1, 0),
            (60, 60),
            (100, 23),
            (100, 24),
            (50, 16_400),
            (9, 2_097_200),
        ] {
            for (qos, version) in [Qos::AtMostOnce, Qos::AtLeastOnce]
                .into_iter()
                .flat_map(|qos| VERSIONS.map(|version| (qos, version)))
            {
                let topic = "t".repeat(topic);
                let publish = || Publish {
                    version,
                    topic: &topic,
                    alias: (version == Version::V5).then_some(9),
                    qos,
                    retain: true,
                    packet_id: 515,
                    body: vec![7; body].into(),
                };
                let mut bytes = BytesMut::new();
                publish().write(&mut bytes).unwrap();
                assert_eq!(bytes.len(), publish().size(), "{version:?} {qos:?}");
            }
        }
    }

    #[test]
    fn an_alias_stands_for_its_topic() {
        let mut bytes = BytesMut::new();
        let publish = Publish {
            version: Version::V5,
            topic: "",
            alias: Some(1),
            qos: Qos::AtMostOnce,
            retain: false,
            packet_id: 0,
            body: Bytes::from_static(b"x"),
        };
        publish.write(&mut bytes).unwrap();
        assert_eq!(bytes[..], [0x30, 7, 0, 0, 3, 0x23, 0, 1, b'x']);
    }

    #[test]
    fn a_packet_that_no_length_can_state_is_an_error() {
        let publish = Publish {
            version: Version::V311,
            topic: "t",
            alias: None,
            qos: Qos::AtMostOnce,
            retain: false,
            packet_id: 0,
            body: vec![0; REMAINING_BYTES_MAX].into(),
        };
        assert!(publish.write(&mut BytesMut::new()).is_err());
    }
}
