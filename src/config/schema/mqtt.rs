//! The keys of a sink `mqtt`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Tls;
use crate::config::units::{List, MqttProtocol, Plain, Size};
use crate::secret::Secret;
use crate::sinks::mqtt::MAX_INFLIGHT;

/// The default broker: a `Secret` says nothing of itself in the schema.
const MQTT_URL: &str = "mqtt://127.0.0.1:1883";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Mqtt {
    /// The broker: `mqtt`, `mqtts`, `mqtt+ws` or `mqtt+wss` (WebSocket, at /mqtt if no path is
    /// named). `tcp`, `ssl`, `ws` and `wss` mean the same.
    #[schemars(extend("default" = MQTT_URL))]
    pub(in crate::config) url: Secret,
    /// The version of MQTT. `auto`: 5, or 3.1.1 where the broker does not speak it.
    pub(in crate::config) protocol: MqttProtocol,
    /// A template of the topic.
    pub(in crate::config) topic: String,
    /// A template of the message, such as `{{ state }}`. By default the event as JSON.
    pub(in crate::config) body: Option<String>,
    /// 0 or 1.
    pub(in crate::config) qos: Plain<u32>,
    /// Whether the broker keeps the newest message of each topic.
    pub(in crate::config) retain: Plain<bool>,
    /// The user. It may have `{{ secret('x') }}`.
    pub(in crate::config) username: Option<String>,
    /// The password, such as `"{{ secret('mqtt') }}"`.
    pub(in crate::config) password: Option<Secret>,
    /// The client id. By default it is made of the sink's name and the journal.
    pub(in crate::config) client_id: Option<String>,
    /// The topic that gets `online` and `offline`, retained. By default it lies under the fixed
    /// levels of `topic`. `""`: none.
    pub(in crate::config) status_topic: Option<String>,
    /// Files for `mqtts` and `mqtt+wss`.
    pub(in crate::config) tls: Tls,
    /// Protocols that TLS offers.
    pub(in crate::config) alpn: List<String>,
    /// The most unconfirmed messages. A broker of MQTT 5 may ask for fewer.
    pub(in crate::config) max_inflight: Plain<u32>,
    /// A larger message is dead-lettered.
    pub(in crate::config) max_packet_bytes: Size,
}

impl Default for Mqtt {
    fn default() -> Mqtt {
        Mqtt {
            url: MQTT_URL.into(),
            protocol: MqttProtocol::default(),
            topic: "devices/{{ client_id }}/{{ device_id }}/status".to_owned(),
            body: None,
            qos: Plain(1),
            retain: Plain(true),
            username: None,
            password: None,
            client_id: None,
            status_topic: None,
            tls: Tls::default(),
            alpn: List::default(),
            max_inflight: Plain(MAX_INFLIGHT.into()),
            max_packet_bytes: Size(256 << 10),
        }
    }
}
