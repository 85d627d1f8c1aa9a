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
async fn a_server_that_sends_one_message_and_drops_is_asked_no_more_often() {
    // So do two daemons on an account with one session: each throws the other out.
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let lives = server.serve(async |_, mut peer| {
        peer.next_frame().await?;
        peer.send(CONNECTED).await;
        peer.next_frame().await?;
        peer.send(MESSAGE).await;
        Some(())
    });
    pass_in_steps(SECOND, HOUR, || false).await;
    let attempts = lives.load(Relaxed);
    assert!(
        (60..=150).contains(&attempts),
        "{attempts} attempts in an hour"
    );
    assert!(lab.status.counters.messages.load(Relaxed) >= 30);
}

#[tokio::test]
async fn a_connection_that_lived_makes_the_next_wait_short_again() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    for _ in 0..12 {
        drop(next(&server, 61 * SECOND).await.0);
    }
    for quiet in [true, false, true, false] {
        let (mut peer, _) = next(&server, 61 * SECOND).await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.confirm_subscribe().await;
        lab.until(|status| status.link().state == LinkState::Subscribed)
            .await;
        if quiet {
            pass(6 * SECOND).await;
        } else {
            peer.send(MESSAGE).await;
            lab.until(|status| status.link().state == LinkState::Receiving)
                .await;
        }
        drop(peer);
        // The first wait again, also for the failure that follows: a second at most.
        for _ in 0..2 {
            let (peer, waited) = next(&server, 61 * SECOND).await;
            assert!(waited <= SECOND + 2 * STEP, "{waited:?}");
            drop(peer);
        }
    }
}

const MESSAGE: &str = "MESSAGE\nsubscription:map-1\nmessage-id:1\n\n{}\0\n";

#[tokio::test]
async fn a_link_that_is_cut_each_30_seconds_is_subscribed_nearly_always() {
    let (cut, cuts) = (30 * SECOND, 80);
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let start = Instant::now();
    for _ in 0..cuts {
        let (mut peer, _) = next(&server, 61 * SECOND).await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.confirm_subscribe().await;
        lab.until(|status| status.link().state.is_ready()).await;
        // Not a message comes, as at night.
        pass_in_steps(SECOND, cut, || false).await;
        assert!(lab.state().is_ready());
        drop(peer);
        lab.until(|status| status.link().state == LinkState::Connecting)
            .await;
    }
    let part = (cut * cuts).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("subscribed {part:.4} of the time");
    assert!(part >= 0.97, "subscribed {part:.4} of the time");
}

#[tokio::test]
async fn connections_that_lived_use_no_attempt_up() {
    let server = Server::bind().await;
    let mut settings = settings(&[&server.url("stomp")]);
    settings.reconnect.attempts = Some(3);
    let mut lab = Lab::start(settings).await;
    for _ in 0..10 {
        let (mut peer, _) = next(&server, 5 * SECOND).await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.confirm_subscribe().await;
        peer.send(MESSAGE).await;
        lab.until(|status| status.link().state == LinkState::Receiving)
            .await;
        pass(6 * SECOND).await;
        drop(peer);
    }
    assert!(!lab.source.is_finished());
    drop(server);
    pass_until(HOUR, || lab.source.is_finished()).await;
    let error = (&mut lab.source).await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::GaveUp { attempts: 3, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_message_that_ends_each_connection_is_no_life() {
    let server = Server::bind().await;
    let mut settings = settings(&[&server.url("stomp")]);
    settings.reconnect.attempts = Some(3);
    let mut lab = Lab::start(settings).await;
    // At the third it is known.
    for _ in 0..5 {
        let (mut peer, _) = next(&server, 61 * SECOND).await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.confirm_subscribe().await;
        peer.send(MESSAGE).await;
        lab.until(|status| status.link().state == LinkState::Receiving)
            .await;
        peer.send("MESSAGE\nsubscription:map-1\nmessage-id:2\n\n{\"cut")
            .await;
        drop(peer);
    }
    pass_until(HOUR, || lab.source.is_finished()).await;
    let error = (&mut lab.source).await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::GaveUp { attempts: 3, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_back_within_seconds_of_its_return() {
    for round in 0..5 {
        let server = Server::bind().await;
        let url = server.url("stomp");
        let mut settings = settings(&[&url]);
        settings.reconnect.max = None;
        let lab = Lab::start(settings).await;
        let (mut peer, _) = next(&server, 5 * SECOND).await;
        peer.frame().await;
        // Spring's simple broker: nothing in it names a server.
        peer.send(CONNECTED).await;
        peer.frame().await;
        pass_until(5 * SECOND, || lab.state() == LinkState::Subscribed).await;
        // What is cut at once was no life, whose topics would be known.
        pass(6 * SECOND).await;
        drop((peer, server));
        pass(30 * SECOND).await;
        let server = Server::bind_at(&url).await;
        let returned = Instant::now();
        let (mut peer, _) = next(&server, 6 * SECOND).await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.frame().await;
        // What it has accepted before counts so after 0.9 s without a refusal.
        let confirmed = pass_until(6 * SECOND, || lab.state().is_ready()).await;
        assert!(confirmed <= SECOND + STEP, "round {round}: {confirmed:?}");
        let after = returned.elapsed();
        assert!(after <= 6 * SECOND, "round {round}: {after:?}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_messages_is_asked_every_minute_at_last() {
    let server = Server::bind().await;
    let url = server.url("stomp");
    let mut settings = settings(&[&url]);
    settings.reconnect.max = None;
    settings.topics[0].destination = "/queue/a".into();
    let lab = Lab::start(settings).await;
    drop(server);
    pass_in_steps(SECOND, HOUR, || false).await;
    assert!((60..=160).contains(&lab.attempts()), "{}", lab.attempts());
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let server = Server::bind().await;
    let _lab = Lab::start(settings(&[&server.url("ws")])).await;
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let (mut peer, _) = next(&server, 61 * SECOND).await;
        while !peer.read_some().await.ends_with(b"\r\n\r\n") {}
        let answer = format!("HTTP/1.1 {status}\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n");
        peer.send(&answer).await;
        turns().await;
        let (mut peer, waited) = next(&server, 61 * SECOND).await;
        assert!(waited >= 39 * SECOND && waited <= 42 * SECOND, "{waited:?}");
        peer.send("HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n")
            .await;
    }
}

#[tokio::test]
async fn while_one_server_is_busy_the_others_are_tried() {
    let (busy, free) = (Server::bind().await, Server::bind().await);
    let urls = [busy.url("ws"), free.url("stomp")];
    let _lab = Lab::start(settings(&[&urls[0], &urls[1]])).await;
    let (mut peer, _) = next(&busy, 10 * SECOND).await;
    let asked = Instant::now();
    while !peer.read_some().await.ends_with(b"\r\n\r\n") {}
    peer.send("HTTP/1.1 503 Busy\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n")
        .await;
    turns().await;
    for _ in 0..3 {
        let (peer, waited) = next(&free, 61 * SECOND).await;
        assert!(waited <= 20 * SECOND, "{waited:?}");
        drop(peer);
    }
    // It is asked once its time has come.
    let calls = free.serve(async |_, _| Some(()));
    next(&busy, 800 * SECOND).await;
    assert!(asked.elapsed() >= 600 * SECOND, "{:?}", asked.elapsed());
    assert!(calls.load(Relaxed) > 5);
}

#[tokio::test]
async fn words_that_are_not_about_us_are_no_refusal() {
    let check = async |frame: &'static str, expected: &str, unexpected: &str| {
        let server = Server::bind().await;
        let lab = Lab::start(settings(&[&server.url("stomp")])).await;
        for _ in 0..3 {
            let (mut peer, waited) = next(&server, 10 * SECOND).await;
            assert!(waited <= 5 * SECOND, "{waited:?}");
            peer.frame().await;
            peer.send(frame).await;
            pass_until(5 * SECOND, || lab.status.link().last_error.is_some()).await;
            turns().await;
        }
        let error = lab.status.link().last_error.unwrap();
        assert!(
            error.contains(expected) && !error.contains(unexpected),
            "{error}"
        );
    };
    check(
        "ERROR\nmessage:Broker not available.\ncontent-length:0\n\n\0",
        "Broker not available.",
        "passcode",
    )
    .await;
    check(
        "ERROR\nmessage:connection_forced\n\nbroker forced connection closure with reason 'shutdown'\0",
        "shutdown",
        "passcode",
    )
    .await;
}

#[tokio::test]
async fn a_close_before_connected_is_no_question_of_login_once_it_was_good() {
    let server = Server::bind().await;
    let lab = Lab::start(settings(&[&server.url("stomp")])).await;
    let error = async || {
        turns().await;
        lab.status.link().last_error.unwrap()
    };
    let (mut peer, _) = next(&server, 5 * SECOND).await;
    peer.frame().await;
    drop(peer);
    let said = error().await;
    assert!(said.contains("check login, passcode and host"), "{said}");
    let (mut peer, _) = next(&server, 10 * SECOND).await;
    peer.frame().await;
    peer.send(CONNECTED).await;
    peer.confirm_subscribe().await;
    turns().await;
    drop(peer);
    let (mut peer, _) = next(&server, 10 * SECOND).await;
    peer.frame().await;
    drop(peer);
    let said = error().await;
    assert!(
        said.contains("no CONNECTED, as from a server that restarts") && !said.contains("login"),
        "{said}"
    );
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
