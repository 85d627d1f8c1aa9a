//! Network faults between the daemon and RabbitMQ. A plug is pulled, connections are cut in the
//! middle of a frame, bytes come one at a time or late. The daemon notices in time, and nothing is
//! lost.

use std::time::Duration;

use super::lab::lab;
use super::run::{MESSAGES, Run, assert_drained};
use peers::configuration::{EventKey, PREFETCH};
use peers::fault::{Cut, Direction, Fault};
use peers::{Configuration, Daemon, FaultProxy, wait};

/// How the daemon gets to the proxy.
#[derive(Debug, Clone, Copy)]
enum Way {
    Tcp,
    WebSocket,
    SockJs,
}

/// A proxy in front of one of the lab's endpoints, and its URL.
async fn behind_proxy(way: Way) -> (FaultProxy, String) {
    let lab = lab().await;
    let (port, scheme, path) = match way {
        Way::Tcp => (lab.rabbitmq.stomp_port(), "stomp", ""),
        Way::WebSocket => (lab.rabbitmq.web_stomp_port(), "ws", "/ws"),
        Way::SockJs => (lab.sockjs.port(), "http", "/stomp"),
    };
    let proxy = FaultProxy::start(port).await;
    let url = format!("{scheme}://127.0.0.1:{}{path}", proxy.port());
    (proxy, url)
}

/// A scenario behind a proxy that does nothing yet.
async fn start(name: &str, way: Way, key: EventKey, source: &str) -> (FaultProxy, Run) {
    let (proxy, url) = behind_proxy(way).await;
    let configuration = Configuration::new(&url)
        .source(source)
        .queue("status", name, key);
    (
        proxy,
        Run::with(name, configuration, &lab().await.mosquitto).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_peer_is_noticed_over_tcp() {
    dead_peer_is_noticed("dead_peer_tcp", Way::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_peer_is_noticed_over_web_stomp() {
    dead_peer_is_noticed("dead_peer_websocket", Way::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_peer_is_noticed_over_sockjs() {
    dead_peer_is_noticed("dead_peer_sockjs", Way::SockJs).await;
}

/// By its missing heart-beats, and what the dead connection swallowed comes again. After how many of
/// them is held in simulated time (`silence_is_two_and_a_half_intervals_without_a_byte`).
async fn dead_peer_is_noticed(name: &str, way: Way) {
    let (proxy, mut run) = start(name, way, EventKey::EventId, "heartbeat = \"1s\"").await;
    run.publish(0..500).await;
    run.complete(500).await;
    proxy.strike(Fault::HalfOpen);
    let publishing = run.publish(500..1000);
    let noticing = wait::until("the daemon sees that its peer is dead", async || {
        let log = run.daemon.log();
        let mut lines = log.lines();
        lines
            .find(|line| line.contains("\"not connected\""))
            .map(str::to_owned)
    });
    let ((), noticed) = tokio::join!(publishing, noticing);
    assert!(noticed.contains("silent"), "{noticed}");
    run.complete(1000).await;
    run.daemon.ready().await;
    // Until RabbitMQ has given the dead connection up as well, the living one gets what comes
    // after.
    run.finish_in_any_order(1000, 0).await;
    assert_drained(&lab().await.rabbitmq, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_in_the_middle_lose_nothing() {
    cuts_in_the_middle_lose_nothing("resets", Way::Tcp, Cut::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_in_the_middle_of_web_stomp_lose_nothing() {
    cuts_in_the_middle_lose_nothing("cuts_websocket", Way::WebSocket, Cut::Close).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_in_the_middle_of_sockjs_lose_nothing() {
    cuts_in_the_middle_lose_nothing("resets_sockjs", Way::SockJs, Cut::Reset).await;
}

/// Each connection ends after a few hundred messages, wherever in a frame that is.
async fn cuts_in_the_middle_lose_nothing(name: &str, way: Way, cut: Cut) {
    let (proxy, run) = start(name, way, EventKey::EventId, "").await;
    let before = proxy.connections();
    proxy.set(Fault::CutAfter(200_001, cut));
    run.publish(0..MESSAGES).await;
    let mut run = run;
    run.complete(MESSAGES).await;
    let cuts = proxy.connections() - before;
    assert!(cuts >= 3, "{cuts} cuts are no test");
    proxy.set(Fault::None);
    run.daemon.ready().await;
    run.finish(MESSAGES, 0).await;
    assert_drained(&lab().await.rabbitmq, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_bytes_arrive_over_tcp() {
    single_bytes_arrive("single_bytes_tcp", Way::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_bytes_arrive_over_web_stomp() {
    single_bytes_arrive("single_bytes_websocket", Way::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_bytes_arrive_over_sockjs() {
    single_bytes_arrive("single_bytes_sockjs", Way::SockJs).await;
}

/// From the first byte of the first handshake on.
async fn single_bytes_arrive(name: &str, way: Way) {
    let (proxy, url) = behind_proxy(way).await;
    proxy.set(Fault::OneByte);
    let configuration = Configuration::new(&url).queue("status", name, EventKey::None);
    let run = Run::with(name, configuration, &lab().await.mosquitto).await;
    run.publish(0..300).await;
    run.finish(300, 0).await;
    assert_drained(&lab().await.rabbitmq, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_bytes_arrive_all_the_same() {
    let (proxy, run) = start("late_bytes", Way::Tcp, EventKey::None, "heartbeat = \"3s\"").await;
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    run.publish(0..1000).await;
    run.finish(1000, 0).await;
    assert_drained(&lab().await.rabbitmq, "late_bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_that_are_late_bring_nothing_back() {
    let (proxy, run) = start("late_acks", Way::Tcp, EventKey::None, "").await;
    proxy.set(Fault::Pause(Direction::ToServer));
    run.publish(0..1000).await;
    let mut run = run;
    // The window is full, and all of it is where it belongs, although the server does not know.
    run.complete(PREFETCH).await;
    assert_eq!(run.receiver.count(), PREFETCH);
    proxy.set(Fault::None);
    run.finish(1000, 0).await;
    assert_eq!(proxy.connections(), 1);
    assert_drained(&lab().await.rabbitmq, "late_acks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_never_answers_is_given_up_and_tried_again() {
    let (proxy, url) = behind_proxy(Way::Tcp).await;
    proxy.set(Fault::HalfOpen);
    let configuration = Configuration::new(&url)
        .queue("status", "never_answers", EventKey::None)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    let line = daemon
        .logged("\"not connected\"", |line| {
            line.contains("\"not connected\"")
        })
        .await;
    assert!(line.contains("CONNECTED"), "{line}");
    proxy.set(Fault::None);
    daemon.ready().await;
}
