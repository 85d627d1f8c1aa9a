//! The settings of the HTTP listener.

use std::net::SocketAddr;

use crate::secret::Secret;
use crate::tls::ServerSettings;

/// Validated settings of the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one, which the log names.
    pub listen: SocketAddr,
    /// The Host names that requests may have, beside `localhost` and the address.
    pub hosts: Vec<String>,
    /// What a request has to show, but for the probes; `None`: nothing.
    pub token: Option<Secret>,
    /// Where the listener speaks TLS.
    pub tls: Option<ServerSettings>,
}
