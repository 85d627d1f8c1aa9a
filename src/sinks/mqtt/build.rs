//! From the settings to a sink and the driver of its connection.

use futures_util::FutureExt;
use tokio::sync::watch;

use super::broker::Broker;
use super::driver::{Driver, Link, Wanted};
use super::settings::Settings;
use super::sink::MqttSink;
use super::topic;
use crate::paced::{Interval, Pacing};
use crate::secret::{Lifetime, protect};
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
    let (tls, default_port) = match settings.url.scheme() {
        "mqtt" => (None, 1883),
        "mqtts" => {
            // Errors of the files are reported at once, not with each connection.
            crate::tls::client_config(&settings.tls)?;
            (Some(settings.tls.clone()), 8883)
        }
        _ => return Err(problem("url: expected mqtt://host or mqtts://host")),
    };
    let host = settings
        .url
        .host_str()
        .ok_or_else(|| problem("url: the host is missing"))?;
    let port = settings.url.port().unwrap_or(default_port);
    let server = format!("{}://{host}:{port}", settings.url.scheme());
    // An IPv6 address: as a name for TLS and for the resolver it has no brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']');

    if let Some(topic) = &settings.status_topic {
        topic::check_topic(topic).map_err(|error| problem(&format!("status_topic: {error}")))?;
    }
    if let Some(password) = &settings.password {
        protect(password.expose_secret(), Lifetime::Configured);
    }
    let login = match (&settings.username, &settings.password) {
        (Some(username), password) => {
            Some((username.clone(), password.clone().unwrap_or_default()))
        }
        (None, Some(_)) => {
            return Err(problem(
                "password without username: MQTT 3.1.1 knows no such thing",
            ));
        }
        (None, None) => None,
    };
    let status_topic = settings.status_topic.clone();
    let pacing = Pacing::default();
    let broker = Broker {
        host: host.to_owned(),
        port,
        tls,
        login,
        status_topic,
        read_interval: commit_interval.times(READ_COMMITS),
        pacing: pacing.clone(),
    };

    let (wanted, wanted_by_sink) = watch::channel(Wanted::Nothing);
    let (link, link_seen) = watch::channel(Link::Idle);
    let name = settings.name.clone();
    let driver = Driver {
        name,
        server: server.clone(),
        broker,
        wanted: wanted_by_sink,
        link,
    };
    let sink = MqttSink::new(settings, server, wanted, link_seen, pacing);
    Ok(Built {
        sink: Box::new(sink),
        driver: Some(driver.run().boxed()),
    })
}
