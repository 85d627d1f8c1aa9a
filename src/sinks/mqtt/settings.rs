//! The settings of an MQTT sink.

use url::Url;

use crate::pipeline::Template;
use crate::secret::Secret;

/// Quality of service; 2 is refused by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Qos {
    /// Fire and forget: the cursor moves once the message is written to the socket.
    AtMostOnce,
    /// The cursor moves on PUBACK.
    #[default]
    AtLeastOnce,
}

/// Validated settings of an MQTT sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration; part of the default client id.
    pub name: String,
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`, without user and password.
    pub url: Url,
    /// The user's name.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// MQTT client id. `None`: made from the sink's name and the journal's uuid, so that a restart
    /// keeps it and no other daemon has it.
    pub client_id: Option<String>,
    /// Each `{{ value }}` is encoded so that it stays one level
    /// ([`encode_level`](super::topic::encode_level)).
    pub topic: Template,
    /// The body; `None`: the event's JSON.
    pub body: Option<Template>,
    /// See [`Qos`].
    pub qos: Qos,
    /// Whether the broker keeps the newest message of each topic.
    pub retain: bool,
    /// The topic of the sink's retained availability: `online` once it is connected, `offline` when
    /// it leaves. If it could not say so, the broker does (last will). `None`: no topic.
    pub status_topic: Option<String>,
    /// Extra roots, client certificate.
    pub tls: crate::tls::Settings,
    /// Largest encoded PUBLISH; a larger one is dead-lettered.
    pub packet_bytes_max: usize,
}
