//! STOMP on WebSocket: every payload that comes is a piece of the stream, every frame that goes is
//! a message.

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::header;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::error::{DialError, Stage, TransportError};
use super::hangup::Hangup;
use super::headers;
use super::peer::{Deadline, Peer};
use super::reframed::{Close, Payloads, Reframed, Said};
use super::stream::{self, Stream};
use super::target::Target;
use super::upgrade::{self, Upgraded};
use crate::paced::Pacing;

pub(super) struct Receiver {
    stream: SplitStream<WebSocketStream<Reframed<Stream>>>,
    /// What the server's close says: the library replaces codes that are not allowed.
    said: Said,
    /// The server has sent its close: whether it also ends the TCP connection is not waited for.
    closed: bool,
    pacing: Pacing,
    hangup: Hangup,
}

pub(super) struct Sender {
    sink: SplitSink<WebSocketStream<Reframed<Stream>>, Message>,
}

pub(super) async fn dial(
    target: &Target,
    peer: &Peer,
    deadline: Deadline,
) -> Result<(Receiver, Sender), DialError> {
    let headers = headers::parse(&target.url, &target.headers)?;
    let mut headers = headers::with_cookies(&headers, &target.cookies, &target.url);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, upgrade::STOMP_SUBPROTOCOLS);
    let stream = stream::connect(peer, target, deadline).await?;
    let handshake = upgrade::upgrade(stream, peer, &target.url, &headers);
    let upgraded = deadline.bound(peer, Stage::Upgrade, handshake).await?;
    let message_bytes_max = target.message_bytes_max;
    let payloads = Payloads::Stream { message_bytes_max };
    Ok(open(upgraded, message_bytes_max, payloads).await)
}

/// Both halves of an upgraded stream.
pub(super) async fn open(
    upgraded: Upgraded,
    message_bytes_max: usize,
    payloads: Payloads,
) -> (Receiver, Sender) {
    // Its default buffer would be allocated whole for each connection.
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    let Upgraded { stream, read } = upgraded;
    let (pacing, hangup) = (stream.pacing(), Hangup::of(&stream));
    let stream = Reframed::new(stream, read, payloads);
    let said = stream.said();
    let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
    let (sink, stream) = socket.split();
    (
        Receiver {
            stream,
            said,
            closed: false,
            pacing,
            hangup,
        },
        Sender { sink },
    )
}

/// One read takes at most so much.
const READ_BYTES: usize = 64 * 1024;

impl Receiver {
    pub(super) fn pacing(&self) -> &Pacing {
        &self.pacing
    }

    pub(super) async fn ended(&mut self) {
        self.hangup.happened().await;
    }

    /// A message's payload, or a piece of it. Empty: a ping or a pong, or an empty message.
    pub(super) async fn receive(&mut self) -> Result<Bytes, TransportError> {
        if self.closed {
            return Err(TransportError::closed("it is closed already"));
        }
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Ok(text.into()),
            Some(Ok(Message::Binary(bytes))) => Ok(bytes),
            // tungstenite answers a ping at the next poll.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Bytes::new()),
            Some(Ok(Message::Close(close))) => {
                // One more poll writes our answer to the close (RFC 6455, section 5.5.1). Nothing
                // waits for it.
                let _ = self.stream.next().now_or_never();
                self.closed = true;
                Err(self.closed_by_server().unwrap_or_else(|| {
                    let reason = close.map(|close| close.reason.as_str().to_owned());
                    TransportError::closed(&reason.unwrap_or_default())
                }))
            }
            // A close that cannot be read is a close.
            Some(Err(error)) => {
                let closed = self.closed_by_server();
                self.closed |= closed.is_some();
                Err(closed.unwrap_or_else(|| transport_error(error)))
            }
            None => Err(TransportError::closed("it is closed already")),
        }
    }
}

impl Receiver {
    /// Its close, as it is.
    fn closed_by_server(&self) -> Option<TransportError> {
        let Close { code, reason } = self.said.get()?.clone();
        Some(TransportError::Closed { code, reason })
    }
}

impl Sender {
    pub(super) async fn send(
        &mut self,
        frames: impl Iterator<Item = Bytes>,
    ) -> Result<(), TransportError> {
        for frame in frames {
            // STOMP frames are text on WebSocket, as the servers' JavaScript clients expect. A body
            // that is not UTF-8 cannot be text (RFC 6455, section 5.6).
            let message = match Utf8Bytes::try_from(frame.clone()) {
                Ok(text) => Message::Text(text),
                Err(_) => Message::Binary(frame),
            };
            self.sink.feed(message).await.map_err(transport_error)?;
        }
        self.sink.flush().await.map_err(transport_error)
    }

    pub(super) async fn send_text(
        &mut self,
        texts: impl Iterator<Item = String>,
    ) -> Result<(), TransportError> {
        for text in texts {
            self.sink
                .feed(Message::text(text))
                .await
                .map_err(transport_error)?;
        }
        self.sink.flush().await.map_err(transport_error)
    }

    pub(super) async fn ping(&mut self) -> Result<(), TransportError> {
        self.sink
            .send(Message::Ping(Bytes::new()))
            .await
            .map_err(transport_error)
    }

    pub(super) async fn close(&mut self) {
        // The server may have closed first: it is closed then.
        let _ = self.sink.close().await;
    }
}

/// Reads the stream below the WebSocket to its end, after our close. A peer that broke the protocol
/// may have sent more bytes, which are no message. The server answers a close by one and ends the
/// TCP connection (RFC 6455, section 7.1.1).
pub(super) async fn drain(receiver: Receiver, sender: Sender) {
    // Halves of two connections do not fit together.
    if let Ok(mut socket) = sender.sink.reunite(receiver.stream) {
        stream::drain(socket.get_mut().get_mut()).await;
    }
}

fn transport_error(error: tungstenite::Error) -> TransportError {
    match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::SendAfterClosing) => {
            TransportError::closed("it is closed already")
        }
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            TransportError::closed(
                "end of stream without a WebSocket close, as of a server that dies or a proxy that \
                 cuts idle links (nginx: proxy_read_timeout)",
            )
        }
        tungstenite::Error::Io(error) => TransportError::from_io(error),
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            TransportError::Limit {
                bytes: size,
                bytes_max: max_size,
            }
        }
        error => TransportError::Protocol(error.to_string()),
    }
}
