//! TLS under each way to RabbitMQ, with the authority that the configuration names, and with our
//! certificate if the server wants one. It also holds the errors if either side refuses the other's
//! certificate.

use super::lab::lab;
use super::run::assert_drained;
use peers::certificates::{self, Shows};
use peers::configuration::EventKey;
use peers::{Configuration, Daemon, Scenario, Stomp};

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_over_tls_with_a_client_certificate() {
    arrives("over_tls", &lab().await.rabbitmq.stomps_url(), Shows::Known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_over_web_stomp_and_tls() {
    arrives(
        "over_web_stomp_and_tls",
        &lab().await.rabbitmq.web_stomps_url(),
        Shows::Nothing,
    )
    .await;
}

async fn arrives(name: &str, url: &str, shows: Shows) {
    let rabbitmq = &lab().await.rabbitmq;
    let configuration = Configuration::new(url).source(&certificates::tls(shows));
    let run = Scenario::start(name, configuration.queue("status", name, EventKey::EventId)).await;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    publisher
        .publish(&format!("/queue/{name}"), run.messages(0..2000))
        .await;
    run.finish(2000, 0).await;
    assert_drained(rabbitmq, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_client_certificate_is_named() {
    let url = lab().await.rabbitmq.stomps_url();
    for shows in [Shows::Nothing, Shows::Expired] {
        unconnected(
            &url,
            &certificates::tls(shows),
            &["the server refused", "cert_file"],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_of_an_unknown_authority_is_not_believed() {
    let rabbitmq = &lab().await.rabbitmq;
    for url in [rabbitmq.stomps_url(), rabbitmq.web_stomps_url()] {
        unconnected(&url, "", &["TLS", "set ca_file"]).await;
    }
}

/// The daemon says so, lives on, and is not ready.
async fn unconnected(url: &str, source: &str, words: &[&str]) {
    let configuration =
        Configuration::new(url)
            .source(source)
            .queue("status", "unconnected", EventKey::None);
    let mut daemon = Daemon::start(&configuration.sqlite()).await;
    daemon.complains(words).await;
    assert!(daemon.runs());
    assert_eq!(
        daemon.get("/readyz").await.map(|(status, _)| status),
        Some(503)
    );
}
