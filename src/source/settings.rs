//! The settings of the source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::broker::{self, Broker};
use super::resync_settings::Resync;
use super::signin::{Address, Credentials, Signin, SigninError, SigninTemplate};
use super::sockjs_heartbeats::SockJsPeriod;
use super::topic::Topic;
use crate::paced::Interval;
use crate::retry::Backoff;
use crate::secret::{Lifetime, Secret, protect, protect_from_echo, protect_header, protect_url};
use crate::stomp::{Backslashes, Limits, Options};
use crate::tls;
use crate::transport::{Proxies, Target};

/// Backoff between attempts, with full jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// The upper bound of the first wait.
    pub initial: Duration,
    /// The upper bound of every wait; `None`: what suits the server, [`WAIT_MAX_KEPT`] or
    /// [`WAIT_MAX_LOST`].
    pub max: Option<Duration>,
    /// Give up (and end the process) after this many failures in a row to become live; `None`:
    /// never.
    pub attempts: Option<u32>,
}

/// The longest wait where the server keeps every topic's messages while we are away.
pub const WAIT_MAX_KEPT: Duration = Duration::from_secs(60);

/// The longest wait where messages are lost while we are away: a server that restarts is back
/// within seconds, and web pages ask as often.
pub const WAIT_MAX_LOST: Duration = Duration::from_secs(5);

impl Reconnect {
    /// The waits between attempts, before anything is known of the server.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.initial, self.max.unwrap_or(WAIT_MAX_KEPT))
    }

    /// After this many failures in a row there is no further attempt.
    pub(super) fn is_used_up(&self, failures: u32) -> bool {
        self.attempts.is_some_and(|attempts| failures >= attempts)
    }
}

/// Validated settings of the source.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// At least one; the next is tried when one fails.
    pub urls: Vec<Address>,
    /// Before every connection; `None`: there is none.
    pub signin: Option<Signin>,
    /// CONNECT's `login`.
    pub login: Option<SigninTemplate>,
    /// CONNECT's `passcode`.
    pub passcode: Option<SigninTemplate>,
    /// CONNECT's `host`: RabbitMQ's vhost; the others take any.
    pub host: String,
    /// Sent with CONNECT and with every HTTP request.
    pub headers: Vec<(String, SigninTemplate)>,
    /// What we offer to send and want to receive; zero: off.
    pub heartbeat: Duration,
    /// No message of a topic for this long is a silence: the daemon is not ready. No byte for this
    /// long ends the connection, if nothing else shows that the link lives. `None`: a quiet night
    /// is no silence.
    pub silence: Option<Duration>,
    /// The topics that have a time of their own for their messages, by their names; `None`: such a
    /// topic is never silent.
    pub silences: BTreeMap<Arc<str>, Option<Duration>>,
    /// How the snapshots of the topics that have any are asked for, by their names.
    pub resyncs: BTreeMap<Arc<str>, Resync>,
    /// How CONNECT's values are written.
    pub backslashes: Backslashes,
    /// Longer frames are cut into WebSocket messages of this many bytes, at the boundaries of
    /// characters. `None`: whole.
    pub websocket_split: Option<usize>,
    /// Extra roots, client certificate.
    pub tls: tls::Settings,
    /// See [`Reconnect`].
    pub reconnect: Reconnect,
    /// At least one.
    pub topics: Vec<Topic>,
    /// Longest body that is accepted. The beginning of a longer one is kept as undecodable, up to
    /// [`OVERSIZE_BYTES_MAX`]. Beyond that the connection ends.
    pub body_bytes_max: usize,
}

/// One attempt: where it goes, how the session introduces itself, and what the sign-in has given
/// for it.
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) options: Options,
    pub(super) credentials: Credentials,
    /// What is known of the server's SockJS.
    pub(super) sockjs_period: SockJsPeriod,
}

/// DNS, TCP and TLS together, each HTTP request, and CONNECT to CONNECTED may take this long.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// The probes' interval where no heart-beats are configured.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Longest body that is read past: more than anybody means to send.
pub const OVERSIZE_BYTES_MAX: usize = 1 << 30;

/// Room in a WebSocket message for everything but the body.
const MESSAGE_OVERHEAD: usize = 256 * 1024;

impl Settings {
    /// Whether a connection that was made by one serves the other: all is the same but the topics, and
    /// what is no word of the server's.
    pub fn connects_as(&self, other: &Settings) -> bool {
        Settings {
            topics: other.topics.clone(),
            silence: other.silence,
            silences: other.silences.clone(),
            resyncs: other.resyncs.clone(),
            ..self.clone()
        } == *other
    }

    /// A longer time without a message of the topic is a silence; `None`: none is.
    pub fn silence_of(&self, topic: &str) -> Option<Duration> {
        let own = self.silences.get(topic);
        own.copied().unwrap_or(self.silence)
    }

    /// How often the link is asked for a sign of life where the server sends no heart-beats, and
    /// its transport answers. That ours are off says nothing against it.
    pub(super) fn probe_interval(&self) -> Duration {
        match self.heartbeat {
            Duration::ZERO => PROBE_INTERVAL,
            heartbeat => heartbeat,
        }
    }

    /// The upper bound of every wait, with that server.
    pub(super) fn wait_max(&self, broker: Broker) -> Duration {
        let suits = if broker.keeps_all(&self.topics) {
            WAIT_MAX_KEPT
        } else {
            WAIT_MAX_LOST
        };
        let Reconnect { initial, max, .. } = self.reconnect;
        max.unwrap_or(suits.max(initial))
    }

    /// Signs in, where there is a sign-in: for one attempt, since what it gives may expire any
    /// moment.
    pub(super) async fn sign_in(&self) -> Result<Credentials, SigninError> {
        match &self.signin {
            Some(signin) => signin.ask(&self.tls).await,
            None => Ok(Credentials::default()),
        }
    }

    /// The parts of one attempt, for an address: the one place that puts them together, for the
    /// daemon and for `tap` and `send`.
    ///
    /// # Errors
    /// A placeholder that the credentials have no value for.
    pub(super) fn attempt(
        &self,
        address: &Address,
        credentials: Credentials,
        read_interval: Interval,
    ) -> Result<Attempt, SigninError> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), value.render(&credentials)?)));
        let headers: Vec<(String, Secret)> = headers.collect::<Result<_, SigninError>>()?;
        let login = self.login.as_ref();
        let login = login.map(|login| login.render(&credentials)).transpose()?;
        let passcode = self.passcode.as_ref();
        let passcode = passcode.map(|text| text.render(&credentials)).transpose()?;
        let url = address.render(&credentials)?;
        protect_url(&url, Lifetime::Given);
        if let Some(login) = &login {
            protect_from_echo(login.expose_secret(), Lifetime::Given);
        }
        if let Some(passcode) = &passcode {
            protect(passcode.expose_secret(), Lifetime::Given);
        }
        for (name, value) in &headers {
            protect_header(name, value.expose_secret(), Lifetime::Given);
        }
        let target = Target {
            url,
            headers: headers.clone(),
            cookies: credentials.cookies().clone(),
            tls: self.tls.clone(),
            proxies: Proxies::of_environment(),
            websocket_split: self.websocket_split,
            sockjs_first: None,
            // SockJS quotes a chunk as JSON, which may double it; headers come on top.
            message_bytes_max: self
                .body_bytes_max
                .saturating_mul(2)
                .saturating_add(MESSAGE_OVERHEAD),
            timeout: STEP_TIMEOUT,
            read_interval,
        };
        let options = Options {
            login: login.map(|login| login.expose_secret().to_owned()),
            passcode,
            headers,
            heartbeat: self.heartbeat,
            backslashes: self.backslashes,
            withheld: broker::withheld,
            connected_timeout: STEP_TIMEOUT,
            limits: self.limits(),
            ..Options::new(self.host.clone())
        };
        Ok(Attempt {
            target,
            options,
            credentials,
            sockjs_period: SockJsPeriod::default(),
        })
    }

    /// Limits on what the server may send.
    pub fn limits(&self) -> Limits {
        Limits {
            oversize_bytes_max: OVERSIZE_BYTES_MAX,
            ..Limits::with_body_bytes_max(self.body_bytes_max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_bound_the_failures_in_a_row() {
        let reconnect = |attempts| Reconnect {
            initial: Duration::from_secs(1),
            max: None,
            attempts,
        };
        let used_up = [1, 2, 3, 4].map(|failures| reconnect(Some(3)).is_used_up(failures));
        assert_eq!(used_up, [false, false, true, true]);
        assert!(!reconnect(None).is_used_up(u32::MAX));
    }
}
