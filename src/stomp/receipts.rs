//! Receipts that we wait for. They come in any order, or never (STOMP 1.2, section RECEIPT).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The name of one receipt, unique in its session: `r-1`, `r-2`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId(u64);

impl ReceiptId {
    fn from_wire(name: &str) -> Option<ReceiptId> {
        name.strip_prefix("r-")?.parse().ok().map(ReceiptId)
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r-{}", self.0)
    }
}

/// What asked for a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Subscribe(Arc<str>),
    Unsubscribe(Arc<str>),
    /// SEND or COMMIT: the caller knows.
    Caller,
}

#[derive(Debug)]
struct Pending {
    purpose: Purpose,
    due: Instant,
}

/// The receipts of a session. All wait equally long, so the oldest is always due first. The wait
/// begins with the request, or with the last receipt that came. A server that answers one after the
/// other is not silent about the last of them (RabbitMQ takes seconds for hundreds of
/// subscriptions).
#[derive(Debug)]
pub(super) struct Receipts {
    timeout: Duration,
    last: u64,
    pending: BTreeMap<ReceiptId, Pending>,
    /// When the last one came.
    settled_at: Option<Instant>,
}

impl Receipts {
    pub(super) fn new(timeout: Duration) -> Receipts {
        Receipts {
            timeout,
            last: 0,
            pending: BTreeMap::new(),
            settled_at: None,
        }
    }

    /// A fresh name that nothing waits for.
    pub(super) fn name(&mut self) -> ReceiptId {
        self.last += 1;
        ReceiptId(self.last)
    }

    /// A fresh name, waited for from now on.
    pub(super) fn expect(&mut self, purpose: Purpose, now: Instant) -> ReceiptId {
        let id = self.name();
        self.pending.insert(
            id,
            Pending {
                purpose,
                due: now + self.timeout,
            },
        );
        id
    }

    /// The receipt of that name has come. `None`: nobody waits for it.
    pub(super) fn settle(&mut self, id: ReceiptId, now: Instant) -> Option<Purpose> {
        let pending = self.pending.remove(&id)?;
        self.settled_at = Some(now);
        Some(pending.purpose)
    }

    /// When the next one is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.pending.first_key_value()?;
        Some(self.settled_at.map_or(oldest.due, |settled_at| {
            oldest.due.max(settled_at + self.timeout)
        }))
    }

    /// One that is overdue.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<(ReceiptId, Purpose)> {
        self.deadline().filter(|due| now >= *due)?;
        let (id, pending) = self.pending.pop_first()?;
        Some((id, pending.purpose))
    }
}

/// The receipt that `receipt-id` names, if we named it.
pub(super) fn named(receipt_id: Option<&str>) -> Option<ReceiptId> {
    receipt_id.and_then(ReceiptId::from_wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_settle_in_any_order_and_fall_due_in_theirs() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut receipts = Receipts::new(3 * second);
        let first = receipts.expect(Purpose::Subscribe("a".into()), start);
        let other = receipts.expect(Purpose::Caller, start + second);
        assert_eq!(receipts.deadline(), Some(start + 3 * second));
        assert_eq!(receipts.overdue(start + 2 * second), None);
        assert_eq!(receipts.settle(other, start), Some(Purpose::Caller));
        assert_eq!(receipts.settle(other, start), None);
        assert_eq!(
            receipts.overdue(start + 3 * second),
            Some((first, Purpose::Subscribe("a".into())))
        );
        assert_eq!(receipts.deadline(), None);
    }

    #[test]
    fn a_server_that_answers_one_after_the_other_is_waited_for() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut receipts = Receipts::new(3 * second);
        let asked: Vec<ReceiptId> = (0..4)
            .map(|_| receipts.expect(Purpose::Caller, start))
            .collect();
        for (number, id) in (1..).zip(&asked[..2]) {
            assert_eq!(receipts.overdue(start + 2 * number * second), None);
            assert_eq!(
                receipts.settle(*id, start + 2 * number * second),
                Some(Purpose::Caller)
            );
        }
        // From here on it says nothing more, and that is what counts for all that are left.
        assert_eq!(receipts.deadline(), Some(start + 7 * second));
        assert_eq!(receipts.overdue(start + 6 * second), None);
        assert!(
            receipts.overdue(start + 7 * second).is_some()
                && receipts.overdue(start + 7 * second).is_some()
        );
        assert_eq!(receipts.deadline(), None);
    }

    #[test]
    fn only_our_own_names_are_known() {
        let mut receipts = Receipts::new(Duration::ZERO);
        let id = receipts.name();
        assert_eq!(named(Some(&id.to_string())), Some(id));
        for other in [None, Some(""), Some("1"), Some("r-x"), Some("r--1")] {
            assert_eq!(named(other), None, "{other:?}");
        }
    }
}
