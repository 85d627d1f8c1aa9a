//! Bytes to and from a STOMP server: TCP or TLS, plain or under WebSocket or SockJS. Knows nothing of STOMP but
//! that a frame to be sent stays whole where the framing needs it.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// Where and how to connect, for one attempt.
#[derive(Debug, Clone)]
pub struct Target {
    /// `stomp`, `stomps`: TCP, TLS. `ws`, `wss`: WebSocket. `http`, `https`: SockJS.
    pub url: Url,
    /// Sent with every HTTP request of `ws`, `wss`, `http` and `https`.
    pub headers: Vec<(String, SecretString)>,
    /// Extra roots, client certificate.
    pub tls: crate::tls::Settings,
    /// Largest WebSocket message, and largest SockJS frame, that is accepted.
    pub message_bytes_max: usize,
    /// DNS, TCP and TLS together may take this long; so may each HTTP request.
    pub timeout: Duration,
}
