//! The fault proxy by itself: each fault does what it says, to the connections that it is meant
//! for.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use peers::FaultProxy;
use peers::fault::{Cut, Direction, Fault};

/// For what does not come. Its length makes no test fail, only notice less.
const SILENCE: Duration = Duration::from_millis(100);

/// A proxy, and the listener behind it.
async fn proxy() -> (FaultProxy, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind a free port");
    let port = listener
        .local_addr()
        .expect("a bound listener has an address")
        .port();
    (FaultProxy::start(port).await, listener)
}

/// Both ends of a connection through it.
async fn connect(proxy: &FaultProxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .expect("connect to the proxy");
    let (server, _) = listener
        .accept()
        .await
        .expect("the proxy connects to its server");
    (client, server)
}

async fn carries(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.expect("write");
    let mut arrived = vec![0; bytes.len()];
    to.read_exact(&mut arrived).await.expect("read");
    assert_eq!(arrived, bytes);
}

/// Nothing comes, not even the end.
async fn hears_nothing(stream: &mut TcpStream) {
    let mut byte = [0];
    let read = timeout(SILENCE, stream.read(&mut byte)).await;
    assert!(read.is_err(), "{read:?} {byte:?}");
}

#[tokio::test]
async fn without_a_fault_bytes_and_ends_go_both_ways() {
    let (proxy, listener) = proxy().await;
    let (mut client, mut server) = connect(&proxy, &listener).await;
    carries(&mut client, &mut server, &[7; 200_000]).await;
    carries(&mut server, &mut client, &[8; 200_000]).await;
    client.shutdown().await.expect("shut down");
    assert_eq!(server.read(&mut [0; 8]).await.expect("the end"), 0);
    // Half of a connection may end before the other.
    carries(&mut server, &mut client, b"still here").await;
    drop(server);
    assert_eq!(client.read(&mut [0; 8]).await.expect("the end"), 0);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn half_open_swallows_bytes_and_ends_for_good() {
    let (proxy, listener) = proxy().await;
    let (mut client, mut server) = connect(&proxy, &listener).await;
    proxy.strike(Fault::HalfOpen);
    client
        .write_all(b"anybody?")
        .await
        .expect("a client does not notice");
    hears_nothing(&mut server).await;
    client.shutdown().await.expect("shut down");
    hears_nothing(&mut server).await;
    server
        .write_all(b"hello")
        .await
        .expect("a server does not notice");
    hears_nothing(&mut client).await;
    // Who comes later is carried.
    let (mut second, mut of_second) = connect(&proxy, &listener).await;
    carries(&mut second, &mut of_second, b"all is well").await;
    proxy.set(Fault::None);
    server
        .write_all(b"hello?")
        .await
        .expect("a server does not notice");
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn reset_reaches_both_ends_at_once() {
    let (proxy, listener) = proxy().await;
    let (mut client, mut server) = connect(&proxy, &listener).await;
    carries(&mut client, &mut server, b"x").await;
    proxy.strike(Fault::CutAfter(0, Cut::Reset));
    for end in [&mut client, &mut server] {
        let error = end.read(&mut [0; 8]).await.expect_err("no end in order");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let (mut client, mut server) = connect(&proxy, &listener).await;
    carries(&mut client, &mut server, b"the next one lives").await;
}

#[tokio::test]
async fn cut_lets_so_many_bytes_through_on_every_connection() {
    let (proxy, listener) = proxy().await;
    proxy.set(Fault::CutAfter(1000, Cut::Close));
    for _ in 0..2 {
        let (mut client, mut server) = connect(&proxy, &listener).await;
        carries(&mut client, &mut server, &[1; 5000]).await;
        carries(&mut server, &mut client, &[2; 600]).await;
        server.write_all(&[3; 600]).await.expect("write");
        let mut rest = Vec::new();
        client
            .read_to_end(&mut rest)
            .await
            .expect("an end in order");
        assert_eq!(rest, [3; 400]);
    }
}

#[tokio::test]
async fn pause_keeps_one_direction_back_and_loses_nothing() {
    let (proxy, listener) = proxy().await;
    let (mut client, mut server) = connect(&proxy, &listener).await;
    proxy.set(Fault::Pause(Direction::ToServer));
    client.write_all(b"later").await.expect("write");
    carries(&mut server, &mut client, b"meanwhile").await;
    hears_nothing(&mut server).await;
    proxy.set(Fault::None);
    let mut late = [0; 5];
    server.read_exact(&mut late).await.expect("read");
    assert_eq!(&late, b"later");
}

#[tokio::test]
async fn one_byte_at_a_time_is_all_of_them_in_order() {
    let (proxy, listener) = proxy().await;
    let (mut client, mut server) = connect(&proxy, &listener).await;
    proxy.set(Fault::OneByte);
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    carries(&mut client, &mut server, &bytes).await;
    // A client that reads as they come sees them apart.
    server.write_all(b"ab").await.expect("write");
    assert_eq!(client.read(&mut [0; 8]).await.expect("read"), 1);
}

#[tokio::test]
async fn delay_is_felt_in_both_directions() {
    let (proxy, listener) = proxy().await;
    let (mut client, mut server) = connect(&proxy, &listener).await;
    let by = Duration::from_millis(30);
    proxy.set(Fault::Delay(by));
    let begin = Instant::now();
    carries(&mut client, &mut server, b"ping").await;
    carries(&mut server, &mut client, b"pong").await;
    assert!(begin.elapsed() >= 2 * by, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn no_connection_outlives_its_proxy() {
    let (proxy, listener) = proxy().await;
    let (mut client, _server) = connect(&proxy, &listener).await;
    drop(proxy);
    assert_eq!(client.read(&mut [0; 8]).await.expect("the end"), 0);
}
