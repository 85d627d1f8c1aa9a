//! What a connection ends with, and what its end means for the topics.

use std::time::Duration;

use super::Connection;
use crate::model::CoverageCause;
use crate::source::disconnect::DisconnectReason;
use crate::source::sockjs_heartbeats::SockJsPeriod;
use crate::transport::SockJsTransport;

/// A connection that stood for this long was live, though no message came.
pub(in crate::source) const LIVE_MIN: Duration = Duration::from_secs(5);

/// How a connection ended.
pub(in crate::source) struct Ended {
    pub(in crate::source) reason: DisconnectReason,
    /// How long it was live: subscribed, and not just dropped. `None`: it was not.
    pub(in crate::source) live: Option<Duration>,
    /// The transport of SockJS that has brought CONNECTED.
    pub(in crate::source) sockjs: Option<SockJsTransport>,
    /// What it has shown of the server's SockJS.
    pub(in crate::source) sockjs_period: Option<SockJsPeriod>,
}

impl Ended {
    /// There was no connection.
    pub(in crate::source) fn before(reason: DisconnectReason) -> Ended {
        Ended {
            reason,
            live: None,
            sockjs: None,
            sockjs_period: None,
        }
    }
}

impl Connection<'_> {
    /// The topics are heard no more: the entries that say so come behind all that was read.
    pub(super) fn cease(&mut self, ended: &DisconnectReason) {
        self.resyncs.link_ended(self.intake.live());
        let cause = match ended {
            DisconnectReason::Stopped => CoverageCause::DaemonStopped,
            DisconnectReason::Reloaded => CoverageCause::Unsubscribed,
            DisconnectReason::Refused(_) | DisconnectReason::SignInRefused(_) => {
                CoverageCause::Refused
            }
            DisconnectReason::Lost(_)
            | DisconnectReason::Busy { .. }
            | DisconnectReason::TopicRefused(_) => CoverageCause::ConnectionLost,
            DisconnectReason::Quiet(_) => CoverageCause::Silent,
            // The next start finds them heard until the last proof.
            DisconnectReason::Journal(_) => return,
        };
        // The link may have been dead since, also where we end it ourselves; and what comes behind
        // our DISCONNECT is not taken.
        let last_byte = self.proof.last_byte();
        let at = self.left_at.map_or(last_byte, |left| left.min(last_byte));
        let (at, cause) = self.gap(at, cause);
        if let Some(refused) = &self.refused {
            self.intake.refused(refused, at);
        }
        self.intake.all_ceased(at, cause);
    }
}
