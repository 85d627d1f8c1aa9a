//! What platforms add to Spring: an interceptor that lets nobody subscribe a destination, and tokens
//! that end, with their sessions. With both versions of Spring Boot.

use super::spring::{shared, shared_two};
use peers::spring::{Boot, Endpoint};
use peers::{Configuration, Daemon, PASSWORD, Scenario, Spring, history, platform, wait};

const MESSAGES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_an_interceptor_refuses_is_left_out_and_named() {
    let (three, two) = (shared().await, shared_two().await);
    tokio::join!(
        refused_topic(three, Endpoint::Raw),
        refused_topic(two, Endpoint::SockJs)
    );
}

/// The interceptor's ERROR names no topic and ends the session: the culprit is found by halves.
async fn refused_topic(spring: Option<&Spring>, endpoint: Endpoint) {
    let Some(spring) = spring else { return };
    let topic = "/topic/refuses/open";
    let configuration = Configuration::new(&spring.url(endpoint))
        .table("topics.open", &format!("destination = \"{topic}\"\n"))
        .table("topics.secret", "destination = \"/topic/secret/1\"\n")
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    let said = daemon
        .complains(&["the others go on without it", "not for you"])
        .await;
    assert!(said.contains("\"topic\":\"secret\""), "{said}");
    wait::until("the other topic is live", async || {
        let live = daemon.log().contains("\"message\":\"live\"");
        live.then_some(())
    })
    .await;
    let messages = platform::messages("refuses", 0..MESSAGES, 10);
    spring.publish(topic, messages).await;
    wait::until("the messages of the other topic", async || {
        (history::count(daemon.folder()).await >= MESSAGES).then_some(())
    })
    .await;
    let (status, why) = daemon.get("/readyz").await.expect("it answers");
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("secret"), "{why}");
}

/// Spring confirms no SUBSCRIBE, so that 2 s of it are waiting.
const TOKEN_LIFE: &str = "lab.token-life=8000";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_with_its_token_is_begun_anew_by_another_sign_in() {
    let switches = ["lab.auth=token", TOKEN_LIFE];
    let Some(spring) = Spring::start_built_with(Boot::Two, &switches).await else {
        return;
    };
    let bearer = "headers = { Authorization = \"Bearer {{ signin.token }}\" }";
    let runs = [
        (Endpoint::SockJs, bearer),
        (Endpoint::Polling, bearer),
        // Only the cookie speaks for it.
        (Endpoint::Raw, ""),
    ]
    .map(|(endpoint, source)| tokens_end(&spring, endpoint, source));
    futures_util::future::join_all(runs).await;
}

async fn tokens_end(spring: &Spring, endpoint: Endpoint, source: &str) {
    let name = format!("tokens-{endpoint:?}").to_lowercase();
    let topic = format!("/topic/{name}");
    let signin = format!(
        "url = \"{}\"\njson = {{ username = \"{name}\", password = \"{PASSWORD}\" }}\n\
         extract = {{ token = \"/data/token\" }}\n",
        spring.sign_in_url()
    );
    let configuration = Configuration::new(&spring.url(endpoint))
        .source(source)
        .table("source.signin", &signin)
        .table("topics.map-1", &format!("destination = \"{topic}\"\n"));
    let mut run = Scenario::start(&name, configuration).await;
    for life in 0..2 {
        let (start, end) = (life * MESSAGES, (life + 1) * MESSAGES);
        spring.publish(&topic, run.messages(start..end)).await;
        run.complete(end).await;
        if life == 1 {
            break;
        }
        run.daemon
            .complains(&["not connected", "code 1008", "token expired"])
            .await;
        run.daemon.ready().await;
    }
    let log = run.daemon.log();
    // A sign-in that was let in is no failure, and nobody was refused.
    assert!(
        !log.contains("\"failures\":1") && !log.contains("answered 401"),
        "{log}"
    );
    run.finish(2 * MESSAGES, 0).await;
}
