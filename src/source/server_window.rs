//! Whether the server holds messages back until it gets our ACKs (RabbitMQ's `prefetch-count`,
//! ActiveMQ's `prefetchSize`). A pause between two reads would then only slow it down. It is judged
//! by what comes, since a server may have a bound that nobody has told us.

use std::cmp::Ordering;

/// How often in a row as many messages must have been unacknowledged as ever lately. Where messages
/// come by themselves their number varies; if it did not, the next read, made at once, has fewer.
/// Where each comes alone, one at a time, no pause is wanted either.
const FULL_MIN: u32 = 3;

/// Counts that are looked back at, and up to as many again: a topic that has filled its window may
/// have no more.
const LATELY: u32 = 32;

/// What the server sends without an ACK, as far as one connection shows it.
#[derive(Debug, Default)]
pub(super) struct ServerWindow {
    /// The most messages that were unacknowledged at once lately.
    most: usize,
    /// The most since `counts` began, which is `most` from the next time on.
    most_since: usize,
    counts: u32,
    full: u32,
}

impl ServerWindow {
    /// ACKs are due while so many messages have none. Says whether the server waits for them, as
    /// far as can be told.
    pub(super) fn is_full(&mut self, unacknowledged: usize) -> bool {
        self.most_since = self.most_since.max(unacknowledged);
        self.counts += 1;
        if self.counts == LATELY {
            self.most = self.most_since;
            (self.most_since, self.counts) = (0, 0);
        }
        self.full = match unacknowledged.cmp(&self.most) {
            _ if unacknowledged == 0 => 0,
            Ordering::Less => 0,
            Ordering::Equal => self.full.saturating_add(1),
            Ordering::Greater => 1,
        };
        self.most = self.most.max(unacknowledged);
        self.full >= FULL_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unacknowledged: &[usize], expected: &[bool]) {
        let mut window = ServerWindow::default();
        let full: Vec<bool> = unacknowledged
            .iter()
            .map(|count| window.is_full(*count))
            .collect();
        assert_eq!(full, expected, "{unacknowledged:?}");
    }

    #[test]
    fn a_window_is_full_where_the_most_comes_again_and_again() {
        check(&[1, 1, 1, 1], &[false, false, true, true]);
        check(&[3, 10, 10, 10, 10], &[false, false, false, true, true]);
    }

    #[test]
    fn a_window_that_was_larger_is_forgotten() {
        let mut window = ServerWindow::default();
        window.is_full(20);
        let first = (1..).find(|_| window.is_full(10));
        assert_eq!(first, Some(2 * LATELY + 1));
    }

    #[test]
    fn what_comes_by_itself_fills_no_window() {
        check(
            &[5, 5, 5, 1, 5, 5],
            &[false, false, true, false, false, false],
        );
        check(&[4, 5, 6, 5, 5, 5, 5], &[false; 7]);
        check(&[0, 0, 0, 0], &[false; 4]);
    }
}
