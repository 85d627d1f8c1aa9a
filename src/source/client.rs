//! A connection for `tap` and `send`: the daemon's settings, without its journal. It acknowledges
//! nothing and does not reconnect.

use std::io;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::sleep_until;

use super::broker::{self, Broker, ConfigurationWarning, Detection};
use super::clock;
use super::settings::Settings;
use super::signin::{Address, Credentials, SigninError};
use super::sockjs_heartbeats::SockJsPeriod;
use super::topic::Topic;
use super::writer::Writer;
use crate::paced::Interval;
use crate::stomp::{Connected, Event, Farewell, Session, SessionError, Subscribe};
use crate::transport::{DialError, Receiver, TransportError, dial};

/// Why there is no connection, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The sign-in has failed.
    #[error(transparent)]
    Signin(#[from] SigninError),
    /// None of the source's URLs could be reached; this is the last one's reason.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection has ended, and the server has not said why in STOMP.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The session has ended.
    #[error("{0}{advice}", advice = broker::advice(.0))]
    Session(SessionError),
    /// The one that watches wants no more.
    #[error(transparent)]
    Observer(io::Error),
    /// Any of these, where the server has repeated what the sign-in had given: without that.
    #[error("{0}")]
    Redacted(String),
}

impl From<SessionError> for ClientError {
    fn from(error: SessionError) -> ClientError {
        ClientError::Session(error)
    }
}

impl ClientError {
    fn redacted(self, credentials: &Credentials) -> ClientError {
        let text = self.to_string();
        let redacted = credentials.redact(&text);
        if redacted == text {
            self
        } else {
            ClientError::Redacted(redacted)
        }
    }
}

/// What crosses the wire, above the transport's framing.
#[derive(Debug)]
pub enum WireTrace<'a> {
    /// One frame of ours, credentials included, or a heart-beat's LF.
    Sent(&'a Bytes),
    /// A piece of the server's stream, cut anywhere.
    Received(&'a Bytes),
}

/// Is shown everything that crosses, before it is written or read.
pub type Observer = Box<dyn FnMut(WireTrace<'_>) -> io::Result<()> + Send>;

/// A connection without the journal, for `tap` and `send`.
pub struct Client {
    session: Session,
    receiver: Receiver,
    writer: Writer,
    watch: Observer,
    credentials: Credentials,
    /// What notices a dead link where the server sends no heart-beats.
    detection: Detection,
    /// The server has closed the stream; what came before may not be polled yet.
    closed: Option<TransportError>,
}

impl Client {
    /// Signs in, if there is a sign-in, and connects to the first of the source's URLs that answers
    /// CONNECTED. Each attempt has a new observer, which gets the secrets that must not be shown.
    /// Subscribes to nothing.
    ///
    /// # Errors
    /// The last URL's.
    pub async fn connect(
        settings: &Settings,
        mut watch: impl FnMut(&Credentials) -> Observer,
    ) -> Result<(Client, Connected), ClientError> {
        let mut outcome = Err(SessionError::ClosedBeforeConnected.into());
        for address in &settings.urls {
            outcome = Client::open(settings, address, &mut watch).await;
            // The sign-in is the same for every URL, and an account may be locked by it.
            if matches!(
                outcome,
                Ok(_)
                    | Err(ClientError::Signin(
                        SigninError::Refused(_)
                            | SigninError::RefusedUnasked(_)
                            | SigninError::Busy { .. }
                    ))
            ) {
                break;
            }
        }
        outcome
    }

    async fn open(
        settings: &Settings,
        address: &Address,
        watch: &mut impl FnMut(&Credentials) -> Observer,
    ) -> Result<(Client, Connected), ClientError> {
        // A person who watches wants to see each message as it comes.
        let read_interval = Interval::default();
        let attempt = settings.attempt(address, settings.sign_in().await?, read_interval)?;
        let credentials = attempt.credentials;
        let (receiver, sender) = dial(&attempt.target)
            .await
            .map_err(|error| ClientError::from(error).redacted(&credentials))?;
        let detection = match (sender.sockjs_transport(), sender.can_probe()) {
            // As the daemon does it.
            (_, true) => Detection::Pings(settings.probe_interval()),
            (Some(_), false) => Detection::SockJs(SockJsPeriod::default().patience()),
            (None, false) => settings
                .silence
                .map_or(Detection::KeepAlive, Detection::Silence),
        };
        let session = Session::new(attempt.options, clock::now());
        let mut client = Client {
            session,
            receiver,
            writer: Writer::new(sender),
            watch: watch(&credentials),
            credentials,
            detection,
            closed: None,
        };
        loop {
            if let Event::Connected(connected) = client.next().await? {
                return Ok((client, connected));
            }
        }
    }

    /// What the daemon would warn of on this server.
    pub fn warnings(
        &self,
        settings: &Settings,
        connected: &Connected,
    ) -> Vec<ConfigurationWarning> {
        let broker = Broker::of(connected.server.as_deref(), connected.session.as_deref());
        let mut warnings = broker.warnings(&settings.topics);
        if settings.heartbeat.is_zero() {
            warnings.push(ConfigurationWarning::HeartbeatsOff(self.detection));
            warnings.extend(broker.warning_without_heartbeats());
        } else if connected.heartbeat.incoming.is_none() {
            warnings.push(ConfigurationWarning::NoHeartbeats(self.detection));
        }
        warnings
    }

    /// The subscription for a topic of the settings, on this connection.
    ///
    /// # Errors
    /// The sign-in gave no value for a placeholder.
    pub fn subscription(&self, topic: &Topic) -> Result<Subscribe, ClientError> {
        Ok(topic.subscribe(&self.credentials)?)
    }

    /// To subscribe and to send; what that queues is written by [`Client::next`].
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Keeps the connection alive until something has happened. Cancel-safe.
    ///
    /// # Errors
    /// Any: the connection is over then.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        self.advance()
            .await
            .map_err(|error| error.redacted(&self.credentials))
    }

    async fn advance(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.session.poll()? {
                return Ok(event);
            }
            if let Some(error) = self.closed.take() {
                self.end(error)?;
                // The answer to our DISCONNECT. A session that had failed before has none.
                return self.session.poll()?.ok_or_else(ended_before);
            }
            let watch = &mut self.watch;
            self.writer
                .start(&mut self.session, |outgoing| {
                    outgoing
                        .frames()
                        .try_for_each(|frame| watch(WireTrace::Sent(&frame)))
                })
                .map_err(ClientError::Observer)?;
            let due = self.session.deadline();
            tokio::select! {
                biased;
                written = self.writer.written(&mut self.session) => written?,
                // Before the socket, which may always have more: a flood must not stop our
                // heart-beats.
                () = sleep_until(due.unwrap_or_else(clock::now).into()), if due.is_some() => self.tick()?,
                received = self.receiver.receive() => self.received(received)?,
            }
        }
    }

    fn received(&mut self, received: Result<Bytes, TransportError>) -> Result<(), ClientError> {
        match received {
            Ok(bytes) => {
                (self.watch)(WireTrace::Received(&bytes)).map_err(ClientError::Observer)?;
                self.session.receive(bytes, clock::now());
                Ok(())
            }
            Err(error @ TransportError::Closed { .. }) => {
                self.session.stream_ended();
                self.closed = Some(error);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The server has closed the stream, and all that came before was polled: no ERROR says why. It
    /// answers a DISCONNECT as well as a receipt does. Else the transport may know the server's own
    /// words.
    fn end(&mut self, closed: TransportError) -> Result<(), ClientError> {
        let has_code = matches!(closed, TransportError::Closed { code: Some(_), .. });
        match self.session.closed() {
            Ok(()) if !has_code || closed.is_in_order() => Ok(()),
            Err(error) if !has_code => Err(error.into()),
            _ => Err(closed.into()),
        }
    }

    /// A deadline has come; what has already arrived counts first.
    fn tick(&mut self) -> Result<(), ClientError> {
        while let Some(received) = self.receiver.receive().now_or_never() {
            let heard = !matches!(&received, Ok(bytes) if bytes.is_empty());
            self.received(received)?;
            if heard {
                break;
            }
        }
        if self.closed.is_some() {
            return Ok(());
        }
        Ok(self.session.tick(clock::now())?)
    }

    /// Whether the network has not taken yet what [`Client::next`] writes.
    pub fn is_writing(&self) -> bool {
        self.writer.is_busy()
    }

    /// Writes the queued bytes, sends DISCONNECT, and waits for the server's answer, two seconds at
    /// most. Messages that still come are dropped.
    ///
    /// # Errors
    /// The connection broke before the server had answered, or had ended before: the last frames may
    /// be lost.
    pub async fn disconnect(mut self) -> Result<Farewell, ClientError> {
        if self.session.has_ended() {
            self.writer.close().await;
            return Err(ended_before());
        }
        self.session.disconnect(clock::now());
        let farewell = loop {
            match self.next().await {
                Ok(Event::Disconnected(farewell)) => break Ok(farewell),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.writer.close().await;
        farewell
    }
}

fn ended_before() -> ClientError {
    let unfinished_bytes = 0;
    SessionError::Closed { unfinished_bytes }.into()
}
