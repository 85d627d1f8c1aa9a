//! Statuses that a history gives no row, since they are older than what it keeps. It takes the time,
//! and says when the log names them.

use std::time::{Duration, Instant};

use crate::log_throttle::LogThrottle;

/// They are shown for this long after the last of them.
const SHOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// Those since the start, or since the last time in which none came for long.
#[derive(Debug, Default)]
pub(super) struct TooOld {
    count: u64,
    last: Option<Instant>,
    /// A replay of old entries has some in each batch.
    throttle: LogThrottle,
}

impl TooOld {
    /// So many more.
    pub(super) fn add(&mut self, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        if !self.is_shown(now) {
            self.count = 0;
        }
        self.count += count;
        self.throttle.count(count);
        self.last = Some(now);
    }

    /// How many to name in the log now: the first at once, and those behind them a minute later.
    pub(super) fn take_unlogged(&mut self, now: Instant) -> Option<u64> {
        self.throttle.take_due(now)
    }

    /// What to tell an operator of them.
    pub(super) fn warning(&self, now: Instant) -> Option<String> {
        let statuses = match self.count {
            1 => "1 status has".to_owned(),
            count => format!("{count} statuses have"),
        };
        self.is_shown(now).then(|| {
            format!(
                "{statuses} got no row: they are older than the newest partition that was dropped, as \
                 after a long outage or by a replay; a longer retention.statuses brings none of them"
            )
        })
    }

    fn is_shown(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < SHOWN_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_counted_and_shown_for_a_day() {
        let (mut too_old, now) = (TooOld::default(), Instant::now());
        too_old.add(0, now);
        assert_eq!(too_old.warning(now), None);
        too_old.add(1, now);
        assert!(
            too_old
                .warning(now)
                .unwrap()
                .starts_with("1 status has got")
        );
        too_old.add(2, now + SHOWN_FOR / 2);
        let shown = too_old.warning(now + SHOWN_FOR).unwrap();
        assert!(shown.starts_with("3 statuses have got no row"), "{shown}");
        assert_eq!(too_old.warning(now + 2 * SHOWN_FOR), None);
        too_old.add(4, now + 2 * SHOWN_FOR);
        let shown = too_old.warning(now + 2 * SHOWN_FOR).unwrap();
        assert!(shown.starts_with("4 statuses"), "{shown}");
    }
}
