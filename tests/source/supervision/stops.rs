//! How long a stop takes, and an end that nobody answers: a full journal holds neither up.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use stomp_bridge::source::{LinkState, Reconnect, Settings};
use stomp_bridge::stomp::AckMode;
use tokio::time::Instant;

use super::lab::{Lab, pass, pass_until, settings};
use super::server::{CONNECTED, Peer, Server};

const SECOND: Duration = Duration::from_secs(1);

/// What the daemon gives the source for its stop; the rest is left to the journal then.
const STOP_MAX: Duration = Duration::from_secs(5);

const MESSAGE: &str = "MESSAGE\nsubscription:map-1\nmessage-id:1\nack:a1\n\n{}\0\n";

/// A source that acknowledges each message, or none; and comes back at once.
fn of(server: &Server, ack: AckMode) -> Settings {
    let mut settings = settings(&[&server.url("stomp")]);
    settings.topics[0].ack = ack;
    settings.reconnect = Reconnect {
        initial: Duration::ZERO,
        max: Some(Duration::ZERO),
        attempts: None,
    };
    settings
}

/// One that has been given a message for which the journal has no room.
async fn with_full_journal(server: &Server, ack: AckMode) -> (Lab, Peer) {
    let lab = Lab::start_with(of(server, ack), 256 << 10).await;
    let mut peer = server.accept_session().await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    lab.fill().await;
    peer.send(MESSAGE).await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 1)
        .await;
    (lab, peer)
}

/// Stops it, and says how long that has taken.
async fn stopped(lab: &mut Lab) -> Duration {
    lab.stop.cancel();
    let took = pass_until(2 * STOP_MAX, || lab.source.is_finished()).await;
    (&mut lab.source).await.unwrap().unwrap();
    took
}

#[tokio::test]
async fn a_stop_with_a_full_journal_ends_within_its_time() {
    for ack in [AckMode::Auto, AckMode::ClientIndividual] {
        let server = Server::bind().await;
        let (mut lab, _peer) = with_full_journal(&server, ack).await;
        let took = stopped(&mut lab).await;
        assert!(took < STOP_MAX, "{ack:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_stop_after_the_end_of_a_connection_ends_within_its_time() {
    for ack in [AckMode::Auto, AckMode::ClientIndividual] {
        let server = Server::bind().await;
        let (mut lab, peer) = with_full_journal(&server, ack).await;
        drop(peer);
        lab.until(|status| !status.link().state.is_ready()).await;
        let took = stopped(&mut lab).await;
        assert!(took < STOP_MAX, "{ack:?}: {took:?}");
    }
}

#[tokio::test]
async fn acks_of_a_commit_that_ends_late_in_a_stop_have_their_time() {
    let server = Server::bind().await;
    let (lab, mut peer) = with_full_journal(&server, AckMode::ClientIndividual).await;
    let asked = Instant::now();
    lab.stop.cancel();
    // Most of the time that a stop has for a commit.
    pass(SECOND + SECOND / 5).await;
    lab.unstick();
    assert_eq!(peer.frame().await, "ACK\nid:a1\n\n");
    assert!(peer.frame().await.starts_with("DISCONNECT\n"));
    // It does not answer: the connection stays as long as it may.
    let waited = pass_until(2 * STOP_MAX, || lab.source.is_finished()).await;
    assert!(waited >= SECOND, "{waited:?}");
    assert!(asked.elapsed() < STOP_MAX, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_server_that_neither_reads_nor_closes_is_left_in_time() {
    let server = Server::bind().await;
    let lab = Lab::start(of(&server, AckMode::ClientIndividual)).await;
    let mut deaf = server.accept().await;
    deaf.frame().await;
    deaf.send(CONNECTED).await;
    deaf.confirm_subscribe().await;
    deaf.send(&[MESSAGE, "ERROR\nmessage:kaputt\n\n\0\n"].concat())
        .await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 1)
        .await;
    let took = pass_until(2 * STOP_MAX, || lab.attempts() == 2).await;
    assert!(took < STOP_MAX, "{took:?}");
    assert_eq!(deaf.frame().await, "ACK\nid:a1\n\n");
}
