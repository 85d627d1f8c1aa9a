//! Connected, and nothing comes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use stomp_bridge::source::{ConfigurationWarning, Detection, LinkState, Settings};

use super::lab::{Lab, pass, pass_in_steps, pass_until, settings};
use super::server::{CONNECTED, Peer, Server};

const SECOND: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(120);
const MESSAGE: &str = "MESSAGE\nsubscription:map-1\ndestination:/topic/a\nmessage-id:1\n\n{}\0";

/// So seldom that a test is over before one is missed.
const HEARTBEATS: &str = "CONNECTED\nversion:1.2\nheart-beat:86400000,86400000\n\n\0";

async fn start(server: &Server) -> Lab {
    let settings = Settings {
        silence: Some(SILENCE),
        ..settings(&[&server.url("stomp")])
    };
    Lab::start(settings).await
}

/// Answers CONNECT by these words, and SUBSCRIBE.
async fn session(server: &Server, connected: &str) -> Peer {
    let mut peer = server.accept().await;
    peer.frame().await;
    peer.send(connected).await;
    peer.confirm_subscribe().await;
    peer
}

async fn receives(lab: &Lab, peer: &mut Peer) {
    peer.send(MESSAGE).await;
    lab.until(|status| status.link().state == LinkState::Receiving)
        .await;
}

/// It is silent after this time, and not before.
async fn falls_silent(lab: &Lab) {
    let took = pass_until(SILENCE + SECOND, || lab.state() == LinkState::Silent).await;
    assert!(took >= SILENCE - SECOND, "{took:?}");
}

#[tokio::test]
async fn a_link_without_messages_is_silent_until_the_next_one() {
    let server = Server::bind().await;
    let lab = start(&server).await;
    let mut peer = session(&server, HEARTBEATS).await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    falls_silent(&lab).await;
    assert!(!lab.state().is_ready());
    let silent = lab.status.link();
    assert_eq!(silent.silent_since, Some(silent.since));
    receives(&lab, &mut peer).await;
    assert_eq!(lab.status.link().silent_since, None);
    pass(SILENCE / 2).await;
    receives(&lab, &mut peer).await;
    falls_silent(&lab).await;
    assert_eq!(lab.status.counters.silences.load(Relaxed), 2);
    // Heart-beats are agreed: nobody doubts the link.
    pass(3 * SILENCE).await;
    assert_eq!((lab.attempts(), lab.state()), (1, LinkState::Silent));
    assert_eq!(lab.status.profile().warnings, []);
}

#[tokio::test]
async fn a_silence_outlasts_the_connection() {
    let server = Server::bind().await;
    let lab = start(&server).await;
    let peer = session(&server, HEARTBEATS).await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    falls_silent(&lab).await;
    let since = lab.status.link().since;
    drop(peer);
    pass_until(SECOND, || lab.state() == LinkState::Connecting).await;
    pass_until(2 * SECOND, || lab.attempts() == 2).await;
    let mut peer = session(&server, HEARTBEATS).await;
    pass_until(SECOND, || lab.state() == LinkState::Silent).await;
    assert_eq!(lab.status.link().since, since, "it has not begun anew");
    assert_eq!(
        lab.status.counters.silences.load(Relaxed),
        1,
        "and is not told again"
    );
    receives(&lab, &mut peer).await;
}

#[tokio::test]
async fn without_heartbeats_a_link_without_a_byte_is_made_anew_once_each_time() {
    let server = Server::bind().await;
    let lab = start(&server).await;
    // More of them than would be left of an hour's patience, if each were a failure.
    for life in 1..=10 {
        let peer = session(&server, CONNECTED).await;
        let took = pass_until(SILENCE + SECOND, || lab.attempts() > life).await;
        assert!(
            took >= SILENCE - SECOND,
            "no more than once each time: {took:?}"
        );
        let error = lab.status.link().last_error.unwrap();
        assert!(
            error.contains("no byte for 2m ") && error.contains("reconnecting"),
            "{error}"
        );
        drop(peer);
    }
    let mut peer = session(&server, CONNECTED).await;
    pass_until(SECOND, || lab.state() == LinkState::Silent).await;
    assert_eq!(lab.status.counters.silences.load(Relaxed), 1);
    assert_eq!(
        lab.status.profile().warnings,
        [ConfigurationWarning::NoHeartbeats(Detection::Silence(
            SILENCE
        ))]
    );
    receives(&lab, &mut peer).await;
}

#[tokio::test]
async fn any_byte_is_a_sign_of_life_and_no_message() {
    let server = Server::bind().await;
    let lab = start(&server).await;
    let mut peer = session(&server, CONNECTED).await;
    // Though it promised none, this server sends line ends.
    for _ in 0..20 {
        peer.send("\n").await;
        pass(SILENCE / 4).await;
    }
    assert_eq!((lab.attempts(), lab.state()), (1, LinkState::Silent));
}

#[tokio::test]
async fn a_link_with_signs_of_life_only_is_proven_every_ten_seconds() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let mut peer = session(&server, HEARTBEATS).await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    // Written bytes come at once, not with the kernel's next ACK.
    peer.stream.set_nodelay(true).unwrap();
    peer.send("\n").await;
    pass(9 * SECOND).await;
    assert_eq!(lab.proven_at().await, None, "too early");
    pass(2 * SECOND).await;
    let first = lab.proven_at().await;
    assert!(first.is_some());
    pass(30 * SECOND).await;
    assert_eq!(lab.proven_at().await, first, "nothing came since");
    peer.send("\n").await;
    pass(SECOND).await;
    assert!(lab.proven_at().await > first);
}

#[tokio::test]
async fn without_source_silence_a_quiet_link_is_left_alone() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let _peer = session(&server, CONNECTED).await;
    pass_in_steps(SECOND, 3_600 * SECOND, || false).await;
    assert_eq!((lab.attempts(), lab.state()), (1, LinkState::Subscribed));
    assert_eq!(
        lab.status.profile().warnings,
        [ConfigurationWarning::NoHeartbeats(Detection::KeepAlive)]
    );
}
