//! ActiveMQ Classic over TLS, with and without a certificate of ours.

use super::activemq::shared;
use peers::certificates::{self, Shows};
use peers::configuration::EventKey;
use peers::stomp::assert_drained;
use peers::{Configuration, Daemon, Scenario, Stomp};

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_over_tls() {
    arrives("tls", &shared().await.tls_url(), Shows::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_with_a_client_certificate() {
    arrives("mutual", &shared().await.mutual_tls_url(), Shows::Known).await;
}

async fn arrives(name: &str, url: &str, shows: Shows) {
    let port = shared().await.stomp_port();
    let configuration = Configuration::new(url).source(&certificates::tls(shows));
    let run = Scenario::start(name, configuration.queue("status", name, EventKey::EventId)).await;
    Stomp::connect(port)
        .await
        .publish(&format!("/queue/{name}"), run.messages(0..500))
        .await;
    run.finish(500, 0).await;
    assert_drained(port, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_client_certificate_is_named() {
    let url = shared().await.mutual_tls_url();
    for shows in [Shows::Nothing, Shows::Expired] {
        let configuration = Configuration::new(&url).source(&certificates::tls(shows));
        let configuration = configuration
            .queue("status", "refused", EventKey::None)
            .sqlite();
        let mut daemon = Daemon::start(&configuration).await;
        daemon.complains(&["the server refused", "cert_file"]).await;
        assert!(daemon.runs());
    }
}
