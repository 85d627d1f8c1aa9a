//! nginx in front of Spring, as most platforms have it: it passes no WebSocket upgrades, cuts what
//! is idle, answers while the application restarts, speaks HTTP/2.

use futures_util::future::join_all;

use super::retry_in_ms;
use super::spring::shared;
use peers::certificates::{Shows, tls};
use peers::nginx::{Speaks, UPGRADE};
use peers::spring::{Boot, Endpoint};
use peers::{Configuration, Daemon, Nginx, Scenario, Spring, wait};

/// As long as the daemon by itself waits for a server that keeps nothing. How soon it is back then is
/// held in simulated time (`a_server_that_keeps_nothing_is_back_within_seconds_of_its_return`).
const WAIT_MS_MAX: u64 = 5_000;

/// One topic over an endpoint behind nginx.
fn through(nginx: &Nginx, spring: &Spring, endpoint: Endpoint, topic: &str) -> Configuration {
    Configuration::new(&nginx.before(&spring.url(endpoint)))
        .table("topics.map-1", &format!("destination = \"{topic}\"\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_upgrade_headers_sockjs_falls_back_and_a_websocket_is_told_why() {
    let Some(spring) = shared().await else { return };
    let nginx = Nginx::start(spring.port(), Speaks::Clear, "").await;
    let topic = "/topic/nginx/no-upgrade";
    let raw = through(&nginx, spring, Endpoint::Raw, topic);
    let mut refused = Daemon::start(&raw.sqlite()).await;
    let said = refused
        .complains(&[
            "not connected",
            "/wxServer answered 400",
            "a proxy on the way may not pass websocket upgrades",
        ])
        .await;
    // It is the way, not who we are: soon tried again.
    let wait = retry_in_ms(&said);
    assert!(wait.is_some_and(|wait| wait <= WAIT_MS_MAX), "{said}");

    let sockjs = through(&nginx, spring, Endpoint::SockJs, topic);
    let mut run = Scenario::start("no-upgrade", sockjs).await;
    spring.publish(topic, run.messages(0..50)).await;
    run.complete(50).await;
    let log = run.daemon.log();
    let fell_back = log
        .lines()
        .find(|line| line.contains("SockJS fell back to another transport"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(
        fell_back.contains("\"transport\":\"xhr") && fell_back.contains("websocket: "),
        "{fell_back}"
    );
    let requests = nginx.requests();
    let seen = |wanted: &str| requests.iter().any(|request| request.contains(wanted));
    assert!(
        seen("/websocket 400") && seen("/xhr 200") && seen("/xhr_send 204"),
        "{requests:?}"
    );
    run.finish(50, 0).await;
}

/// How long a life is idle before its end: less than the time to our next ping. Until it has messages
/// it is idle, too, of which 2 s are waiting: Spring confirms no SUBSCRIBE.
///
/// Without its buffers: nginx would hold the end of a burst back in them, and drop it with the cut.
const READ_TIMEOUT: &str = "proxy_read_timeout 7s;\nproxy_buffering off;\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_link_that_nginx_cuts_comes_back_soon_and_brings_nothing_twice() {
    let Some(spring) = shared().await else { return };
    let location = format!("{UPGRADE}{READ_TIMEOUT}");
    let nginx = Nginx::start(spring.port(), Speaks::Clear, &location).await;
    let runs = [
        (Endpoint::Raw, "a proxy that cuts idle links"),
        (Endpoint::Streaming, "connection lost"),
        (Endpoint::Polling, "proxy_read_timeout"),
    ]
    .map(|(endpoint, cut)| idle(&nginx, spring, endpoint, cut));
    join_all(runs).await;
}

/// Waits until the link has been cut so often, and checks what is said of it.
async fn cut_is_said(run: &Scenario, times: usize, words: &str) {
    let said = wait::until("a cut", async || {
        let log = run.daemon.log();
        let mut cuts = log
            .lines()
            .filter(|line| line.contains("\"message\":\"not connected\""));
        cuts.nth(times - 1).map(str::to_owned)
    })
    .await;
    assert!(said.contains(words), "{said}");
}

/// Two lives and the beginning of a third: each has messages, and then none.
async fn idle(nginx: &Nginx, spring: &Spring, endpoint: Endpoint, cut: &str) {
    let name = format!("idle-{endpoint:?}").to_lowercase();
    let topic = format!("/topic/nginx/{name}");
    let configuration = through(nginx, spring, endpoint, &topic);
    let mut run = Scenario::start(&name, configuration).await;
    for life in 0..3 {
        let (start, end) = (life * 50, life * 50 + 50);
        spring.publish(&topic, run.messages(start..end)).await;
        run.complete(end).await;
        if life == 2 {
            break;
        }
        cut_is_said(&run, life + 1, cut).await;
        run.daemon.ready().await;
    }
    let log = run.daemon.log();
    // What was subscribed and heard was no failure, and no message was to blame.
    assert!(
        !log.contains("\"failures\":1") && !log.contains("undeliverable"),
        "{log}"
    );
    run.finish(150, 0).await;
}

/// By then the waits have grown to what they grow to.
const FAILURES: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_restarts_behind_nginx_is_in_trouble_and_soon_back() {
    let Some(mut spring) = Spring::start_built_with(Boot::Two, &[]).await else {
        return;
    };
    let nginx = Nginx::start(spring.port(), Speaks::Clear, UPGRADE).await;
    let started = [Endpoint::Raw, Endpoint::SockJs, Endpoint::Polling].map(async |endpoint| {
        let name = format!("restart-{endpoint:?}").to_lowercase();
        let topic = format!("/topic/nginx/{name}");
        let configuration = through(&nginx, &spring, endpoint, &topic).default_waits();
        let mut run = Scenario::start(&name, configuration).await;
        spring.publish(&topic, run.messages(0..50)).await;
        run.complete(50).await;
        (topic, run)
    });
    let mut runs = join_all(started).await;
    spring.kill();
    for (_, run) in &mut runs {
        wait::until("failures", async || {
            let failures = run.daemon.status().await["link"]["failures"].as_u64()?;
            (failures >= FAILURES).then_some(())
        })
        .await;
        let said = run.daemon.complains(&["not connected", "502"]).await;
        assert!(
            said.contains("answered 502") && said.contains("in trouble"),
            "{said}"
        );
    }
    spring.restart().await;
    for (topic, mut run) in runs {
        run.daemon.ready().await;
        spring.publish(&topic, run.messages(50..100)).await;
        run.complete(100).await;
        assert_eq!(run.connections(), 2, "{}", run.daemon.log());
        let log = run.daemon.log();
        assert!(!log.contains("refused"), "{log}");
        let lost = log
            .lines()
            .filter(|line| line.contains("\"message\":\"not connected\""));
        let waits: Option<Vec<u64>> = lost.map(retry_in_ms).collect();
        let waits = waits.unwrap_or_else(|| panic!("{log}"));
        // The end of the first connection, and what nginx answers then.
        assert!(waits.len() >= 2, "{log}");
        assert!(waits.iter().all(|wait| *wait <= WAIT_MS_MAX), "{log}");
        run.finish(100, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_front_of_http_2_we_speak_http_1() {
    let Some(spring) = shared().await else { return };
    let nginx = Nginx::start(spring.port(), Speaks::Http2, UPGRADE).await;
    let runs = [Endpoint::Raw, Endpoint::SockJs, Endpoint::Polling].map(async |endpoint| {
        let name = format!("http-2-{endpoint:?}").to_lowercase();
        let topic = format!("/topic/nginx/{name}");
        let configuration = through(&nginx, spring, endpoint, &topic).source(&tls(Shows::Nothing));
        let run = Scenario::start(&name, configuration).await;
        spring.publish(&topic, run.messages(0..50)).await;
        assert_eq!(run.connections(), 1, "{}", run.daemon.log());
        run.finish(50, 0).await;
    });
    join_all(runs).await;
    let requests = nginx.requests();
    let seen = |wanted: &str| requests.iter().any(|request| request.contains(wanted));
    assert!(
        seen("GET /wxServer 101") && seen("/websocket 101") && seen("/xhr 200"),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .all(|request| request.starts_with("HTTP/1.1 ")),
        "{requests:?}"
    );
}
