//! The settings of the HTTP listener.

use std::net::SocketAddr;

/// Validated settings of the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one, which the log names.
    pub listen: SocketAddr,
}
