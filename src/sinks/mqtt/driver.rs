//! Keeps a connection to the broker: the one task that dials, writes what the sink hands over, and
//! reads what the broker confirms.
//!
//! No client library is used. rumqttc's event loop sends each publish by its own call, a quarter of
//! the daemon's CPU time under load. It also loses accepted publishes when it reconnects by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::broker::{Broker, OFFLINE, ONLINE, Wire};
use super::connection::{Blame, Connection, Lost, Outbox};
use super::dial::{Reader, Writer};
use super::incoming::{Incoming, Packets};
use super::loss::Loss;
use super::reason::{Reason, Verdict};
use super::terms::Terms;
use crate::retry::{Backoff, STABLE};
use crate::rotation;

/// Dialling, TLS and CONNACK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// The longest that the broker may take nothing of what we write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// Short, since a broker in trouble is usually one that restarts. When it is given publishes again
/// is decided by the delivery.
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// For DISCONNECT to be written, and for the broker to hang up.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the sink wants of its driver. The sink's end of the channel dropped means: end at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Not yet opened.
    Nothing,
    /// A connection under this client id.
    Connection(String),
    /// DISCONNECT, then end.
    Goodbye,
}

/// What the driver has.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// Nothing was tried yet.
    Idle,
    /// Publishes may be handed over.
    Up(Arc<Connection>),
    /// The attempt of that number failed or its connection was lost; another follows.
    Down {
        /// Counts up.
        attempt: u64,
        /// Where and why.
        error: Arc<str>,
    },
}

/// The task of one sink's connection.
pub(super) struct Driver {
    /// The sink's name, for log lines.
    pub(super) name: String,
    /// The broker without user and password, for log lines.
    pub(super) server: String,
    pub(super) broker: Broker,
    /// The sink wants the broker to keep what it publishes.
    pub(super) retain: bool,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) link: watch::Sender<Link>,
    /// Ends a back-off.
    pub(super) hurry: Arc<Notify>,
    /// Cancelled: no further connection.
    pub(super) ending: CancellationToken,
}

impl Driver {
    /// Until the sink is dropped or says goodbye.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        let mut attempt = 0;
        let Some(client_id) = self.asked().await else {
            return;
        };
        let mut closes = ShortLives::default();
        let mut said = None;
        loop {
            let started = Instant::now();
            let mut connection = None;
            let ended = match self.dial(&client_id).await {
                None => return,
                Some(Err(loss)) => Err(loss),
                Some(Ok(wire)) => {
                    self.tell(&wire.terms, &mut said);
                    let connection = connection.insert(Connection::new(wire.terms.clone()).into());
                    self.live(&client_id, wire, connection).await
                }
            };
            let Err(loss) = ended else {
                let error = "closed".into();
                let blame = Blame::Nothing;
                if let Some(connection) = connection {
                    connection.lose(Lost { error, blame });
                }
                return;
            };
            // A connection that another client with our id keeps taking over does not live this
            // long.
            backoff.lived(started.elapsed());
            let wait = match loss.is_refusal {
                true => backoff.next_refused(fastrand::f64()),
                false => backoff.next(fastrand::f64()),
            };
            let is_short = connection.is_some() && loss.is_without_cause();
            let advice = closes.count(is_short, started.elapsed(), &client_id);
            let error: Arc<str> = format!("{}: {}{advice}", self.server, loss.error).into();
            attempt += 1;
            let was_up = matches!(*self.link.borrow(), Link::Up(_));
            if attempt == 1 || (was_up && closes.should_log()) {
                warn!(sink = self.name, %error, retry_in_ms = wait.as_millis() as u64, "no connection to the MQTT broker");
            }
            // In this order, so that a publisher that sees the loss never finds this connection
            // again.
            self.link.send_replace(Link::Down {
                attempt,
                error: error.clone(),
            });
            if let Some(connection) = connection {
                let blame = loss.blame();
                connection.lose(Lost { error, blame });
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.hurry.notified() => {}
                () = no_longer_wanted(self.wanted.clone()) => return,
            }
        }
    }

    /// A connection that the broker has accepted; `None`: nobody needs it now.
    async fn dial(&mut self, client_id: &str) -> Option<Result<Wire, Loss>> {
        let wanted = self.wanted.clone();
        let connecting = async {
            rotation::until_current().await;
            timeout(CONNECT_TIMEOUT, self.broker.connect(client_id)).await
        };
        tokio::select! {
            biased;
            () = self.ending.cancelled() => None,
            wire = connecting => {
                Some(wire.unwrap_or_else(|_| {
                    let seconds = CONNECT_TIMEOUT.as_secs();
                    let advice = "check host, port and mqtt:// or mqtts://";
                    Err(Loss::new(format!("no answer within {seconds} s; {advice}")))
                }))
            }
            () = no_longer_wanted(wanted) => None,
        }
    }

    /// Says in the log what was agreed on; what the broker lacks only if it is news.
    fn tell(&self, terms: &Terms, said: &mut Option<Terms>) {
        info!(
            sink = self.name,
            server = self.server,
            protocol = terms.version.name(),
            "connected to the MQTT broker"
        );
        let is_news = said.as_ref() != Some(terms);
        if is_news && !terms.retains && self.retain {
            warn!(
                sink = self.name,
                "the MQTT broker keeps no retained messages: they are published without `retain`; \
                 set `retain = false`, or have the broker keep them"
            );
        }
        *said = Some(terms.clone());
    }

    /// The client id, once the sink is opened.
    async fn asked(&mut self) -> Option<String> {
        match self
            .wanted
            .wait_for(|wanted| *wanted != Wanted::Nothing)
            .await
            .ok()?
            .clone()
        {
            Wanted::Connection(client_id) => Some(client_id),
            Wanted::Nothing | Wanted::Goodbye => None,
        }
    }

    /// One connection, from CONNACK to its end. `Ok`: nobody needs it now.
    async fn live(
        &self,
        client_id: &str,
        wire: Wire,
        connection: &Arc<Connection>,
    ) -> Result<(), Loss> {
        let Wire { reader, writer, .. } = wire;
        self.say(connection, ONLINE);
        self.link.send_replace(Link::Up(connection.clone()));

        let mut reading = std::pin::pin!(self.read(reader, connection, client_id));
        let mut writing = std::pin::pin!(write(writer, connection));
        tokio::select! {
            biased;
            loss = &mut reading => return Err(loss),
            written = &mut writing => return written,
            loss = ping(connection) => return Err(loss),
            () = connection.abandoned() => return Err(Loss::new("no confirmation from the broker; connecting again")),
            () = no_longer_wanted(self.wanted.clone()) => {}
        }
        if *self.wanted.borrow() == Wanted::Goodbye {
            self.broker.address.pacing.suspend();
            // After DISCONNECT the broker does not publish the will (section 3.14.4).
            self.say(connection, OFFLINE);
            connection.say_goodbye();
            // Then our side is closed, and the broker closes its own once it has read all. If we
            // closed both before we read its last confirmations, it might never see our last
            // packets.
            let _ = timeout(GOODBYE_TIMEOUT, async { (writing.await, reading.await) }).await;
        }
        Ok(())
    }

    /// Publishes our status, retained. The connection counts it as any other publish.
    fn say(&self, connection: &Connection, status: &str) {
        if let Some(topic) = &self.broker.status_topic {
            let Terms {
                qos_max, retains, ..
            } = *connection.terms();
            let body = Bytes::copy_from_slice(status.as_bytes());
            connection.publish(topic, qos_max, retains, body);
            connection.send();
        }
    }

    /// Counts what the broker confirms, until the connection ends.
    async fn read(
        &self,
        mut reader: FramedRead<Reader, Packets>,
        connection: &Connection,
        client_id: &str,
    ) -> Loss {
        while let Some(packet) = reader.next().await {
            match packet {
                Ok(Incoming::PubAck { packet_id, reason }) => {
                    let rejection =
                        Some(&reason).filter(|reason| reason.verdict() != Verdict::Accepted);
                    let rejection = rejection.cloned();
                    match (connection.acknowledged(packet_id, reason), rejection) {
                        (Ok(STATUS), Some(reason)) => self.status_rejected(&reason),
                        (Ok(_), _) => {}
                        (Err(error), _) => return Loss::new(error.to_string()),
                    }
                }
                Ok(Incoming::PingResp) => connection.answered(),
                Ok(Incoming::Disconnect { reason, server }) => {
                    return Loss::disconnected(reason, server.as_deref(), client_id);
                }
                // We subscribe to nothing, so nothing else is for us.
                Ok(Incoming::ConnAck { .. } | Incoming::Other) => {}
                Err(error) => return error.into(),
            }
        }
        Loss::closed()
    }

    /// Our own status is the first publish of a connection, where there is a topic for it.
    fn status_rejected(&self, reason: &Reason) {
        if let Some(topic) = &self.broker.status_topic {
            warn!(
                sink = self.name,
                topic,
                %reason,
                "the MQTT broker rejects the sink's own status; set `status_topic` to a topic that \
                 the broker's access list allows, or to \"\""
            );
        }
    }
}

/// The number of a connection's first publish.
const STATUS: u64 = 0;

/// Connections in a row that the broker has accepted, and closed soon after, without a word.
#[derive(Debug, Default)]
struct ShortLives(u32);

impl ShortLives {
    /// A broker of MQTT 3.1.1 closes the connection of a client whose id another one has taken.
    /// Gives what there is to add to the error.
    fn count(&mut self, is_short: bool, lived: Duration, client_id: &str) -> String {
        match is_short && lived < STABLE {
            true => self.0 = self.0.saturating_add(1),
            false => self.0 = 0,
        }
        if self.0 < SHORT_LIVES_NAMED {
            return String::new();
        }
        format!(
            " soon after it has accepted it, {} times in a row: does another client use the \
             client_id \"{client_id}\"?",
            self.0
        )
    }

    /// The first ones, then fewer and fewer.
    fn should_log(&self) -> bool {
        self.0 <= SHORT_LIVES_NAMED || self.0.is_power_of_two()
    }
}

/// One close, or two, come from a broker that restarts.
const SHORT_LIVES_NAMED: u32 = 3;

/// Writes the outbox, as much at once as there is, until our DISCONNECT was written.
async fn write(mut writer: Writer, connection: &Connection) -> Result<(), Loss> {
    loop {
        let Outbox {
            mut bytes,
            through,
            last,
        } = connection.outbox().await;
        while bytes.has_remaining() {
            match taken(writer.write(&bytes)).await? {
                0 => return Err(Loss::closed()),
                written => bytes.advance(written),
            }
        }
        taken(writer.flush()).await?;
        connection.wrote(through);
        if last {
            return taken(writer.shutdown()).await;
        }
    }
}

async fn taken<T>(writing: impl Future<Output = std::io::Result<T>>) -> Result<T, Loss> {
    match timeout(WRITE_TIMEOUT, writing).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(Loss::new("the broker no longer reads what we send")),
    }
}

/// Asks the broker for a sign of life now and then, until it gives none.
async fn ping(connection: &Connection) -> Loss {
    let keep_alive = connection.terms().keep_alive;
    let mut ticks = interval_at(tokio::time::Instant::now() + keep_alive, keep_alive);
    // After a stall the broker has the whole time for its answer.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !connection.ping() {
            return Loss::new("the broker no longer answers (no PINGRESP)");
        }
    }
}

/// Until the sink is dropped or says goodbye.
async fn no_longer_wanted(mut wanted: watch::Receiver<Wanted>) {
    // An error means that the sink is gone, which is an answer, too.
    let _ = wanted.wait_for(|wanted| *wanted == Wanted::Goodbye).await;
}

#[cfg(test)]
mod tests {
    use super::super::incoming::Properties;
    use super::super::terms::{KEEP_ALIVE, Version};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_stall_the_broker_has_a_whole_keep_alive_to_answer() {
        let terms = Terms::new(Version::V311, &Properties::default(), 1);
        let connection = Connection::new(terms);
        let mut pings = std::pin::pin!(ping(&connection));
        assert!(futures_util::poll!(&mut pings).is_pending());
        tokio::time::advance(KEEP_ALIVE * 3).await;
        assert!(
            futures_util::poll!(&mut pings).is_pending(),
            "asked just now"
        );
        connection.answered();
        tokio::time::advance(KEEP_ALIVE).await;
        assert!(futures_util::poll!(&mut pings).is_pending(), "asked again");
        tokio::time::advance(KEEP_ALIVE).await;
        assert!(futures_util::poll!(&mut pings).is_ready(), "no answer");
    }

    #[test]
    fn a_take_over_is_named_after_the_third_close() {
        let mut closes = ShortLives::default();
        let second = Duration::from_secs(1);
        let mut count = |is_short, lived| closes.count(is_short, lived, "bridge");
        assert_eq!(count(true, second), "");
        assert_eq!(count(true, second), "");
        let named = count(true, second);
        assert!(
            named.contains("3 times in a row") && named.contains("\"bridge\""),
            "{named}"
        );
        assert_eq!(count(true, STABLE), "", "it has stood");
        assert_eq!(count(true, second), "");
        assert_eq!(count(true, second), "");
        assert_eq!(count(false, second), "", "the broker was away");
        assert_eq!(count(true, second), "");
    }

    #[test]
    fn closes_that_go_on_are_seldom_a_line() {
        let mut closes = ShortLives::default();
        let mut lines = 0;
        for _ in 0..1000 {
            closes.count(true, Duration::ZERO, "bridge");
            lines += u32::from(closes.should_log());
        }
        assert_eq!(lines, 11);
    }
}
