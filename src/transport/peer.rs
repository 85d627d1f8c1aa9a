//! Whom we dial and how long that may take: read from the URL once, at the edge.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::debug;
use url::Url;

use super::error::{DialError, Stage};
use super::survey;

/// What runs on top of the byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Plain,
    WebSocket,
    SockJs,
}

/// What runs below the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Clear,
    Tls,
}

/// The server of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) framing: Framing,
}

impl Peer {
    /// STOMP's own ports are those that the brokers share: 61613, and 61614 for TLS.
    pub(super) fn of(url: &Url) -> Result<Peer, DialError> {
        let unusable = |problem: &str| DialError::Address {
            url: shown(url),
            problem: problem.to_owned(),
        };
        let (framing, security, default_port) = match url.scheme() {
            "stomp" => (Framing::Plain, Security::Clear, 61613),
            "stomps" => (Framing::Plain, Security::Tls, 61614),
            "ws" => (Framing::WebSocket, Security::Clear, 80),
            "wss" => (Framing::WebSocket, Security::Tls, 443),
            "http" => (Framing::SockJs, Security::Clear, 80),
            "https" => (Framing::SockJs, Security::Tls, 443),
            _ => {
                return Err(unusable(
                    "expected stomp://, stomps://, ws://, wss://, http:// or https://",
                ));
            }
        };
        let host = url
            .host_str()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err(unusable("it names no host"));
        }
        Ok(Peer {
            host: host.to_owned(),
            port: url.port().unwrap_or(default_port),
            security,
            framing,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A URL as it may be printed: without user, query and fragment, which hold secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        shown.push_str(&format!(":{port}"));
    }
    shown.push_str(url.path());
    shown
}

/// When an attempt, or a part of it, is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    since: Instant,
}

const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl Deadline {
    pub(super) fn after(duration: Duration) -> Deadline {
        let since = Instant::now();
        // A time that the clock cannot add has no end.
        let at = since
            .checked_add(duration)
            .unwrap_or_else(|| since + FOR_EVER);
        Deadline { at, since }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// A deadline for a part of the remaining time.
    pub(super) fn part(&self, duration: Duration) -> Deadline {
        Deadline::after(duration.min(self.remaining()))
    }

    /// Runs one stage of the attempt until the deadline.
    pub(super) async fn bound<T>(
        &self,
        peer: &Peer,
        stage: Stage,
        work: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let began = Instant::now();
        match timeout_at(self.at, work).await {
            Ok(result) => {
                let took_ms = began.elapsed().as_millis() as u64;
                match result {
                    Ok(_) => survey::done(stage, began.elapsed()),
                    Err(_) => survey::failed(stage),
                }
                debug!(%peer, %stage, took_ms, failed = result.is_err(), "stage of the attempt done");
                result
            }
            Err(_) => {
                survey::failed(stage);
                Err(DialError::Timeout {
                    peer: peer.to_string(),
                    stage,
                    after: self.at - self.since,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_names_host_port_and_layers() {
        let check = |url: &str, expected: &str, security, framing| {
            let peer = Peer::of(&url.parse().expect("a URL")).expect(url);
            assert_eq!(
                (peer.to_string().as_str(), peer.security, peer.framing),
                (expected, security, framing),
                "{url}"
            );
        };
        check(
            "stomp://broker",
            "broker:61613",
            Security::Clear,
            Framing::Plain,
        );
        check(
            "stomps://broker",
            "broker:61614",
            Security::Tls,
            Framing::Plain,
        );
        check(
            "stomp://127.0.0.1:5",
            "127.0.0.1:5",
            Security::Clear,
            Framing::Plain,
        );
        check(
            "stomps://[::1]",
            "[::1]:61614",
            Security::Tls,
            Framing::Plain,
        );
        check("ws://h/ws", "h:80", Security::Clear, Framing::WebSocket);
        check(
            "wss://[::1]:8/ws",
            "[::1]:8",
            Security::Tls,
            Framing::WebSocket,
        );
        check(
            "http://u:p@h:81/base",
            "h:81",
            Security::Clear,
            Framing::SockJs,
        );
        check("https://h/base", "h:443", Security::Tls, Framing::SockJs);
    }

    #[test]
    fn unusable_url_is_refused_without_its_secrets() {
        let check = |url: &str, expected: &str| {
            let error = Peer::of(&url.parse().expect("a URL")).expect_err(url);
            assert_eq!(error.to_string(), expected);
        };
        let schemes = "expected stomp://, stomps://, ws://, wss://, http:// or https://";
        check(
            "mqtt://u:secret@h:1883/?token=x",
            &format!("mqtt://h:1883/ cannot be dialled: {schemes}"),
        );
        check(
            "stomp:///x",
            "stomp:///x cannot be dialled: it names no host",
        );
    }
}
