//! Connected, and nothing comes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use stomp_bridge::source::{ConfigurationWarning, Detection, LinkState, Settings};
use tokio_tungstenite::tungstenite::Message;

use super::lab::{Lab, pass, pass_in_steps, pass_until, settings, topic};
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
    assert_eq!(lab.status.link().since, since, "it has not begun again");
    assert_eq!(
        lab.status.counters.silences.load(Relaxed),
        1,
        "and is not told again"
    );
    receives(&lab, &mut peer).await;
}

/// Two topics, of which the first speaks every half minute; the server has confirmed both.
async fn two_topics(server: &Server, silences: &[(&str, Option<Duration>)]) -> (Lab, Peer) {
    let own = silences.iter().map(|(name, own)| ((*name).into(), *own));
    let settings = Settings {
        silence: Some(SILENCE),
        silences: own.collect(),
        topics: vec![topic("map-1"), topic("map-2")],
        ..settings(&[&server.url("stomp")])
    };
    let lab = Lab::start(settings).await;
    let mut peer = session(server, HEARTBEATS).await;
    peer.confirm_subscribe().await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    (lab, peer)
}

async fn one_speaks(peer: &mut Peer, time: Duration) {
    for _ in 0..time.as_secs() / 30 {
        peer.send(MESSAGE).await;
        pass(30 * SECOND).await;
    }
}

#[tokio::test]
async fn a_topic_that_never_speaks_is_noticed_beside_one_that_does() {
    let server = Server::bind().await;
    let (lab, mut peer) = two_topics(&server, &[]).await;
    one_speaks(&mut peer, 90 * SECOND).await;
    let silent = || {
        let topics = lab.status.topics().into_iter();
        let silent = topics.filter(|(_, it)| it.silent_since.is_some());
        silent.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(silent(), [""; 0]);
    one_speaks(&mut peer, 60 * SECOND).await;
    assert_eq!(silent(), ["map-2"]);
    // The link is not: one of two topics is heard.
    assert_eq!(lab.state(), LinkState::Receiving);
    let topics = lab.status.topics();
    assert!(topics["map-1"].last_message.is_some(), "{topics:?}");
    assert_eq!(topics["map-2"].last_message, None);
    assert_eq!(lab.status.counters.silences.load(Relaxed), 1);

    // Another connection changes nothing of it.
    drop(peer);
    pass_until(SECOND, || lab.state() == LinkState::Connecting).await;
    assert_eq!(silent(), ["map-2"]);
    pass_until(2 * SECOND, || lab.attempts() == 2).await;
    let mut peer = session(&server, HEARTBEATS).await;
    peer.confirm_subscribe().await;
    one_speaks(&mut peer, 150 * SECOND).await;
    assert_eq!(silent(), ["map-2"]);
    assert_eq!(lab.status.counters.silences.load(Relaxed), 1);
    peer.send(&MESSAGE.replace("map-1", "map-2")).await;
    lab.until(|status| status.topics()["map-2"].last_message.is_some())
        .await;
    assert_eq!(silent(), [""; 0]);

    // Both.
    pass(SILENCE + SECOND).await;
    assert_eq!(silent(), ["map-1", "map-2"]);
    assert_eq!(lab.state(), LinkState::Silent);
    assert_eq!(lab.status.counters.silences.load(Relaxed), 3);
}

#[tokio::test]
async fn a_topic_has_a_silence_of_its_own() {
    let server = Server::bind().await;
    let own = [("map-1", None), ("map-2", Some(2 * SILENCE))];
    let (lab, _peer) = two_topics(&server, &own).await;
    pass(2 * SILENCE - SECOND).await;
    let topics = lab.status.topics();
    assert!(topics.values().all(|it| it.silent_since.is_none()));
    pass(2 * SECOND).await;
    let topics = lab.status.topics();
    assert!(topics["map-2"].silent_since.is_some());
    // One without an end to its patience is never silent, and so the link is not.
    pass(9 * SILENCE).await;
    assert_eq!(lab.status.topics()["map-1"].silent_since, None);
    assert_eq!(lab.state(), LinkState::Subscribed);
}

#[tokio::test]
async fn a_websocket_that_hangs_is_noticed_though_heartbeats_are_off() {
    let server = Server::bind().await;
    let off = Settings {
        heartbeat: Duration::ZERO,
        ..settings(&[&server.url("ws")])
    };
    let lab = Lab::start(off).await;
    let peer = server.accept().await;
    let mut socket = tokio_tungstenite::accept_async(peer.stream).await.unwrap();
    let connect = socket.next().await.unwrap().unwrap();
    assert!(connect.to_text().unwrap().starts_with("CONNECT\n"));
    socket.send(Message::text(CONNECTED)).await.unwrap();
    pass_until(5 * SECOND, || lab.state() == LinkState::Subscribed).await;
    let off = ConfigurationWarning::HeartbeatsOff(Detection::Pings(10 * SECOND));
    assert!(lab.status.profile().warnings.contains(&off));
    let took = pass_until(30 * SECOND, || lab.status.link().last_error.is_some()).await;
    assert!(took >= 20 * SECOND, "{took:?}");
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains("silent for 25s"), "{error}");
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
async fn a_link_with_signs_of_life_only_is_proven_once_in_ten_seconds_at_most() {
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
    // With the turn that follows: nothing else happens.
    pass(8 * SECOND).await;
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

#[tokio::test]
async fn the_trouble_is_what_keeps_the_link_down_now_and_no_former_one() {
    let url = {
        let server = Server::bind().await;
        server.url("stomp")
    };
    let lab = Lab::start(settings(&[&url])).await;
    let trouble = || lab.status.link().trouble;
    pass_until(5 * SECOND, || trouble().is_some()).await;
    assert!(trouble().unwrap().contains("refused"), "{:?}", trouble());

    let server = Server::bind_at(&url).await;
    pass_until(60 * SECOND, || lab.attempts() > 1).await;
    let mut peer = server.accept().await;
    peer.frame().await;
    peer.send(HEARTBEATS).await;
    pass_until(SECOND, || lab.state() == LinkState::Connected).await;
    let link = lab.status.link();
    assert_eq!(link.trouble, None, "that was another attempt's");
    assert!(link.last_error.unwrap().contains("refused"));
    assert!(link.last_error_at.is_some());
    peer.confirm_subscribe().await;
    pass_until(SECOND, || lab.state().is_ready()).await;

    peer.send("ERROR\nmessage:going down\n\n\0").await;
    drop(peer);
    pass_until(SECOND, || lab.state() == LinkState::Connecting).await;
    pass_until(SECOND, || trouble().is_some()).await;
    assert!(trouble().unwrap().contains("going down"), "{:?}", trouble());
    pass_until(10 * SECOND, || lab.attempts() > 2).await;
    let _peer = session(&server, HEARTBEATS).await;
    pass_until(SECOND, || lab.state().is_ready()).await;
    assert_eq!(trouble(), None);
}
