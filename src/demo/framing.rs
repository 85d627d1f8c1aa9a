//! One client's STOMP stream under its framing: plain TCP, WebSocket, or SockJS over WebSocket. Knows nothing of
//! STOMP but that each frame goes out in a message of its own.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::FRAME_BYTES_MAX;

/// Read from a TCP client at once; a chat of small frames needs no more.
const CHUNK_BYTES: usize = 16 * 1024;

type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// What a WebSocket message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Pieces of the STOMP stream themselves.
    Raw,
    /// SockJS's frames around them (SockJS protocol 0.3.3, "Framing" and "WebSocket").
    SockJs,
}

/// Why the connection ends, for the framings that have words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// After a DISCONNECT.
    Done,
    /// After an ERROR.
    Error,
}

/// A TCP client.
pub(super) fn plain(stream: TcpStream) -> (Receiver, Sender) {
    let (reading, writing) = stream.into_split();
    (Receiver::Plain(reading), Sender::Plain(writing))
}

/// A client whose HTTP request was upgraded. Over SockJS this sends the open frame.
pub(super) async fn websocket(socket: Upgraded, framing: Framing) -> io::Result<(Receiver, Sender)> {
    let config = WebSocketConfig::default()
        // Escaping may lengthen a SockJS frame; six bytes for one is the most that it can cost.
        .max_message_size(Some(FRAME_BYTES_MAX * 6))
        .max_frame_size(Some(FRAME_BYTES_MAX * 6))
        .read_buffer_size(CHUNK_BYTES)
        .write_buffer_size(0);
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(socket), Role::Server, Some(config)).await;
    let (writing, reading) = socket.split();
    let mut sender = Sender::WebSocket(writing, framing);
    if framing == Framing::SockJs {
        sender.text("o".into()).await?;
    }
    Ok((Receiver::WebSocket(Box::pin(reading), framing), sender))
}

/// The reading half.
pub(super) enum Receiver {
    Plain(OwnedReadHalf),
    WebSocket(Pin<Box<SplitStream<WebSocket>>>, Framing),
}

impl Receiver {
    /// The next piece of the STOMP stream; empty where something arrived that holds none of it. `None`: the client has
    /// closed. Cancel-safe.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Receiver::Plain(stream) => {
                let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
                let length = stream.read_buf(&mut chunk).await?;
                Ok((length > 0).then(|| chunk.freeze()))
            }
            Receiver::WebSocket(stream, framing) => match stream.next().await.transpose().map_err(io_error)? {
                Some(Message::Text(text)) if *framing == Framing::SockJs => unwrap_sockjs(text.as_str()).map(Some),
                Some(Message::Text(text)) => Ok(Some(text.into())),
                Some(Message::Binary(bytes)) => Ok(Some(bytes)),
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Some(Bytes::new())),
                Some(Message::Close(_)) | None => Ok(None),
            },
        }
    }
}

/// The writing half.
pub(super) enum Sender {
    Plain(OwnedWriteHalf),
    WebSocket(SplitSink<WebSocket, Message>, Framing),
}

impl Sender {
    /// Sends one whole frame, or the LF of a heart-beat. Not cancel-safe.
    pub(super) async fn send(&mut self, frame: &Bytes) -> io::Result<()> {
        match self {
            Sender::Plain(stream) => stream.write_all(frame).await,
            Sender::WebSocket(_, Framing::SockJs) => {
                // SockJS carries text only.
                let frame = String::from_utf8_lossy(frame);
                let array = serde_json::to_string(&[frame]).expect("a string always serialises");
                self.text(format!("a{array}")).await
            }
            Sender::WebSocket(stream, Framing::Raw) => {
                let message = match tungstenite::Utf8Bytes::try_from(frame.clone()) {
                    Ok(text) => Message::Text(text),
                    Err(_) => Message::Binary(frame.clone()),
                };
                stream.send(message).await.map_err(io_error)
            }
        }
    }

    /// Tells a SockJS client that we are there (its own heart-beat frame); nothing in the other framings.
    pub(super) async fn keep_alive(&mut self) -> io::Result<()> {
        match self {
            Sender::WebSocket(_, Framing::SockJs) => self.text("h".into()).await,
            Sender::WebSocket(_, Framing::Raw) | Sender::Plain(_) => Ok(()),
        }
    }

    /// Ends our side; what was sent arrives before it.
    pub(super) async fn close(&mut self, farewell: Farewell) -> io::Result<()> {
        if let Sender::WebSocket(_, Framing::SockJs) = self {
            let words = match farewell {
                Farewell::Done => r#"c[3000,"Go away!"]"#,
                Farewell::Error => r#"c[1002,"Connection interrupted"]"#,
            };
            self.text(words.into()).await?;
        }
        match self {
            Sender::Plain(stream) => stream.shutdown().await,
            Sender::WebSocket(stream, _) => {
                let code = match farewell {
                    Farewell::Done => CloseCode::Normal,
                    Farewell::Error => CloseCode::Protocol,
                };
                stream.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await.map_err(io_error)
            }
        }
    }

    async fn text(&mut self, text: String) -> io::Result<()> {
        match self {
            Sender::Plain(stream) => stream.write_all(text.as_bytes()).await,
            Sender::WebSocket(stream, _) => stream.send(Message::text(text)).await.map_err(io_error),
        }
    }
}

/// The pieces that a SockJS client sends: a JSON array of strings, or one string alone. Some clients send an empty
/// message, which SockJS has servers ignore.
fn unwrap_sockjs(text: &str) -> io::Result<Bytes> {
    if text.is_empty() {
        return Ok(Bytes::new());
    }
    let pieces = serde_json::from_str::<Vec<String>>(text).map(|pieces| pieces.concat());
    let stream = pieces.or_else(|_| serde_json::from_str::<String>(text));
    stream.map(Bytes::from).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "broken SockJS framing"))
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockjs_messages_are_pieces_of_one_stream() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(unwrap_sockjs(text).ok(), expected.map(|s| Bytes::copy_from_slice(s.as_bytes())), "{text}");
        };
        check("", Some(""));
        check("[]", Some(""));
        check(r#"["a"]"#, Some("a"));
        check(r#"["SEND\n","\n\u0000"]"#, Some("SEND\n\n\0"));
        check(r#""lone""#, Some("lone"));
        check(r#"["故障"]"#, Some("故障"));
        check(r#"["unfinished""#, None);
        check("[1]", None);
        check("{}", None);
    }
}
