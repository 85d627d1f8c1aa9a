//! When the writer has something to do although nobody asks it to. It gets the time.

use std::time::Duration;

use tokio::time::Instant;

/// Cursors and last states are written this much later at most, and are written this often at most.
/// Written with each commit, they would cost as much as its entries.
pub(super) const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks round while nothing is known to be due: what only the clock or the disk
/// changes is noticed this much later.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// When the next things are due.
#[derive(Debug)]
pub(super) struct Due {
    /// Something waits to be saved; it is due then.
    save_at: Option<Instant>,
    look_at: Instant,
}

impl Due {
    /// The first look is due at once.
    pub(super) fn new(now: Instant) -> Due {
        Due {
            save_at: None,
            look_at: now,
        }
    }

    /// When to wake up.
    pub(super) fn next(&self) -> Instant {
        self.save_at
            .map_or(self.look_at, |save| save.min(self.look_at))
    }

    /// Whether what waits is to be saved.
    pub(super) fn is_save(&self, now: Instant) -> bool {
        self.save_at.is_some_and(|at| at <= now)
    }

    /// Whether to look round; a save is a look too.
    pub(super) fn is_look(&self, now: Instant) -> bool {
        self.next() <= now
    }

    /// Something waits to be saved.
    pub(super) fn waits(&mut self, now: Instant) {
        self.save_at.get_or_insert(now + SAVE_INTERVAL);
    }

    /// All is to be saved: nothing comes after it.
    pub(super) fn save_now(&mut self, now: Instant) {
        self.save_at = Some(now);
    }

    /// Nothing waits to be saved.
    pub(super) fn saved(&mut self) {
        self.save_at = None;
    }

    /// The writer has looked round, and knows of something to look for again after these times.
    pub(super) fn looked(&mut self, now: Instant, again: impl IntoIterator<Item = Duration>) {
        let wait = again.into_iter().fold(LOOK_INTERVAL, Duration::min);
        self.look_at = now + wait;
    }

    /// There is something to look for before that.
    pub(super) fn look_within(&mut self, now: Instant, wait: Duration) {
        self.look_at = self.look_at.min(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_due_a_second_after_the_first_of_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut due = Due::new(start);
        assert!(due.is_look(start) && !due.is_save(start));
        due.looked(start, []);
        assert_eq!(due.next(), at(10_000));
        due.waits(at(500));
        due.waits(at(900));
        assert_eq!(due.next(), at(1500));
        assert!(!due.is_look(at(1499)) && due.is_look(at(1500)) && due.is_save(at(1500)));
        due.saved();
        due.looked(at(1500), []);
        assert_eq!(due.next(), at(11_500));
    }

    #[test]
    fn look_comes_earlier_where_something_is_known() {
        let start = Instant::now();
        let mut due = Due::new(start);
        due.looked(start, [Duration::from_secs(60), Duration::from_secs(3)]);
        assert_eq!(due.next(), start + Duration::from_secs(3));
        due.look_within(start, Duration::from_secs(5));
        assert_eq!(due.next(), start + Duration::from_secs(3));
        due.look_within(start, Duration::ZERO);
        assert!(due.is_look(start));
    }
}
