//! How often it tries, and where.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use stomp_bridge::source::{LinkState, Reconnect, SourceError};
use tokio::time::{Instant, advance};

use super::lab::{Lab, pass, pass_in_steps, pass_until, settings, turns};
use super::server::{CONNECTED, Server};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A port where nobody is.
async fn dead() -> String {
    Server::bind().await.url("stomp")
}

#[tokio::test]
async fn a_dead_server_is_asked_150_times_an_hour_at_most_and_for_ever() {
    let lab = Lab::start(settings(&[&dead().await])).await;
    for hour in 0..3 {
        let before = lab.attempts();
        pass_in_steps(SECOND, HOUR, || false).await;
        let attempts = lab.attempts() - before;
        assert!(
            (60..=150).contains(&attempts),
            "{attempts} attempts in hour {hour}"
        );
    }
    assert_eq!(lab.state(), LinkState::Connecting);
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_takes_and_drops_is_asked_no_more_often() {
    let server = Server::bind().await;
    let _lab = Lab::start(settings(&[&server.url("stomp")])).await;
    // It goes as far as being live, and that lasts no minute.
    let lives = server.serve(async |_, mut peer| {
        peer.next_frame().await?;
        peer.send(CONNECTED).await;
        peer.next_frame().await?;
        Some(())
    });
    pass_in_steps(SECOND, HOUR, || false).await;
    let attempts = lives.load(Relaxed);
    assert!(
        (60..=150).contains(&attempts),
        "{attempts} attempts in an hour"
    );
}

#[tokio::test]
async fn only_a_stable_minute_makes_the_next_wait_short_again() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    for _ in 0..12 {
        drop(next(&server, 61 * SECOND).await.0);
    }
    for _ in 0..5 {
        let (mut peer, _) = next(&server, 61 * SECOND).await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.confirm_subscribe().await;
        turns().await;
        assert_eq!(lab.state(), LinkState::Subscribed);
        pass(61 * SECOND).await;
        assert_eq!(lab.state(), LinkState::Subscribed);
        drop(peer);
        // The first wait again: a second at most.
        let (peer, waited) = next(&server, 61 * SECOND).await;
        assert!(waited <= SECOND + 2 * STEP, "{waited:?}");
        drop(peer);
    }
}

/// So fine is the time in which the next connection is waited for.
const STEP: Duration = Duration::from_millis(250);

/// The next connection, and how long it let itself be waited for.
async fn next(server: &Server, limit: Duration) -> (super::server::Peer, Duration) {
    let start = Instant::now();
    loop {
        if let Some(peer) = server.next().await {
            return (peer, start.elapsed());
        }
        assert!(start.elapsed() < limit, "nobody came within {limit:?}");
        advance(STEP).await;
    }
}

#[tokio::test]
async fn the_next_url_is_tried_when_one_fails_and_the_first_again_after_the_last() {
    let (first, second) = (dead().await, Server::bind().await);
    let lab = Lab::start(settings(&[&first, &second.url("stomp")])).await;
    let (mut peer, waited) = next(&second, 10 * SECOND).await;
    assert!(waited <= 2 * SECOND, "{waited:?}");
    peer.frame().await;
    peer.send(CONNECTED).await;
    peer.confirm_subscribe().await;
    pass_until(SECOND, || lab.state() == LinkState::Subscribed).await;
    // The second goes, and the first is there again.
    let first = Server::bind_at(&first).await;
    drop((peer, second));
    next(&first, 10 * SECOND).await;
}

#[tokio::test]
async fn a_refusal_is_tried_again_after_half_a_minute_and_then_ever_slower() {
    let check = async |scheme: &str, reads: &[u8], refusal: &'static str, expected: &str| {
        let server = Server::bind().await;
        let lab = Lab::start(settings(&[&server.url(scheme)])).await;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let (mut peer, waited) = next(&server, 460 * SECOND).await;
            waits.push(waited);
            while !peer.read_some().await.ends_with(reads) {}
            peer.send(refusal).await;
            pass_until(5 * SECOND, || lab.state() == LinkState::Connecting).await;
            turns().await;
            drop(peer);
        }
        let error = lab.status.link().last_error.unwrap();
        assert!(error.contains(expected), "{error}");
        let bounds = [30, 60, 120, 240, 300].map(|bound| bound * SECOND);
        for (wait, bound) in waits[1..].iter().zip(bounds) {
            // Half as much again at most, and the steps of the time.
            assert!(
                *wait >= bound - SECOND && *wait <= bound * 3 / 2 + 2 * SECOND,
                "{waits:?}"
            );
        }
    };
    let login =
        "ERROR\nmessage:Bad CONNECT\ncontent-length:30\n\nAccess refused for user 'lab'\n\0\n";
    check("stomp", b"\0", login, "Access refused for user 'lab'").await;
    let vhost = "ERROR\nmessage:Bad CONNECT\n\nVirtual host '/none' access denied\0\n";
    check("stomp", b"\0", vhost, "host (the virtual host)").await;
    check(
        "ws",
        b"\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "401",
    )
    .await;
    check(
        "ws",
        b"\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "403",
    )
    .await;
}

#[tokio::test]
async fn attempts_are_bounded_where_somebody_says_so_refusals_included() {
    let mut settings = settings(&[&dead().await]);
    settings.reconnect = Reconnect {
        attempts: Some(4),
        ..settings.reconnect
    };
    let mut lab = Lab::start(settings).await;
    pass_until(HOUR, || lab.source.is_finished()).await;
    let error = (&mut lab.source).await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::GaveUp { attempts: 4, .. }),
        "{error}"
    );
    assert_eq!(lab.attempts(), 4);
}

#[tokio::test]
async fn whoever_stops_it_waits_for_no_backoff() {
    let mut lab = Lab::start(settings(&[&dead().await])).await;
    pass(10 * 60 * SECOND).await;
    let asked = Instant::now();
    lab.stop.cancel();
    (&mut lab.source).await.unwrap().unwrap();
    assert_eq!(
        (asked.elapsed(), lab.state()),
        (Duration::ZERO, LinkState::Stopped)
    );
}
