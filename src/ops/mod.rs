//! What an operator looks at: health, readiness, metrics, and systemd's notifications.

use std::net::SocketAddr;

/// Validated settings of the HTTP listener.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one, which the log names.
    pub listen: SocketAddr,
}
