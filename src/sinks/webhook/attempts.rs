//! The schedule of waits before the attempts at one event.

use std::time::Duration;

/// Counts the attempts at the event that is at the head of the queue. One event at a time: the next is not tried
/// before this one has arrived or was set aside.
#[derive(Debug)]
pub(super) struct Attempts {
    schedule: Vec<Duration>,
    event_id: String,
    made: usize,
}

impl Attempts {
    /// The waits before the first, second, … attempt; the last is repeated for ever.
    pub(super) fn new(schedule: Vec<Duration>) -> Attempts {
        Attempts { schedule, event_id: String::new(), made: 0 }
    }

    /// How long to wait before the first attempt at this event; nothing where there was one, since its wait has
    /// passed already.
    pub(super) fn begin(&mut self, event_id: &str) -> Duration {
        if self.event_id == event_id && self.made > 0 {
            return Duration::ZERO;
        }
        event_id.clone_into(&mut self.event_id);
        self.made = 0;
        self.schedule.first().copied().unwrap_or_default()
    }

    /// An attempt failed: the wait before the next one. Up to a tenth longer than scheduled, by `jitter` from 0 to
    /// 1, so that many bridges do not return to a receiver at once.
    pub(super) fn failed(&mut self, jitter: f64) -> Duration {
        self.made += 1;
        let wait = self.schedule.get(self.made).or(self.schedule.last()).copied().unwrap_or_default();
        wait.saturating_add(wait.mul_f64(jitter.clamp(0.0, 1.0) / 10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: &[u64]) -> Attempts {
        Attempts::new(schedule.iter().map(|&s| Duration::from_secs(s)).collect())
    }

    #[test]
    fn waits_follow_the_schedule_and_the_last_is_repeated() {
        let mut attempts = seconds(&[0, 5, 300]);
        assert_eq!(attempts.begin("a"), Duration::ZERO);
        for wait in [5, 300, 300, 300] {
            assert_eq!(attempts.failed(0.0), Duration::from_secs(wait));
            assert_eq!(attempts.begin("a"), Duration::ZERO);
        }
    }

    #[test]
    fn another_event_begins_anew() {
        let mut attempts = seconds(&[2, 5, 300]);
        assert_eq!(attempts.begin("a"), Duration::from_secs(2));
        attempts.failed(0.0);
        attempts.failed(0.0);
        assert_eq!(attempts.begin("b"), Duration::from_secs(2));
        assert_eq!(attempts.failed(0.0), Duration::from_secs(5));
    }

    #[test]
    fn jitter_adds_at_most_a_tenth() {
        assert_eq!(seconds(&[0, 100]).failed(1.0), Duration::from_secs(110));
        assert_eq!(seconds(&[0, 100]).failed(7.0), Duration::from_secs(110));
        assert_eq!(seconds(&[]).failed(1.0), Duration::ZERO);
    }
}
