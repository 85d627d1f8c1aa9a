//! Tries the transports of SockJS, the best first, and is the session of the one that works. Each
//! attempt has a session of its own.

use std::time::Duration;

use bytes::Bytes;
use tracing::info;
use url::Url;
use uuid::Uuid;

use super::frame::{self, Frame, LongFrame};
use super::http::Http;
use super::info::{self, Offer, below};
use super::xhr;
use crate::paced::Pacing;
use crate::transport::error::{DialError, Stage, TransportError};
use crate::transport::peer::{Deadline, Peer, shown};
use crate::transport::reframed::Payloads;
use crate::transport::target::{SockJsTransport, Target};
use crate::transport::{stream, survey, upgrade, websocket};

pub(in crate::transport) struct Receiver {
    wire: Wire,
    /// A WebSocket message of so many bytes goes on in the next one.
    message_bytes_max: usize,
    /// Of WebSocket: a frame whose end has not come.
    long: Option<LongFrame>,
    /// Frames `h` that have come.
    heartbeats: u64,
}

enum Wire {
    WebSocket(websocket::Receiver),
    Xhr(Box<xhr::Receiver>),
}

pub(in crate::transport) enum Sender {
    WebSocket(websocket::Sender),
    Xhr(xhr::Sender),
}

/// A server that does not answer `/info` by then does not answer.
const INFO_MAX: Duration = Duration::from_secs(8);

pub(in crate::transport) async fn dial(
    target: &Target,
    peer: &Peer,
    deadline: Deadline,
) -> Result<(Receiver, Sender, SockJsTransport), DialError> {
    let http = Http::new(target, peer);
    let http = match target.url.scheme() {
        "https" => deadline.bound(peer, Stage::Tls, http).await?,
        _ => http.await?,
    };
    let info = info::ask(&http, peer, &target.url, deadline.part(INFO_MAX)).await?;
    let attempt = Attempt {
        target,
        http: &http,
        peer: &Peer::of(&info.base)?,
        base: &info.base,
    };
    let mut transports = SockJsTransport::ALL.to_vec();
    transports.sort_by_key(|transport| Some(*transport) != target.sockjs_first);
    if info.websocket == Offer::Absent {
        transports.retain(|transport| *transport != SockJsTransport::WebSocket);
    }

    let mut failures = Vec::new();
    for (index, transport) in transports.iter().enumerate() {
        // A proxy that swallows one transport must leave time for the next one.
        let left = u32::try_from(transports.len() - index).unwrap_or(1);
        let share = deadline.part(deadline.remaining() / left);
        match attempt.dial(*transport, share).await {
            Ok((receiver, sender)) => {
                if !failures.is_empty() {
                    let fallback = (transport.to_string(), told(&failures));
                    survey::note(|survey| survey.fallback = Some(fallback));
                    info!(url = shown(&info.base), %transport, tried = told(&failures), "SockJS fell back to another transport");
                }
                return Ok((receiver, sender, *transport));
            }
            Err(error) if is_common(&error) => return Err(error),
            Err(error) => failures.push((*transport, error)),
        }
    }
    Err(verdict(&info.base, failures))
}

/// What every transport would fail of.
fn is_common(error: &DialError) -> bool {
    match error {
        DialError::Address { .. }
        | DialError::TlsSettings(_)
        | DialError::Resolve { .. }
        | DialError::Refused { .. }
        | DialError::Gateway { .. }
        | DialError::Tls { .. } => true,
        DialError::Http {
            status,
            retry_after,
            ..
        } => *status == 401 || retry_after.is_some(),
        _ => false,
    }
}

/// One status from all of them is what the server thinks of us; else each has its reason.
fn verdict(base: &Url, mut failures: Vec<(SockJsTransport, DialError)>) -> DialError {
    let status_of = |error: &DialError| match error {
        DialError::Http { status, .. } => Some(*status),
        _ => None,
    };
    let mut statuses = failures.iter().map(|(_, error)| status_of(error));
    let first = statuses.next().flatten();
    if first.is_some() && statuses.all(|status| status == first) {
        return failures.swap_remove(0).1;
    }
    DialError::NoTransport {
        url: shown(base),
        tried: told(&failures),
    }
}

fn told(failures: &[(SockJsTransport, DialError)]) -> String {
    let told = failures
        .iter()
        .map(|(transport, error)| format!("{transport}: {error}"));
    told.collect::<Vec<_>>().join("; ")
}

/// What all transports of one attempt share.
struct Attempt<'a> {
    target: &'a Target,
    http: &'a Http,
    peer: &'a Peer,
    base: &'a Url,
}

impl Attempt<'_> {
    async fn dial(
        &self,
        transport: SockJsTransport,
        deadline: Deadline,
    ) -> Result<(Receiver, Sender), DialError> {
        let session = below(self.base, &session_path());
        let (mut receiver, sender) = match transport {
            SockJsTransport::WebSocket => self.dial_websocket(&session, deadline).await?,
            SockJsTransport::XhrStreaming => {
                self.dial_xhr(&session, xhr::Mode::Streaming, deadline)
                    .await?
            }
            SockJsTransport::Xhr => {
                self.dial_xhr(&session, xhr::Mode::Polling, deadline)
                    .await?
            }
        };
        deadline
            .bound(self.peer, Stage::Open, receiver.open(&session))
            .await?;
        Ok((receiver, sender))
    }

    async fn dial_websocket(
        &self,
        session: &Url,
        deadline: Deadline,
    ) -> Result<(Receiver, Sender), DialError> {
        let url = below(session, "websocket");
        let stream = stream::connect(self.peer, self.target, deadline).await?;
        let headers = self.http.headers_for(&url);
        let handshake = upgrade::upgrade(stream, self.peer, &url, &headers);
        let upgraded = deadline.bound(self.peer, Stage::Upgrade, handshake).await?;
        let message_bytes_max = self.target.message_bytes_max;
        let (receiver, sender) = websocket::open(
            upgraded,
            message_bytes_max,
            Payloads::Messages { message_bytes_max },
        )
        .await;
        Ok((
            Receiver::new(Wire::WebSocket(receiver), self.target),
            Sender::WebSocket(sender),
        ))
    }

    async fn dial_xhr(
        &self,
        session: &Url,
        mode: xhr::Mode,
        deadline: Deadline,
    ) -> Result<(Receiver, Sender), DialError> {
        let dialled = xhr::dial(self.target, self.http, self.peer, session, mode);
        let (receiver, sender) = deadline.bound(self.peer, Stage::Open, dialled).await?;
        Ok((
            Receiver::new(Wire::Xhr(Box::new(receiver)), self.target),
            Sender::Xhr(sender),
        ))
    }
}

/// As [`websocket::drain`], where there is one below. What `xhr_send` has sent the server has
/// confirmed, so that its other transports wait for nothing.
pub(in crate::transport) async fn drain(receiver: Receiver, sender: Sender) {
    if let (Wire::WebSocket(receiver), Sender::WebSocket(sender)) = (receiver.wire, sender) {
        websocket::drain(receiver, sender).await;
    }
}

/// `{server}/{session}`: three digits, and an id that nobody guesses, since anyone who knows it may
/// send in our name. A new one for every attempt: Spring answers 404 to a session that began on
/// another transport.
fn session_path() -> String {
    format!("{:03}/{}", fastrand::u16(0..1000), Uuid::new_v4().simple())
}

impl Receiver {
    fn new(wire: Wire, target: &Target) -> Receiver {
        Receiver {
            wire,
            message_bytes_max: target.message_bytes_max.max(1),
            long: None,
            heartbeats: 0,
        }
    }

    /// Waits for `o`, the first frame of a session.
    async fn open(&mut self, url: &Url) -> Result<(), DialError> {
        let problem = loop {
            match self.frame().await {
                Ok(Frame::Open) => return Ok(()),
                Ok(Frame::Heartbeat) => {}
                // The prelude, or a ping.
                Ok(Frame::Payload(bytes)) if bytes.is_empty() => {}
                Ok(Frame::Payload(_)) => {
                    break "the server sent a message before opening the session".to_owned();
                }
                Ok(Frame::Close { code, reason }) => {
                    break TransportError::Closed { code, reason }.to_string();
                }
                Err(error) => break error.to_string(),
            }
        };
        Err(DialError::Handshake {
            url: shown(url),
            problem,
        })
    }

    /// `None`: the server makes the batches, and an HTTP response has its own buffer.
    pub(in crate::transport) fn pacing(&self) -> Option<&Pacing> {
        match &self.wire {
            Wire::WebSocket(receiver) => Some(receiver.pacing()),
            Wire::Xhr(_) => None,
        }
    }

    /// How many heart-beats of SockJS (`h`) have come.
    pub(in crate::transport) fn heartbeats(&self) -> u64 {
        self.heartbeats
    }

    /// See [`Receiver::ended`](crate::transport::Receiver::ended).
    pub(in crate::transport) async fn ended(&mut self) {
        match &mut self.wire {
            Wire::WebSocket(receiver) => receiver.ended().await,
            Wire::Xhr(receiver) => receiver.ended().await,
        }
    }

    pub(in crate::transport) async fn receive(&mut self) -> Result<Bytes, TransportError> {
        match self.frame().await? {
            Frame::Payload(bytes) => Ok(bytes),
            Frame::Heartbeat => {
                self.heartbeats += 1;
                Ok(Bytes::new())
            }
            Frame::Close { code, reason } => Err(TransportError::Closed { code, reason }),
            Frame::Open => Err(TransportError::Protocol(
                "the SockJS session began again: the old one is lost".to_owned(),
            )),
        }
    }

    async fn frame(&mut self) -> Result<Frame, TransportError> {
        match &mut self.wire {
            Wire::WebSocket(receiver) => {
                let message = receiver.receive().await?;
                if message.is_empty() {
                    // A ping or a pong: of the WebSocket, not of SockJS.
                    return Ok(Frame::Payload(message));
                }
                let goes_on = message.len() == self.message_bytes_max;
                let decoded = decode(&mut self.long, &message, goes_on);
                decoded.map_err(|mistake| TransportError::protocol(&mistake))
            }
            Wire::Xhr(receiver) => receiver.frame().await,
        }
    }
}

/// A frame, or what a piece of a long one brings.
fn decode(long: &mut Option<LongFrame>, message: &[u8], goes_on: bool) -> Result<Frame, String> {
    let payload = match (long.take(), goes_on) {
        (Some(mut frame), true) => {
            let payload = frame.read(message)?;
            // It may end there by chance.
            *long = Some(frame).filter(|frame| !frame.is_whole());
            payload
        }
        (Some(frame), false) => frame.end(message)?,
        (None, true) if let Some(begun) = LongFrame::begin(message) => {
            let (frame, payload) = begun?;
            *long = Some(frame).filter(|frame| !frame.is_whole());
            payload
        }
        (None, _) => return frame::decode(message),
    };
    Ok(Frame::Payload(payload))
}

impl Sender {
    pub(in crate::transport) async fn send(
        &mut self,
        frames: impl Iterator<Item = Bytes>,
    ) -> Result<(), TransportError> {
        let frames = frames.collect::<Vec<_>>();
        let texts = frames
            .iter()
            .map(|frame| std::str::from_utf8(frame).map_err(|_| TransportError::NotText));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        match self {
            Sender::WebSocket(sender) => {
                sender
                    .send_text(texts.into_iter().map(|text| frame::encode([text])))
                    .await
            }
            Sender::Xhr(sender) => sender.send(texts).await,
        }
    }

    pub(in crate::transport) fn can_probe(&self) -> bool {
        matches!(self, Sender::WebSocket(_))
    }

    pub(in crate::transport) async fn ping(&mut self) -> Result<(), TransportError> {
        match self {
            Sender::WebSocket(sender) => sender.ping().await,
            Sender::Xhr(_) => Ok(()),
        }
    }

    pub(in crate::transport) async fn close(&mut self) {
        match self {
            Sender::WebSocket(sender) => sender.close().await,
            // A client cannot end such a session but by asking no more, which the receiver's drop
            // does.
            Sender::Xhr(_) => {}
        }
    }
}
