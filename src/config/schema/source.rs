//! The keys of `[source]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Signin;
use crate::config::units::{List, Plain, Size, Span, UrlText};
use crate::secret::Secret;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Source {
    /// Required. The server's address. `http` and `https` mean SockJS, `ws` and `wss` WebSocket,
    /// `stomp` TCP, `stomps` TLS. Several addresses are tried in turn. Its query may have
    /// `{{ signin.x }}`.
    pub(in crate::config) url: List<UrlText>,
    /// CONNECT's `login`. It may have `{{ secret('x') }}` and `{{ signin.x }}`.
    pub(in crate::config) login: Option<Secret>,
    /// CONNECT's `passcode`, such as `"{{ secret('passcode') }}"`. It stands in place of
    /// `passcode_file`.
    pub(in crate::config) passcode: Option<Secret>,
    /// A file with the passcode, beside the configuration.
    pub(in crate::config) passcode_file: Option<PathBuf>,
    /// CONNECT's `host`: RabbitMQ's virtual host. The other servers accept any.
    pub(in crate::config) host: String,
    /// Headers of CONNECT and of every HTTP request to the server, such as
    /// `{ Authorization = "Bearer {{ signin.token }}" }`.
    pub(in crate::config) headers: BTreeMap<String, Secret>,
    /// The interval of STOMP's heart-beats, both ways. `0s`: off; WebSocket's pings and SockJS's
    /// own heart-beats then notice a dead link.
    pub(in crate::config) heartbeat: Span,
    /// A topic without a message for this time is `silent`: the daemon is not ready, and the log
    /// warns. Over TCP, where the server sends no heart-beats, the daemon reconnects after this
    /// time without a byte. `0s`: off.
    pub(in crate::config) silence: Span,
    /// How `\` is written in login, passcode and host. `doubled`: RabbitMQ reads it as an escape.
    /// By default `plain`.
    pub(in crate::config) connect_backslashes: Option<ConnectBackslashes>,
    /// Longer frames go in pieces of this size, for Spring's buffers. `0`: whole.
    pub(in crate::config) websocket_split: Size,
    /// The longest body. Of a longer one the journal keeps the beginning as undecodable; the
    /// messages after it go on.
    pub(in crate::config) max_body: Size,
    /// Files for `stomps`, `wss` and `https`. The system's authorities are always trusted.
    pub(in crate::config) tls: Tls,
    /// The waits between attempts to connect, with full jitter.
    pub(in crate::config) reconnect: Reconnect,
    /// An HTTP sign-in before every connection; by default there is none.
    pub(in crate::config) signin: Option<Signin>,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            url: List::default(),
            login: None,
            passcode: None,
            passcode_file: None,
            // RabbitMQ's default vhost; the other servers take any name.
            host: "/".to_owned(),
            headers: BTreeMap::new(),
            heartbeat: Span(Duration::from_secs(10)),
            // Off: only who knows the platform knows how long its topics may be quiet.
            silence: Span(Duration::ZERO),
            connect_backslashes: None,
            // Off: ActiveMQ takes no frame in pieces.
            websocket_split: Size(0),
            // Room for an array of 30,000 statuses.
            max_body: Size(16 << 20),
            tls: Tls::default(),
            reconnect: Reconnect::default(),
            signin: None,
        }
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum ConnectBackslashes {
    Plain,
    Doubled,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Tls {
    /// Authorities (PEM). Or a server's own certificate, which is then trusted as it is: for its
    /// names, until its end. With CA:TRUE, or of version 1, it is an authority as well.
    pub(in crate::config) ca_file: Option<PathBuf>,
    /// The client's certificate (PEM), with `key_file`.
    pub(in crate::config) cert_file: Option<PathBuf>,
    /// The key of `cert_file` (PEM).
    pub(in crate::config) key_file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Reconnect {
    /// The first wait. Each further one is up to twice as long.
    pub(in crate::config) initial: Span,
    /// The longest wait. By default `60s` where the server keeps every topic's messages meanwhile,
    /// else `5s`.
    pub(in crate::config) max: Option<Span>,
    /// After this number of attempts in a row that did not become live the process ends. By default
    /// there is no bound.
    pub(in crate::config) attempts: Option<Plain<u32>>,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            initial: Span(Duration::from_secs(1)),
            max: None,
            attempts: None,
        }
    }
}
