//! The log's lines about dead letters: the first at once, and those that follow counted in one line.
//! No clock.

use std::time::Duration;

use tokio::time::Instant;

use super::trouble_log::{QUIET_ALWAYS, TroubleLog};
use crate::log_throttle::{INTERVAL, INTERVAL_MAX};
use crate::model::Position;

/// What is said of a sink's dead letters.
#[derive(Debug, Default)]
pub(super) struct DeadLetterLog {
    named: TroubleLog,
    more: Option<More>,
    /// How long the next ones are counted: longer each time while they go on.
    quiet: Duration,
}

/// Dead letters that no line was about yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct More {
    /// How many there are.
    pub(super) events: u64,
    /// The newest.
    pub(super) position: Position,
    /// Why that is one.
    pub(super) error: String,
    /// When they are said.
    due: Instant,
}

impl DeadLetterLog {
    /// Whether this one is said by itself, now. Else it is counted.
    pub(super) fn should_name(&mut self, position: Position, error: &str, now: Instant) -> bool {
        if self.named.should_log(error, now) {
            if self.more.is_none() {
                self.quiet = QUIET_ALWAYS;
            }
            return true;
        }
        let due = now + self.quiet;
        let (events, due) = self
            .more
            .as_ref()
            .map_or((0, due), |it| (it.events, it.due));
        self.more = Some(More {
            events: events + 1,
            position,
            error: error.to_owned(),
            due,
        });
        false
    }

    /// When those that were counted are said; `None`: there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        self.more.as_ref().map(|more| more.due)
    }

    /// Those that are to be said now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<More> {
        let more = self.more.take_if(|more| more.due <= now)?;
        self.quiet = (self.quiet * 2).clamp(INTERVAL, INTERVAL_MAX);
        Some(more)
    }

    /// All that were counted.
    pub(super) fn take(&mut self) -> Option<More> {
        self.more.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_named_and_all_others_are_counted() {
        let start = Instant::now();
        let mut log = DeadLetterLog::default();
        for position in 1..=13 {
            let named = log.should_name(Position(position), "HTTP 422", start);
            assert_eq!(named, position == 1);
        }
        assert_eq!(log.due(), Some(start + QUIET_ALWAYS));
        assert_eq!(log.take_due(start), None);
        let more = log.take_due(start + QUIET_ALWAYS).unwrap();
        assert_eq!((more.events, more.position), (12, Position(13)));
        assert_eq!(log.due(), None);
    }

    #[test]
    fn a_day_of_dead_letters_is_counted_to_the_last_in_few_lines() {
        let start = Instant::now();
        let mut log = DeadLetterLog::default();
        let (mut lines, mut said) = (0, 0);
        for second in 0..24 * 3600 {
            let now = start + Duration::from_secs(second);
            if let Some(more) = log.take_due(now) {
                (lines, said) = (lines + 1, said + more.events);
            }
            if log.should_name(Position(1), "HTTP 422", now) {
                (lines, said) = (lines + 1, said + 1);
            }
        }
        said += log.take().map_or(0, |more| more.events);
        assert_eq!(said, 24 * 3600);
        assert!((40..120).contains(&lines), "{lines}");
    }
}
