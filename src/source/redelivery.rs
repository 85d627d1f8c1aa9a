//! How often the server has delivered a message before, where it says so. Some drop a message once
//! too many connections have ended before its ACK: from half of these deliveries on the log says so,
//! of one topic at most once a minute unless the count grows, of all topics at most ten times a
//! minute. It knows no clock.

use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

use super::broker::{self, DeliveryLimit, Seen};
use super::status::Status;
use super::topic::Topic;
use crate::log_throttle::{INTERVAL, LogThrottle};
use crate::stomp::Message;

/// Lines on all topics within [`INTERVAL`]: a connection that breaks brings all of them.
const LINES_MAX: usize = 10;

/// What one topic's messages have shown, and what of it was said.
#[derive(Debug)]
pub(super) struct Deliveries {
    limit: DeliveryLimit,
    /// See [`Seen`].
    pub(super) seen: Seen,
    throttle: LogThrottle,
    /// The count of the last line.
    said: u64,
}

impl Deliveries {
    /// Of a topic that nothing has come of.
    pub(super) fn of(topic: &Topic) -> Deliveries {
        Deliveries {
            limit: broker::delivery_limit(topic),
            seen: Seen::default(),
            throttle: LogThrottle::default(),
            said: 0,
        }
    }

    /// The topic may have another limit now; what was known holds.
    pub(super) fn limited_as(&mut self, topic: &Topic) {
        self.limit = broker::delivery_limit(topic);
    }

    /// How many messages near the limit there were since the last line, if it is time for another.
    fn should_log(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.throttle.count(1);
        let times = match count > self.said {
            true => self.throttle.take(now),
            false => self.throttle.take_due(now)?,
        };
        self.said = count;
        Some(times)
    }
}

/// The deliveries of all topics.
#[derive(Debug)]
pub(super) struct RedeliveryLog {
    status: Arc<Status>,
    /// Topics whose messages have shown another way to lose them.
    shown: Vec<Arc<str>>,
    /// The minute of the lines, and how many there were.
    lines: Option<(Instant, usize)>,
    left_out: u64,
}

impl RedeliveryLog {
    /// One that has seen nothing.
    pub(super) fn new(status: Arc<Status>) -> RedeliveryLog {
        RedeliveryLog {
            status,
            shown: Vec::new(),
            lines: None,
            left_out: 0,
        }
    }

    /// Takes in what a message shows.
    pub(super) fn message(
        &mut self,
        topic: &Arc<str>,
        deliveries: &mut Deliveries,
        message: &Message,
        now: fn() -> Instant,
    ) {
        let (shown, known) = (broker::seen_in(message), deliveries.seen);
        let count = shown.delivery_count;
        deliveries.seen = Seen {
            delivery_count: known.delivery_count.max(count),
            expires: known.expires || shown.expires,
        };
        if count > known.delivery_count {
            self.status.delivery_count(topic, count);
        }
        if (count > 0 && known.delivery_count == 0) || (shown.expires && !known.expires) {
            self.shown.push(Arc::clone(topic));
        }
        if deliveries.limit.is_near(count) {
            self.near(topic, deliveries, message, count, now());
        }
    }

    /// The topics whose messages have shown another way to lose them, each once for each way.
    pub(super) fn shown(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.shown)
    }

    fn near(
        &mut self,
        topic: &str,
        deliveries: &mut Deliveries,
        message: &Message,
        count: u64,
        now: Instant,
    ) {
        let Some(times) = deliveries.should_log(count, now) else {
            return;
        };
        let Some(others) = self.should_log(now) else {
            return;
        };
        let (id, limit) = (message.message_id(), deliveries.limit);
        let message_id = id.as_deref().unwrap_or("none");
        if limit.is_reached(count) {
            warn!(
                topic, message_id, delivery_count = count, %limit, times, others,
                "message at its delivery limit: the server drops it when this connection ends \
                 before its ACK; see why connections end"
            );
        } else {
            warn!(
                topic, message_id, delivery_count = count, %limit, times, others,
                "message near its delivery limit: the server drops it when more connections end \
                 before its ACK; see why they end, or raise the limit there"
            );
        }
    }

    /// How many lines were left out since the last one, if there may be another.
    fn should_log(&mut self, now: Instant) -> Option<u64> {
        let (begun, lines) = self
            .lines
            .filter(|(begun, _)| now < *begun + INTERVAL)
            .unwrap_or((now, 0));
        if lines >= LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines = Some((begun, lines + 1));
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stomp::AckMode;

    fn deliveries() -> Deliveries {
        Deliveries::of(&Topic::sample("t", "/queue/a", AckMode::Client, &[]))
    }

    #[test]
    fn a_topic_is_said_once_a_minute_and_at_once_where_the_count_has_grown() {
        let (mut topic, start) = (deliveries(), Instant::now());
        let mut says = |count, after| topic.should_log(count, start + Duration::from_secs(after));
        assert_eq!(says(10, 0), Some(1));
        assert_eq!((says(10, 1), says(9, 2)), (None, None));
        assert_eq!(says(11, 3), Some(3));
        assert_eq!(says(11, 62), None);
        assert_eq!(says(11, 63), Some(2));
    }

    #[test]
    fn all_topics_together_have_ten_lines_a_minute() {
        let (mut log, start) = (RedeliveryLog::new(Status::new()), Instant::now());
        let said = (0..500).filter_map(|_| log.should_log(start));
        assert_eq!(said.collect::<Vec<u64>>(), [0; LINES_MAX]);
        let later = start + INTERVAL;
        assert_eq!(log.should_log(later), Some(500 - LINES_MAX as u64));
        assert_eq!(log.should_log(later), Some(0));
    }
}
