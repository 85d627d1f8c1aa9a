//! A real SockJS endpoint over each of its transports by itself, in front of RabbitMQ. (All of them
//! at once, which is websocket, is in `transports`.)

use super::lab::lab;
use super::run::assert_drained;
use peers::certificates::{self, Shows};
use peers::configuration::EventKey;
use peers::sockjs::{Offers, Security};
use peers::{Configuration, Scenario, SockJs, Stomp};

const MESSAGES: usize = 2000;

/// sockjs-node ends an answer of xhr-streaming once it has this length.
const ANSWER_BYTES_MAX: usize = 128 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn websocket_begins_anew_after_a_close_code() {
    let sockjs = begins_anew("sockjs_websocket", "websocket", Security::Clear).await;
    assert_eq!(sockjs.requests("xhr_streaming") + sockjs.requests("xhr"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn xhr_streaming_rolls_over_and_begins_anew_after_a_close_code() {
    let sockjs = begins_anew("sockjs_xhr_streaming", "xhr_streaming", Security::Tls).await;
    let (least, answers) = (
        MESSAGES * 400 / ANSWER_BYTES_MAX,
        sockjs.requests("xhr_streaming"),
    );
    assert!(
        answers > least,
        "{answers} answers of {ANSWER_BYTES_MAX} bytes cannot hold {MESSAGES} messages"
    );
    assert_eq!(sockjs.requests("xhr"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn xhr_polling_begins_anew_after_a_close_code() {
    let sockjs = begins_anew("sockjs_xhr", "xhr", Security::Clear).await;
    assert!(
        sockjs.requests("xhr_streaming") <= 2,
        "it is tried first, once for each session"
    );
    assert!(sockjs.requests("xhr") > 2);
}

/// Every message arrives by a transport, although the server closes the session in the middle.
async fn begins_anew(name: &str, transport: &'static str, security: Security) -> SockJs {
    let rabbitmq = &lab().await.rabbitmq;
    let sockjs = SockJs::offering(Offers::Only(transport), security, rabbitmq.stomp_port()).await;
    let configuration =
        Configuration::new(&sockjs.url()).source(&certificates::tls(Shows::Nothing));
    let mut run =
        Scenario::start(name, configuration.queue("status", name, EventKey::EventId)).await;
    let (mut publisher, queue) = (
        Stomp::connect(rabbitmq.stomp_port()).await,
        format!("/queue/{name}"),
    );
    publisher
        .publish(&queue, run.messages(0..MESSAGES / 2))
        .await;
    run.complete(MESSAGES / 4).await;
    sockjs.close_all();
    let said = run
        .daemon
        .complains(&["code 3456", "this server moves"])
        .await;
    assert!(said.contains("not connected"), "{said}");
    publisher
        .publish(&queue, run.messages(MESSAGES / 2..MESSAGES))
        .await;
    run.complete(MESSAGES).await;
    run.daemon.ready().await;
    run.finish(MESSAGES, 0).await;
    assert_drained(rabbitmq, name).await;
    sockjs
}
