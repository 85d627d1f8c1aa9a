//! WebSocket's opening handshake (RFC 6455, section 4), by hand.
//!
//! tungstenite's own refuses three servers: one that answers `Connection: keep-alive, Upgrade`, one
//! that names no subprotocol, and one that names another than requested (ActiveMQ: `stomp`). All
//! three work: STOMP's version comes from its CONNECTED frame alone, so the subprotocol in the
//! answer decides nothing.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_key};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::{Position, Url};

use super::error::{DialError, Stage, TransportError};
use super::gateway;
use super::http;
use super::location::shown_location;
use super::peer::{Peer, shown};
use super::stream::Stream;
use super::survey;
use crate::excerpt::clean_line;
use crate::secret::{beginning, beginning_bytes};

/// What the server has accepted.
pub(super) struct Upgraded {
    pub(super) stream: Stream,
    /// What it has already sent of its first messages.
    pub(super) read: Vec<u8>,
}

/// The subprotocols offered for STOMP straight on WebSocket; SockJS offers none.
pub(super) const STOMP_SUBPROTOCOLS: HeaderValue =
    HeaderValue::from_static("v12.stomp, v11.stomp, v10.stomp");

/// Turns a stream into a WebSocket. `headers` are sent as they are, `Host` included if it is among
/// them.
pub(super) async fn upgrade(
    mut stream: Stream,
    peer: &Peer,
    url: &Url,
    headers: &HeaderMap,
) -> Result<Upgraded, DialError> {
    let key = generate_key();
    let io = |reason| DialError::Io {
        peer: peer.to_string(),
        stage: Stage::Upgrade,
        reason,
    };
    stream
        .write_all(&request(url, &key, headers))
        .await
        .map_err(io)?;
    stream.flush().await.map_err(io)?;

    let mut read = BytesMut::with_capacity(READ_BYTES);
    let response = loop {
        if let Some((length, response)) = parse_head(url, &read)? {
            let _head = read.split_to(length);
            if !is_interim(&response) {
                break response;
            }
            continue;
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(broken(
                url,
                format!("its header is longer than {HEAD_BYTES_MAX} bytes"),
            ));
        }
        match stream.read_buf(&mut read).await {
            Ok(0) => {
                return Err(broken(
                    url,
                    "the server hung up without an answer".to_owned(),
                ));
            }
            Ok(_) => {}
            Err(error) => match TransportError::from_io(error) {
                TransportError::Io(reason) => return Err(io(reason)),
                _ => {
                    return Err(broken(
                        url,
                        "the server hung up without an answer".to_owned(),
                    ));
                }
            },
        }
    };
    let date = response.headers().get(header::DATE);
    survey::date(date.map(HeaderValue::as_bytes));
    if response.status().as_u16() != 101 {
        return Err(refusal(url, &response, stream, read).await);
    }
    verify(url, &key, response.headers())?;
    Ok(Upgraded {
        stream,
        read: read.to_vec(),
    })
}

/// The first read; an answer is a few hundred bytes.
const READ_BYTES: usize = 4 * 1024;

/// An answer's header larger than this is no answer.
const HEAD_BYTES_MAX: usize = 32 * 1024;

fn request(url: &Url, key: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut request = Vec::with_capacity(512);
    let mut line = |name: &str, value: &[u8]| {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    };
    line(
        "GET ",
        format!(
            "{} HTTP/1.1",
            &url[Position::BeforePath..Position::AfterQuery]
        )
        .as_bytes(),
    );
    if !headers.contains_key(header::HOST) {
        // The port only if it is not the scheme's own (RFC 9110, section 7.2).
        line(
            "Host: ",
            url[Position::BeforeHost..Position::AfterPort].as_bytes(),
        );
    }
    line("Connection: ", b"Upgrade");
    line("Upgrade: ", b"websocket");
    line("Sec-WebSocket-Version: ", b"13");
    line("Sec-WebSocket-Key: ", key.as_bytes());
    for (name, value) in headers {
        line(&format!("{}: ", canonical(name)), value.as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Header names are case-insensitive, and some embedded servers do not know that:
/// `Sec-WebSocket-Protocol`.
fn canonical(name: &HeaderName) -> String {
    if *name == header::SEC_WEBSOCKET_PROTOCOL {
        return "Sec-WebSocket-Protocol".to_owned();
    }
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

fn parse_head(url: &Url, read: &[u8]) -> Result<Option<(usize, Response)>, DialError> {
    Response::try_parse(read).map_err(|error| {
        broken(
            url,
            format!("the answer is no HTTP ({error}); is this an HTTP port"),
        )
    })
}

/// 100 and 103 come before the answer itself (RFC 9110, section 15.2).
fn is_interim(response: &Response) -> bool {
    response.status().is_informational() && response.status().as_u16() != 101
}

/// RFC 6455, section 4.1, the checks 2 to 5. The sixth, of the subprotocol, is left out: see above.
fn verify(url: &Url, key: &str, headers: &HeaderMap) -> Result<(), DialError> {
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err(broken(url, "101 without \"Upgrade: websocket\"".to_owned()));
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(broken(
            url,
            "101 without \"Connection: Upgrade\"; a proxy may have dropped it".to_owned(),
        ));
    }
    let accept = headers
        .get(header::SEC_WEBSOCKET_ACCEPT)
        .map(|value| value.as_bytes().trim_ascii());
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(broken(
            url,
            "101 with a wrong Sec-WebSocket-Accept; a cache may answer for the server".to_owned(),
        ));
    }
    let extensions = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    if let Some(extension) = extensions
        .map(|value| value.as_bytes().trim_ascii())
        .find(|value| !value.is_empty())
    {
        let extension = String::from_utf8_lossy(extension);
        return Err(broken(
            url,
            format!("the server uses the extension {extension} that was not offered"),
        ));
    }
    Ok(())
}

/// Lists may be spread over several headers, in any case: `Connection: keep-alive, Upgrade`.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

async fn refusal(
    url: &Url,
    response: &Response,
    mut stream: Stream,
    mut read: BytesMut,
) -> DialError {
    let body = match response.headers().get(header::LOCATION) {
        Some(location) => led_to(location),
        None => {
            let length = response
                .headers()
                .get(header::CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok());
            let length = length
                .and_then(|value| value.parse().ok())
                .unwrap_or(BODY_READ_BYTES);
            let length = length.min(BODY_READ_BYTES);
            read_body(&mut stream, &mut read, length).await;
            read.truncate(length);
            if let Ok(answer) = serde_json::from_slice(&read)
                && response.status().is_success()
                && let Some(words) = gateway::wants_sign_in(&answer)
            {
                let url = shown(url);
                return DialError::Gateway { url, words };
            }
            shown_text(&read)
        }
    };
    let status = response.status().as_u16();
    DialError::Http {
        url: shown(url),
        status,
        body,
        retry_after: http::retry_after(status, response.headers()),
    }
}

/// As much of a refusal's body is shown.
const BODY_SHOWN_CHARS: usize = 256;

/// As much of it is read.
pub(super) const BODY_READ_BYTES: usize = beginning_bytes(BODY_SHOWN_CHARS);

/// A refusal is worth so much more waiting for its text.
const BODY_WAIT: Duration = Duration::from_millis(500);

async fn read_body(stream: &mut Stream, read: &mut BytesMut, length: usize) {
    let body =
        async { while read.len() < length && matches!(stream.read_buf(read).await, Ok(1..)) {} };
    // The status is what counts: a body that does not come, or not whole, is shown as far as it
    // came.
    let _ = tokio::time::timeout(BODY_WAIT, body).await;
}

/// Where a redirect leads to, for the text of an error.
pub(super) fn led_to(location: &HeaderValue) -> String {
    let location = String::from_utf8_lossy(location.as_bytes());
    format!("to {}", shown_location(&location))
}

/// The beginning of a body, fit for one line of a log.
pub(super) fn shown_text(body: &[u8]) -> String {
    clean_line(&beginning(body, BODY_SHOWN_CHARS).text)
}

fn broken(url: &Url, problem: String) -> DialError {
    DialError::Handshake {
        url: shown(url),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_keeps_path_and_query_and_sends_no_user() {
        let url = "ws://u:p@[::1]:8080/a/websocket?token=x#f"
            .parse()
            .expect("a URL");
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("k"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, STOMP_SUBPROTOCOLS);
        let request = String::from_utf8(request(&url, "KEY", &headers)).expect("text");
        assert_eq!(
            request,
            "GET /a/websocket?token=x HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY\r\nX-Api-Key: k\r\n\
             Sec-WebSocket-Protocol: v12.stomp, v11.stomp, v10.stomp\r\n\r\n"
        );
    }

    #[test]
    fn default_port_is_not_sent() {
        let url = "wss://host:443".parse().expect("a URL");
        let request = String::from_utf8(request(&url, "KEY", &HeaderMap::new())).expect("text");
        assert!(
            request.starts_with("GET / HTTP/1.1\r\nHost: host\r\n"),
            "{request}"
        );
    }

    #[test]
    fn body_of_a_refusal_becomes_one_short_line() {
        assert_eq!(
            shown_text(b"<html>\r\n  no\x1b[0m </html>\n"),
            "<html> no [0m </html>"
        );
        assert_eq!(shown_text(&[b'x'; 1000]).len(), BODY_SHOWN_CHARS);
    }

    #[test]
    fn half_a_secret_is_in_no_refusal() {
        crate::secret::protect("upgrade-secret-1be9", crate::secret::Lifetime::Configured);
        let body = format!("{}upgrade-secret-1be9", "x ".repeat(124));
        let shown = shown_text(body.as_bytes());
        assert!(
            shown.ends_with('…') && !shown.contains("upgrade"),
            "{shown}"
        );
    }
}
