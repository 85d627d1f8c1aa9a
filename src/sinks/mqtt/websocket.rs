//! MQTT over WebSocket (MQTT 5, section 6): one stream of bytes in binary messages.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::incoming::INCOMING_BYTES_MAX;
use super::loss::Loss;

/// Section 6: the client asks for it, and the broker names it.
const SUBPROTOCOL: HeaderValue = HeaderValue::from_static("mqtt");

/// Turns a stream into a WebSocket, by the URL of its handshake.
pub(super) async fn open(
    url: String,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
) -> Result<
    (
        impl AsyncRead + Send + Unpin,
        impl AsyncWrite + Send + Unpin,
    ),
    Loss,
> {
    let mut request = url.into_client_request().map_err(|error| refused(&error))?;
    let headers = request.headers_mut();
    headers.insert(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let config = WebSocketConfig::default()
        .read_buffer_size(INCOMING_BYTES_MAX)
        .max_message_size(Some(INCOMING_BYTES_MAX))
        .max_frame_size(Some(INCOMING_BYTES_MAX));
    let connected = client_async_with_config(request, stream, Some(config)).await;
    let (socket, _answer) = connected.map_err(|error| refused(&error))?;
    let (sink, stream) = socket.split();
    let messages = stream.filter_map(|message| future::ready(payload(message)));
    let sink = sink
        .sink_map_err(io_error)
        .with(|bytes: Bytes| future::ready(Ok::<_, io::Error>(Message::Binary(bytes))));
    let writer = SinkWriter::new(CopyToBytes::new(sink));
    Ok((StreamReader::new(messages), writer))
}

/// The bytes of a message; `None` for one that is the WebSocket's own. After its close the stream
/// ends.
fn payload(message: Result<Message, Error>) -> Option<io::Result<Bytes>> {
    match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        // It should be binary; the bytes are what counts.
        Ok(Message::Text(text)) => Some(Ok(text.into())),
        Ok(_) => None,
        Err(error) => Some(Err(io_error(error))),
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_) => {
            io::Error::new(io::ErrorKind::UnexpectedEof, error)
        }
        error => io::Error::other(error),
    }
}

fn refused(error: &Error) -> Loss {
    let advice = match error {
        Error::Http(answer) => {
            let status = answer.status();
            format!("the answer is HTTP {status}; check the path of `url` (most brokers: /mqtt)")
        }
        Error::Protocol(_) => {
            format!("{error}; check that the port is the broker's for WebSocket")
        }
        error => error.to_string(),
    };
    Loss::new(format!("WebSocket refused: {advice}"))
}
