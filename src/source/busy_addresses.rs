//! Which addresses are not to be dialled before some time, since their servers have said so: the
//! others are, meanwhile. Knows no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// By the address, as it may be shown.
#[derive(Debug, Default)]
pub(super) struct BusyAddresses {
    until: BTreeMap<String, Instant>,
}

impl BusyAddresses {
    /// It is not to be dialled before that time.
    pub(super) fn put_off(&mut self, address: &str, until: Instant) {
        self.until.insert(address.to_owned(), until);
    }

    /// What has been corrected is tried at once.
    pub(super) fn forget(&mut self) {
        self.until.clear();
    }

    /// Which of these addresses is to be dialled, where it is this one's turn: the next that may be.
    pub(super) fn turn(&self, addresses: &[String], turn: usize, now: Instant) -> usize {
        let turns = turn..turn + addresses.len();
        let mut free = turns.filter(|turn| {
            let address = &addresses[turn % addresses.len()];
            self.wait_for(address, now).is_zero()
        });
        free.next().unwrap_or(turn)
    }

    /// The wait until any of these addresses may be dialled.
    pub(super) fn wait(&self, addresses: &[String], now: Instant) -> Duration {
        let waits = addresses.iter().map(|address| self.wait_for(address, now));
        waits.min().unwrap_or_default()
    }

    fn wait_for(&self, address: &str, now: Instant) -> Duration {
        let until = self.until.get(address);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_address_that_is_busy_is_passed_over_and_waited_for_only_where_all_are() {
        let (mut busy, start) = (BusyAddresses::default(), Instant::now());
        let all = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            (busy.turn(&all, 4, start), busy.wait(&all, start)),
            (4, Duration::ZERO)
        );
        busy.put_off("b", start + 40 * SECOND);
        assert_eq!(
            (busy.turn(&all, 4, start), busy.wait(&all, start)),
            (5, Duration::ZERO)
        );
        busy.put_off("a", start + 20 * SECOND);
        busy.put_off("c", start + 30 * SECOND);
        assert_eq!(
            (busy.turn(&all, 4, start), busy.wait(&all, start)),
            (4, 20 * SECOND)
        );
        let later = start + 20 * SECOND;
        assert_eq!(
            (busy.turn(&all, 4, later), busy.wait(&all, later)),
            (6, Duration::ZERO)
        );
        busy.forget();
        assert_eq!(busy.turn(&all, 4, start), 4);
    }
}
