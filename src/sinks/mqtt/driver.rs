//! Keeps a connection to the broker: the one task that dials, writes what the sink hands over, and
//! reads what the broker confirms.
//!
//! rumqttc's own event loop is not used. It sends each publish by its own call, a quarter of the
//! daemon's CPU time under load. It also loses accepted publishes when it reconnects by itself. Its
//! packets are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use futures_util::StreamExt;
use rumqttc::{Codec, Packet, QoS};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{interval_at, timeout};
use tokio_util::codec::FramedRead;
use tracing::{info, warn};

use super::broker::{Broker, CLOSED, KEEP_ALIVE, Loss, OFFLINE, ONLINE, Stream, Wire};
use super::connection::{Connection, Outbox};
use crate::retry::Backoff;

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
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) link: watch::Sender<Link>,
}

impl Driver {
    /// Until the sink is dropped or says goodbye.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        let mut attempt = 0;
        let Some(client_id) = self.asked().await else {
            return;
        };
        loop {
            let started = Instant::now();
            let connection = Arc::new(Connection::default());
            let Err(Loss { error, is_refusal }) = self.live(&client_id, &connection).await else {
                connection.lose("closed".into());
                return;
            };
            // A connection that another client with our id keeps taking over does not live this
            // long.
            backoff.lived(started.elapsed());
            let wait = match is_refusal {
                true => backoff.next_refused(fastrand::f64()),
                false => backoff.next(fastrand::f64()),
            };
            let error: Arc<str> = format!("{}: {error}", self.server).into();
            attempt += 1;
            if attempt == 1 || matches!(*self.link.borrow(), Link::Up(_)) {
                warn!(sink = self.name, %error, retry_in_ms = wait.as_millis(), "no connection to the MQTT broker");
            }
            // In this order, so that a publisher that sees the loss never finds this connection
            // again.
            self.link.send_replace(Link::Down {
                attempt,
                error: error.clone(),
            });
            connection.lose(error);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = no_longer_wanted(self.wanted.clone()) => return,
            }
        }
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

    /// One connection, from dialling to its end. `Ok`: nobody needs it now.
    async fn live(&self, client_id: &str, connection: &Arc<Connection>) -> Result<(), Loss> {
        let Wire { reader, writer } = tokio::select! {
            wire = timeout(CONNECT_TIMEOUT, self.broker.connect(client_id)) => wire.map_err(|_| {
                let seconds = CONNECT_TIMEOUT.as_secs();
                Loss::new(format!("no answer within {seconds} s; check host, port and mqtt:// or mqtts://"))
            })??,
            () = no_longer_wanted(self.wanted.clone()) => return Ok(()),
        };
        info!(
            sink = self.name,
            server = self.server,
            "connected to the MQTT broker"
        );
        self.say(connection, ONLINE);
        self.link.send_replace(Link::Up(connection.clone()));

        let mut reading = std::pin::pin!(read(reader, connection));
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
            self.broker.pacing.suspend();
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
            connection.publish(topic.clone(), QoS::AtLeastOnce, true, status.into());
            connection.send();
        }
    }
}

/// Counts what the broker confirms, until the connection ends.
async fn read(mut reader: FramedRead<ReadHalf<Stream>, Codec>, connection: &Connection) -> Loss {
    while let Some(packet) = reader.next().await {
        match packet {
            Ok(Packet::PubAck(ack)) => {
                if let Err(error) = connection.acknowledged(ack.pkid) {
                    return Loss::new(error.to_string());
                }
            }
            Ok(Packet::PingResp) => connection.answered(),
            // We subscribe to nothing, so nothing else is for us.
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
    Loss::new(CLOSED)
}

/// Writes the outbox, as much at once as there is, until our DISCONNECT was written.
async fn write(mut writer: WriteHalf<Stream>, connection: &Connection) -> Result<(), Loss> {
    loop {
        let Outbox {
            mut bytes,
            through,
            last,
        } = connection.outbox().await;
        while bytes.has_remaining() {
            match taken(writer.write(&bytes)).await? {
                0 => return Err(Loss::new(CLOSED)),
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
    let mut ticks = interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
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
