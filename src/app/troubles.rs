//! When a part of the daemon has found its other side away or unwilling: a secret may have been
//! rotated, so the files are read again before the next attempt.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Between two readings: a sink in trouble fails ten times a second.
const INTERVAL: Duration = Duration::from_secs(5);

/// The troubles of the source and of all sinks.
#[derive(Debug)]
pub(super) struct Troubles {
    notify: Arc<Notify>,
    not_before: Instant,
}

impl Troubles {
    /// Those that are told by this.
    pub(super) fn new(notify: Arc<Notify>) -> Troubles {
        Troubles {
            notify,
            not_before: Instant::now(),
        }
    }

    /// For a part that has troubles to tell.
    pub(super) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }

    /// Waits for a trouble: the first one at once, then one in a while stands for all. Safe to
    /// cancel.
    pub(super) async fn next(&mut self) {
        sleep_until(self.not_before).await;
        self.notify.notified().await;
        self.not_before = Instant::now() + INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_trouble_is_heard_at_once_and_the_others_once_in_a_while() {
        let mut troubles = Troubles::new(Arc::default());
        let part = troubles.notify();
        let start = Instant::now();
        part.notify_one();
        troubles.next().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..9 {
            part.notify_one();
        }
        troubles.next().await;
        assert_eq!(start.elapsed(), INTERVAL);
        let idle = tokio::time::timeout(10 * INTERVAL, troubles.next());
        assert!(idle.await.is_err());
    }
}
