//! Why there is no connection, or why it ended. Each text says what failed, where, why and what to
//! do. It stands alone: the cause is part of it and not chained.

use std::io;
use std::time::Duration;

use super::location::is_login_page;
use crate::secret::beginning;
use crate::tls;

/// Why an attempt to connect has failed. The variants differ in what a caller does. `Address` and
/// `TlsSettings` do not mend themselves, `Http` may mean refused credentials, the others are worth
/// another attempt.
///
/// No text holds the query or the user of a URL: tokens travel there.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URL or a header of the target cannot be used.
    #[error("{url} cannot be dialled: {problem}")]
    Address {
        /// The URL.
        url: String,
        /// Its mistake, and what to do.
        problem: String,
    },
    /// A file of the TLS settings is missing or wrong.
    #[error("tls: {0}")]
    TlsSettings(tls::Error),
    /// The host's name has no address.
    #[error("resolve {host}: {problem}; check the name, and that this machine's DNS answers")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        problem: String,
    },
    /// There is an HTTP proxy on the way, and it lets us through to nobody.
    #[error("proxy {proxy} (from {variable}): {problem}")]
    Proxy {
        /// `host:port`.
        proxy: String,
        /// The environment's variable that names it.
        variable: &'static str,
        /// The mistake, and what to do.
        problem: String,
    },
    /// The host is there and nothing listens on the port.
    #[error("connect to {peer}: connection refused; is the server running, and is this its port")]
    Refused {
        /// `host:port`.
        peer: String,
    },
    /// The network failed.
    #[error("{stage} with {peer}: {reason}; check the network and the server's log")]
    Io {
        /// `host:port`.
        peer: String,
        /// The step that failed.
        stage: Stage,
        /// What the system said; part of the text, so not a source.
        reason: io::Error,
    },
    /// The TLS handshake failed: a certificate, mostly.
    #[error("TLS with {peer}: {problem}")]
    Tls {
        /// `host:port`.
        peer: String,
        /// The mistake, and what to do.
        problem: String,
    },
    /// The server answered the upgrade, `/info` or a first poll by another status than it should.
    #[error("{url} answered {status}{}; {}", shown_body(body), http_advice(url, *status, body))]
    Http {
        /// The URL of the request, without its query.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Where it redirects to, or the first bytes of the body; it may be empty.
        body: String,
        /// How long the server asks to be left alone: `Retry-After` of 429 and 503.
        retry_after: Option<Duration>,
    },
    /// The answer to the WebSocket upgrade, or the first SockJS frame, breaks the protocol.
    #[error("WebSocket or SockJS handshake with {url}: {problem}")]
    Handshake {
        /// The URL of the request, without its query.
        url: String,
        /// The mistake, and what to do.
        problem: String,
    },
    /// SockJS's `/info` is not what the protocol says.
    #[error("SockJS {url}: {problem}")]
    Info {
        /// The URL of `/info`, without its query.
        url: String,
        /// The mistake, and what to do.
        problem: String,
    },
    /// A gateway before the server answers 200, and refuses in the body.
    #[error(
        "{url}: the gateway wants a sign-in: {words}; check the configured headers and the sign-in"
    )]
    Gateway {
        /// The URL of the request, without its query.
        url: String,
        /// Its own words.
        words: String,
    },
    /// `/info` is fine, but none of the SockJS transports works.
    #[error("no SockJS transport of {url} works: {tried}")]
    NoTransport {
        /// The base URL.
        url: String,
        /// Each transport and why not.
        tried: String,
    },
    /// A stage took too long.
    #[error("{stage} with {peer}: no answer within {} ms; check firewalls and proxies on the way", after.as_millis())]
    Timeout {
        /// `host:port`.
        peer: String,
        /// The step that failed.
        stage: Stage,
        /// How long it was waited for.
        after: Duration,
    },
}

/// What an attempt was doing, for error texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The HTTP request of a sign-in, and its answer.
    Signin,
    /// The HTTP request for a snapshot of a topic, and its answer.
    Snapshot,
    /// DNS.
    Resolve,
    /// TCP's handshake.
    Connect,
    /// The HTTP proxy's answer to CONNECT.
    Proxy,
    /// TLS's handshake.
    Tls,
    /// The HTTP request that becomes a WebSocket, and its answer.
    Upgrade,
    /// SockJS's `/info`.
    Info,
    /// SockJS's first frame, `o`.
    Open,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Signin => "sign-in",
            Stage::Snapshot => "snapshot",
            Stage::Resolve => "name resolution",
            Stage::Connect => "TCP connection",
            Stage::Proxy => "proxy tunnel",
            Stage::Tls => "TLS handshake",
            Stage::Upgrade => "WebSocket upgrade",
            Stage::Info => "SockJS info",
            Stage::Open => "SockJS open",
        })
    }
}

/// Why a connection ended, or why something could not be sent over it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The server ended it: end of stream, a WebSocket close or SockJS's `c`.
    #[error("{}", shown_close(*code, reason))]
    Closed {
        /// Of WebSocket (RFC 6455, section 7.4) or SockJS.
        code: Option<u16>,
        /// The server's own words; it may be empty.
        reason: String,
    },
    /// The network failed.
    #[error("connection lost: {}", shown_io(.0))]
    Io(io::Error),
    /// The server sent more in one message than we take.
    #[error(
        "a message of {bytes} bytes or more exceeds the limit of {bytes_max} bytes; raise the limit if it is right"
    )]
    Limit {
        /// How many had been announced or read.
        bytes: usize,
        /// What is allowed: [`message_bytes_max`](super::Target::message_bytes_max).
        bytes_max: usize,
    },
    /// The server broke the rules of the framing.
    #[error("the server broke the transport's protocol: {0}")]
    Protocol(String),
    /// A request of SockJS without WebSocket failed. What was read before it is whole.
    #[error("SockJS answered {status}; {}", answer_advice(*status))]
    Answered {
        /// The HTTP status.
        status: u16,
    },
    /// Refused on our side, and nothing was sent: SockJS carries text only.
    #[error(
        "a frame that is not UTF-8 cannot cross SockJS: use ws://, wss://, stomp:// or stomps://"
    )]
    NotText,
}

/// As much of what a server has sent in place of a frame is shown.
const MISTAKE_CHARS_MAX: usize = 120;

impl TransportError {
    /// A mistake that names what the server has sent.
    pub(super) fn protocol(mistake: &str) -> TransportError {
        let shown = beginning(mistake.as_bytes(), MISTAKE_CHARS_MAX);
        TransportError::Protocol(shown.text)
    }

    pub(super) fn closed(reason: &str) -> TransportError {
        TransportError::Closed {
            code: None,
            reason: reason.to_owned(),
        }
    }

    /// The server has closed as one does who has nothing against us (RFC 6455, section 7.4.1; SockJS
    /// says 3000).
    pub fn is_in_order(&self) -> bool {
        match self {
            TransportError::Closed { code, .. } => {
                matches!(code, None | Some(1000 | 1001 | 1005 | 3000))
            }
            _ => false,
        }
    }

    /// The server has closed, and says that it stops or restarts.
    pub fn is_going_away(&self) -> bool {
        let code = match self {
            TransportError::Closed { code, .. } => *code,
            _ => None,
        };
        matches!(code, Some(1001 | 1012 | 1013))
    }

    /// A stream that ends without TLS's or WebSocket's close counts as closed. Servers often skip
    /// it, and the codec notices a cut frame.
    pub(super) fn from_io(error: io::Error) -> TransportError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => TransportError::closed("end of stream"),
            _ => TransportError::Io(error),
        }
    }
}

fn shown_close(code: Option<u16>, reason: &str) -> String {
    let mut text = "the server closed the connection".to_owned();
    if let Some(code) = code {
        text.push_str(&format!(" with code {code}"));
        if let Some(meaning) = close_meaning(code) {
            text.push_str(&format!(" ({meaning})"));
        }
    }
    if !reason.is_empty() {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}

/// RFC 6455, section 7.4.1; the last ones are SockJS's and Spring's.
fn close_meaning(code: u16) -> Option<&'static str> {
    Some(match code {
        1000 => "normal",
        1001 => "going away",
        1002 => "protocol error; Spring closes so after a STOMP ERROR",
        1003 => "unsupported data",
        1005 | 1006 => "reserved: no server may send it",
        1007 => "invalid text",
        1008 => "policy violation",
        1009 => {
            "a message was too big for the server; Spring: raise setMessageSizeLimit, and \
             maxTextMessageBufferSize of its container"
        }
        1011 => "server error",
        1012 => "server restarts",
        1013 => "try again later",
        2010 => "another connection is still open",
        3000 => "go away",
        4500 => {
            "Spring's send buffer or time limit, and what was in the buffer is lost: raise \
             setSendBufferSizeLimit and setSendTimeLimit of its WebSocketTransportRegistration"
        }
        _ => return None,
    })
}

/// TLS 1.3 tells of a refused client certificate after the handshake, with the first read.
fn shown_io(error: &io::Error) -> String {
    tls::refusal(error).map_or_else(|| error.to_string(), tls::explained)
}

fn shown_body(body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!(" ({body})")
    }
}

impl DialError {
    /// The server, or a gateway before it, wants a sign-in: it says so in words, or leads to the
    /// page for it.
    pub fn wants_sign_in(&self) -> bool {
        match self {
            DialError::Gateway { .. } => true,
            DialError::Http {
                status: 300..=399,
                body,
                ..
            } => is_login_page(body),
            _ => false,
        }
    }
}

/// What Spring and sockjs-node answer to a GET of a SockJS endpoint's base.
const WELCOME: &str = "Welcome to SockJS!";

fn http_advice(url: &str, status: u16, body: &str) -> &'static str {
    match status {
        200 if body.trim() == WELCOME => {
            "this is a SockJS endpoint: write http:// in place of ws:// (https:// in place of \
             wss://), or append /websocket to the URL"
        }
        // So Spring answers a WebSocket's upgrade at the base of a SockJS endpoint.
        400 if url.starts_with("ws") && !url.ends_with("/websocket") && body.is_empty() => {
            "this may be a SockJS endpoint: then write http:// in place of ws:// (https:// in place \
             of wss://); or a proxy on the way does not pass WebSocket upgrades, or the path is wrong"
        }
        300..=399 if is_login_page(body) => {
            "the server wants a sign-in first: see [source.signin]; if there is one, what it gives \
             does not reach this address (cookie, headers) or is not enough"
        }
        200..=299 => "this path is no WebSocket or SockJS endpoint: check the URL's path",
        300..=399 => "redirects are not followed: configure the address that it leads to",
        400 | 405 | 426 => {
            "a proxy on the way may not pass WebSocket upgrades, or the path is wrong"
        }
        401 | 403 => {
            "the server wants other credentials: check the configured headers and the sign-in"
        }
        404 => {
            "check the URL's path: ws:// for a plain WebSocket endpoint, http:// for the base of a SockJS one"
        }
        429 => "too many connections: it is tried again later",
        500..=599 => "the server or a proxy before it is in trouble: see its log",
        _ => "check the URL and the server's log",
    }
}

/// Of a session that had begun.
fn answer_advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "the sign-in that began this session has ended",
        504 => {
            "a proxy on the way waits less than the 25 s between SockJS's heart-beats: have it wait \
             longer (nginx: proxy_read_timeout)"
        }
        500..=599 => "the server or a proxy before it is in trouble: see its log",
        _ => "check the server's log, and each proxy on the way",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_secret_is_in_no_mistake() {
        crate::secret::protect("mistake-secret-60aa", crate::secret::Lifetime::Configured);
        let mistake = format!("{} mistake-secret-60aa", "x".repeat(MISTAKE_CHARS_MAX - 6));
        let shown = TransportError::protocol(&mistake).to_string();
        assert!(
            shown.contains('…') && !shown.contains("mistake-"),
            "{shown}"
        );
    }

    #[test]
    fn close_says_code_meaning_and_the_servers_words() {
        let check = |code, reason: &str, expected: &str| {
            let error = TransportError::Closed {
                code,
                reason: reason.to_owned(),
            };
            assert_eq!(error.to_string(), expected);
        };
        check(None, "", "the server closed the connection");
        check(
            None,
            "end of stream",
            "the server closed the connection: end of stream",
        );
        check(
            Some(3000),
            "Go away!",
            "the server closed the connection with code 3000 (go away): Go away!",
        );
        check(
            Some(4999),
            "",
            "the server closed the connection with code 4999",
        );
    }

    #[test]
    fn redirect_to_a_login_page_and_sockjs_welcome_are_known() {
        let check = |status, body: &str, expected: &str| {
            let error = DialError::Http {
                url: "ws://h/ws".to_owned(),
                status,
                body: body.to_owned(),
                retry_after: None,
            };
            assert!(error.to_string().contains(expected), "{error}");
            error.wants_sign_in()
        };
        for place in [
            "to http://h/login",
            "to /login?error",
            "to /user/Sign-In",
            "to /cas",
        ] {
            assert!(check(
                302,
                place,
                "wants a sign-in first: see [source.signin]"
            ));
        }
        for place in ["to http://h/ws/", "to /cases", "to https://login.h/ws"] {
            assert!(!check(302, place, "configure the address that it leads to"));
        }
        check(
            200,
            "Welcome to SockJS!\n",
            "write http:// in place of ws://",
        );
        check(400, "", "this may be a SockJS endpoint: then write http://");
        check(400, "bad", "a proxy on the way may not");
        check(200, "<html>", "no WebSocket or SockJS endpoint");
    }

    #[test]
    fn refused_upgrade_says_where_why_and_what_to_do() {
        let error = DialError::Http {
            url: "ws://h:1/ws".to_owned(),
            status: 403,
            body: "no".to_owned(),
            retry_after: None,
        };
        assert_eq!(
            error.to_string(),
            "ws://h:1/ws answered 403 (no); the server wants other credentials: check the configured headers and the \
             sign-in"
        );
    }
}
