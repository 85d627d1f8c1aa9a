//! Keeps a connection to the broker: the one task that polls rumqttc's event loop.
//!
//! rumqttc 0.25.1 loses publishes that it has accepted when it reconnects by itself. So a client and an event loop
//! live for one connection only; on any error both are dropped and new ones are made. `poll` is never cancelled
//! while its connection is still of use: it stands pinned in the `select!`, and every other arm ends the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet,
    QoS, StateError, mqttbytes,
};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::connection::Connection;
use super::window::{NotInFlight, Window};
use super::{OFFLINE, ONLINE};
use crate::sinks::Health;

/// Dialling, TLS and CONNACK; also the longest that one write may take.
const CONNECT_TIMEOUT_S: u64 = 8;
/// The wait after the first failure; doubled after each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Short, since a broker in trouble is usually one that restarts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// After a refusal of who we are: a person has to act, and brokers lock out those who insist.
const BACKOFF_REFUSED: Duration = Duration::from_secs(30);
/// A connection that lived so long ends the backoff; one that another client with our id keeps taking over does not.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// For DISCONNECT to be written.
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

/// See the module.
pub(super) struct Driver {
    /// The sink's name, for log lines.
    pub(super) name: String,
    /// The broker without user and password, for log lines.
    pub(super) server: String,
    /// Everything but the client id.
    pub(super) options: MqttOptions,
    /// For birth and goodbye; the last will is in `options`.
    pub(super) status_topic: Option<String>,
    pub(super) health: Health,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) link: watch::Sender<Link>,
}

/// Why there is no connection any more.
enum End {
    /// Nobody needs one.
    Done,
    /// Another one is to be made.
    Lost { error: String, backoff_min: Duration },
}

impl Driver {
    /// Until the sink is dropped or says goodbye.
    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        let mut attempt = 0;
        let Some(client_id) = self.asked().await else { return };
        self.options.set_client_id(client_id);
        loop {
            let started = Instant::now();
            // Two more than the window, for the goodbye and DISCONNECT.
            let (client, event_loop) = AsyncClient::new(self.options.clone(), usize::from(Window::ROOM) + 2);
            let connection = Arc::new(Connection::new(client));
            let End::Lost { error, backoff_min } = self.live(&connection, event_loop).await else {
                connection.lose("closed".into());
                return;
            };
            if started.elapsed() >= STABLE_AFTER {
                backoff = BACKOFF_MIN;
            }
            backoff = backoff.max(backoff_min);
            let wait = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
            let error: Arc<str> = format!("{}: {error}", self.server).into();
            attempt += 1;
            if self.health.in_trouble(&error) || attempt == 1 {
                warn!(sink = self.name, %error, retry_in_ms = wait.as_millis(), "no connection to the MQTT broker");
            }
            // In this order, so that a publisher that sees the loss never finds this connection again.
            self.link.send_replace(Link::Down { attempt, error: error.clone() });
            connection.lose(error);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = no_longer_wanted(self.wanted.clone()) => return,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX.max(backoff_min));
        }
    }

    /// The client id, once the sink is opened.
    async fn asked(&mut self) -> Option<String> {
        match self.wanted.wait_for(|wanted| *wanted != Wanted::Nothing).await.ok()?.clone() {
            Wanted::Connection(client_id) => Some(client_id),
            Wanted::Nothing | Wanted::Goodbye => None,
        }
    }

    /// One connection, from dialling to its end.
    async fn live(&self, connection: &Arc<Connection>, mut event_loop: EventLoop) -> End {
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        event_loop.set_network_options(network);
        let mut polling = std::pin::pin!(self.poll(&mut event_loop, connection));
        tokio::select! {
            biased;
            end = &mut polling => return end,
            () = connection.abandoned() => return lost("no confirmation from the broker; connecting again"),
            () = no_longer_wanted(self.wanted.clone()) => {}
        }
        if *self.wanted.borrow() == Wanted::Goodbye && {
            // After DISCONNECT the broker does not publish the will (section 3.14.4).
            self.say(connection, OFFLINE);
            connection.say_goodbye()
        } {
            // Polled on, not again from the start: ends with the DISCONNECT that was written.
            let _ = timeout(GOODBYE_TIMEOUT, polling).await;
        }
        End::Done
    }

    /// Publishes our status, retained. The connection counts it as any other publish.
    fn say(&self, connection: &Connection, status: &str) {
        if let Some(topic) = &self.status_topic {
            connection.publish(topic.clone(), QoS::AtLeastOnce, true, status.into());
        }
    }

    /// Polls until the connection fails, or until our DISCONNECT was written.
    async fn poll(&self, event_loop: &mut EventLoop, connection: &Arc<Connection>) -> End {
        loop {
            let outcome = match event_loop.poll().await {
                Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => connection.wrote(packet_id),
                Ok(Event::Incoming(Packet::PubAck(ack))) => connection.acknowledged(ack.pkid),
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    self.health.able();
                    info!(sink = self.name, server = self.server, "connected to the MQTT broker");
                    self.say(connection, ONLINE);
                    self.link.send_replace(Link::Up(connection.clone()));
                    Ok(())
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return End::Done,
                Ok(Event::Outgoing(Outgoing::AwaitAck(packet_id))) => Err(NotInFlight(packet_id)),
                Ok(_) => Ok(()),
                Err(error) => return explain(error),
            };
            if let Err(error) = outcome {
                return lost(&error.to_string());
            }
        }
    }
}

/// Until the sink is dropped or says goodbye.
async fn no_longer_wanted(mut wanted: watch::Receiver<Wanted>) {
    // An error means that the sink is gone, which is an answer, too.
    let _ = wanted.wait_for(|wanted| *wanted == Wanted::Goodbye).await;
}

fn lost(error: &str) -> End {
    End::Lost { error: error.to_owned(), backoff_min: BACKOFF_MIN }
}

/// What to do about it, by the CONNACK return code (MQTT 3.1.1, section 3.2.2.3).
fn explain(error: ConnectionError) -> End {
    let refused = |text: &str| End::Lost { error: text.to_owned(), backoff_min: BACKOFF_REFUSED };
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::RefusedProtocolVersion => {
                refused("connection refused (CONNACK 1): the broker does not speak MQTT 3.1.1")
            }
            ConnectReturnCode::BadClientId => {
                refused("connection refused (CONNACK 2): client id not allowed; set `client_id` to one that is")
            }
            ConnectReturnCode::BadUserNamePassword => {
                refused("connection refused (CONNACK 4): bad user name or password; check both")
            }
            ConnectReturnCode::NotAuthorized => refused(
                "connection refused (CONNACK 5): not authorized; check user name, password and the broker's access list",
            ),
            ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::Success => {
                lost("connection refused (CONNACK 3): the broker is unavailable")
            }
        },
        ConnectionError::NetworkTimeout => {
            lost(&format!("no answer within {CONNECT_TIMEOUT_S} s; check host, port and mqtt:// or mqtts://"))
        }
        ConnectionError::FlushTimeout => lost("the broker no longer reads what we send"),
        ConnectionError::Tls(error) => {
            lost(&format!("TLS: {error}; check `tls.ca_file` and the broker's certificate"))
        }
        ConnectionError::Io(error) => lost(&error.to_string()),
        ConnectionError::MqttState(StateError::ConnectionAborted) => lost("the broker closed the connection"),
        ConnectionError::MqttState(StateError::AwaitPingResp) => lost("the broker no longer answers (no PINGRESP)"),
        ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(error))) => {
            lost(&error.to_string())
        }
        error => lost(&error.to_string()),
    }
}
