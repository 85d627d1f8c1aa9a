//! The broker: where it is, who we are to it, and how a connection to it begins. The packets are
//! rumqttc's.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use rumqttc::{Codec, Connect, ConnectReturnCode, LastWill, Login, Packet, QoS, mqttbytes};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::codec::FramedRead;

use crate::paced::{Interval, PacedStream, Pacing, TcpAcks};
use crate::secret::Secret;
use crate::tls;

/// We say something at least so often; a broker hangs up after one and a half times this (MQTT
/// 3.1.1, section 3.1.2.10).
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// We subscribe to nothing: whatever a broker sends us is short.
const INCOMING_BYTES_MAX: usize = 64 * 1024;

/// Bodies of the status topic.
pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// Some other packet came first (MQTT 3.1.1, section 3.2).
const NO_CONNACK: &str =
    "the first packet was no CONNACK: check that url is that of an MQTT 3.1.1 broker";

/// What there is to say where it does not say why.
pub(super) const CLOSED: &str = "the broker closed the connection";

/// One broker, and who we are to it.
#[derive(Debug)]
pub(super) struct Broker {
    /// An IPv6 address has no brackets here.
    pub(super) host: String,
    pub(super) port: u16,
    /// `None`: clear text. The files are read for each connection, so that a renewed certificate is
    /// used at the next one.
    pub(super) tls: Option<tls::Settings>,
    /// User and password.
    pub(super) login: Option<(String, Secret)>,
    /// Where we say that we are there, and it that we are not, if we vanish.
    pub(super) status_topic: Option<String>,
    /// How often what it confirms is read while there is always something.
    pub(super) read_interval: Interval,
    /// Of whichever connection there is: has it read what the broker has confirmed.
    pub(super) pacing: Pacing,
}

/// A connection that was accepted.
pub(super) struct Wire {
    pub(super) reader: FramedRead<ReadHalf<Stream>, Codec>,
    pub(super) writer: WriteHalf<Stream>,
}

/// TCP, or TLS over it.
pub(super) type Stream = Box<dyn ByteStream>;

/// Bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Why the connection ended.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) error: String,
    /// Who we are was refused: a person has to act, and brokers lock out those who insist.
    pub(super) is_refusal: bool,
}

impl Loss {
    pub(super) fn new(error: impl Into<String>) -> Loss {
        Loss {
            error: error.into(),
            is_refusal: false,
        }
    }
}

impl From<io::Error> for Loss {
    fn from(error: io::Error) -> Loss {
        // TLS 1.3 tells of a refused client certificate after the handshake, with the first read.
        match tls::refusal(&error) {
            Some(refusal) => tls_problem(&tls::explained(refusal)),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Loss::new(CLOSED),
            None => Loss::new(error.to_string()),
        }
    }
}

impl From<mqttbytes::Error> for Loss {
    fn from(error: mqttbytes::Error) -> Loss {
        match error {
            mqttbytes::Error::Io(error) => error.into(),
            error => Loss::new(format!("the broker does not speak MQTT 3.1.1: {error}")),
        }
    }
}

impl Broker {
    /// TCP, TLS where it is asked for, CONNECT and CONNACK.
    pub(super) async fn connect(&self, client_id: &str) -> Result<Wire, Loss> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Packets that go together are written together: waiting for more gains nothing.
        tcp.set_nodelay(true)?;
        // With Nagle's algorithm, mosquitto's default, the broker holds its next confirmations back
        // until our kernel has acknowledged the last ones, which it would do up to 40 ms later.
        let (interval, pacing) = (self.read_interval.clone(), self.pacing.clone());
        let tcp = PacedStream::new(tcp, interval, pacing, TcpAcks::AtOnce);
        let stream: Stream = match &self.tls {
            None => Box::new(tcp),
            Some(settings) => Box::new(self.encrypt(settings, tcp).await?),
        };
        let (reader, mut writer) = split(stream);
        // It only reads: the size of the written packets was checked before.
        let codec = Codec {
            max_incoming_size: INCOMING_BYTES_MAX,
            max_outgoing_size: usize::MAX,
        };
        let mut reader = FramedRead::new(reader, codec);
        let mut packet = BytesMut::new();
        self.introduction(client_id).write(&mut packet)?;
        writer.write_all(&packet).await?;
        writer.flush().await?;
        match reader.next().await {
            Some(Ok(Packet::ConnAck(answer))) => accepted(answer.code)?,
            Some(Ok(_)) => return Err(Loss::new(NO_CONNACK)),
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Loss::new(CLOSED)),
        }
        self.pacing.begin();
        Ok(Wire { reader, writer })
    }

    async fn encrypt(
        &self,
        settings: &tls::Settings,
        tcp: PacedStream,
    ) -> Result<TlsStream<PacedStream>, Loss> {
        let config = tls::client_config(settings).map_err(|error| Loss::new(error.to_string()))?;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| tls_problem(&error.to_string()))?;
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|error| match tls::handshake_problem(&error) {
                Some(problem) => tls_problem(&problem),
                None => error.into(),
            })
    }

    fn introduction(&self, client_id: &str) -> Connect {
        let login = self.login.as_ref().map(|(username, password)| Login {
            username: username.clone(),
            password: password.expose_secret().to_owned(),
        });
        let last_will = self
            .status_topic
            .as_ref()
            .map(|topic| LastWill::new(topic, OFFLINE, QoS::AtLeastOnce, true));
        let keep_alive = KEEP_ALIVE.as_secs() as u16;
        Connect {
            keep_alive,
            clean_session: true,
            last_will,
            login,
            ..Connect::new(client_id)
        }
    }
}

fn tls_problem(problem: &str) -> Loss {
    Loss::new(format!("TLS: {problem}"))
}

/// What to do about it, by the CONNACK return code (section 3.2.2.3).
fn accepted(code: ConnectReturnCode) -> Result<(), Loss> {
    let refused = |text: &str| {
        Err(Loss {
            error: format!("connection refused (CONNACK {text}"),
            is_refusal: true,
        })
    };
    match code {
        ConnectReturnCode::Success => Ok(()),
        ConnectReturnCode::RefusedProtocolVersion => {
            refused("1): the broker does not speak MQTT 3.1.1")
        }
        ConnectReturnCode::BadClientId => {
            refused("2): client id not allowed; set `client_id` to one that is")
        }
        ConnectReturnCode::ServiceUnavailable => Err(Loss::new(
            "connection refused (CONNACK 3): the broker is unavailable",
        )),
        ConnectReturnCode::BadUserNamePassword => {
            refused("4): bad user name or password; check both")
        }
        ConnectReturnCode::NotAuthorized => {
            refused("5): not authorized; check user name, password and the broker's access list")
        }
    }
}
