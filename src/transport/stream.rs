//! The byte stream below every framing: DNS, TCP, an HTTP proxy where there is one and, where the
//! URL says so, TLS. Its reads are paced. The HTTP transports of SockJS are not on it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{DialError, Stage};
use super::peer::{Deadline, Peer, Security};
use super::proxy::Proxy;
use super::survey;
use super::target::Target;
use crate::paced::{PacedStream, Pacing, TcpAcks};
use crate::tls;

/// A connected socket, encrypted or not.
pub(super) enum Stream {
    Clear(PacedStream),
    Tls(Box<TlsStream<PacedStream>>),
}

impl Stream {
    /// What begins the socket's pauses, and cuts them short.
    pub(super) fn pacing(&self) -> Pacing {
        match self {
            Stream::Clear(tcp) => tcp.pacing(),
            Stream::Tls(tls) => tls.get_ref().0.pacing(),
        }
    }

    /// Another descriptor of its socket.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Stream::Clear(tcp) => tcp.duplicate(),
            Stream::Tls(tls) => tls.get_ref().0.duplicate(),
        }
    }
}

/// Connects to the first address of the peer that answers, or through its proxy, and encrypts.
pub(super) async fn connect(
    peer: &Peer,
    target: &Target,
    deadline: Deadline,
) -> Result<Stream, DialError> {
    let tcp = match target.proxies.before(peer)? {
        None => connect_tcp(peer, deadline).await?,
        Some(proxy) => connect_through(&proxy, peer, deadline).await?,
    };
    let interval = target.read_interval.clone();
    let tcp = PacedStream::new(tcp, interval, Pacing::default(), TcpAcks::Delayed);
    match peer.security {
        Security::Clear => Ok(Stream::Clear(tcp)),
        Security::Tls => {
            deadline
                .bound(peer, Stage::Tls, encrypt(peer, &target.tls, tcp))
                .await
        }
    }
}

/// The server's name is the proxy's to resolve.
async fn connect_through(
    proxy: &Proxy,
    peer: &Peer,
    deadline: Deadline,
) -> Result<TcpStream, DialError> {
    let connected = connect_tcp(&proxy.peer, deadline).await;
    let mut tcp = connected.map_err(|error| proxy.error(error.to_string()))?;
    deadline
        .bound(&proxy.peer, Stage::Proxy, proxy.tunnel(&mut tcp, peer))
        .await?;
    Ok(tcp)
}

/// More addresses than this of one name are not tried: each must get a fair share of the time.
const ADDRESSES_MAX: usize = 8;

async fn connect_tcp(peer: &Peer, deadline: Deadline) -> Result<TcpStream, DialError> {
    let addresses = deadline.bound(peer, Stage::Resolve, resolve(peer)).await?;
    let mut failure = None;
    for (index, address) in addresses.iter().enumerate() {
        // An address that swallows our packets (a dead IPv6 route) must leave time for the next
        // one.
        let left = u32::try_from(addresses.len() - index).unwrap_or(1);
        let share = deadline.part(deadline.remaining() / left);
        match share
            .bound(peer, Stage::Connect, connect_address(peer, *address))
            .await
        {
            Ok(tcp) => {
                survey::note(|survey| survey.address = Some(address.to_string()));
                return Ok(tcp);
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| no_address(peer)))
}

async fn resolve(peer: &Peer) -> Result<Vec<SocketAddr>, DialError> {
    let addresses = tokio::net::lookup_host((peer.host.as_str(), peer.port))
        .await
        .map_err(|error| DialError::Resolve {
            host: peer.host.clone(),
            problem: error.to_string(),
        })?;
    Ok(addresses.take(ADDRESSES_MAX).collect())
}

fn no_address(peer: &Peer) -> DialError {
    DialError::Resolve {
        host: peer.host.clone(),
        problem: "the name has no address".to_owned(),
    }
}

async fn connect_address(peer: &Peer, address: SocketAddr) -> Result<TcpStream, DialError> {
    let connected = async {
        let tcp = TcpStream::connect(address).await?;
        // Frames are small, and each waits for nothing.
        tcp.set_nodelay(true)?;
        SockRef::from(&tcp).set_tcp_keepalive(&KEEPALIVE)?;
        SockRef::from(&tcp).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        Ok(tcp)
    };
    connected
        .await
        .map_err(|reason: io::Error| match reason.kind() {
            io::ErrorKind::ConnectionRefused => DialError::Refused {
                peer: peer.to_string(),
            },
            _ => DialError::Io {
                peer: peer.to_string(),
                stage: Stage::Connect,
                reason,
            },
        })
}

/// A peer that vanished is noticed within a minute and a half, even when the server offers no
/// heart-beat.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(45))
    .with_interval(Duration::from_secs(15))
    .with_retries(3);

/// The same where our own bytes are on the way: keep-alive asks nothing then, and the kernel would
/// send them again for a quarter of an hour.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(90);

async fn encrypt(
    peer: &Peer,
    settings: &tls::Settings,
    tcp: PacedStream,
) -> Result<Stream, DialError> {
    let config = tls::dialling_config(settings).await;
    let config = config.map_err(DialError::TlsSettings)?;
    let name = ServerName::try_from(peer.host.clone()).map_err(|_| DialError::Tls {
        peer: peer.to_string(),
        problem:
            "the host is neither a DNS name nor an IP address; write it as the certificate has it"
                .to_owned(),
    })?;
    let connected = TlsConnector::from(config).connect(name, tcp).await;
    let stream = connected.map_err(|error| tls_error(peer, error))?;
    survey::note(|survey| survey.certificate_ends = certificate_ends(&stream));
    Ok(Stream::Tls(Box::new(stream)))
}

fn certificate_ends(stream: &TlsStream<PacedStream>) -> Option<Timestamp> {
    let chain = stream.get_ref().1.peer_certificates()?;
    tls::not_after(chain.first()?)
}

/// What failed in a TLS handshake, told apart from the network below it.
fn tls_error(peer: &Peer, error: io::Error) -> DialError {
    let peer = peer.to_string();
    match tls::handshake_problem(&error) {
        Some(problem) => DialError::Tls { peer, problem },
        None => DialError::Io {
            peer,
            stage: Stage::Tls,
            reason: error,
        },
    }
}

/// Reads to the end of a stream, however it ends, and keeps nothing.
pub(super) async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_socket_has_keep_alive_and_waits_for_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let peer = Peer::of(&format!("stomp://{address}").parse().expect("a URL")).expect("a peer");
        let tcp = connect_tcp(&peer, Deadline::after(Duration::from_secs(20)))
            .await
            .expect("connected");
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().expect("an option") && tcp.nodelay().expect("an option"));
        let options = (
            socket.tcp_keepalive_time(),
            socket.tcp_keepalive_interval(),
            socket.tcp_keepalive_retries(),
        );
        let (time, interval, retries) = (
            options.0.expect("a time"),
            options.1.expect("an interval"),
            options.2,
        );
        let noticed = time + interval * retries.expect("a number");
        assert_eq!(
            noticed,
            Duration::from_secs(90),
            "a minute and a half, as the log says"
        );
        let unacknowledged = socket.tcp_user_timeout().expect("an option");
        assert_eq!(unacknowledged, Some(noticed));
    }
}
