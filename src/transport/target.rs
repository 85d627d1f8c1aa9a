//! Where a connection goes, and on which terms.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;
use url::Url;

use super::cookies::Jar;
use super::proxy::Proxies;
use crate::paced::Interval;
use crate::tls;

/// Where and how to connect, for one attempt.
#[derive(Debug, Clone)]
pub struct Target {
    /// `stomp`, `stomps`: TCP, TLS; the ports are 61613 and 61614 unless given. `ws`, `wss`:
    /// WebSocket. `http`, `https`: the base of a SockJS endpoint. A user in it is not sent.
    pub url: Url,
    /// Sent with every HTTP request of `ws`, `wss`, `http` and `https`.
    pub headers: Vec<(String, Secret)>,
    /// Sent with those of them that they are for; `stomp` and `stomps` have no use for any.
    pub cookies: Jar,
    /// Extra roots, client certificate.
    pub tls: tls::Settings,
    /// Which servers are behind an HTTP proxy.
    pub proxies: Proxies,
    /// Largest WebSocket message, and largest SockJS frame, that is held in memory: a longer one comes
    /// in pieces.
    pub message_bytes_max: usize,
    /// Longest WebSocket message that is sent: a longer frame goes in pieces, on the boundaries of
    /// characters. `None`: a frame is a message. SockJS's `xhr_send` gets the same pieces.
    pub websocket_split: Option<usize>,
    /// The transport of SockJS to be tried first; `None`: the best. The others follow.
    pub sockjs_first: Option<SockJsTransport>,
    /// The whole attempt may take this long: DNS, TCP, TLS, `/info`, upgrade and the fallbacks of
    /// SockJS together. So may each later HTTP request that sends.
    pub timeout: Duration,
    /// How often the socket is read while it always has something. SockJS's HTTP transports know
    /// none: there the server makes the batches.
    pub read_interval: Interval,
}

/// The transports of SockJS that we have, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SockJsTransport {
    /// A WebSocket.
    WebSocket,
    /// One answer that goes on and on, and requests that send.
    XhrStreaming,
    /// An answer for each few messages.
    Xhr,
}

impl SockJsTransport {
    pub(super) const ALL: [SockJsTransport; 3] = [
        SockJsTransport::WebSocket,
        SockJsTransport::XhrStreaming,
        SockJsTransport::Xhr,
    ];
}

impl fmt::Display for SockJsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SockJsTransport::WebSocket => "websocket",
            SockJsTransport::XhrStreaming => "xhr_streaming",
            SockJsTransport::Xhr => "xhr",
        })
    }
}
