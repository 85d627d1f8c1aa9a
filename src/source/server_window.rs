//! Whether the server holds messages back until it gets our ACKs (RabbitMQ's `prefetch-count`,
//! ActiveMQ's `prefetchSize`). A pause between two reads would then only slow it down. It is judged
//! by what comes, since a server may have a bound that nobody has told us.

use std::cmp::Ordering;

/// So often in a row as many messages were unacknowledged as ever. Where messages come by
/// themselves their number varies; if it did not, the next read, made at once, has fewer.
const FULL_MIN: u32 = 3;

/// What the server sends without an ACK, as far as one connection shows it.
#[derive(Debug, Default)]
pub(super) struct ServerWindow {
    /// The most messages that were unacknowledged at once.
    most: usize,
    full: u32,
}

impl ServerWindow {
    /// ACKs are due while so many messages have none. Says whether the server waits for them, as
    /// far as can be told.
    pub(super) fn is_full(&mut self, unacknowledged: usize) -> bool {
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
    fn what_comes_by_itself_fills_no_window() {
        check(
            &[5, 5, 5, 1, 5, 5],
            &[false, false, true, false, false, false],
        );
        check(&[4, 5, 6, 5, 5, 5, 5], &[false; 7]);
        check(&[0, 0, 0, 0], &[false; 4]);
    }
}
