//! From the settings to a sink and the driver of its connection.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::broker::Broker;
use super::dial::Address;
use super::driver::{Driver, Link, Wanted};
use super::offer::Offer;
use super::settings::{Protocol, Settings};
use super::sink::MqttSink;
use super::topic;
use crate::paced::{Interval, Pacing};
use crate::secret::{Lifetime, protect, protect_from_echo, protect_url};
use crate::sinks::{BuildError, Built};

/// Confirmations are read once in so many commits, unless the next events wait for them.
const READ_COMMITS: u32 = 2;

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(
    settings: Settings,
    commit_interval: &Interval,
) -> Result<Built, BuildError> {
    let problem = |problem: &str| BuildError::Settings {
        name: settings.name.clone(),
        problem: problem.to_owned(),
    };
    let url = &settings.url;
    let (encrypted, websocket, default_port) = match url.scheme() {
        "mqtt" => (false, None, 1883),
        "mqtts" => (true, None, 8883),
        "mqtt+ws" => (false, Some("ws"), 80),
        "mqtt+wss" => (true, Some("wss"), 443),
        _ => return Err(problem("url: expected mqtt://host or mqtts://host")),
    };
    if encrypted {
        // Errors of the files are reported at once, not with each connection.
        crate::tls::client_config(&settings.tls)?;
    }
    let host = settings
        .url
        .host_str()
        .ok_or_else(|| problem("url: the host is missing"))?;
    let port = settings.url.port().unwrap_or(default_port);
    let server = format!("{}://{host}:{port}", settings.url.scheme());
    let websocket = websocket.map(|scheme| handshake_url(scheme, host, port, url));
    // An IPv6 address: as a name for TLS and for the resolver it has no brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']');

    if let Some(topic) = &settings.status_topic {
        topic::check_topic(topic).map_err(|error| problem(&format!("status_topic: {error}")))?;
    }
    let without_username = settings.username.is_none() && settings.password.is_some();
    if without_username && settings.protocol != Protocol::V5 {
        return Err(problem(
            "password without username: only MQTT 5 has that; with such a broker set protocol = \"5\"",
        ));
    }
    protect_url(&settings.url, Lifetime::Configured);
    if let Some(username) = &settings.username {
        protect_from_echo(username, Lifetime::Configured);
    }
    if let Some(password) = &settings.password {
        protect(password.expose_secret(), Lifetime::Configured);
    }
    let pacing = Pacing::default();
    let address = Address {
        host: host.to_owned(),
        port,
        tls: encrypted.then(|| settings.tls.clone()),
        alpn: settings.alpn.clone(),
        websocket,
        read_interval: commit_interval.times(READ_COMMITS),
        pacing: pacing.clone(),
    };
    let broker = Broker {
        address,
        username: settings.username.clone(),
        password: settings.password.clone(),
        status_topic: settings.status_topic.clone(),
        qos: settings.qos,
        max_inflight: settings.max_inflight,
        offer: Offer::new(settings.protocol),
    };

    let (wanted, wanted_by_sink) = watch::channel(Wanted::Nothing);
    let ending = CancellationToken::new();
    let (link, link_seen) = watch::channel(Link::Idle);
    let hurry = Arc::new(Notify::new());
    let name = settings.name.clone();
    let driver = Driver {
        name,
        server: server.clone(),
        broker,
        retain: settings.retain,
        wanted: wanted_by_sink,
        link,
        hurry: Arc::clone(&hurry),
        ending: ending.clone(),
    };
    let sink = MqttSink::new(settings, server, wanted, link_seen, hurry, pacing);
    Ok(Built {
        sink: Box::new(sink),
        driver: Some(driver.run().boxed()),
        ending,
    })
}

/// Most brokers have their WebSocket at `/mqtt`.
fn handshake_url(scheme: &str, host: &str, port: u16, url: &Url) -> String {
    let path = match url.path() {
        // `ws://host` of other clients comes with a path of its own making.
        "" | "/" => "/mqtt",
        path => path,
    };
    let query = url.query().map(|query| format!("?{query}"));
    format!(
        "{scheme}://{host}:{port}{path}{}",
        query.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_has_the_urls_path_and_query() {
        for (url, expected) in [
            ("mqtt+ws://b", "ws://b:80/mqtt"),
            ("mqtt+ws://b/", "ws://b:80/mqtt"),
            ("mqtt+ws://[::1]/a/b?token=x", "ws://[::1]:80/a/b?token=x"),
        ] {
            let url: Url = url.parse().unwrap();
            let host = url.host_str().unwrap();
            assert_eq!(handshake_url("ws", host, 80, &url), expected);
        }
    }
}
