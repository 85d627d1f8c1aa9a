//! What the log says of malformed frames and of messages of no topic. Each kind of trouble of each
//! topic is said once, then at most once a minute with a count. It knows no clock.

use std::collections::HashMap;
use std::mem::Discriminant;
use std::time::Instant;

use tracing::warn;

use crate::log_throttle::LogThrottle;
use crate::stomp::{DecodeError, Malformed, Message};

/// More kinds of trouble than that are the work of a peer that makes them up: all others are one.
const KINDS_MAX: usize = 1000;

/// When each trouble was said last.
#[derive(Debug, Default)]
pub(super) struct MalformedLog {
    /// `None`: all kinds beyond [`KINDS_MAX`].
    said: HashMap<Option<Trouble>, LogThrottle>,
}

/// The mistake, or none where a message has no topic; and the topic, as the server names it where it
/// is none of ours.
type Trouble = (Option<Discriminant<DecodeError>>, String);

impl MalformedLog {
    /// A frame was read in spite of a rule that it has broken.
    pub(super) fn frame(&mut self, frame: &Malformed, now: Instant) {
        let topic = frame
            .found
            .as_deref()
            .or(frame.subscription.as_deref())
            .or(frame.destination.as_deref());
        let topic = topic.unwrap_or("none");
        let kind = std::mem::discriminant(&frame.mistake);
        if let Some(times) = self.should_log((Some(kind), topic.to_owned()), now) {
            warn!(
                topic,
                message_id = frame.message_id.as_deref().unwrap_or("none"),
                frame = frame.command.as_str(),
                mistake = %frame.mistake,
                times,
                "malformed frame read as well as it can be: what sends it is to be corrected"
            );
        }
    }

    /// A message of no topic was journaled as undecodable.
    pub(super) fn unknown(&mut self, topic: &str, message: &Message, now: Instant) {
        let subscription = &*message.subscription;
        if let Some(times) = self.should_log((None, topic.to_owned()), now) {
            warn!(
                topic,
                subscription,
                message_id = message.message_id().as_deref().unwrap_or("none"),
                times,
                "message of no topic: the journal keeps it raw; add a topic with this destination \
                 if it is wanted"
            );
        }
    }

    /// How many times it has happened since the last line, if it is time for another.
    fn should_log(&mut self, kind: Trouble, now: Instant) -> Option<u64> {
        let kind = Some(kind);
        let is_one_of_few = self.said.len() < KINDS_MAX || self.said.contains_key(&kind);
        let kind = kind.filter(|_| is_one_of_few);
        self.said.entry(kind).or_default().should_log(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_same_trouble_is_said_once_a_minute_with_a_count() {
        let (mut log, start) = (MalformedLog::default(), Instant::now());
        let mut says = |kind: &str, after| {
            let now = start + Duration::from_secs(after);
            log.should_log((None, kind.to_owned()), now)
        };
        assert_eq!(says("a", 0), Some(1));
        assert_eq!(says("b", 0), Some(1));
        assert_eq!((says("a", 1), says("a", 59)), (None, None));
        assert_eq!(says("a", 60), Some(3));
        assert_eq!(says("a", 61), None);
    }

    #[test]
    fn kinds_that_a_peer_makes_up_take_no_memory_and_no_lines_without_end() {
        let (mut log, start) = (MalformedLog::default(), Instant::now());
        let lines = |log: &mut MalformedLog, kinds: std::ops::Range<usize>, after| {
            let now = start + Duration::from_secs(after);
            let said = kinds.filter_map(|kind| log.should_log((None, kind.to_string()), now));
            said.collect::<Vec<u64>>()
        };
        assert_eq!(lines(&mut log, 0..KINDS_MAX, 0), vec![1; KINDS_MAX]);
        assert_eq!(lines(&mut log, KINDS_MAX..5 * KINDS_MAX, 0), [1]);
        assert_eq!(log.said.len(), KINDS_MAX + 1);
        // With a count of all of them.
        let times = 4 * KINDS_MAX as u64;
        assert_eq!(
            lines(&mut log, 9 * KINDS_MAX..9 * KINDS_MAX + 9, 60),
            [times]
        );
        // What was known before is still told of by itself.
        assert_eq!(lines(&mut log, 0..1, 61), [1]);
    }
}
