//! One client's STOMP stream under its framing: plain TCP, WebSocket, or SockJS over WebSocket.
//! Knows nothing of STOMP but that each frame goes out in a message of its own.

use std::io;

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
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

/// Longest STOMP frame that a client may send.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 20;

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
pub(super) async fn websocket(
    socket: Upgraded,
    framing: Framing,
) -> io::Result<(Receiver, Sender)> {
    let config = WebSocketConfig::default()
        // Escaping may lengthen a SockJS frame; six bytes for one is the most that it can cost.
        .max_message_size(Some(FRAME_BYTES_MAX * 6))
        .max_frame_size(Some(FRAME_BYTES_MAX * 6))
        .read_buffer_size(CHUNK_BYTES)
        .write_buffer_size(0);
    let socket =
        WebSocketStream::from_raw_socket(TokioIo::new(socket), Role::Server, Some(config)).await;
    let (mut writing, reading) = socket.split();
    match framing {
        Framing::Raw => Ok((Receiver::WebSocket(reading), Sender::WebSocket(writing))),
        Framing::SockJs => {
            send_text(&mut writing, "o").await?;
            Ok((Receiver::SockJs(reading), Sender::SockJs(writing)))
        }
    }
}

/// The reading half.
pub(super) enum Receiver {
    Plain(OwnedReadHalf),
    WebSocket(SplitStream<WebSocket>),
    SockJs(SplitStream<WebSocket>),
}

impl Receiver {
    /// The next piece of the STOMP stream; empty where something arrived that holds none of it.
    /// `None`: the client has closed. Cancel-safe.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Receiver::Plain(stream) => {
                let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
                let length = stream.read_buf(&mut chunk).await?;
                Ok((length > 0).then(|| chunk.freeze()))
            }
            Receiver::WebSocket(stream) => Ok(match receive_message(stream).await? {
                Some(Message::Text(text)) => Some(text.into()),
                Some(Message::Binary(bytes)) => Some(bytes),
                Some(_) => Some(Bytes::new()),
                None => None,
            }),
            Receiver::SockJs(stream) => match receive_message(stream).await? {
                Some(Message::Text(text)) => unwrap_sockjs(&text).map(Some),
                Some(_) => Ok(Some(Bytes::new())),
                None => Ok(None),
            },
        }
    }
}

/// `None`: the client has closed.
async fn receive_message(stream: &mut SplitStream<WebSocket>) -> io::Result<Option<Message>> {
    let message = stream.next().await.transpose().map_err(io_error)?;
    Ok(message.filter(|message| !message.is_close()))
}

/// The writing half.
pub(super) enum Sender {
    Plain(OwnedWriteHalf),
    WebSocket(SplitSink<WebSocket, Message>),
    SockJs(SplitSink<WebSocket, Message>),
}

impl Sender {
    /// Sends one whole frame, or the LF of a heart-beat. Not cancel-safe.
    pub(super) async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        match self {
            Sender::Plain(stream) => stream.write_all(&frame).await,
            Sender::WebSocket(stream) => {
                let message = match Utf8Bytes::try_from(frame.clone()) {
                    Ok(text) => Message::Text(text),
                    Err(_) => Message::Binary(frame),
                };
                stream.send(message).await.map_err(io_error)
            }
            Sender::SockJs(stream) => send_text(stream, format!("a{}", wrap_sockjs(&frame))).await,
        }
    }

    /// Tells a SockJS client that we are there (its own heart-beat frame); nothing in the other
    /// framings.
    pub(super) async fn keep_alive(&mut self) -> io::Result<()> {
        match self {
            Sender::SockJs(stream) => send_text(stream, "h").await,
            Sender::WebSocket(_) | Sender::Plain(_) => Ok(()),
        }
    }

    /// Ends our side; bytes sent before arrive first.
    pub(super) async fn close(&mut self, farewell: Farewell) -> io::Result<()> {
        match self {
            Sender::Plain(stream) => stream.shutdown().await,
            Sender::WebSocket(stream) => send_close(stream, farewell).await,
            Sender::SockJs(stream) => {
                let words = match farewell {
                    Farewell::Done => r#"c[3000,"Go away!"]"#,
                    Farewell::Error => r#"c[1002,"Connection interrupted"]"#,
                };
                send_text(stream, words).await?;
                send_close(stream, farewell).await
            }
        }
    }
}

async fn send_text(
    stream: &mut SplitSink<WebSocket, Message>,
    text: impl Into<Utf8Bytes>,
) -> io::Result<()> {
    stream
        .send(Message::Text(text.into()))
        .await
        .map_err(io_error)
}

async fn send_close(
    stream: &mut SplitSink<WebSocket, Message>,
    farewell: Farewell,
) -> io::Result<()> {
    let code = match farewell {
        Farewell::Done => CloseCode::Normal,
        Farewell::Error => CloseCode::Protocol,
    };
    let close = CloseFrame {
        code,
        reason: Utf8Bytes::default(),
    };
    stream
        .send(Message::Close(Some(close)))
        .await
        .map_err(io_error)
}

/// A JSON array of one string. SockJS carries text only: other bytes are replaced.
fn wrap_sockjs(frame: &[u8]) -> String {
    let frame = String::from_utf8_lossy(frame);
    serde_json::to_string(&[frame]).expect("a string always serialises")
}

/// The pieces that a SockJS client sends: a JSON array of strings, or one string alone. Some
/// clients send an empty message, which SockJS has servers ignore.
fn unwrap_sockjs(text: &str) -> io::Result<Bytes> {
    if text.is_empty() {
        return Ok(Bytes::new());
    }
    let pieces = serde_json::from_str::<Vec<String>>(text).map(|pieces| pieces.concat());
    let stream = pieces.or_else(|_| serde_json::from_str::<String>(text));
    stream
        .map(Bytes::from)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "broken SockJS framing"))
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
            assert_eq!(
                unwrap_sockjs(text).ok(),
                expected.map(|s| Bytes::copy_from_slice(s.as_bytes())),
                "{text}"
            );
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
