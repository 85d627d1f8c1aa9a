//! Spring's simple broker with heart-beats and a sign-in: it wants a token, closes sessions, falls
//! silent, dies.

use super::retry_in_ms;
use peers::spring::Endpoint;
use peers::{Configuration, Daemon, Scenario, Spring};

#[tokio::test(flavor = "multi_thread")]
async fn closed_silent_and_killed_server_is_come_back_to() {
    let Some(mut spring) = Spring::start(&["lab.heartbeat=3000"]).await else {
        return;
    };
    let mut runs = Vec::new();
    for (number, endpoint) in [
        Endpoint::SockJs,
        Endpoint::Raw,
        Endpoint::Streaming,
        Endpoint::Polling,
    ]
    .iter()
    .enumerate()
    {
        let name = format!("back-{number}");
        let configuration = Configuration::new(&spring.url(*endpoint)).source("heartbeat = \"3s\"");
        let topic = format!("destination = \"/topic/{name}\"\n");
        runs.push((
            format!("/topic/{name}"),
            Scenario::start(&name, configuration.table("topics.map-1", &topic)).await,
        ));
    }
    let mut sent = 0;
    for trouble in [
        &["code 4321", "because"][..],
        &["silent"],
        &["not connected"],
        &[],
    ] {
        for (destination, run) in &mut runs {
            spring
                .publish(destination, run.messages(sent..sent + 50))
                .await;
            run.complete(sent + 50).await;
        }
        sent += 50;
        match trouble {
            [] => break,
            ["silent"] => spring.freeze(),
            ["not connected"] => spring.kill(),
            _ => spring.close_all(4321, "because").await,
        }
        for (_, run) in &mut runs {
            run.daemon.complains(trouble).await;
        }
        match trouble {
            ["silent"] => spring.thaw(),
            ["not connected"] => spring.restart().await,
            _ => {}
        }
        for (_, run) in &mut runs {
            run.daemon.ready().await;
        }
    }
    for (_, run) in runs {
        assert!(!run.daemon.log().contains("sends no heart-beats"));
        run.finish(sent, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_server_without_heartbeats_is_left_over_every_transport() {
    let Some(spring) = Spring::start(&[]).await else {
        return;
    };
    let mut runs = Vec::new();
    for (number, endpoint) in [
        Endpoint::SockJs,
        Endpoint::Raw,
        Endpoint::Streaming,
        Endpoint::Polling,
    ]
    .iter()
    .enumerate()
    {
        let name = format!("frozen-{number}");
        let configuration = Configuration::new(&spring.url(*endpoint)).source("heartbeat = \"0s\"");
        let topic = format!("destination = \"/topic/{name}\"\n");
        let run = Scenario::start(&name, configuration.table("topics.map-1", &topic)).await;
        runs.push((format!("/topic/{name}"), run));
    }
    for (destination, run) in &mut runs {
        spring.publish(destination, run.messages(0..50)).await;
        run.complete(50).await;
    }
    spring.freeze();
    for (_, run) in &mut runs {
        // Pings within 25 s, SockJS's own heart-beats within 63.
        run.daemon.complains(&["not connected"]).await;
        let readiness = run.daemon.get("/readyz").await.map(|(status, _)| status);
        assert_eq!(readiness, Some(503));
    }
    spring.thaw();
    for (destination, mut run) in runs {
        run.daemon.ready().await;
        spring.publish(&destination, run.messages(50..100)).await;
        run.finish(100, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_wanted_by_every_request_and_by_connect() {
    let Some(spring) = Spring::start(&["lab.auth=token"]).await else {
        return;
    };
    let token = spring.sign_in("lab").await.token;
    let topic = "destination = \"/topic/state/1\"\n";
    let configured = |endpoint, headers: &str| {
        let configuration =
            Configuration::new(&spring.url(endpoint)).source(&format!("headers = {{ {headers} }}"));
        configuration.table("topics.map-1", topic)
    };
    for (endpoint, headers, words) in [
        (
            Endpoint::SockJs,
            "",
            ["/info answered 401", "the server wants other credentials"],
        ),
        (
            Endpoint::Raw,
            "Authorization = \"Bearer x\"",
            [
                "/wxServer answered 401",
                "the server wants other credentials",
            ],
        ),
        // The cookie lets the requests through, and CONNECT does not look at it.
        (
            Endpoint::SockJs,
            &format!("Cookie = \"token={token}\""),
            ["refused CONNECT", "not signed in"],
        ),
        (
            Endpoint::Polling,
            &format!("Cookie = \"token={token}\""),
            ["refused CONNECT", "not signed in"],
        ),
    ] {
        let mut daemon = Daemon::start(&configured(endpoint, headers).sqlite()).await;
        let said = daemon.complains(&words).await;
        assert!(!said.contains(&token), "{said}");
        // It is not asked again at once.
        assert!(retry_in_ms(&said) >= Some(30_000), "{said}");
    }
    let bearer = format!("Authorization = \"Bearer {token}\"");
    let mut runs = Vec::new();
    for endpoint in [
        Endpoint::SockJs,
        Endpoint::Raw,
        Endpoint::Streaming,
        Endpoint::Polling,
    ] {
        runs.push(Scenario::start("signed-in", configured(endpoint, &bearer)).await);
    }
    spring
        .publish("/topic/state/1", runs[0].messages(0..50))
        .await;
    for run in runs {
        run.finish(50, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_is_thrown_out_and_comes_back() {
    let Some(spring) = Spring::start(&[]).await else {
        return;
    };
    let topic = "destination = \"/topic/state/1\"\n";
    let configuration = Configuration::new(&spring.url(Endpoint::Raw)).table("topics.map-1", topic);
    let mut run = Scenario::start("slow", configuration).await;
    run.daemon.freeze();
    // More than both sockets and Spring's own buffer hold; it waits 10 s for somebody to read.
    for _ in 0..10 {
        spring
            .publish(
                "/topic/state/1",
                vec![format!("\"{}\"", "x".repeat(60_000)); 30],
            )
            .await;
    }
    run.daemon.thaw();
    // With code 4500, where it can still be said.
    run.daemon.complains(&["not connected"]).await;
    run.daemon.ready().await;
    spring.publish("/topic/state/1", run.messages(0..50)).await;
    run.finish(50, 0).await;
}
