//! SockJS: `/info`, then the first of its transports that works, each with a session of its own.

mod frame;
mod http;
mod info;

use std::time::Duration;

use bytes::Bytes;
use url::Url;
use uuid::Uuid;

use super::Target;
use super::error::{DialError, Stage, TransportError};
use super::peer::{Deadline, Peer, shown};
use super::{stream, upgrade, websocket};
use frame::Frame;
use http::Http;
use info::{Offer, below};

pub(super) enum Receiver {
    WebSocket(websocket::Receiver),
}

pub(super) enum Sender {
    WebSocket(websocket::Sender),
}

/// A server that does not answer `/info` by then does not answer.
const INFO_MAX: Duration = Duration::from_secs(8);

pub(super) async fn dial(target: &Target, peer: &Peer, deadline: Deadline) -> Result<(Receiver, Sender), DialError> {
    let http = Http::new(target, peer)?;
    let info = info::ask(&http, peer, &target.url, deadline.part(INFO_MAX)).await?;
    let peer = &Peer::of(&info.base)?;
    match info.websocket {
        Offer::Present => dial_websocket(target, &http, peer, &info.base, deadline).await,
        Offer::Absent => Err(DialError::NoTransport {
            url: shown(&info.base),
            tried: "/info says that there is no websocket".to_owned(),
        }),
    }
}

async fn dial_websocket(
    target: &Target,
    http: &Http,
    peer: &Peer,
    base: &Url,
    deadline: Deadline,
) -> Result<(Receiver, Sender), DialError> {
    let url = below(base, &format!("{}/websocket", session_path()));
    let stream = stream::connect(peer, &target.tls, deadline).await?;
    let headers = http.headers_for(&url);
    let upgraded = deadline.bound(peer, Stage::Upgrade, upgrade::upgrade(stream, peer, &url, &headers)).await?;
    let (receiver, sender) = websocket::open(upgraded, target.message_bytes_max).await;
    let (mut receiver, sender) = (Receiver::WebSocket(receiver), Sender::WebSocket(sender));
    deadline.bound(peer, Stage::Open, receiver.open(&url)).await?;
    Ok((receiver, sender))
}

/// `{server}/{session}`: three digits, and an id that nobody guesses, since whoever knows it may send in our name. A new
/// one for every attempt: Spring answers 404 to a session that began on another transport.
fn session_path() -> String {
    format!("{:03}/{}", fastrand::u16(0..1000), Uuid::new_v4().simple())
}

impl Receiver {
    /// Waits for `o`, the first frame of a session.
    async fn open(&mut self, url: &Url) -> Result<(), DialError> {
        let problem = loop {
            match self.frame().await {
                Ok(Frame::Open) => return Ok(()),
                Ok(Frame::Heartbeat) => {}
                Ok(Frame::Payload(_)) => break "the server sent a message before opening the session".to_owned(),
                Ok(Frame::Close { code, reason }) => break TransportError::Closed { code, reason }.to_string(),
                Err(error) => break error.to_string(),
            }
        };
        Err(DialError::Handshake { url: shown(url), problem })
    }

    pub(super) async fn receive(&mut self) -> Result<Bytes, TransportError> {
        match self.frame().await? {
            Frame::Payload(bytes) => Ok(bytes),
            Frame::Heartbeat => Ok(Bytes::new()),
            Frame::Close { code, reason } => Err(TransportError::Closed { code, reason }),
            Frame::Open => {
                Err(TransportError::Protocol("the SockJS session began anew: the old one is lost".to_owned()))
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, TransportError> {
        match self {
            Receiver::WebSocket(receiver) => {
                let message = receiver.receive().await?;
                frame::decode(&message).map_err(TransportError::Protocol)
            }
        }
    }
}

impl Sender {
    pub(super) async fn send(&mut self, frames: impl Iterator<Item = Bytes>) -> Result<(), TransportError> {
        let frames = frames.collect::<Vec<_>>();
        let texts = frames.iter().map(|frame| std::str::from_utf8(frame).map_err(|_| TransportError::NotText));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        match self {
            Sender::WebSocket(sender) => sender.send_text(texts.into_iter().map(|text| frame::encode([text]))).await,
        }
    }

    pub(super) async fn ping(&mut self) -> Result<(), TransportError> {
        match self {
            Sender::WebSocket(sender) => sender.ping().await,
        }
    }

    pub(super) async fn close(&mut self) {
        match self {
            Sender::WebSocket(sender) => sender.close().await,
        }
    }
}
