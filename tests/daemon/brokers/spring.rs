//! Spring's simple broker as it comes, without heart-beats, over a raw WebSocket and over SockJS's
//! three transports. The flow is that of a platform's pages: `/topic/state/1` as `map-1`, and the
//! channel of a code that the sign-in gives.

use tokio::sync::OnceCell;

use peers::spring::{Boot, Endpoint};
use peers::{Configuration, Scenario, Spring};

static SHARED: OnceCell<Option<Spring>> = OnceCell::const_new();
static SHARED_TWO: OnceCell<Option<Spring>> = OnceCell::const_new();

/// The application that scenarios share; `None` where it is not built.
pub(crate) async fn shared() -> Option<&'static Spring> {
    SHARED.get_or_init(|| Spring::start(&[])).await.as_ref()
}

/// The same with Spring Boot 2.
pub(crate) async fn shared_two() -> Option<&'static Spring> {
    SHARED_TWO
        .get_or_init(|| Spring::start_built_with(Boot::Two, &[]))
        .await
        .as_ref()
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_messages_arrive_over_sockjs() {
    arrive(shared().await, 1, Endpoint::SockJs, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_messages_arrive_over_a_raw_websocket() {
    arrive(shared().await, 2, Endpoint::Raw, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_messages_arrive_over_xhr_streaming() {
    arrive(shared().await, 3, Endpoint::Streaming, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_messages_arrive_over_xhr_polling() {
    let fallback = "fell back to another transport";
    arrive(shared().await, 4, Endpoint::Polling, fallback).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_messages_arrive_from_spring_boot_2() {
    let runs = [
        (5, Endpoint::SockJs, ""),
        (6, Endpoint::Raw, ""),
        (7, Endpoint::Streaming, ""),
        (8, Endpoint::Polling, "fell back to another transport"),
    ]
    .map(|(client, endpoint, logs)| async move {
        arrive(shared_two().await, client, endpoint, logs).await;
    });
    futures_util::future::join_all(runs).await;
}

/// What a session that is polled may hold back in Spring is 100 messages, so they go out in parts.
/// All of them are several times the 128 KiB after which an answer of xhr-streaming ends.
const PART: usize = 50;
const MESSAGES: usize = 1000;

async fn arrive(spring: Option<&Spring>, client: usize, endpoint: Endpoint, logs: &str) {
    let Some(spring) = spring else { return };
    let user = format!("lab-{client}");
    let code = spring.sign_in(&user).await.socket_code;
    let (state, channel) = (
        format!("/topic/state/{client}"),
        format!("/topic/{code}/deviceStatusChannel"),
    );
    let configuration = Configuration::new(&spring.url(endpoint))
        .table(
            &format!("topics.map-{client}"),
            &format!("destination = \"{state}\"\n"),
        )
        .table("topics.status", &format!("destination = \"{channel}\"\n"));
    let mut run = Scenario::start(&user, configuration).await;
    for (part, start) in (0..MESSAGES).step_by(PART).enumerate() {
        let destination = if part % 2 == 0 { &state } else { &channel };
        spring
            .publish(destination, run.messages(start..start + PART))
            .await;
        run.complete(start + PART).await;
    }
    assert_eq!(run.state().await, "receiving");
    assert!(
        run.guarantee("status")
            .await
            .contains("keeps nothing while we are away")
    );
    assert_eq!(run.broker().await, "spring-simple");
    assert_eq!(run.connections(), 1, "{}", run.daemon.log());
    let log = run.daemon.log();
    assert!(log.contains(logs), "{log}");
    assert!(log.contains("the server sends no heart-beats"), "{log}");
    run.finish(MESSAGES, 0).await;
}
