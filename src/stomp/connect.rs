//! The options of a session, and the CONNECT frame that follows from them.

use std::fmt;
use std::time::Duration;

use bytes::BytesMut;

use super::command::Command;
use super::encode::FrameWriter;
use super::frame::Frame;
use super::heartbeat::Heartbeats;
use super::limits::Limits;
use super::version::Version;
use crate::secret::Secret;

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How backslashes in CONNECT's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backslashes {
    /// As they are: CONNECT is never escaped (STOMP 1.2, section Value Encoding).
    #[default]
    Plain,
    /// Doubled, for RabbitMQ, which unescapes CONNECT in spite of the standard.
    Doubled,
}

/// The options of a session.
#[derive(Clone)]
pub struct Options {
    /// CONNECT's `host`; RabbitMQ's virtual host.
    pub host: String,
    /// CONNECT's `login`.
    pub login: Option<String>,
    /// CONNECT's `passcode`.
    pub passcode: Option<Secret>,
    /// Further headers of CONNECT, written after ours: of a repeated header the first counts.
    pub headers: Vec<(String, Secret)>,
    /// What we offer to send and want to receive; zero: off.
    pub heartbeat: Duration,
    /// If the server promises no heart-beats, a silence of this length ends the session; `None`: no
    /// silence does.
    pub silence_max: Option<Duration>,
    /// On every incoming frame.
    pub limits: Limits,
    /// How long CONNECTED may take. RabbitMQ itself waits 10 s for CONNECT.
    pub connected_timeout: Duration,
    /// How long to wait for a receipt: Spring's simple broker answers DISCONNECT only.
    pub receipt_timeout: Duration,
    /// DISCONNECT's receipt is waited for no longer.
    pub disconnect_timeout: Duration,
    /// See [`Backslashes`].
    pub backslashes: Backslashes,
    /// Finds in an ERROR the ended subscription of which the server withheld a message. `None`: the
    /// ERROR says something else, and ends the session. The words are a server's own, so a session
    /// does not know them.
    pub withheld: fn(&Frame) -> Option<&str>,
}

impl Options {
    /// The defaults, for that `host`.
    pub fn new(host: impl Into<String>) -> Options {
        Options {
            host: host.into(),
            login: None,
            passcode: None,
            headers: Vec::new(),
            heartbeat: Duration::from_secs(10),
            silence_max: None,
            limits: Limits::default(),
            connected_timeout: Duration::from_secs(10),
            receipt_timeout: Duration::from_secs(2),
            disconnect_timeout: Duration::from_secs(2),
            backslashes: Backslashes::Plain,
            withheld: |_| None,
        }
    }

    /// With no wait that the clock could not add to the time.
    pub(super) fn clamped(self) -> Options {
        Options {
            silence_max: self.silence_max.map(|silence| silence.min(WAIT_MAX)),
            connected_timeout: self.connected_timeout.min(WAIT_MAX),
            receipt_timeout: self.receipt_timeout.min(WAIT_MAX),
            disconnect_timeout: self.disconnect_timeout.min(WAIT_MAX),
            ..self
        }
    }

    /// Appends the CONNECT frame. The command is CONNECT, since not every server knows STOMP, and
    /// there is no `receipt` on it (STOMP 1.2, section Connecting).
    pub(super) fn write_connect(&self, out: &mut BytesMut) {
        let written = |value: &str| match self.backslashes {
            Backslashes::Plain => value.to_owned(),
            Backslashes::Doubled => value.replace('\\', r"\\"),
        };
        let mut frame = FrameWriter::new(out, Command::Connect, Version::V1_2)
            .header("accept-version", Version::ACCEPTED)
            .header("host", written(&self.host))
            .header("heart-beat", Heartbeats::offer(self.heartbeat));
        if let Some(login) = &self.login {
            frame = frame.header("login", written(login));
        }
        if let Some(passcode) = &self.passcode {
            frame = frame.header("passcode", written(passcode.expose_secret()));
        }
        for (name, value) in &self.headers {
            frame = frame.header(name, written(value.expose_secret()));
        }
        frame.end();
    }
}

/// Without login, passcode and the values of further headers.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("headers", &names)
            .field("heartbeat", &self.heartbeat)
            .field("silence_max", &self.silence_max)
            .field("limits", &self.limits)
            .field("connected_timeout", &self.connected_timeout)
            .field("receipt_timeout", &self.receipt_timeout)
            .field("disconnect_timeout", &self.disconnect_timeout)
            .field("backslashes", &self.backslashes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &Options, expected: &str) {
        let mut out = BytesMut::new();
        options.write_connect(&mut out);
        assert_eq!(String::from_utf8(out.to_vec()).unwrap(), expected);
    }

    #[test]
    fn connect_is_never_escaped_and_has_no_spaces() {
        let mut options = Options {
            login: Some("lab:1".to_owned()),
            passcode: Some("a\\b".into()),
            headers: vec![("Authorization".to_owned(), "Bearer x".into())],
            ..Options::new("/")
        };
        let rest = "Authorization:Bearer x\n\n\0";
        let start =
            "CONNECT\naccept-version:1.2,1.1,1.0\nhost:/\nheart-beat:10000,10000\nlogin:lab:1\n";
        check(&options, &format!("{start}passcode:a\\b\n{rest}"));
        options.backslashes = Backslashes::Doubled;
        check(&options, &format!("{start}passcode:a\\\\b\n{rest}"));
    }

    #[test]
    fn a_line_feed_in_a_credential_makes_no_second_header() {
        let options = Options {
            login: Some("a\nhost:b".to_owned()),
            heartbeat: Duration::ZERO,
            ..Options::new("h")
        };
        check(
            &options,
            "CONNECT\naccept-version:1.2,1.1,1.0\nhost:h\nheart-beat:0,0\nlogin:a host:b\n\n\0",
        );
    }

    #[test]
    fn debug_shows_no_credentials() {
        let options = Options {
            login: Some("somebody".to_owned()),
            passcode: Some("s3cret".into()),
            headers: vec![("Authorization".to_owned(), "Bearer t0ken".into())],
            ..Options::new("/")
        };
        let shown = format!("{options:?}");
        for hidden in ["somebody", "s3cret", "t0ken"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(shown.contains("Authorization"));
    }
}
