//! What the source is told.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::stomp::{AckMode, Limits, Options};
use crate::tls;
use crate::transport::{Proxies, Target};

/// Backoff between attempts, with full jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// The upper bound of the first wait.
    pub initial: Duration,
    /// The upper bound of every wait.
    pub max: Duration,
    /// Give up (and end the process) after so many failures in a row; `None`: never.
    pub attempts: Option<u32>,
}

/// One subscription.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The name in the configuration, and the subscription id.
    pub name: Arc<str>,
    /// As the server knows it.
    pub destination: String,
    /// How messages are acknowledged.
    pub ack: AckMode,
    /// Further headers of SUBSCRIBE.
    pub headers: Vec<(String, String)>,
}

/// Validated settings of the source.
#[derive(Debug, Clone)]
pub struct Settings {
    /// At least one; the next is tried when one fails.
    pub urls: Vec<Url>,
    /// CONNECT's `login`.
    pub login: Option<String>,
    /// CONNECT's `passcode`.
    pub passcode: Option<SecretString>,
    /// CONNECT's `host`: RabbitMQ's vhost; the others take any.
    pub host: String,
    /// Sent with CONNECT and with every HTTP request.
    pub headers: Vec<(String, SecretString)>,
    /// What we offer to send and want to receive; zero: off.
    pub heartbeat: Duration,
    /// Extra roots, client certificate.
    pub tls: tls::Settings,
    /// See [`Reconnect`].
    pub reconnect: Reconnect,
    /// At least one.
    pub topics: Vec<Topic>,
    /// Longest body that is accepted. Of a longer one the beginning is kept as rejected, up to
    /// [`OVERSIZE_BYTES_MAX`], or to twice as much where it comes as one WebSocket message; beyond, the connection ends.
    pub body_bytes_max: usize,
}

/// One attempt: where it goes, and how the session introduces itself.
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) options: Options,
}

/// DNS, TCP and TLS together, each HTTP request, and CONNECT to CONNECTED may take this long.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest body that is read past: more than anybody means to send.
pub const OVERSIZE_BYTES_MAX: usize = 1 << 30;

/// Room in a WebSocket message for what is not the body.
const MESSAGE_OVERHEAD: usize = 256 * 1024;

impl Settings {
    /// What one attempt needs, for that URL: the one place where it is put together, for the daemon and for whoever
    /// connects by hand.
    pub(super) fn attempt(&self, url: &Url) -> Attempt {
        Attempt { target: self.target(url), options: self.session_options() }
    }

    /// Limits on what the server may send.
    pub fn limits(&self) -> Limits {
        Limits { oversize_bytes_max: OVERSIZE_BYTES_MAX, ..Limits::with_body_bytes_max(self.body_bytes_max) }
    }

    /// Where one attempt goes.
    fn target(&self, url: &Url) -> Target {
        Target {
            url: url.clone(),
            headers: self.headers.clone(),
            tls: self.tls.clone(),
            proxies: Proxies::of_environment(),
            // SockJS quotes a chunk as JSON, which may double it; headers come on top.
            message_bytes_max: self.body_bytes_max.saturating_mul(2).saturating_add(MESSAGE_OVERHEAD),
            timeout: STEP_TIMEOUT,
        }
    }

    /// How the session introduces itself.
    fn session_options(&self) -> Options {
        Options {
            login: self.login.clone(),
            passcode: self.passcode.clone(),
            headers: self.headers.clone(),
            heartbeat: self.heartbeat,
            connected_timeout: STEP_TIMEOUT,
            limits: self.limits(),
            ..Options::new(self.host.clone())
        }
    }
}
