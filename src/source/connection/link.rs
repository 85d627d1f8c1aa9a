//! Whether the link lives, and whether the topics speak: what the deadlines of both lead to.

use std::time::{Duration, Instant};

use super::{Connection, Stage};
use crate::duration::InWords;
use crate::source::broker::{ConfigurationWarning, Detection};
use crate::source::clock;
use crate::source::disconnect::DisconnectReason;
use crate::source::sockjs_heartbeats::{Missing, Sign, SockJsHeartbeats};
use crate::stomp::SessionError;

/// A connection that was subscribed for this time has passed the message that ended those before.
const PASSED: Duration = Duration::from_secs(30);

/// Signs of life below STOMP, for servers that send no heart-beats (Spring's simple broker, unless
/// told to).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probing {
    /// The transport has none.
    Impossible,
    /// It has: whether they are needed is not known before CONNECTED.
    Possible,
    /// The next question is due then.
    Due(Instant),
    /// They are needed, and there are none: whatever comes, on whatever level, is a sign of life.
    Listening,
}

impl Connection<'_> {
    /// A deadline has come. What has already arrived counts first: only then is the silence real.
    pub(super) fn tick(&mut self) -> Result<(), DisconnectReason> {
        self.receive_all()?;
        if !self.may_read() {
            self.unread(clock::now());
        }
        let now = clock::now();
        if matches!(self.probing, Probing::Due(at) if at <= now) {
            self.probing = Probing::Due(now + self.wanted.settings.probe_interval());
            self.writer.probe();
        }
        self.watch_silences(now);
        if self.subscribed_at.is_some_and(|at| now >= at + PASSED) {
            self.status.undeliverable(None);
        }
        self.trust_quiet_topics(now)?;
        if self.retry_due().is_some_and(|due| due <= now) {
            self.count_topics()?;
        }
        if self.room_due().is_some_and(|due| due <= now) {
            self.watch_room()?;
        }
        let ticked = self.session.tick(now);
        self.peer_silent |= matches!(ticked, Err(SessionError::Silent { .. }));
        let ended = ticked.map_err(|error| match error {
            SessionError::Silent { silence } if self.probing == Probing::Listening => {
                // As it is configured, and not to the microsecond.
                DisconnectReason::Quiet(self.wanted.settings.silence.unwrap_or(silence))
            }
            error => self.by_session(&error),
        });
        // What came before the silence was read too.
        let taken = self.take_events();
        ended.and(taken)?;
        self.watch_sockjs(now)
    }

    /// Missing heart-beats, and how a dead link is noticed without the server's.
    pub(super) fn heartbeat_warnings(&self) -> impl Iterator<Item = ConfigurationWarning> {
        let off = self.wanted.settings.heartbeat.is_zero();
        let dead = if off {
            ConfigurationWarning::HeartbeatsOff
        } else {
            ConfigurationWarning::NoHeartbeats
        };
        let of_server = if off {
            self.broker.warning_without_heartbeats()
        } else {
            None
        };
        self.detection().map(dead).into_iter().chain(of_server)
    }

    /// What notices a dead link where STOMP has no heart-beats.
    fn detection(&self) -> Option<Detection> {
        let settings = &self.wanted.settings;
        match self.probing {
            Probing::Due(_) => Some(Detection::Pings(settings.probe_interval())),
            Probing::Listening => Some(match &self.sockjs_heartbeats {
                Some(heartbeats) => {
                    let period = heartbeats.period();
                    match period.sign() {
                        Sign::Heartbeats => Detection::SockJs(period.patience()),
                        Sign::Reconnecting => Detection::Reconnecting(period.patience()),
                    }
                }
                None => settings
                    .silence
                    .map_or(Detection::KeepAlive, Detection::Silence),
            }),
            Probing::Impossible | Probing::Possible => None,
        }
    }

    /// Nobody reads: what cannot be heard is no silence, of the server or of a topic.
    pub(super) fn unread(&mut self, now: Instant) {
        self.session.unread(now);
        self.intake.unread(now);
        if let Some(heartbeats) = &mut self.sockjs_heartbeats {
            heartbeats.unread(now);
        }
    }

    /// Whether `source.silence` is what tells a dead link, where the server sends no heart-beats.
    pub(super) fn is_silence_watched(&self) -> bool {
        let probes = matches!(self.probing, Probing::Possible | Probing::Due(_));
        !probes && self.sockjs_heartbeats.is_none()
    }

    /// When SockJS's heart-beats are missed.
    pub(super) fn sockjs_due(&self) -> Option<Instant> {
        let heartbeats = self.sockjs_heartbeats.as_ref();
        let due = heartbeats.and_then(SockJsHeartbeats::due);
        due.filter(|_| self.stage == Stage::Living)
    }

    /// A server whose SockJS has missed its heart-beats hangs, or the way to it is cut.
    pub(super) fn watch_sockjs(&mut self, now: Instant) -> Result<(), DisconnectReason> {
        if self.stage != Stage::Living {
            return Ok(());
        }
        let heartbeats = self.sockjs_heartbeats.as_mut();
        let Some(missing) = heartbeats.and_then(|heartbeats| heartbeats.missing(now)) else {
            return Ok(());
        };
        self.peer_silent = true;
        // What the silence has cut is kept.
        self.session.stream_ended();
        self.take_events()?;
        Err(match missing {
            Missing::Stopped(patience) => DisconnectReason::Lost(format!(
                "SockJS's heart-beats have stopped: nothing has come for {}",
                InWords(patience)
            )),
            Missing::Never(patience) => DisconnectReason::Quiet(patience),
        })
    }

    /// Topics that fall silent are named once; a silence outlasts connections.
    pub(super) fn watch_silences(&mut self, now: Instant) {
        self.intake.look_for_silences(now);
        match self.intake.subscribed_and_silent() {
            (0, _) => {}
            (subscribed, silent) if silent == subscribed => self.status.enter_silent(),
            _ => self.status.leave_silent(),
        }
    }
}
