//! When the files of secrets are looked at: when a part has found its other side away or unwilling,
//! before a connection is made, and now and then while something is wrong. One may have been rotated.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::rotation;

/// Between two readings: a sink in trouble fails ten times a second.
const INTERVAL: Duration = Duration::from_secs(5);

/// Between two looks while something is wrong: a sink that is disabled or waits long has no trouble
/// meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Whether all is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Well,
    /// The daemon is not ready, or a file of a secret cannot be read.
    Wrong,
}

/// The troubles of the source and of all sinks.
#[derive(Debug)]
pub(super) struct Troubles {
    notify: Arc<Notify>,
    not_before: Instant,
    /// None while all is well.
    look_again: Option<Instant>,
}

impl Troubles {
    /// Those that are told by this.
    pub(super) fn new(notify: Arc<Notify>) -> Troubles {
        Troubles {
            notify,
            not_before: Instant::now(),
            look_again: None,
        }
    }

    /// For a part that has troubles to tell.
    pub(super) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }

    /// Waits for a trouble: the first one at once, then one in a while stands for all. Or until
    /// somebody is about to connect by another secret, or until it is time for another look. Safe to
    /// cancel.
    pub(super) async fn next(&mut self) {
        let look_again = self.look_again;
        let again = async {
            match look_again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (notify, not_before) = (&self.notify, self.not_before);
        let trouble = async {
            sleep_until(not_before).await;
            notify.notified().await;
        };
        tokio::select! {
            () = rotation::asked() => {}
            () = again => {}
            () = trouble => self.not_before = Instant::now() + INTERVAL,
        }
    }

    /// The files have been looked at.
    pub(super) fn looked(&mut self, all: Condition) {
        self.look_again = match all {
            Condition::Well => None,
            Condition::Wrong => Some(Instant::now() + LOOK_INTERVAL),
        };
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

    #[tokio::test(start_paused = true)]
    async fn while_something_is_wrong_it_is_looked_now_and_then() {
        let mut troubles = Troubles::new(Arc::default());
        let start = Instant::now();
        for look in 1..=3 {
            troubles.looked(Condition::Wrong);
            troubles.next().await;
            assert_eq!(start.elapsed(), look * LOOK_INTERVAL);
        }
        troubles.looked(Condition::Well);
        let idle = tokio::time::timeout(10 * LOOK_INTERVAL, troubles.next());
        assert!(idle.await.is_err());
    }
}
