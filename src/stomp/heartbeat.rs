//! Heart-beats: the agreed intervals, when ours is due, and since when the server has been silent
//! for too long (STOMP 1.2, section Heart-beating).

use std::time::{Duration, Instant};

/// Longest interval that is negotiated or kept to; a longer one detects nothing.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The agreed intervals. `None`: off in that direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heartbeats {
    /// We send something at least every so often.
    pub outgoing: Option<Duration>,
    /// The server sends something at least every so often.
    pub incoming: Option<Duration>,
}

impl Heartbeats {
    /// The `heart-beat` header that offers this interval both ways; no space after the comma, since
    /// RabbitMQ, Spring and Artemis do not trim.
    pub(super) fn offer(interval: Duration) -> String {
        let interval_ms = millis(interval);
        format!("{interval_ms},{interval_ms}")
    }

    /// What follows from our interval and CONNECTED's `heart-beat`; `None`: it cannot be read.
    pub(super) fn negotiate(ours: Duration, theirs: &str) -> Option<Heartbeats> {
        let (sends_ms, wants_ms) = theirs.split_once(',')?;
        let sends: u64 = sends_ms.trim().parse().ok()?;
        let wants: u64 = wants_ms.trim().parse().ok()?;
        let ours_ms = millis(ours);
        let agreed = |theirs_ms: u64| {
            let both = ours_ms != 0 && theirs_ms != 0;
            both.then(|| Duration::from_millis(ours_ms.max(theirs_ms)).min(INTERVAL_MAX))
        };
        Some(Heartbeats {
            outgoing: agreed(wants),
            incoming: agreed(sends),
        })
    }
}

/// Whole milliseconds; a fraction counts as one, since 0 means off.
fn millis(interval: Duration) -> u64 {
    let interval = interval.min(INTERVAL_MAX);
    interval
        .as_micros()
        .div_ceil(1000)
        .try_into()
        .expect("a day in milliseconds fits 64 bits")
}

/// The clock of a connected session.
#[derive(Debug)]
pub(super) struct Pulse {
    /// We must send something after this long without sending.
    beat_after: Option<Duration>,
    /// Nothing received for this long is silence.
    silent_after: Option<Duration>,
    last_sent: Instant,
    /// The server has promised heart-beats.
    promised: bool,
}

impl Pulse {
    /// `silence_max` holds where the server promises no heart-beats.
    pub(super) fn new(agreed: Heartbeats, silence_max: Option<Duration>, now: Instant) -> Pulse {
        Pulse {
            // 0.6 of the interval: RabbitMQ and ActiveMQ forgive little, and a tick may come late.
            beat_after: agreed.outgoing.map(|interval| interval * 3 / 5),
            // Two missed intervals and half of one for the way: servers send at the very end of
            // theirs.
            silent_after: agreed
                .incoming
                .map(|interval| interval * 5 / 2)
                .or(silence_max),
            last_sent: now,
            promised: agreed.incoming.is_some(),
        }
    }

    /// From now on that long a silence is one, where the server promises no heart-beats.
    pub(super) fn bear(&mut self, silence_max: Option<Duration>) {
        if !self.promised {
            self.silent_after = silence_max;
        }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// When something must be sent.
    pub(super) fn beat_due(&self) -> Option<Instant> {
        self.beat_after.map(|after| self.last_sent + after)
    }

    /// When the server counts as silent.
    pub(super) fn silent_due(&self, last_received: Instant) -> Option<Instant> {
        self.silent_after.map(|after| last_received + after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn each_direction_takes_the_longer_interval_and_0_is_off() {
        let check = |ours: u64, theirs: &str, expected: Option<(u64, u64)>| {
            let some = |value| (value != 0).then(|| ms(value));
            let expected = expected.map(|(outgoing, incoming)| Heartbeats {
                outgoing: some(outgoing),
                incoming: some(incoming),
            });
            assert_eq!(
                Heartbeats::negotiate(ms(ours), theirs),
                expected,
                "{ours} {theirs}"
            );
        };
        check(10_000, "0,0", Some((0, 0)));
        check(10_000, "10000,10000", Some((10_000, 10_000)));
        check(10_000, "5000,20000", Some((20_000, 10_000)));
        check(10_000, "20000,5000", Some((10_000, 20_000)));
        check(10_000, "0,5000", Some((10_000, 0)));
        check(10_000, "5000,0", Some((0, 10_000)));
        check(0, "5000,5000", Some((0, 0)));
        check(10_000, " 1, 2 ", Some((10_000, 10_000)));
        check(1, "18446744073709551615,0", Some((0, 86_400_000)));
        for unreadable in ["", "1", "a,b", "-1,0", "1,2,3"] {
            check(10_000, unreadable, None);
        }
    }

    #[test]
    fn offers_are_whole_milliseconds_and_only_zero_is_off() {
        assert_eq!(Heartbeats::offer(Duration::from_secs(10)), "10000,10000");
        assert_eq!(Heartbeats::offer(Duration::ZERO), "0,0");
        assert_eq!(Heartbeats::offer(Duration::from_micros(1)), "1,1");
        assert_eq!(Heartbeats::offer(Duration::MAX), "86400000,86400000");
    }
}
