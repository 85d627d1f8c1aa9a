//! The packets that we send, of MQTT 3.1.1 and 5: the second has properties, and is else the first.
//!
//! The tests read them with rumqttc.

use bytes::BufMut;

use super::settings::Qos;
use super::terms::Version;

/// Largest length that a packet can state (MQTT 3.1.1, section 2.2.3).
pub(super) const REMAINING_BYTES_MAX: usize = 268_435_455;

/// A sign of life (section 3.12).
pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];
/// The end that we want: no will is published (section 3.14).
pub(super) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Identifiers of properties (MQTT 5, section 2.2.2.2).
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const TOPIC_ALIAS: u8 = 0x23;

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
    pub(super) fn write(&self, packet: &mut impl BufMut) {
        const CLEAN: u8 = 0b10;
        let mut flags = CLEAN;
        let mut payload = Vec::new();
        text(&mut payload, self.client_id);
        if let Some(will) = &self.will {
            flags |= 0b100 | (level(will.qos) << 3) | (u8::from(will.retain) << 5);
            // The will's own properties: none.
            payload.extend((self.version == Version::V5).then_some(0));
            text(&mut payload, will.topic);
            text(&mut payload, will.body);
        }
        if let Some(username) = self.username {
            flags |= 0b1000_0000;
            text(&mut payload, username);
        }
        if let Some(password) = self.password {
            flags |= 0b0100_0000;
            text(&mut payload, password);
        }
        let mut header = Vec::new();
        text(&mut header, "MQTT");
        header.put_u8(match self.version {
            Version::V311 => 4,
            Version::V5 => 5,
        });
        header.put_u8(flags);
        header.put_u16(self.keep_alive_seconds);
        if self.version == Version::V5 {
            header.put_slice(&[5, MAXIMUM_PACKET_SIZE]);
            header.put_u32(self.packet_bytes_max);
        }
        packet.put_u8(0x10);
        length(packet, header.len() + payload.len());
        packet.put_slice(&header);
        packet.put_slice(&payload);
    }
}

/// PUBLISH (section 3.3), of a size that can be stated.
#[derive(Debug)]
pub(super) struct Publish<'a> {
    pub(super) version: Version,
    pub(super) topic: &'a str,
    /// A number that stands for the topic from now on; with an empty topic it does so already.
    pub(super) alias: Option<u16>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// Counts with QoS 1 only.
    pub(super) packet_id: u16,
    pub(super) body: &'a [u8],
}

impl Publish<'_> {
    pub(super) fn write(&self, packet: &mut impl BufMut) {
        packet.put_u8(0x30 | (level(self.qos) << 1) | u8::from(self.retain));
        length(packet, self.remaining());
        text(packet, self.topic);
        if self.qos == Qos::AtLeastOnce {
            packet.put_u16(self.packet_id);
        }
        match (self.version, self.alias) {
            (Version::V311, _) => {}
            (Version::V5, None) => packet.put_u8(0),
            (Version::V5, Some(alias)) => {
                packet.put_slice(&[3, TOPIC_ALIAS]);
                packet.put_u16(alias);
            }
        }
        packet.put_slice(self.body);
    }

    /// All that comes behind the length.
    fn remaining(&self) -> usize {
        let packet_id = match self.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 2,
        };
        let properties = match (self.version, self.alias) {
            (Version::V311, _) => 0,
            (Version::V5, None) => 1,
            (Version::V5, Some(_)) => 4,
        };
        2 + self.topic.len() + packet_id + properties + self.body.len()
    }

    /// Bytes of the whole packet.
    pub(super) fn size(&self) -> usize {
        let remaining = self.remaining();
        let length = match remaining {
            0..=127 => 1,
            128..=16_383 => 2,
            16_384..=2_097_151 => 3,
            _ => 4,
        };
        1 + length + remaining
    }
}

fn level(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
    }
}

/// Section 2.2.3.
fn length(packet: &mut impl BufMut, mut length: usize) {
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            return packet.put_u8(low);
        }
        packet.put_u8(low | 0x80);
    }
}

/// Section 1.5.3. Topics were checked to be short enough; what else is too long is cut, and a
/// broker refuses it.
fn text(packet: &mut impl BufMut, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    packet.put_u16(text.len() as u16);
    packet.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use rumqttc::mqttbytes::v4 as four;
    use rumqttc::v5::mqttbytes::v5 as five;

    use super::*;

    const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

    fn connect(version: Version) -> Connect<'static> {
        Connect {
            version,
            keep_alive_seconds: 30,
            packet_bytes_max: 65_536,
            client_id: "bridge",
            will: Some(Will {
                topic: "d/bridge/status",
                body: "offline",
                qos: Qos::AtLeastOnce,
                retain: true,
            }),
            username: Some("u"),
            password: Some("p"),
        }
    }

    #[test]
    fn rumqttc_reads_our_connect() {
        let mut bytes = BytesMut::new();
        connect(Version::V311).write(&mut bytes);
        let read = four::Packet::read(&mut bytes, 1000).unwrap();
        let four::Packet::Connect(read) = read else {
            panic!("{read:?}")
        };
        let expected = four::Connect {
            keep_alive: 30,
            last_will: Some(four::LastWill::new(
                "d/bridge/status",
                "offline",
                rumqttc::QoS::AtLeastOnce,
                true,
            )),
            login: Some(four::Login::new("u", "p")),
            ..four::Connect::new("bridge")
        };
        assert_eq!(read, expected);

        connect(Version::V5).write(&mut bytes);
        let read = five::Packet::read(&mut bytes, None).unwrap();
        let five::Packet::Connect(read, Some(will), Some(login)) = read else {
            panic!("{read:?}")
        };
        let properties = read.properties.unwrap();
        assert_eq!((read.keep_alive, read.clean_start), (30, true));
        assert_eq!(read.client_id, "bridge");
        assert_eq!(properties.max_packet_size, Some(65_536));
        assert_eq!(
            (&will.topic[..], will.retain),
            (&b"d/bridge/status"[..], true)
        );
        assert_eq!((&will.message[..], will.qos as u8), (&b"offline"[..], 1));
        assert_eq!((&login.username[..], &login.password[..]), ("u", "p"));
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_connect_without_will_and_login_is_short() {
        for version in VERSIONS {
            let mut bytes = BytesMut::new();
            let bare = Connect {
                will: None,
                username: None,
                password: None,
                ..connect(version)
            };
            bare.write(&mut bytes);
            let flags = bytes[9];
            assert_eq!(flags, 0b10, "{version:?}");
        }
    }

    #[test]
    fn rumqttc_reads_our_publish_and_the_size_is_the_packets() {
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
                let (topic, body) = ("t".repeat(topic), vec![7; body]);
                let publish = Publish {
                    version,
                    topic: &topic,
                    alias: (version == Version::V5).then_some(9),
                    qos,
                    retain: true,
                    packet_id: 515,
                    body: &body,
                };
                let mut bytes = BytesMut::new();
                publish.write(&mut bytes);
                assert_eq!(bytes.len(), publish.size());
                let packet_id = u16::from(qos == Qos::AtLeastOnce) * 515;
                let read = match version {
                    Version::V311 => match four::Packet::read(&mut bytes, usize::MAX).unwrap() {
                        four::Packet::Publish(read) => {
                            (read.topic.into(), read.pkid, read.retain, read.payload)
                        }
                        other => panic!("{other:?}"),
                    },
                    Version::V5 => match five::Packet::read(&mut bytes, None).unwrap() {
                        five::Packet::Publish(read) => {
                            assert_eq!(read.properties.unwrap().topic_alias, Some(9));
                            (read.topic, read.pkid, read.retain, read.payload)
                        }
                        other => panic!("{other:?}"),
                    },
                };
                let expected = (Bytes::from(topic), packet_id, true, Bytes::from(body));
                assert!(read == expected, "{version:?} {qos:?}");
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
            body: b"x",
        };
        publish.write(&mut bytes);
        assert_eq!(bytes[..], [0x30, 7, 0, 0, 3, 0x23, 0, 1, b'x']);
    }
}
