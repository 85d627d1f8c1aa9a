//! The packets that a broker sends to a client that subscribes to nothing, of MQTT 3.1.1 and 5
//! alike. It never panics, whatever comes.
//!
//! Not rumqttc's reader: that of MQTT 5 ends the connection at a reason code that the specification
//! does not list for a packet, such as mosquitto's 0x95 in a PUBACK. It also waits without end
//! where a broker of 3.1.1 answers its CONNECT.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

use super::reason::Reason;

/// We subscribe to nothing: whatever a broker sends us is short. MQTT 5 brokers learn it.
pub(super) const INCOMING_BYTES_MAX: usize = 64 * 1024;

/// A packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    ConnAck {
        reason: Reason,
        /// `None`: the form of MQTT 3.1.1, which has no properties.
        properties: Option<Properties>,
    },
    PubAck {
        packet_id: u16,
        reason: Reason,
    },
    PingResp,
    /// MQTT 5 only.
    Disconnect {
        reason: Reason,
        server: Option<Box<str>>,
    },
    /// Nothing for us.
    Other,
}

/// What the broker says of itself, and of what it accepts (MQTT 5, section 3.2.2.3).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) receive_maximum: Option<u16>,
    pub(super) maximum_qos: Option<u8>,
    pub(super) retain_available: Option<bool>,
    pub(super) maximum_packet_size: Option<u32>,
    pub(super) topic_alias_maximum: Option<u16>,
    pub(super) server_keep_alive: Option<u16>,
    /// Another broker to go to.
    pub(super) server: Option<Box<str>>,
    /// The broker's words.
    pub(super) text: Option<Bytes>,
}

/// Why the bytes are no packets.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes break a rule.
    #[error("{0}")]
    Malformed(&'static str),
}

const CUT: Error = Error::Malformed("a packet ends too early");

/// Cuts packets out of the stream.
#[derive(Debug, Default)]
pub(super) struct Packets;

impl Decoder for Packets {
    type Item = Incoming;
    type Error = Error;

    fn decode(&mut self, stream: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        let [first, rest @ ..] = &stream[..] else {
            return Ok(None);
        };
        let first = *first;
        let Some((header, length)) = remaining_length(rest)? else {
            return Ok(None);
        };
        if length > INCOMING_BYTES_MAX {
            return Err(Error::Malformed("a packet is too long"));
        }
        let whole = 1 + header + length;
        if stream.len() < whole {
            stream.reserve(whole - stream.len());
            return Ok(None);
        }
        let mut body = stream.split_to(whole).freeze();
        body.advance(1 + header);
        packet(first >> 4, body).map(Some)
    }
}

/// How many bytes say the length, and the length (section 1.5.5). `None`: not all are there.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((at + 1, length)));
        }
    }
    match bytes.len() {
        0..4 => Ok(None),
        _ => Err(Error::Malformed("a length has more than four bytes")),
    }
}

fn packet(kind: u8, mut body: Bytes) -> Result<Incoming, Error> {
    match kind {
        2 => {
            let (_flags, code) = (u8_of(&mut body)?, u8_of(&mut body)?);
            let properties = match body.is_empty() {
                true => None,
                false => Some(properties(&mut body)?),
            };
            let text = properties.as_ref().and_then(|all| all.text.as_deref());
            let reason = Reason::new(code, text);
            Ok(Incoming::ConnAck { reason, properties })
        }
        4 => {
            let packet_id = u16_of(&mut body)?;
            let reason = reason(&mut body)?.0;
            Ok(Incoming::PubAck { packet_id, reason })
        }
        13 => Ok(Incoming::PingResp),
        14 => {
            let (reason, properties) = reason(&mut body)?;
            let server = properties.server;
            Ok(Incoming::Disconnect { reason, server })
        }
        _ => Ok(Incoming::Other),
    }
}

/// A code and its properties, both of which may be missing (sections 3.4.2 and 3.14.2).
fn reason(body: &mut Bytes) -> Result<(Reason, Properties), Error> {
    if body.is_empty() {
        return Ok((Reason::default(), Properties::default()));
    }
    let code = u8_of(body)?;
    let properties = match body.is_empty() {
        true => Properties::default(),
        false => properties(body)?,
    };
    Ok((Reason::new(code, properties.text.as_deref()), properties))
}

/// Section 2.2.2.
fn properties(body: &mut Bytes) -> Result<Properties, Error> {
    let (header, length) = remaining_length(body)?.ok_or(CUT)?;
    body.advance(header);
    if length > body.len() {
        return Err(CUT);
    }
    let mut bytes = body.split_to(length);
    let mut properties = Properties::default();
    while !bytes.is_empty() {
        property(&mut bytes, &mut properties)?;
    }
    if properties.receive_maximum == Some(0) || properties.maximum_packet_size == Some(0) {
        return Err(Error::Malformed("a broker that accepts nothing"));
    }
    Ok(properties)
}

/// Each identifier has its type, also where the value is nothing to us.
fn property(bytes: &mut Bytes, properties: &mut Properties) -> Result<(), Error> {
    match u8_of(bytes)? {
        0x13 => properties.server_keep_alive = Some(u16_of(bytes)?),
        0x1C => {
            let server = Reason::new(0, Some(&text_of(bytes)?)).text;
            properties.server = server;
        }
        0x1F => properties.text = Some(text_of(bytes)?),
        0x21 => properties.receive_maximum = Some(u16_of(bytes)?),
        0x22 => properties.topic_alias_maximum = Some(u16_of(bytes)?),
        0x24 => properties.maximum_qos = Some(u8_of(bytes)?),
        0x25 => properties.retain_available = Some(u8_of(bytes)? != 0),
        0x27 => properties.maximum_packet_size = Some(u32_of(bytes)?),
        0x01 | 0x17 | 0x19 | 0x28 | 0x29 | 0x2A => _ = u8_of(bytes)?,
        0x23 => _ = u16_of(bytes)?,
        0x02 | 0x11 | 0x18 => _ = u32_of(bytes)?,
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A => _ = text_of(bytes)?,
        0x26 => _ = (text_of(bytes)?, text_of(bytes)?),
        0x0B => {
            let (header, _) = remaining_length(bytes)?.ok_or(CUT)?;
            bytes.advance(header);
        }
        _ => return Err(Error::Malformed("a property that MQTT 5 does not have")),
    }
    Ok(())
}

fn u8_of(bytes: &mut Bytes) -> Result<u8, Error> {
    bytes.try_get_u8().map_err(|_| CUT)
}

fn u16_of(bytes: &mut Bytes) -> Result<u16, Error> {
    bytes.try_get_u16().map_err(|_| CUT)
}

fn u32_of(bytes: &mut Bytes) -> Result<u32, Error> {
    bytes.try_get_u32().map_err(|_| CUT)
}

/// Text or bytes: two bytes of length, then that many.
fn text_of(bytes: &mut Bytes) -> Result<Bytes, Error> {
    let length = usize::from(u16_of(bytes)?);
    if length > bytes.len() {
        return Err(CUT);
    }
    Ok(bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rumqttc::v5::mqttbytes::v5 as five;

    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<Incoming>, String> {
        let mut stream = BytesMut::from(bytes);
        let decoded = Packets.decode(&mut stream);
        decoded.map_err(|error| error.to_string())
    }

    fn packet(bytes: &[u8]) -> Incoming {
        decode(bytes).unwrap().unwrap()
    }

    #[test]
    fn both_forms_of_a_packet_are_read() {
        let reason = |code| Reason::new(code, None);
        for (bytes, expected) in [
            (
                &[0x20, 2, 0, 5][..],
                Incoming::ConnAck {
                    reason: reason(5),
                    properties: None,
                },
            ),
            (
                &[0x40, 2, 1, 2],
                Incoming::PubAck {
                    packet_id: 258,
                    reason: reason(0),
                },
            ),
            // mosquitto's answer to what is over its message_size_limit.
            (
                &[0x40, 3, 0, 9, 0x95],
                Incoming::PubAck {
                    packet_id: 9,
                    reason: reason(0x95),
                },
            ),
            (&[0xD0, 0], Incoming::PingResp),
            (
                &[0xE0, 0],
                Incoming::Disconnect {
                    reason: reason(0),
                    server: None,
                },
            ),
            (
                &[0xE0, 7, 0x9C, 5, 0x1C, 0, 2, b'b', b'2'],
                Incoming::Disconnect {
                    reason: reason(0x9C),
                    server: Some("b2".into()),
                },
            ),
            (&[0x30, 3, 0, 1, b't'], Incoming::Other),
        ] {
            assert_eq!(packet(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn every_property_of_a_connack_is_read() {
        let properties = five::ConnAckProperties {
            session_expiry_interval: Some(1),
            receive_max: Some(20),
            max_qos: Some(1),
            retain_available: Some(0),
            max_packet_size: Some(4000),
            assigned_client_identifier: Some("a".to_owned()),
            topic_alias_max: Some(10),
            reason_string: Some("welcome".to_owned()),
            user_properties: vec![("k".to_owned(), "v".to_owned())],
            wildcard_subscription_available: Some(1),
            subscription_identifiers_available: Some(1),
            shared_subscription_available: Some(1),
            server_keep_alive: Some(7),
            response_information: Some("r".to_owned()),
            server_reference: Some("other:1883".to_owned()),
            authentication_method: Some("m".to_owned()),
            authentication_data: Some(vec![1].into()),
        };
        let mut bytes = BytesMut::new();
        let answer = five::ConnAck {
            session_present: false,
            code: five::ConnectReturnCode::Success,
            properties: Some(properties),
        };
        answer.write(&mut bytes).unwrap();
        let Incoming::ConnAck { reason, properties } = packet(&bytes) else {
            panic!("no CONNACK")
        };
        let read = properties.expect("properties");
        assert_eq!(reason, Reason::new(0, Some(b"welcome")));
        assert_eq!(
            (read.receive_maximum, read.maximum_qos),
            (Some(20), Some(1))
        );
        assert_eq!(read.retain_available, Some(false));
        assert_eq!(read.maximum_packet_size, Some(4000));
        assert_eq!(read.topic_alias_maximum, Some(10));
        assert_eq!(read.server_keep_alive, Some(7));
        assert_eq!(read.server.as_deref(), Some("other:1883"));
    }

    #[test]
    fn bytes_that_are_no_packet_are_an_error() {
        for bytes in [
            &[0x20, 0xFF, 0xFF, 0xFF, 0xFF][..],
            &[0x20, 0xFF, 0xFF, 0xFF, 0x7F],
            &[0x20, 1, 0],
            &[0x40, 1, 0],
            &[0x20, 5, 0, 0, 9, 0x21, 0],
            &[0x20, 6, 0, 0, 3, 0x21, 0, 0],
            &[0x20, 4, 0, 0, 1, 0x7E],
        ] {
            assert!(decode(bytes).is_err(), "{bytes:x?}");
        }
        for bytes in [&[][..], &[0x20], &[0x20, 0x80], &[0x20, 2, 0]] {
            assert_eq!(decode(bytes), Ok(None), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_stand_still(
            first in any::<u8>(),
            body in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut bytes = vec![first, body.len() as u8];
            bytes.extend(&body);
            let mut stream = BytesMut::from(&bytes[..]);
            if let Ok(packet) = Packets.decode(&mut stream) {
                prop_assert!(packet.is_some() && stream.is_empty());
            }
            let _ = decode(&body);
        }
    }
}
