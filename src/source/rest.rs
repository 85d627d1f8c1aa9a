//! Whether reading rests since the journal is full, and since when messages may be lost by that. It
//! takes the time.
//!
//! While nobody reads, the server and the kernel hold the messages back. If the connection ends
//! then, nobody knows which of them are lost. So the gap begins with the last byte before the rest,
//! and also for a while after it, in which what was held back still comes.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// What was held back comes within this time: the buffers of both kernels and of the server, some
/// megabytes.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// The rests of one connection.
#[derive(Debug, Default)]
pub(super) enum Rest {
    /// There was none.
    #[default]
    None,
    /// Nobody reads.
    On {
        /// The last byte before it.
        heard_until: Timestamp,
    },
    /// Reading goes on.
    Over {
        /// The last byte before it.
        heard_until: Timestamp,
        /// Since when.
        since: Instant,
    },
}

impl Rest {
    /// Reading rests. Says whether that is news.
    pub(super) fn begin(&mut self, last_byte: Timestamp, now: Instant) -> bool {
        let news = !self.is_on();
        let heard_until = self.heard_until(now).unwrap_or(last_byte);
        *self = Rest::On { heard_until };
        news
    }

    /// Reading goes on. Says whether that is news.
    pub(super) fn end(&mut self, now: Instant) -> bool {
        let Rest::On { heard_until } = *self else {
            return false;
        };
        *self = Rest::Over {
            heard_until,
            since: now,
        };
        true
    }

    /// Whether nobody reads.
    pub(super) fn is_on(&self) -> bool {
        matches!(self, Rest::On { .. })
    }

    /// Until when all was heard, where that is not until now.
    pub(super) fn heard_until(&self, now: Instant) -> Option<Timestamp> {
        match self {
            Rest::On { heard_until } => Some(*heard_until),
            Rest::Over { heard_until, since } if now < *since + BEHIND_MAX => Some(*heard_until),
            Rest::None | Rest::Over { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn messages_are_doubtful_since_the_last_byte_before_the_rest() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut rest = Rest::default();
        assert_eq!((rest.is_on(), rest.heard_until(start)), (false, None));
        assert!(!rest.end(start), "there was none");
        assert!(rest.begin(at(1), start));
        assert!(!rest.begin(at(1), start + second), "it goes on");
        assert_eq!(rest.heard_until(start + 3600 * second), Some(at(1)));
        assert!(rest.end(start + 10 * second) && !rest.is_on());
        assert!(!rest.end(start + 10 * second));
        assert_eq!(rest.heard_until(start + 14 * second), Some(at(1)));
        assert_eq!(rest.heard_until(start + 15 * second), None);
    }

    #[test]
    fn a_rest_before_all_was_read_is_the_same_one() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut rest = Rest::default();
        rest.begin(at(1), start);
        rest.end(start + 10 * second);
        assert!(rest.begin(at(11), start + 11 * second));
        assert_eq!(rest.heard_until(start + 20 * second), Some(at(1)));
        rest.end(start + 20 * second);
        assert!(rest.begin(at(30), start + 30 * second));
        assert_eq!(rest.heard_until(start + 30 * second), Some(at(30)));
    }
}
