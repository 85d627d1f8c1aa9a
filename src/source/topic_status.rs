//! When one topic's messages came, for readers. The source writes it without a lock: a message costs
//! two stores.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;

/// A copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicStatus {
    /// When the last message came since the daemon started, on whatever connection.
    pub last_message: Option<Timestamp>,
    /// Since when it is too long that none has come; a new connection changes nothing of it.
    pub silent_since: Option<Timestamp>,
    /// When it was first heard since the daemon started; `None`: not yet.
    pub heard_since: Option<Timestamp>,
    /// Messages since the daemon started.
    pub messages: u64,
}

/// The original. Times are in microseconds since 1970, and 0 is none.
#[derive(Debug, Default)]
pub(super) struct TopicTimes {
    last_message_us: AtomicI64,
    silent_since_us: AtomicI64,
    heard_since_us: AtomicI64,
    messages: AtomicU64,
}

impl TopicTimes {
    /// A message has come.
    pub(super) fn message_at(&self, at: Timestamp) {
        self.last_message_us.store(at.as_microsecond(), Relaxed);
        // Nobody else writes it.
        let messages = self.messages.load(Relaxed) + 1;
        self.messages.store(messages, Relaxed);
    }

    /// It is heard.
    pub(super) fn heard_at(&self, at: Timestamp) {
        let first = (0, at.as_microsecond());
        // It was heard before: that counts.
        let _ = (self.heard_since_us).compare_exchange(first.0, first.1, Relaxed, Relaxed);
    }

    /// A silence has begun; `None`: there is none.
    pub(super) fn silent_since(&self, at: Option<Timestamp>) {
        let at_us = at.map_or(0, Timestamp::as_microsecond);
        self.silent_since_us.store(at_us, Relaxed);
    }

    /// A copy of it.
    pub(super) fn read(&self) -> TopicStatus {
        let time = |us: &AtomicI64| match us.load(Relaxed) {
            0 => None,
            us => Timestamp::from_microsecond(us).ok(),
        };
        TopicStatus {
            last_message: time(&self.last_message_us),
            silent_since: time(&self.silent_since_us),
            heard_since: time(&self.heard_since_us),
            messages: self.messages.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_what_was_written() {
        let times = TopicTimes::default();
        assert_eq!(times.read(), TopicStatus::default());
        let at = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        times.message_at(at);
        times.silent_since(Some(at));
        times.heard_at(at);
        times.heard_at(Timestamp::now());
        let expected = TopicStatus {
            last_message: Some(at),
            silent_since: Some(at),
            heard_since: Some(at),
            messages: 1,
        };
        assert_eq!(times.read(), expected);
        times.silent_since(None);
        assert_eq!(times.read().silent_since, None);
    }
}
