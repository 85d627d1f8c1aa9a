//! One connection, whatever its framing: dialled once, then two halves that know nothing of each
//! other. It retries nothing.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::error::{DialError, TransportError};
use super::peer::{Deadline, Framing, Peer};
use super::target::{SockJsTransport, Target};
use super::{plain, sockjs, split, stream, survey, websocket};
use crate::paced::Pacing;

/// Connects to `target`: one attempt, over when [`Target::timeout`] is.
///
/// ```no_run
/// # async fn example(target: stomp_bridge::transport::Target) -> Result<(), Box<dyn std::error::Error>> {
/// let (mut receiver, mut sender) = stomp_bridge::transport::dial(&target).await?;
/// let connect = "CONNECT\naccept-version:1.2\nhost:/\n\n\0";
/// sender.send(connect.into(), &[connect.len()]).await?;
/// let bytes = receiver.receive().await?;
/// # Ok(()) }
/// ```
pub async fn dial(target: &Target) -> Result<(Receiver, Sender), DialError> {
    let deadline = Deadline::after(target.timeout);
    let peer = Peer::of(&target.url)?;
    let mut sockjs = None;
    let (incoming, framing) = match peer.framing {
        Framing::Plain => {
            let stream = stream::connect(&peer, target, deadline).await?;
            let (receiver, sender) = plain::split(stream);
            (Incoming::Plain(receiver), Outgoing::Plain(sender))
        }
        Framing::WebSocket => {
            let (receiver, sender) = websocket::dial(target, &peer, deadline).await?;
            (Incoming::WebSocket(receiver), Outgoing::WebSocket(sender))
        }
        Framing::SockJs => {
            // Its HTTP client shows no layer below HTTP.
            if survey::is_wanted() {
                drop(stream::connect(&peer, target, deadline).await?);
            }
            let (receiver, sender, transport) = sockjs::dial(target, &peer, deadline).await?;
            sockjs = Some(transport);
            (Incoming::SockJs(receiver), Outgoing::SockJs(sender))
        }
    };
    let receiver = Receiver(incoming);
    if let Some(pacing) = receiver.pacing() {
        pacing.begin();
    }
    Ok((
        receiver,
        Sender {
            framing,
            split: target.websocket_split,
            sockjs,
        },
    ))
}

/// The incoming half of a connection. Independent of [`Sender`]: a server that does not read does
/// not stop us reading.
pub struct Receiver(Incoming);

enum Incoming {
    Plain(plain::Receiver),
    WebSocket(websocket::Receiver),
    SockJs(sockjs::Receiver),
}

impl Receiver {
    /// The next bytes of the STOMP stream, cut anywhere: a frame may span several of them, and
    /// several frames may be in one.
    ///
    /// Empty bytes say that the link is alive and nothing more: a WebSocket ping or pong, or
    /// SockJS's `h`, has come.
    ///
    /// Cancel-safe: nothing is lost if the future is dropped. After an error there is nothing more
    /// to come.
    pub async fn receive(&mut self) -> Result<Bytes, TransportError> {
        match &mut self.0 {
            Incoming::Plain(receiver) => receiver.receive().await,
            Incoming::WebSocket(receiver) => receiver.receive().await,
            Incoming::SockJs(receiver) => receiver.receive().await,
        }
    }

    /// How many of SockJS's heart-beats (`h`) have come; none elsewhere. The server's SockJS sends
    /// them, where a WebSocket's pong says only that its socket lives.
    pub fn sockjs_heartbeats(&self) -> u64 {
        match &self.0 {
            Incoming::Plain(_) | Incoming::WebSocket(_) => 0,
            Incoming::SockJs(receiver) => receiver.heartbeats(),
        }
    }

    /// Waits until the server has ended the connection, and gives nothing of what came before: for
    /// a time in which nobody may read. [`receive`](Self::receive) then gives all of that, and the
    /// end behind it.
    ///
    /// On TCP, TLS and WebSocket the end is a FIN, a reset or a failed socket. SockJS's HTTP
    /// transports hide their sockets: they read up to 256 KiB ahead to see it. What is not seen so is
    /// noticed by the next write that fails. Cancel-safe.
    pub async fn ended(&mut self) {
        match &mut self.0 {
            Incoming::Plain(receiver) => receiver.ended().await,
            Incoming::WebSocket(receiver) => receiver.ended().await,
            Incoming::SockJs(receiver) => receiver.ended().await,
        }
    }

    /// Has the next bytes read as soon as they come, though the socket's next read may be due later.
    pub fn hurry(&self) {
        if let Some(pacing) = self.pacing() {
            pacing.hurry();
        }
    }

    /// From now on each arrival is read at once: the connection is ending.
    pub fn suspend_pacing(&self) {
        if let Some(pacing) = self.pacing() {
            pacing.suspend();
        }
    }

    /// What has arrived already, though the socket's next read may be due later; `None`: nothing.
    pub fn receive_now(&mut self) -> Option<Result<Bytes, TransportError>> {
        self.hurry();
        self.receive().now_or_never()
    }

    /// More of what the last read of the socket has brought: a WebSocket message, or a TLS record.
    /// `None`: that was all, or reads are not paced now.
    pub fn receive_rest(&mut self) -> Option<Result<Bytes, TransportError>> {
        let rests = self.pacing().is_some_and(Pacing::is_resting);
        rests.then(|| self.receive().now_or_never()).flatten()
    }

    fn pacing(&self) -> Option<&Pacing> {
        match &self.0 {
            Incoming::Plain(receiver) => Some(receiver.pacing()),
            Incoming::WebSocket(receiver) => Some(receiver.pacing()),
            Incoming::SockJs(receiver) => receiver.pacing(),
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The outgoing half of a connection.
pub struct Sender {
    framing: Outgoing,
    split: Option<usize>,
    sockjs: Option<SockJsTransport>,
}

enum Outgoing {
    Plain(plain::Sender),
    WebSocket(websocket::Sender),
    SockJs(sockjs::Sender),
}

impl Sender {
    /// Sends whole STOMP frames: `ends` holds the end of each in `bytes`, ascending, the last one
    /// being `bytes.len()`. A heart-beat's LF is a frame of its own. It returns when the system has
    /// taken all of it.
    ///
    /// TCP and TLS write them at once. WebSocket sends one text message for each frame (binary, if
    /// it is not UTF-8). SockJS sends one `["frame"]` for each frame, or one request for all. Many
    /// servers take exactly one frame a message, so that only [`Target::websocket_split`] makes
    /// several of one.
    ///
    /// Not cancel-safe: a dropped future leaves half a frame on the wire, so that only
    /// [`close`](Self::close) may follow. While it waits, [`Receiver::receive`] goes on in the same
    /// task.
    ///
    /// # Panics
    /// If `ends` goes down or beyond `bytes`.
    pub async fn send(&mut self, bytes: Bytes, ends: &[usize]) -> Result<(), TransportError> {
        debug_assert_eq!(
            ends.last().copied().unwrap_or(0),
            bytes.len(),
            "the last frame ends with the bytes"
        );
        match &mut self.framing {
            Outgoing::Plain(sender) => sender.send(bytes).await,
            Outgoing::WebSocket(sender) => sender.send(messages(&bytes, ends, self.split)).await,
            Outgoing::SockJs(sender) => sender.send(messages(&bytes, ends, self.split)).await,
        }
    }

    /// Which of SockJS's transports it is, if any.
    pub fn sockjs_transport(&self) -> Option<SockJsTransport> {
        self.sockjs
    }

    /// Whether the transport has a [`probe`](Self::probe) that the server answers.
    pub fn can_probe(&self) -> bool {
        match &self.framing {
            Outgoing::Plain(_) => false,
            Outgoing::WebSocket(_) => true,
            Outgoing::SockJs(sender) => sender.can_probe(),
        }
    }

    /// Asks the server for a sign of life below STOMP: a WebSocket ping, whose pong
    /// [`Receiver::receive`] shows as empty bytes. Nothing on TCP and TLS, whose keep-alive does
    /// it, nor on SockJS's HTTP transports.
    ///
    /// For servers that offer no heart-beat. Not cancel-safe.
    pub async fn probe(&mut self) -> Result<(), TransportError> {
        match &mut self.framing {
            Outgoing::Plain(_) => Ok(()),
            Outgoing::WebSocket(sender) => sender.ping().await,
            Outgoing::SockJs(sender) => sender.ping().await,
        }
    }

    /// Says goodbye as the transport has it (TCP's FIN, TLS's close_notify, WebSocket's close), and
    /// waits for it to be written, a second at most. That the server is gone already is fine.
    pub async fn close(&mut self) {
        let goodbye = async {
            match &mut self.framing {
                Outgoing::Plain(sender) => sender.close().await,
                Outgoing::WebSocket(sender) => sender.close().await,
                Outgoing::SockJs(sender) => sender.close().await,
            }
        };
        // A timeout is the peer's loss: a peer that does not read our close sees the end of the
        // stream.
        let _ = tokio::time::timeout(CLOSE_MAX, goodbye).await;
    }
}

/// How long a goodbye may take: the server may have stopped reading.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Ends a connection so that sent bytes arrive. It closes our side as [`Sender::close`] does, then
/// reads and drops bytes until the server has closed, too.
///
/// Closing a TCP socket with unread bytes resets it. After the reset the server may lose bytes of
/// ours that it has not read (RFC 1122, section 4.2.2.13).
///
/// The caller needs a timeout: this waits for a server that never closes or sends without end. The
/// future may be dropped at any time.
pub async fn close(receiver: Receiver, mut sender: Sender) {
    sender.close().await;
    match (receiver.0, sender.framing) {
        (Incoming::Plain(receiver), _) => receiver.drain().await,
        (Incoming::WebSocket(receiver), Outgoing::WebSocket(sender)) => {
            websocket::drain(receiver, sender).await;
        }
        (Incoming::SockJs(receiver), Outgoing::SockJs(sender)) => {
            sockjs::drain(receiver, sender).await;
        }
        // Halves of two connections.
        _ => {}
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Each frame, in pieces where it is longer than `split`.
fn messages<'a>(
    bytes: &'a Bytes,
    ends: &'a [usize],
    split: Option<usize>,
) -> impl Iterator<Item = Bytes> + Send + 'a {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let frames = starts
        .zip(ends)
        .map(|(start, end)| bytes.slice(start..*end));
    frames.flat_map(move |frame| split::pieces(frame, split.unwrap_or(usize::MAX)))
}
