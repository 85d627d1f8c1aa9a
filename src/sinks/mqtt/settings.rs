//! The settings of an MQTT sink.

use url::Url;

use crate::pipeline::Template;
use crate::secret::Secret;

/// Quality of service; 2 is refused by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Qos {
    /// Fire and forget: the cursor moves once the message is written to the socket.
    AtMostOnce,
    /// The cursor moves on PUBACK.
    #[default]
    AtLeastOnce,
}

/// Which version of MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// 5, or 3.1.1 where the broker does not speak 5.
    #[default]
    Auto,
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// Publishes in flight at most, where the configuration does not say: wide enough that the broker
/// has work while the next ones are made ready.
pub const MAX_INFLIGHT: u16 = 1000;

/// Validated settings of an MQTT sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration; part of the default client id.
    pub name: String,
    /// `mqtt://host[:1883]`, `mqtts://host[:8883]`, `mqtt+ws://host[:80]/path` or
    /// `mqtt+wss://host[:443]/path`, without user and password.
    pub url: Url,
    /// See [`Protocol`].
    pub protocol: Protocol,
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
    /// The protocols that TLS offers (ALPN); mostly none.
    pub alpn: Vec<String>,
    /// Unconfirmed publishes at once, at least 1; a broker of MQTT 5 may want fewer.
    pub max_inflight: u16,
    /// Largest encoded PUBLISH; a larger one is dead-lettered.
    pub packet_bytes_max: usize,
}
