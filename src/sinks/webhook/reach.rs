//! Whether a receiver accepts connections: TCP, and TLS where it is asked for. Nothing is sent, so
//! nothing can be counted twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::address::is_loopback;
use crate::tls::handshake_problem;

/// The system's proxies. Behind one only a request tells whether the receiver is there.
const PROXY_VARIABLES: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// The way to one receiver.
pub(super) struct Reach {
    /// An IPv6 address has no brackets here.
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    is_proxied: bool,
}

impl Reach {
    /// `tls` is used where the URL says so.
    pub(super) fn new(url: &Url, tls: Arc<ClientConfig>, timeout: Duration) -> Reach {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let variable = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Reach {
            host: host.to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            tls: (url.scheme() == "https").then_some(tls),
            timeout,
            is_proxied: !is_loopback(url) && PROXY_VARIABLES.iter().any(variable),
        }
    }

    /// Connects, and hangs up.
    pub(super) async fn probe(&self) -> Result<(), String> {
        if self.is_proxied {
            return Ok(());
        }
        match timeout(self.timeout, self.connect()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(handshake_problem(&error)
                .filter(|_| self.tls.is_some())
                .unwrap_or_else(|| error.to_string())),
            Err(_) => Err(format!("no connection within {} s", self.timeout.as_secs())),
        }
    }

    async fn connect(&self) -> io::Result<()> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        if let Some(tls) = &self.tls {
            let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
            TlsConnector::from(Arc::clone(tls))
                .connect(name, tcp)
                .await?;
        }
        Ok(())
    }
}
