//! The broker: who we are to it, and how a connection to it begins.

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

use super::dial::{Address, Reader, Writer};
use super::incoming::{INCOMING_BYTES_MAX, Incoming, Packets, Properties};
use super::loss::{Loss, Obstacle};
use super::offer::Offer;
use super::outgoing::{Connect, Will};
use super::reason::Reason;
use super::settings::Qos;
use super::terms::{KEEP_ALIVE, Terms, Version};
use crate::secret::Secret;

/// Bodies of the status topic.
pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// Some other packet came first (MQTT 3.1.1, section 3.2).
const NO_CONNACK: &str =
    "the first packet was no CONNACK: check that url is that of an MQTT broker";

/// One broker, and who we are to it.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) address: Address,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    /// Where we say that we are there, and it that we are not, if we vanish.
    pub(super) status_topic: Option<String>,
    /// What the sink publishes with.
    pub(super) qos: Qos,
    /// Publishes that we want in flight at most.
    pub(super) max_inflight: u16,
    pub(super) offer: Offer,
}

/// A connection that was accepted.
pub(super) struct Wire {
    pub(super) reader: FramedRead<Reader, Packets>,
    pub(super) writer: Writer,
    pub(super) terms: Terms,
}

impl Broker {
    /// TCP, TLS where it is asked for, CONNECT and CONNACK; with another CONNECT where the broker
    /// refuses something in the first one.
    pub(super) async fn connect(&mut self, client_id: &str) -> Result<Wire, Loss> {
        self.offer.begin();
        loop {
            match self.attempt(client_id).await {
                Ok(wire) => {
                    self.offer.accepted(&wire.terms);
                    return Ok(wire);
                }
                // Each turn leaves one thing out.
                Err(loss) if self.offer.forgo(loss.obstacle) => {}
                Err(loss) => return Err(loss),
            }
        }
    }

    async fn attempt(&self, client_id: &str) -> Result<Wire, Loss> {
        let (reader, mut writer) = self.address.dial().await?;
        let mut reader = FramedRead::new(reader, Packets);
        let mut packet = BytesMut::new();
        let introduced = self.introduction(client_id).write(&mut packet);
        introduced.map_err(|error| Loss::new(format!("CONNECT not sent: {error}")))?;
        writer.write_all(&packet).await?;
        writer.flush().await?;
        let version = self.offer.version;
        let answer = match self.offer.patience() {
            Some(patience) => timeout(patience, reader.next())
                .await
                .map_err(|_| Loss::silent(patience))?,
            None => reader.next().await,
        };
        let properties = match answer {
            Some(Ok(Incoming::ConnAck { reason, properties })) => {
                accepted(version, &reason, properties)?
            }
            Some(Ok(_)) => return Err(Loss::new(NO_CONNACK)),
            Some(Err(error)) => return Err(self.unanswered(error.into())),
            None => return Err(self.unanswered(Loss::closed())),
        };
        let terms = Terms::new(version, &properties, self.max_inflight);
        if self.qos > terms.qos_max {
            return Err(Loss::refusal(
                "the broker offers QoS 0 only, which confirms nothing: set `qos = 0` to do with that",
            ));
        }
        self.address.pacing.begin();
        Ok(Wire {
            reader,
            writer,
            terms,
        })
    }

    fn introduction<'a>(&'a self, client_id: &'a str) -> Connect<'a> {
        let will = self.status_topic.as_ref().map(|topic| Will {
            topic,
            body: OFFLINE,
            qos: self.offer.will_qos,
            retain: self.offer.will_retain,
        });
        Connect {
            version: self.offer.version,
            keep_alive_seconds: KEEP_ALIVE.as_secs() as u16,
            packet_bytes_max: INCOMING_BYTES_MAX as u32,
            client_id,
            will,
            username: self.username.as_deref(),
            password: self.password.as_ref().map(Secret::expose_secret),
        }
    }

    /// MQTT 3.1.1 has no word for a broker without retained messages: such a broker closes the
    /// connection at the will.
    fn unanswered(&self, loss: Loss) -> Loss {
        if loss.obstacle != Obstacle::Closed {
            return loss;
        }
        let advice = match self.status_topic {
            Some(_) => {
                "if it keeps no retained messages, set `status_topic = \"\"` and `retain = false`"
            }
            None => "check that the port is that of an MQTT broker",
        };
        let error = format!("{} before its CONNACK: {advice}", loss.error);
        Loss { error, ..loss }
    }
}

/// What the broker accepts, or what to do about its refusal.
fn accepted(
    version: Version,
    reason: &Reason,
    properties: Option<Properties>,
) -> Result<Properties, Loss> {
    match (version, properties) {
        (Version::V311, _) => accepted_311(reason.code).map(|()| Properties::default()),
        // Its answer is that of MQTT 3.1.1, whatever the answer is.
        (Version::V5, None) => Err(no_mqtt_5(reason)),
        (Version::V5, Some(_)) if matches!(reason.code, 1..=5 | 0x84) => Err(no_mqtt_5(reason)),
        (Version::V5, Some(properties)) if reason.code < 0x80 => Ok(properties),
        (Version::V5, Some(properties)) => Err(refused(reason, properties.server.as_deref())),
    }
}

fn no_mqtt_5(reason: &Reason) -> Loss {
    let error = format!(
        "connection refused (CONNACK {:#04x}): the broker does not speak MQTT 5; set `protocol = \
         \"auto\"` or \"3.1.1\"",
        reason.code
    );
    Loss {
        obstacle: Obstacle::Version,
        ..Loss::refusal(error)
    }
}

/// By the CONNACK reason code of MQTT 5 (section 3.2.2.2).
fn refused(reason: &Reason, server: Option<&str>) -> Loss {
    let advice = match (reason.code, server) {
        (0x85, _) => "; set `client_id` to one that is",
        (0x86, _) => "; check both",
        (0x87, _) => "; check user name, password and the broker's access list",
        (0x90, _) => "; set `status_topic` to one that the broker accepts",
        (0x9A, _) => "; set `status_topic = \"\"` and `retain = false`",
        (0x9C | 0x9D, Some(_)) => "; set `url` to the broker that it names",
        _ => "",
    };
    let named = server.map(|server| format!(", which is \"{server}\""));
    let error = format!(
        "connection refused (CONNACK): {reason}{advice}{}",
        named.unwrap_or_default()
    );
    let obstacle = match reason.code {
        0x9A => Obstacle::Retain,
        0x9B => Obstacle::Qos,
        _ => Obstacle::Other,
    };
    // Busy, too fast, over a quota, on the way down: that passes.
    let passes = matches!(reason.code, 0x80 | 0x83 | 0x88 | 0x89 | 0x97 | 0x9C | 0x9F);
    Loss {
        is_refusal: !passes,
        obstacle,
        ..Loss::new(error)
    }
}

/// By the CONNACK return code of MQTT 3.1.1 (section 3.2.2.3).
fn accepted_311(code: u8) -> Result<(), Loss> {
    let refused = |text: &str| Err(Loss::refusal(format!("connection refused (CONNACK {text}")));
    match code {
        0 => Ok(()),
        1 | 0x84 => Err(Loss {
            obstacle: Obstacle::Version,
            ..Loss::refusal(format!(
                "connection refused (CONNACK {code}): the broker does not speak MQTT 3.1.1"
            ))
        }),
        2 => refused("2): client id not allowed; set `client_id` to one that is"),
        3 => Err(Loss::new(
            "connection refused (CONNACK 3): the broker is unavailable",
        )),
        4 => refused("4): bad user name or password; check both"),
        5 => refused("5): not authorized; check user name, password and the broker's access list"),
        _ => refused(&format!("{code}): the broker does not speak MQTT 3.1.1")),
    }
}
