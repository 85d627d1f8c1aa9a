//! A PUBLISH: its topic, its body, and how many bytes it has.

use super::settings::{Qos, Settings};
use super::topic;
use crate::model::Event;

/// Largest length that a packet can state (MQTT 3.1.1, section 2.2.3).
const REMAINING_BYTES_MAX: usize = 268_435_455;

/// A PUBLISH that is ready to go.
#[derive(Debug)]
pub(in crate::sinks) struct Publish {
    pub(in crate::sinks) topic: String,
    pub(in crate::sinks) body: Vec<u8>,
}

impl Publish {
    /// The PUBLISH of an event.
    ///
    /// # Errors
    /// Why our own rules refuse the event.
    pub(in crate::sinks) fn new(settings: &Settings, event: &Event) -> Result<Publish, String> {
        let topic = settings.topic.render_with(event, topic::encode_level)?;
        topic::check_topic(&topic)?;
        let body = match &settings.body {
            Some(template) => template.render(event)?.into_bytes(),
            None => event.to_json(),
        };
        let bytes = packet_bytes(topic.len(), body.len(), settings.qos);
        let bytes_max = settings.packet_bytes_max.min(REMAINING_BYTES_MAX);
        if bytes > bytes_max {
            return Err(format!(
                "the packet has {bytes} bytes, more than packet_bytes_max = {bytes_max}"
            ));
        }
        Ok(Publish { topic, body })
    }
}

/// Size of a PUBLISH on the wire: fixed header, topic, packet id, body (section 3.3).
fn packet_bytes(topic_bytes: usize, body_bytes: usize, qos: Qos) -> usize {
    let packet_id = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 2,
    };
    let remaining = 2 + topic_bytes + packet_id + body_bytes;
    let length = match remaining {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    };
    1 + length + remaining
}

#[cfg(test)]
mod tests {
    use rumqttc::QoS;

    use super::*;

    #[test]
    fn the_size_of_a_packet_is_what_rumqttc_will_write() {
        for (topic, body) in [
            (1, 0),
            (60, 60),
            (100, 23),
            (100, 24),
            (50, 16_400),
            (9, 2_097_200),
        ] {
            let mut publish =
                rumqttc::Publish::new("t".repeat(topic), QoS::AtLeastOnce, vec![0; body]);
            publish.pkid = 1;
            assert_eq!(
                packet_bytes(topic, body, Qos::AtLeastOnce),
                publish.size(),
                "{topic} + {body}"
            );
            publish.qos = QoS::AtMostOnce;
            assert_eq!(
                packet_bytes(topic, body, Qos::AtMostOnce),
                publish.size(),
                "{topic} + {body}"
            );
        }
    }
}
