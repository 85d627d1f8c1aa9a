//! What the newest connection and its server have agreed on, for who looks. Nothing in it is secret but
//! what the server itself has said.

use jiff::Timestamp;
use url::Url;

use super::masked::masked;
use crate::stomp::{Connected, Heartbeats};
use crate::transport::SockJsTransport;

/// How a server was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// The address, without user, password and query.
    pub address: String,
    /// `TCP`, `TLS`, `WebSocket`, or SockJS with its transport in parentheses.
    pub transport: String,
}

impl Dialled {
    pub(super) fn new(url: &Url, sockjs: Option<SockJsTransport>) -> Dialled {
        let transport = match (sockjs, url.scheme()) {
            (Some(transport), _) => format!("SockJS ({transport})"),
            (None, "stomp") => "TCP".to_owned(),
            (None, "stomps") => "TLS".to_owned(),
            (None, _) => "WebSocket".to_owned(),
        };
        Dialled {
            address: masked(url),
            transport,
        }
    }
}

/// What both have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// When the server answered CONNECTED.
    pub at: Timestamp,
    /// See [`Dialled`].
    pub dialled: Dialled,
    /// Of STOMP, such as `1.2`.
    pub version: &'static str,
    /// The server's name and version, such as `RabbitMQ/3.10.8`, where it says so.
    pub server: Option<String>,
    /// The server's name for the session, where it says so.
    pub session: Option<String>,
    /// Who sends them, and how often.
    pub heartbeat: Heartbeats,
}

impl Agreed {
    pub(super) fn new(dialled: Dialled, connected: &Connected) -> Agreed {
        Agreed {
            at: Timestamp::now(),
            dialled,
            version: connected.version.as_str(),
            server: connected.server.clone(),
            session: connected.session.clone(),
            heartbeat: connected.heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dialled_says_how_and_no_secret() {
        let dialled = |url: &str, sockjs| Dialled::new(&url.parse().unwrap(), sockjs);
        let tcp = dialled("stomp://user:secret@host:61613", None);
        assert_eq!(
            (&*tcp.address, &*tcp.transport),
            ("stomp://host:61613", "TCP")
        );
        assert_eq!(dialled("stomps://host", None).transport, "TLS");
        let token = dialled("wss://host/ws?token=secret", None);
        assert_eq!(
            (&*token.address, &*token.transport),
            ("wss://host/ws", "WebSocket")
        );
        let sockjs = dialled("http://host/ws", Some(SockJsTransport::Xhr));
        assert_eq!(sockjs.transport, "SockJS (xhr)");
    }
}
