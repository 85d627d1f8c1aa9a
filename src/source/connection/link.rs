//! Whether the link lives, and whether the topics speak: what the deadlines of both lead to.

use std::time::Instant;

use super::{Connection, Probing, Stage};
use crate::duration::InWords;
use crate::source::broker::{ConfigurationWarning, Detection};
use crate::source::disconnect::DisconnectReason;
use crate::source::sockjs_heartbeats::{Missing, Sign, SockJsHeartbeats};

impl Connection<'_> {
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
