//! The sink: hands publishes to the connection's task, and waits for what the broker confirms.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rumqttc::QoS;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::client_id::client_id;
use super::connection::{Connection, Standing};
use super::driver::{Link, Wanted};
use super::publish::Publish;
use super::settings::{Qos, Settings};
use crate::model::{Event, Position};
use crate::paced::Pacing;
use crate::sinks::{Batch, By, Capabilities, Reason, Sink, Trouble, Undelivered};

/// How long `open` waits for a connection before it reports the trouble.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that confirms nothing for this long while publishes are in flight is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// A broker that has closed this many connections at the same publish, with nothing else in flight,
/// rejects that publish: MQTT 3.1.1 has no other way to say so.
const CLOSES_MAX: u32 = 5;
/// After this many the connection is watched for [`QUIET`] before the publish. A connection that is
/// lost in that time (another client takes our id over, the network) was not closed because of the
/// publish. Then the count starts at zero.
const CLOSES_UNWATCHED: u32 = 2;
const QUIET: Duration = Duration::from_secs(2);
/// With more events in a batch the sink is behind: its next batch waits for the confirmations of
/// this one, and each is read as it comes.
const PACED_EVENTS_MAX: usize = 100;
/// For DISCONNECT and the end of the driver.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One broker, by way of the task that keeps a connection to it.
pub(super) struct MqttSink {
    settings: Settings,
    /// For log lines: without user and password.
    server: String,
    wanted: watch::Sender<Wanted>,
    link: watch::Receiver<Link>,
    pacing: Pacing,
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
impl Sink for MqttSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Only for the report: `may_be_lost` tells at once.
            idle_interval: Duration::from_secs(30),
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
            self.pace_confirmations(batch.events.len());
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

    fn pacing(&self) -> Option<Pacing> {
        Some(self.pacing.clone())
    }

    fn may_be_lost(&mut self) -> BoxFuture<'_, ()> {
        async move {
            let lost = self.link.wait_for(|link| !matches!(link, Link::Up(_)));
            // The connection's task has ended: nothing more is to be heard of it.
            if lost.await.is_err() {
                std::future::pending::<()>().await;
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
    /// Not connected; `wanted` and `link` lead to the driver, and `pacing` to its socket.
    pub(super) fn new(
        settings: Settings,
        server: String,
        wanted: watch::Sender<Wanted>,
        link: watch::Receiver<Link>,
        pacing: Pacing,
    ) -> MqttSink {
        MqttSink {
            settings,
            server,
            wanted,
            link,
            pacing,
            pace: Pace::Window,
            closing: None,
        }
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.link.borrow() {
            Link::Up(connection) => Some(connection.clone()),
            Link::Idle | Link::Down { .. } => None,
        }
    }

    /// Where a publish is under suspicion, a loss must be noticed at once, too.
    fn pace_confirmations(&self, events: usize) {
        match self.pace {
            Pace::Window if events <= PACED_EVENTS_MAX => self.pacing.begin(),
            Pace::Window | Pace::OneByOne => self.pacing.suspend(),
        }
    }

    /// Sees whether the connection holds while nothing of ours is in flight, where a publish is
    /// under suspicion.
    async fn watch(&self, connection: &Connection, events: &[Event]) -> Result<(), String> {
        let closing_at = self.closing.is_some_and(|closing| {
            closing.closes >= CLOSES_UNWATCHED
                && events
                    .first()
                    .is_some_and(|event| event.position() == closing.position)
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

    /// Publishes in order, at most a window ahead of the confirmations, and waits for them.
    async fn publish_all(&self, connection: &Connection, batch: Batch<'_>) -> Result<(), Failed> {
        let events = batch.events;
        // A redelivered status may be older than the one that the broker retains.
        let retain = self.settings.retain && batch.reason == Reason::Log;
        let first = connection.accepted();
        let mut sent = 0;
        let mut confirmed_before = first;
        let mut refused = None;
        loop {
            while refused.is_none() && sent < events.len() && connection.has_room() {
                match Publish::new(&self.settings, &events[sent]) {
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
                // Confirmations from before the loss of the connection stay valid.
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
                    let closed_at = next.filter(|_| in_flight).map(Event::position);
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
        match unconfirmed.and_then(|event| Publish::new(&self.settings, event).ok()) {
            Some(Publish { topic, body }) => format!(
                "{error}; the next to confirm has topic {topic:?} and {} bytes: if it is always this one, check the \
                 broker's limits and access list",
                body.len()
            ),
            None => error.to_owned(),
        }
    }
}

fn retry(confirmed: u64, error: String) -> Undelivered {
    // The confirmed events of this batch are a part of it.
    Undelivered {
        confirmed: confirmed as usize,
        trouble: Trouble::Retry { error, after: None },
    }
}
