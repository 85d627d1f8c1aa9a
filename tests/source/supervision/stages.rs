//! A server that hangs is left in time, wherever it hangs.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use stomp_bridge::source::LinkState;

use super::lab::{Lab, pass_until, settings};
use super::server::{CONNECTED, Server};

const SECOND: Duration = Duration::from_secs(1);

/// Where an attempt may take 10 s, with what the steps of the time and a wait before it may add.
const LEFT_WITHIN: Duration = Duration::from_secs(12);

/// The first attempt has failed of this, in this time.
async fn left(lab: &Lab, limit: Duration, expected: &str) {
    let took = pass_until(limit, || lab.status.link().last_error.is_some()).await;
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains(expected), "{error}");
    assert!(
        took >= SECOND,
        "it was left after {took:?} and not given its time: {error}"
    );
}

#[tokio::test]
async fn in_the_handshake_of_tcp() {
    // One connection fills its queue, and the kernel answers no more.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _filler = std::net::TcpStream::connect(address).unwrap();
    let lab = Lab::start(settings(&[&format!("stomp://{address}")])).await;
    left(&lab, LEFT_WITHIN, "TCP connection with 127.0.0.1").await;
}

#[tokio::test]
async fn before_any_layer_above_tcp() {
    for (scheme, expected) in [
        ("stomps", "TLS handshake"),
        ("ws", "WebSocket upgrade"),
        ("wss", "TLS handshake"),
        ("http", "SockJS info"),
        ("https", "SockJS info"),
        ("stomp", "no CONNECTED within 10s"),
    ] {
        let server = Server::bind().await;
        let lab = Lab::start(settings(&[&server.url(scheme)])).await;
        server.serve(async |_, peer| peer.gone().await);
        left(&lab, LEFT_WITHIN, expected).await;
    }
}

#[tokio::test]
async fn in_every_transport_of_sockjs_one_after_another() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("http")])).await;
    let requests = server.serve(async |_, mut peer| {
        while !peer.read_some().await.ends_with(b"\r\n\r\n") {}
        if peer.has_read("/info") {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                .await;
        }
        peer.gone().await
    });
    left(&lab, LEFT_WITHIN, "websocket").await;
    assert_eq!(requests.load(Relaxed), 4, "/info and three transports");
}

#[tokio::test]
async fn between_the_upgrade_and_connected() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("ws")])).await;
    server.serve(async |_, peer| {
        let mut socket = tokio_tungstenite::accept_async(peer.stream).await.ok()?;
        while futures_util::StreamExt::next(&mut socket).await?.is_ok() {}
        Some(())
    });
    left(&lab, LEFT_WITHIN + LEFT_WITHIN, "no CONNECTED within 10s").await;
}

#[tokio::test]
async fn a_subscription_that_nobody_answers_is_taken_for_done_after_three_seconds() {
    // Spring's simple broker never answers; an ERROR that comes later still ends the connection.
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let mut peer = server.accept().await;
    peer.frame().await;
    peer.send(CONNECTED).await;
    peer.frame().await;
    let took = pass_until(4 * SECOND, || lab.state() == LinkState::Subscribed).await;
    assert!(took >= 2 * SECOND, "{took:?}");
    peer.send("ERROR\nmessage:access_refused\n\n\0").await;
    pass_until(SECOND, || lab.state() == LinkState::Connecting).await;
}

#[tokio::test]
async fn with_a_goodbye_that_nobody_answers() {
    let server = Server::bind().await;
    let mut lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let mut peer = server.accept_session().await;
    pass_until(SECOND, || lab.state() == LinkState::Subscribed).await;
    lab.stop.cancel();
    assert!(peer.frame().await.starts_with("DISCONNECT\n"));
    let took = pass_until(4 * SECOND, || lab.source.is_finished()).await;
    assert!(took <= 2 * SECOND + SECOND / 2, "{took:?}");
    (&mut lab.source).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_before_connected_waits_for_nobody() {
    for scheme in ["stomp", "ws", "http"] {
        let server = Server::bind().await;
        let mut lab = Lab::start(settings(&[&server.url(scheme)])).await;
        let peers = server.serve(async |_, peer| peer.gone().await);
        pass_until(SECOND, || peers.load(Relaxed) > 0).await;
        lab.stop.cancel();
        let took = pass_until(4 * SECOND, || lab.source.is_finished()).await;
        assert!(took <= SECOND / 2, "{scheme}: {took:?}");
        (&mut lab.source).await.unwrap().unwrap();
    }
}
