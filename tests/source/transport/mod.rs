//! The transports against small servers in the test itself, on port 0 of the loopback.

mod certificates;
mod exchange;
mod hangup;
mod http;
mod paced;
mod plain;
mod proxy;
mod sockjs;
mod websocket;
mod xhr;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stomp_bridge::paced::Interval;
use stomp_bridge::tls;
use stomp_bridge::transport::{DialError, Proxies, Receiver, Sender, Target, TransportError, dial};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Generous: no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

fn target(url: &str) -> Target {
    Target {
        url: url.parse().expect("a URL"),
        headers: vec![("Authorization".to_owned(), "Bearer abc".into())],
        cookies: Default::default(),
        tls: tls::Settings {
            ca_file: Some(fixture("ca.pem")),
            ..tls::Settings::default()
        },
        proxies: Proxies::default(),
        message_bytes_max: MESSAGE_BYTES_MAX,
        websocket_split: None,
        sockjs_first: None,
        timeout: PATIENCE,
        // As it is by default.
        read_interval: Interval::new(Duration::from_millis(5)),
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(name)
}

/// A port of the loopback, and the part of a URL that names it.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

enum ClientCertificate {
    Ignored,
    Demanded,
}

fn acceptor(certificate: &str, client: ClientCertificate) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match client {
        ClientCertificate::Ignored => builder.with_no_client_auth(),
        ClientCertificate::Demanded => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pem("ca.pem")).expect("a root");
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            )
            .build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::from_pem_file(fixture(&format!("{certificate}.key"))).expect("a key");
    let config = builder
        .with_single_cert(vec![pem(&format!("{certificate}.pem"))], key)
        .expect("a certificate");
    TlsAcceptor::from(Arc::new(config))
}

fn pem(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture(name)).expect("a certificate")
}

async fn dialled(target: &Target) -> (Receiver, Sender) {
    dial(target)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", target.url))
}

async fn refused(target: &Target) -> DialError {
    dial(target)
        .await
        .map(|_| ())
        .expect_err(target.url.as_str())
}

/// Reads the STOMP stream until so much of it has come, and no more of it.
async fn received(receiver: &mut Receiver, length: usize) -> String {
    let mut stream = Vec::new();
    while stream.len() < length {
        let bytes = timeout(PATIENCE, receiver.receive())
            .await
            .expect("in time")
            .expect("bytes");
        stream.extend_from_slice(&bytes);
    }
    assert_eq!(
        stream.len(),
        length,
        "{:?}",
        String::from_utf8_lossy(&stream)
    );
    String::from_utf8(stream).expect("text")
}

/// The error that ends a connection, after whatever comes before it.
async fn ended(receiver: &mut Receiver) -> TransportError {
    loop {
        if let Err(error) = timeout(PATIENCE, receiver.receive())
            .await
            .expect("in time")
        {
            return error;
        }
    }
}

/// The head of an HTTP request or answer, and not a byte more.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a byte of the head"));
    }
    String::from_utf8(head).expect("text")
}

/// The value of a header in a head; the first one, if it is there more than once.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// More than the kernel buffers for one who never reads.
const FLOOD_BYTES: usize = 10 * 1024 * 1024;

/// Sends a flood to a server that never reads while receiving what it writes: `length` bytes.
async fn receive_under_a_stuck_send(receiver: &mut Receiver, sender: &mut Sender, length: usize) {
    let flood = Bytes::from(vec![b'x'; FLOOD_BYTES]);
    let mut send = pin!(sender.send(flood, &[FLOOD_BYTES]));
    let mut received = 0;
    while received < length {
        tokio::select! {
            sent = &mut send => panic!("nobody reads, and yet the flood was sent: {sent:?}"),
            bytes = receiver.receive() => received += bytes.expect("bytes").len(),
        }
    }
}

/// Sends a flood to a server that reads only after it has written `length` bytes, and receives them
/// meanwhile. What the kernel holds for us of them at the end of a pause comes after the flood.
async fn cross_floods(receiver: &mut Receiver, sender: &mut Sender, length: usize) {
    let flood = Bytes::from(vec![b'x'; FLOOD_BYTES]);
    let mut send = pin!(sender.send(flood, &[FLOOD_BYTES]));
    let mut received = 0;
    loop {
        tokio::select! {
            sent = &mut send => break sent.expect("the flood is taken in the end"),
            bytes = receiver.receive() => received += bytes.expect("bytes").len(),
        }
    }
    assert!(
        received > 0,
        "the server reads only after it has written all of it"
    );
    while received < length {
        received += receiver.receive().await.expect("the rest").len();
    }
    assert_eq!(received, length);
}

/// Closes towards a server that does not read: on a paused clock, which runs on when nothing else
/// can.
async fn close_towards_a_deaf_server(sender: &mut Sender) {
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    sender.close().await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}
