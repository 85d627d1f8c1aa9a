//! MQTT republishing: QoS 1, the cursor moves on PUBACK. The journal is the session: the
//! connection's own is always clean, and what was not confirmed is published again on the next one.

mod broker;
mod connection;
mod driver;
pub mod topic;
mod window;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rumqttc::QoS;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use self::broker::Broker;
use self::connection::{Connection, Standing};
use self::driver::{Driver, Link, Wanted};
use crate::model::{Event, Position};
use crate::pipeline::Template;
use crate::secret::Secret;
use crate::sinks::{
    Batch, BuildError, Built, By, Capabilities, Reason, Sink, Trouble, Undelivered,
};

/// How long `open` waits for a connection before it reports the trouble.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that confirms nothing for so long while publishes are in flight is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// A broker that has closed so many connections at one and the same publish, with nothing else in
/// flight, does not take that one: MQTT 3.1.1 has no other way to say so.
const CLOSES_MAX: u32 = 5;
/// After this many the connection is watched for [`QUIET`] before the publish: one that is lost all
/// the same (another client takes our id over, the network) was not closed because of it, and the
/// count begins anew.
const CLOSES_UNWATCHED: u32 = 2;
const QUIET: Duration = Duration::from_secs(2);
/// For DISCONNECT and the end of the driver.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bodies of the status topic.
const ONLINE: &str = "online";
const OFFLINE: &str = "offline";
/// Largest length that a packet can state (MQTT 3.1.1, section 2.2.3).
const REMAINING_BYTES_MAX: usize = 268_435_455;

/// Quality of service; 2 is refused by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Qos {
    /// Fire and forget: the cursor moves once the message is written to the socket.
    AtMostOnce,
    /// The cursor moves on PUBACK.
    #[default]
    AtLeastOnce,
}

/// Validated settings of an MQTT sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration; part of the default client id.
    pub name: String,
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`, without user and password.
    pub url: Url,
    /// The user's name.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// MQTT client id; `None`: made from the sink's name and the journal's uuid, so that it is the
    /// same after a restart and never that of another daemon.
    pub client_id: Option<String>,
    /// Each `{{ value }}` is encoded so that it stays one level ([`topic::encode_level`]).
    pub topic: Template,
    /// The body; `None`: the event's JSON.
    pub body: Option<Template>,
    /// See [`Qos`].
    pub qos: Qos,
    /// Whether the broker keeps the newest message of each topic.
    pub retain: bool,
    /// Where the sink says, retained, whether it is there: `online` once it is connected, `offline`
    /// when it leaves, by the broker itself (last will) where it could not say so; `None`: nowhere.
    pub status_topic: Option<String>,
    /// Extra roots, client certificate.
    pub tls: crate::tls::Settings,
    /// Largest encoded PUBLISH; a larger one is dead-lettered.
    pub packet_bytes_max: usize,
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Result<Built, BuildError> {
    let problem = |problem: &str| BuildError::Settings {
        name: settings.name.clone(),
        problem: problem.to_owned(),
    };
    let (tls, default_port) = match settings.url.scheme() {
        "mqtt" => (None, 1883),
        "mqtts" => {
            // What is wrong with the files is said at once, not with each connection.
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
    let broker = Broker {
        host: host.to_owned(),
        port,
        tls,
        login,
        status_topic,
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
    let sink = MqttSink {
        settings,
        server,
        wanted,
        link: link_seen,
        pace: Pace::Window,
        closing: None,
    };
    Ok(Built {
        sink: Box::new(sink),
        driver: Some(driver.run().boxed()),
    })
}

struct MqttSink {
    settings: Settings,
    /// For log lines: without user and password.
    server: String,
    wanted: watch::Sender<Wanted>,
    link: watch::Receiver<Link>,
    pace: Pace,
    closing: Option<Closing>,
}

/// A publish at which the broker has closed the connection, nothing else being in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Closing {
    position: Position,
    closes: u32,
}

/// How many publishes may be unconfirmed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As many as the window has room for.
    Window,
    /// One, after a connection that was lost before it confirmed anything: MQTT 3.1.1 has no other
    /// way to refuse a publish than to close the connection, and only so is it known which one that
    /// was.
    OneByOne,
}

/// Why not all of a batch was confirmed.
struct Failed {
    undelivered: Undelivered,
    /// The first publish in flight when the connection was lost.
    closed_at: Option<Position>,
}

/// A PUBLISH that is ready to go.
#[derive(Debug)]
struct Publish {
    topic: String,
    body: Vec<u8>,
}

impl Sink for MqttSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // It only looks at what the connection's task knows.
            idle_interval: Duration::from_secs(1),
            ..Capabilities::default()
        }
    }

    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            let client_id = self
                .settings
                .client_id
                .clone()
                .unwrap_or_else(|| client_id(&self.settings.name, journal));
            self.wanted.send_replace(Wanted::Connection(client_id));
            match timeout(OPEN_TIMEOUT, self.connected()).await {
                Ok(Ok(())) => Ok(None),
                Ok(Err(error)) => Err(Trouble::Retry { error, after: None }),
                Err(_) => Err(Trouble::Retry {
                    error: self.why_down(),
                    after: None,
                }),
            }
        }
        .boxed()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let Some(connection) = self.connection() else {
                return Err(Undelivered {
                    confirmed: 0,
                    trouble: Trouble::Retry {
                        error: self.why_down(),
                        after: None,
                    },
                });
            };
            if let Err(error) = self.watch(&connection, batch.events).await {
                self.closing = None;
                return Err(retry(0, error));
            }
            let alone = self.pace == Pace::OneByOne;
            let outcome = self.publish_all(&connection, batch).await;
            match outcome {
                Ok(()) => {
                    self.pace = Pace::Window;
                    self.closing = None;
                    Ok(())
                }
                Err(Failed {
                    undelivered,
                    closed_at,
                }) => {
                    if undelivered.confirmed == 0
                        && matches!(undelivered.trouble, Trouble::Retry { .. })
                    {
                        self.pace = Pace::OneByOne;
                    }
                    Err(self.accuse(undelivered, closed_at.filter(|_| alone)))
                }
            }
        }
        .boxed()
    }

    /// The connection's task knows: a broker that no longer answers its pings has lost it.
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            match self.connection() {
                Some(_) => Ok(()),
                None => Err(Trouble::Retry {
                    error: self.why_down(),
                    after: None,
                }),
            }
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.wanted.send_replace(Wanted::Goodbye);
            // The driver drops its end when it is done; one that was never run has nothing to say.
            let _ = timeout(CLOSE_TIMEOUT, async {
                while self.link.changed().await.is_ok() {}
            })
            .await;
        }
        .boxed()
    }
}

impl MqttSink {
    fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.link.borrow() {
            Link::Up(connection) => Some(connection.clone()),
            Link::Idle | Link::Down { .. } => None,
        }
    }

    /// Sees whether the connection holds while nothing of ours is in flight, where a publish is
    /// under suspicion.
    async fn watch(&self, connection: &Connection, events: &[Event]) -> Result<(), String> {
        let closing_at = self.closing.is_some_and(|closing| {
            closing.closes >= CLOSES_UNWATCHED
                && events
                    .first()
                    .is_some_and(|event| event.position == closing.position)
        });
        if !closing_at {
            return Ok(());
        }
        match timeout(QUIET, connection.progress(u64::MAX)).await {
            Ok(Standing::Lost { error, .. }) => Err(error.to_string()),
            Ok(Standing::Confirmed(_)) | Err(_) => Ok(()),
        }
    }

    /// Counts how often the broker has closed the connection at one publish; in the end that is a
    /// refusal.
    fn accuse(&mut self, undelivered: Undelivered, closed_at: Option<Position>) -> Undelivered {
        let Some(position) = closed_at else {
            self.closing = None;
            return undelivered;
        };
        let before = self
            .closing
            .filter(|closing| closing.position == position)
            .map_or(0, |closing| closing.closes);
        let closes = before + 1;
        self.closing = Some(Closing { position, closes });
        let Undelivered {
            confirmed,
            trouble: Trouble::Retry { error, .. },
        } = undelivered
        else {
            return undelivered;
        };
        if closes < CLOSES_MAX {
            return retry(confirmed as u64, error);
        }
        self.closing = None;
        let error =
            format!("the broker has closed the connection {closes} times at this publish: {error}");
        let trouble = Trouble::Refused {
            index: Some(confirmed),
            by: By::Them,
            error,
        };
        Undelivered { confirmed, trouble }
    }

    fn why_down(&self) -> String {
        match &*self.link.borrow() {
            Link::Down { error, .. } => error.to_string(),
            Link::Idle | Link::Up(_) => format!("{}: not connected yet", self.server),
        }
    }

    /// Waits for a connection, or for the next attempt at one to fail.
    async fn connected(&mut self) -> Result<(), String> {
        let attempt_of = |link: &Link| match link {
            Link::Down { attempt, .. } => *attempt,
            Link::Idle | Link::Up(_) => 0,
        };
        let attempts_before = attempt_of(&self.link.borrow());
        let link = self
            .link
            .wait_for(|link| matches!(link, Link::Up(_)) || attempt_of(link) > attempts_before)
            .await;
        match &*link.map_err(|_| format!("{}: the connection's task has ended", self.server))? {
            Link::Down { error, .. } => Err(error.to_string()),
            Link::Up(_) | Link::Idle => Ok(()),
        }
    }

    /// Publishes in order, never more than the window past what is confirmed, and waits for the
    /// confirmations.
    async fn publish_all(&self, connection: &Connection, batch: Batch<'_>) -> Result<(), Failed> {
        let events = batch.events;
        // What is published again may be older than what the broker keeps.
        let retain = self.settings.retain && batch.reason == Reason::Log;
        let first = connection.accepted();
        let mut sent = 0;
        let mut confirmed_before = first;
        let mut refused = None;
        loop {
            while refused.is_none() && sent < events.len() && connection.has_room() {
                match self.prepare(&events[sent]) {
                    Ok(Publish { topic, body }) => {
                        let qos = match self.settings.qos {
                            Qos::AtMostOnce => QoS::AtMostOnce,
                            Qos::AtLeastOnce => QoS::AtLeastOnce,
                        };
                        let enough = connection.publish(topic, qos, retain, body);
                        sent += 1;
                        if self.pace == Pace::OneByOne {
                            break;
                        }
                        if enough {
                            connection.send();
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) => refused = Some(error),
                }
            }
            connection.send();
            let target = first + sent as u64;
            match timeout(CONFIRM_TIMEOUT, connection.progress(target)).await {
                // What was confirmed before the connection was lost is as good as ever.
                Ok(Standing::Confirmed(confirmed) | Standing::Lost { confirmed, .. })
                    if confirmed >= target && (refused.is_some() || sent == events.len()) =>
                {
                    return match refused {
                        None => Ok(()),
                        Some(error) => {
                            let trouble = Trouble::Refused {
                                index: Some(sent),
                                by: By::Us,
                                error,
                            };
                            Err(Failed {
                                undelivered: Undelivered {
                                    confirmed: sent,
                                    trouble,
                                },
                                closed_at: None,
                            })
                        }
                    };
                }
                Ok(Standing::Lost { confirmed, error }) => {
                    let confirmed = confirmed.saturating_sub(first);
                    let next = events.get(confirmed as usize);
                    let error = self.blame(&error, next);
                    let in_flight = sent as u64 > confirmed;
                    let closed_at = next.filter(|_| in_flight).map(|event| event.position);
                    return Err(Failed {
                        undelivered: retry(confirmed, error),
                        closed_at,
                    });
                }
                Ok(Standing::Confirmed(_)) => {}
                // Slow is not silent.
                Err(_) if connection.confirmed() > confirmed_before => {}
                Err(_) => {
                    connection.abandon();
                    let seconds = CONFIRM_TIMEOUT.as_secs();
                    let error = format!("{}: no confirmation within {seconds} s", self.server);
                    let undelivered = retry(connection.confirmed().saturating_sub(first), error);
                    return Err(Failed {
                        undelivered,
                        closed_at: None,
                    });
                }
            }
            confirmed_before = connection.confirmed();
        }
    }

    /// Names the first publish that was not confirmed, for the case that it is always the same.
    fn blame(&self, error: &str, unconfirmed: Option<&Event>) -> String {
        match unconfirmed.and_then(|event| self.prepare(event).ok()) {
            Some(Publish { topic, body }) => format!(
                "{error}; the next to confirm has topic {topic:?} and {} bytes: if it is always this one, check the \
                 broker's limits and access list",
                body.len()
            ),
            None => error.to_owned(),
        }
    }

    fn prepare(&self, event: &Event) -> Result<Publish, String> {
        let topic = self
            .settings
            .topic
            .render_with(event, topic::encode_level)?;
        topic::check_topic(&topic)?;
        let body = match &self.settings.body {
            Some(template) => template.render(event)?.into_bytes(),
            None => event.to_json(),
        };
        let bytes = packet_bytes(topic.len(), body.len(), self.settings.qos);
        let bytes_max = self.settings.packet_bytes_max.min(REMAINING_BYTES_MAX);
        if bytes > bytes_max {
            return Err(format!(
                "the packet has {bytes} bytes, more than packet_bytes_max = {bytes_max}"
            ));
        }
        Ok(Publish { topic, body })
    }
}

fn retry(confirmed: u64, error: String) -> Undelivered {
    // What is confirmed of this batch is a part of it.
    Undelivered {
        confirmed: confirmed as usize,
        trouble: Trouble::Retry { error, after: None },
    }
}

/// Size of a PUBLISH on the wire: fixed header, topic, packet id, body (section 3.3).
fn packet_bytes(topic_bytes: usize, body_bytes: usize, qos: Qos) -> usize {
    let packet_id = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 2,
    };
    let remaining = 2 + topic_bytes + packet_id + body_bytes;
    let length = match remaining {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    };
    1 + length + remaining
}

/// The 23 letters and digits that every broker allows (section 3.1.3.1).
fn client_id(name: &str, journal: Uuid) -> String {
    let digest = Sha256::new()
        .chain_update(journal.as_bytes())
        .chain_update(name)
        .finalize();
    let digits: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("stompbridge{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_stable_and_its_own_and_allowed_everywhere() {
        let journals = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let id = client_id("site", journals[0]);
        assert_eq!(id, client_id("site", journals[0]));
        assert_ne!(id, client_id("site", journals[1]));
        assert_ne!(id, client_id("other", journals[0]));
        assert!(
            id.len() <= 23 && id.chars().all(|c| c.is_ascii_alphanumeric()),
            "{id}"
        );
    }

    #[test]
    fn the_size_of_a_packet_is_what_rumqttc_will_write() {
        for (topic, body) in [
            (1, 0),
            (60, 60),
            (100, 23),
            (100, 24),
            (50, 16_400),
            (9, 2_097_200),
        ] {
            let mut publish =
                rumqttc::Publish::new("t".repeat(topic), QoS::AtLeastOnce, vec![0; body]);
            publish.pkid = 1;
            assert_eq!(
                packet_bytes(topic, body, Qos::AtLeastOnce),
                publish.size(),
                "{topic} + {body}"
            );
            publish.qos = QoS::AtMostOnce;
            assert_eq!(
                packet_bytes(topic, body, Qos::AtMostOnce),
                publish.size(),
                "{topic} + {body}"
            );
        }
    }
}
