//! Until when a task's loop is to turn again: what a watchdog looks at. A task that waits says
//! until when at the latest, or that nobody knows. So a loop that hangs is known from one that
//! waits.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What the times are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nobody knows when: what the task waits for has no deadline.
const WHENEVER: u64 = u64::MAX;

/// The next turn of one loop. The loop writes it, by one store.
#[derive(Debug)]
pub struct NextTurn {
    by_ms: AtomicU64,
}

impl Default for NextTurn {
    /// Of a loop that has not begun.
    fn default() -> NextTurn {
        NextTurn {
            by_ms: AtomicU64::new(WHENEVER),
        }
    }
}

impl NextTurn {
    /// The loop turns, and again within this time.
    pub fn within(&self, limit: Duration) {
        self.by(Instant::now() + limit);
    }

    /// The loop turns, and again by this time.
    pub fn by(&self, at: Instant) {
        self.by_ms.store(since_start_ms(at), Relaxed);
    }

    /// The loop waits for something that may come at any time, or has ended.
    pub fn whenever(&self) {
        self.by_ms.store(WHENEVER, Relaxed);
    }

    /// Whether the loop should have turned before.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.by_ms.load(Relaxed) < since_start_ms(now)
    }
}

fn since_start_ms(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*START);
    u64::try_from(since.as_millis()).unwrap_or(WHENEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_overdue_only_once_its_deadline_has_passed() {
        let second = Duration::from_secs(1);
        let turn = NextTurn::default();
        let far = Instant::now() + 1000 * second;
        assert!(!turn.is_overdue(far), "it has not begun");
        turn.within(second);
        assert!(!turn.is_overdue(Instant::now()));
        assert!(turn.is_overdue(far));
        turn.by(far);
        assert!(!turn.is_overdue(far));
        assert!(turn.is_overdue(far + second));
        turn.whenever();
        assert!(!turn.is_overdue(far + second));
    }
}
