//! Where the link stands, and since when: what connections and attempts say of it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::Status;
use crate::retry::end_of;
use crate::source::undeliverable::{BreakPoint, Undeliverable};

/// Where the link stands. `Connected` alone delivers nothing: only the later ones count as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// Dialling, or waiting to dial again.
    Connecting,
    /// The server has answered CONNECTED; not every topic is subscribed yet.
    Connected,
    /// Every topic is subscribed; no message yet on this connection.
    Subscribed,
    /// Messages come.
    Receiving,
    /// Every topic is subscribed, and no message of any has come for as long as its `silence` says.
    Silent,
    /// The journal is full: the connection stands unread, topics wait at the server, or the next
    /// connection waits to be made.
    Paused,
    /// Stopped permanently.
    Stopped,
}

impl LinkState {
    /// Every state, for metrics.
    pub const ALL: [LinkState; 7] = [
        LinkState::Connecting,
        LinkState::Connected,
        LinkState::Subscribed,
        LinkState::Receiving,
        LinkState::Silent,
        LinkState::Paused,
        LinkState::Stopped,
    ];

    /// The name used in metrics, status and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkState::Connecting => "connecting",
            LinkState::Connected => "connected",
            LinkState::Subscribed => "subscribed",
            LinkState::Receiving => "receiving",
            LinkState::Silent => "silent",
            LinkState::Paused => "paused: journal full",
            LinkState::Stopped => "stopped",
        }
    }

    /// Connected, subscribed to everything, and something is heard. A single topic may be silent
    /// or refused.
    pub fn is_ready(self) -> bool {
        matches!(self, LinkState::Subscribed | LinkState::Receiving)
    }
}

/// Who does not want us as we are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuser {
    /// The server, or a gateway before it.
    Server,
    /// Where we sign in before each connection.
    SignIn,
}

/// A copy of the link's state.
#[derive(Debug, Clone)]
pub struct Link {
    /// See [`LinkState`].
    pub state: LinkState,
    /// Since when `state` is as it is.
    pub since: Timestamp,
    /// Why the last connection or attempt ended; kept after it has passed.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// Why there is no connection now, as far as an attempt has shown it; `None` once one stands.
    pub trouble: Option<String>,
    /// Who refuses us, where that is the trouble: time alone does not mend it.
    pub refused_by: Option<Refuser>,
    /// When the next attempt to connect is due, while the source waits for it.
    pub next_attempt: Option<Timestamp>,
    /// No sign-in comes before it, although somebody asks: after as many refusals another one might
    /// lock the account.
    pub no_sign_in_before: Option<Timestamp>,
    /// When the platform last accepted a sign-in.
    pub signed_in: Option<Timestamp>,
    /// Attempts in a row that have failed.
    pub failures: u32,
    /// When the last message came, on this or an earlier connection.
    pub last_message: Option<Timestamp>,
    /// The message that has ended one connection after another, as long as nothing passes it.
    pub undeliverable: Option<Undeliverable>,
    /// Since when it is too long that no message has come; a new connection changes nothing of it.
    pub silent_since: Option<Timestamp>,
    /// As it was before topics were added to a connection that stands.
    before: Option<(LinkState, Timestamp)>,
}

impl Link {
    /// Before the first attempt.
    pub(super) fn new() -> Link {
        Link {
            state: LinkState::Connecting,
            since: Timestamp::now(),
            last_error: None,
            last_error_at: None,
            trouble: None,
            refused_by: None,
            next_attempt: None,
            no_sign_in_before: None,
            signed_in: None,
            failures: 0,
            last_message: None,
            silent_since: None,
            undeliverable: None,
            before: None,
        }
    }
}

impl Status {
    /// A copy of the link's state.
    pub fn link(&self) -> Link {
        let mut link = self
            .link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let micros = i64::try_from(self.last_message_us.load(Relaxed)).unwrap_or(0);
        link.last_message = (micros > 0)
            .then(|| Timestamp::from_microsecond(micros).ok())
            .flatten();
        link
    }

    /// The link's state, as it changes.
    pub fn states(&self) -> watch::Receiver<LinkState> {
        self.states.subscribe()
    }

    pub(in crate::source) fn enter(&self, state: LinkState) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.state != state {
            link.state = state;
            link.since = Timestamp::now();
            link.before = None;
            self.states.send_replace(state);
        }
    }

    /// Every topic is subscribed; a message may have come already.
    pub(in crate::source) fn enter_subscribed(&self) {
        self.advance(&[LinkState::Connected], LinkState::Subscribed);
    }

    /// A message has come; it counts only once every topic is subscribed.
    pub(in crate::source) fn enter_receiving(&self) {
        self.advance(
            &[LinkState::Subscribed, LinkState::Silent],
            LinkState::Receiving,
        );
    }

    /// No message has come for too long; it counts only while every topic is subscribed.
    pub(in crate::source) fn enter_silent(&self) {
        self.advance(
            &[LinkState::Subscribed, LinkState::Receiving],
            LinkState::Silent,
        );
    }

    /// Some topic is not silent, though no message has come just now: another one has begun to be
    /// heard, or a silence takes longer from now on.
    pub(in crate::source) fn leave_silent(&self) {
        self.advance(&[LinkState::Silent], LinkState::Subscribed);
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.silent_since = None;
    }

    /// Topics were added, and not all of them are subscribed yet. Once they are, the link is again
    /// as it was, and since then: nothing has happened to the others.
    pub(in crate::source) fn enter_incomplete(&self) {
        self.advance(
            &[
                LinkState::Subscribed,
                LinkState::Receiving,
                LinkState::Silent,
            ],
            LinkState::Connected,
        );
    }

    pub(super) fn advance(&self, from: &[LinkState], to: LinkState) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if !from.contains(&link.state) {
            return;
        }
        let now = Timestamp::now();
        self.states.send_replace(to);
        let as_it_was = (link.state, link.since);
        link.state = to;
        link.since = match link.before {
            Some((before, since)) if before == to => since,
            _ => now,
        };
        match to {
            LinkState::Connected if as_it_was.0 != LinkState::Paused => {
                link.before.get_or_insert(as_it_was);
            }
            LinkState::Paused | LinkState::Silent | LinkState::Receiving => link.before = None,
            _ => {}
        }
        match to {
            LinkState::Silent => link.since = *link.silent_since.get_or_insert(now),
            LinkState::Receiving => link.silent_since = None,
            _ => {}
        }
    }

    pub(in crate::source) fn failed(&self, error: &str, refused_by: Option<Refuser>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.last_error = Some(error.to_owned());
        link.last_error_at = Some(Timestamp::now());
        link.trouble = Some(error.to_owned());
        link.refused_by = refused_by;
        self.troubles.notify_one();
    }

    /// The next attempt comes after this time.
    pub(in crate::source) fn waits(&self, wait: Duration, failures: u32) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.failures = failures;
        link.next_attempt = end_of(wait, Timestamp::now());
    }

    /// No sign-in comes before this time has passed; `None`: the next one may come at once.
    pub(in crate::source) fn sign_in_waits(&self, wait: Option<Duration>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.no_sign_in_before = wait.and_then(|wait| end_of(wait, Timestamp::now()));
    }

    /// The platform has accepted a sign-in.
    pub(in crate::source) fn signed_in(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.signed_in = Some(Timestamp::now());
    }

    /// An attempt that has begun waits until it may sign in.
    pub(in crate::source) fn waits_to_sign_in(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.next_attempt = link.no_sign_in_before;
    }

    /// It comes now.
    pub(in crate::source) fn waits_no_longer(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.next_attempt = None;
    }

    /// What was wrong has passed: a connection stands, or nothing is to be wrong.
    pub(in crate::source) fn trouble_is_over(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.trouble = None;
        link.refused_by = None;
        link.failures = 0;
    }

    /// A connection has ended; `at`: because of what it read there. The third time in a row it says
    /// which message that is.
    pub(in crate::source) fn ended_at(&self, at: Option<BreakPoint>) {
        let found = self
            .break_points
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended(at);
        if let Some(found) = &found {
            warn!(
                topic = found.topic(),
                message_id = found.message_id(),
                connections = found.times(),
                "undeliverable message: {found}"
            );
        }
        self.undeliverable(found);
    }

    /// What nothing can pass; `None`: all passes.
    pub(in crate::source) fn undeliverable(&self, found: Option<Undeliverable>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.undeliverable = found;
    }
}
