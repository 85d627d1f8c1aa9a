//! SockJS's heart-beats (`h`), for links on which STOMP has none: what pause is normal, and when the
//! server has missed its own. It takes the time, and knows no socket.
//!
//! A server sends `h` every 25 s (Spring, sockjs-node), answers a poll by it, or may have another
//! period. Some send none, such as Spring where only we send STOMP's. So a pause is the server's
//! silence once an `h` has come before it. Else it is a question, which a new connection answers;
//! it is asked after a time that doubles.

use std::time::{Duration, Instant};

/// The period of most servers.
const PERIOD: Duration = Duration::from_secs(25);

/// The longest period that is learned, so that two and a half of it are no more than
/// [`PATIENCE_MAX`].
const PERIOD_MAX: Duration = Duration::from_secs(400);

/// The longest wait for a sign of life, whatever was learned.
const PATIENCE_MAX: Duration = Duration::from_secs(1000);

/// After the patience, so that what has arrived is read: an HTTP answer passes another task.
const GRACE: Duration = Duration::from_secs(1);

/// What the connections so far have shown of the server's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SockJsPeriod {
    /// The longest pause that an `h` has ended.
    longest: Duration,
    /// Connections in a row that ended for want of an `h`, and brought none.
    doubts: u32,
}

/// What notices a dead link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Heart-beats come, or are expected to come.
    Heartbeats,
    /// None came where they were expected: a new connection after each quiet time.
    Reconnecting,
}

/// Nothing has come for this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Heart-beats came before on this connection.
    Stopped(Duration),
    /// None has ever come on it.
    Never(Duration),
}

/// Whether the transport below has signs of life of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    /// WebSocket's pings: the server's heart-beats need not come, but must not stop.
    Pings,
    /// HTTP has none.
    Nothing,
}

/// The watch over one connection.
#[derive(Debug)]
pub(super) struct SockJsHeartbeats {
    period: SockJsPeriod,
    below: Below,
    /// STOMP has no heart-beats on this connection.
    needed: bool,
    /// Those that have come.
    count: u64,
    /// One has come since they are needed.
    seen: bool,
    /// Something has come, or could not since nobody read.
    last: Instant,
    /// The patience is over: the last moment for a sign.
    grace: Option<Instant>,
}

impl Default for SockJsPeriod {
    fn default() -> SockJsPeriod {
        SockJsPeriod {
            longest: PERIOD,
            doubts: 0,
        }
    }
}

impl SockJsPeriod {
    /// What a quiet time means.
    pub(super) fn sign(self) -> Sign {
        match self.doubts {
            0 => Sign::Heartbeats,
            _ => Sign::Reconnecting,
        }
    }

    /// A longer time without anything is no normal pause.
    pub(super) fn patience(self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.doubts);
        // Two missed ones and half a period for the way, as with STOMP's.
        let patience = (self.longest * 5 / 2).saturating_mul(doubled);
        Duration::from_secs(patience.min(PATIENCE_MAX).as_secs())
    }
}

impl SockJsHeartbeats {
    /// A connection was made, and nothing is expected of it yet.
    pub(super) fn new(period: SockJsPeriod, below: Below, now: Instant) -> SockJsHeartbeats {
        SockJsHeartbeats {
            period,
            below,
            needed: false,
            count: 0,
            seen: false,
            last: now,
            grace: None,
        }
    }

    /// The server has promised no heart-beats of STOMP.
    pub(super) fn need(&mut self, now: Instant) {
        self.needed = true;
        self.hear(now);
    }

    /// What was learned, for the next connection.
    pub(super) fn period(&self) -> SockJsPeriod {
        self.period
    }

    /// Whether they alone show that the link lives.
    pub(super) fn are_alone(&self) -> bool {
        self.needed && self.below == Below::Nothing
    }

    /// Something has come, on whatever level, and with it this number of heart-beats so far.
    pub(super) fn received(&mut self, heartbeats: u64, is_payload: bool, now: Instant) {
        if heartbeats > self.count {
            self.count = heartbeats;
            if self.needed {
                self.seen = true;
                let pause = now.saturating_duration_since(self.last).min(PERIOD_MAX);
                self.period.longest = self.period.longest.max(pause);
                self.period.doubts = 0;
            }
            self.hear(now);
        } else if is_payload || self.below == Below::Nothing {
            // A pong is of the server's socket, not of its SockJS.
            self.hear(now);
        }
    }

    /// Nothing can be heard, since nobody reads.
    pub(super) fn unread(&mut self, now: Instant) {
        self.hear(now);
    }

    fn hear(&mut self, now: Instant) {
        (self.last, self.grace) = (now, None);
    }

    /// When [`SockJsHeartbeats::missing`] is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        let expected = self.are_alone() || self.seen;
        let due = || self.grace.unwrap_or(self.last + self.period.patience());
        expected.then(due)
    }

    /// Whether the server has missed them.
    pub(super) fn missing(&mut self, now: Instant) -> Option<Missing> {
        self.due().filter(|due| *due <= now)?;
        if self.grace.is_none() {
            self.grace = Some(now + GRACE);
            return None;
        }
        let patience = self.period.patience();
        if self.seen {
            return Some(Missing::Stopped(patience));
        }
        self.period.doubts = self.period.doubts.saturating_add(1);
        Some(Missing::Never(patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn polled(period: SockJsPeriod, now: Instant) -> SockJsHeartbeats {
        let mut heartbeats = SockJsHeartbeats::new(period, Below::Nothing, now);
        heartbeats.need(now);
        heartbeats
    }

    /// They are missed after this time, and not before.
    fn check(heartbeats: &mut SockJsHeartbeats, after: Instant, expected: Missing) {
        let (Missing::Stopped(patience) | Missing::Never(patience)) = expected;
        assert_eq!(heartbeats.due(), Some(after + patience));
        assert_eq!(heartbeats.missing(after + patience - SECOND), None);
        // It may be that they were not read.
        assert_eq!(heartbeats.missing(after + patience), None);
        let last = after + patience + GRACE;
        assert_eq!(heartbeats.due(), Some(last));
        assert_eq!(heartbeats.missing(last), Some(expected));
    }

    #[test]
    fn heartbeats_that_stop_are_missed_after_two_and_a_half_periods() {
        let start = Instant::now();
        let mut heartbeats = polled(SockJsPeriod::default(), start);
        for count in 1..=4 {
            heartbeats.received(count, false, start + 25 * SECOND * count as u32);
        }
        let last = start + 100 * SECOND;
        assert_eq!(heartbeats.missing(last + 62 * SECOND), None);
        heartbeats.received(4, true, last + 62 * SECOND);
        let message = last + 62 * SECOND;
        check(&mut heartbeats, message, Missing::Stopped(62 * SECOND));
        assert_eq!(heartbeats.period(), SockJsPeriod::default());
    }

    #[test]
    fn a_server_without_heartbeats_is_asked_ever_more_seldom() {
        let mut now = Instant::now();
        let mut period = SockJsPeriod::default();
        for expected in [62, 125, 250, 500, 1000, 1000] {
            let mut heartbeats = polled(period, now);
            check(&mut heartbeats, now, Missing::Never(expected * SECOND));
            now += expected * SECOND;
            period = heartbeats.period();
            assert_eq!(period.sign(), Sign::Reconnecting);
        }
        // One that comes at last says what the period is.
        let mut heartbeats = polled(period, now);
        heartbeats.received(1, false, now + 120 * SECOND);
        assert_eq!(heartbeats.period().sign(), Sign::Heartbeats);
        assert_eq!(heartbeats.period().patience(), 300 * SECOND);
        heartbeats.received(2, false, now + 2000 * SECOND);
        assert_eq!(heartbeats.period().patience(), PATIENCE_MAX);
    }

    #[test]
    fn where_stomp_has_its_own_nothing_is_missed() {
        let start = Instant::now();
        let period = SockJsPeriod::default();
        let mut heartbeats = SockJsHeartbeats::new(period, Below::Nothing, start);
        heartbeats.received(1, false, start + SECOND);
        assert_eq!(heartbeats.due(), None);
        assert_eq!(heartbeats.missing(start + 9999 * SECOND), None);
    }

    #[test]
    fn over_websocket_they_need_not_come_and_must_not_stop() {
        let start = Instant::now();
        let mut heartbeats = SockJsHeartbeats::new(SockJsPeriod::default(), Below::Pings, start);
        heartbeats.need(start);
        heartbeats.received(0, true, start);
        assert_eq!(heartbeats.due(), None, "pongs prove the link");
        heartbeats.received(1, false, start + 25 * SECOND);
        for pong in 3..=8 {
            heartbeats.received(1, false, start + 10 * SECOND * pong);
        }
        let last = start + 25 * SECOND;
        check(&mut heartbeats, last, Missing::Stopped(62 * SECOND));
    }

    #[test]
    fn time_in_which_nobody_reads_does_not_count() {
        let start = Instant::now();
        let mut heartbeats = polled(SockJsPeriod::default(), start);
        heartbeats.unread(start + 600 * SECOND);
        assert_eq!(heartbeats.due(), Some(start + 662 * SECOND));
    }
}
