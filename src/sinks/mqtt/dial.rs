//! The way to the broker: TCP, TLS over it, WebSocket over either.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::loss::{Loss, tls_problem};
use super::websocket;
use crate::paced::{Interval, PacedStream, Pacing, TcpAcks};
use crate::tls;

/// Where the broker is.
#[derive(Debug)]
pub(super) struct Address {
    /// An IPv6 address has no brackets here.
    pub(super) host: String,
    pub(super) port: u16,
    /// `None`: clear text. The files are read for each connection, so that a renewed certificate is
    /// used at the next one.
    pub(super) tls: Option<tls::Settings>,
    /// The protocols that TLS offers.
    pub(super) alpn: Vec<String>,
    /// `None`: no WebSocket. Else the URL of its handshake.
    pub(super) websocket: Option<String>,
    /// How often what the broker confirms is read while there is always something.
    pub(super) read_interval: Interval,
    /// Of whichever connection there is: has it read what the broker has confirmed.
    pub(super) pacing: Pacing,
}

/// Bytes from the broker.
pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to the broker.
pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Address {
    /// Both directions of a new connection.
    pub(super) async fn dial(&self) -> Result<(Reader, Writer), Loss> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Packets that go together are written together: waiting for more gains nothing.
        tcp.set_nodelay(true)?;
        // With Nagle's algorithm, mosquitto's default, the broker holds its next confirmations back
        // until our kernel has acknowledged the last ones, which it would do up to 40 ms later.
        let (interval, pacing) = (self.read_interval.clone(), self.pacing.clone());
        let tcp = PacedStream::new(tcp, interval, pacing, TcpAcks::AtOnce);
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(settings) => Box::new(self.encrypt(settings, tcp).await?),
        };
        match &self.websocket {
            Some(url) => {
                let (reader, writer) = websocket::open(url.clone(), stream).await?;
                Ok((Box::new(reader), Box::new(writer)))
            }
            None => {
                let (reader, writer) = split(stream);
                Ok((Box::new(reader), Box::new(writer)))
            }
        }
    }

    async fn encrypt(
        &self,
        settings: &tls::Settings,
        tcp: PacedStream,
    ) -> Result<TlsStream<PacedStream>, Loss> {
        let config = tls::dialling_config(settings).await;
        let mut config = config.map_err(|error| Loss::new(error.to_string()))?;
        let alpn = self.alpn.iter().map(|name| name.clone().into_bytes());
        Arc::make_mut(&mut config).alpn_protocols = alpn.collect();
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| tls_problem(&error.to_string()))?;
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|error| match tls::handshake_problem(&error) {
                Some(problem) => tls_problem(&problem),
                None => error.into(),
            })
    }
}
