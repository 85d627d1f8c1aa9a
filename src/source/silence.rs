//! Whether messages come: how long there has been none while every topic was subscribed. It is
//! given the time, and knows nothing of the link; that one is watched by heart-beats, by pings, or
//! by [`Options::silence_max`](crate::stomp::Options).

use std::time::{Duration, Instant};

/// One for all connections, since a link that breaks now and then does not make a topic speak. Only
/// the time in which we listened counts.
#[derive(Debug)]
pub(super) struct Silence {
    /// `source.silence`; `None`: nobody has said how long is too long.
    after: Option<Duration>,
    /// Without a message, in the connections before this one.
    before: Duration,
    /// Without a message on this connection since then; `None`: not every topic is subscribed.
    since: Option<Instant>,
    noticed: bool,
}

impl Silence {
    pub(super) fn new(after: Option<Duration>) -> Silence {
        Silence {
            after,
            before: Duration::ZERO,
            since: None,
            noticed: false,
        }
    }

    /// From now on a silence takes this long.
    pub(super) fn last(&mut self, after: Option<Duration>) {
        self.noticed &= after == self.after;
        self.after = after;
    }

    /// Every topic is subscribed.
    pub(super) fn listen(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// The connection is over: until the next `listen` nothing can come.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before = self
                .before
                .saturating_add(now.saturating_duration_since(since));
        }
    }

    /// A message has come, or cannot be heard since nobody reads. Says whether it ends a silence.
    pub(super) fn broken(&mut self, now: Instant) -> bool {
        self.before = Duration::ZERO;
        self.since = self.since.map(|_| now);
        std::mem::take(&mut self.noticed)
    }

    /// When the next silence is to be noticed.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.noticed {
            return None;
        }
        // A wait that the clock cannot add has no end.
        self.since?
            .checked_add(self.after?.saturating_sub(self.before))
    }

    /// A silence has begun: said once, and again after the next message.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let begins = self.due().is_some_and(|due| due <= now);
        self.noticed |= begins;
        begins
    }

    /// No message since it was noticed.
    pub(super) fn lasts(&self) -> bool {
        self.noticed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_noticed_once_and_ends_with_the_next_message() {
        let start = Instant::now();
        let mut silence = Silence::new(Some(10 * MINUTE));
        assert_eq!(silence.due(), None, "nobody listens");
        silence.listen(start);
        assert_eq!(silence.due(), Some(start + 10 * MINUTE));
        assert!(!silence.broken(start + 5 * MINUTE));
        assert!(!silence.begins(start + 14 * MINUTE));
        assert!(silence.begins(start + 15 * MINUTE));
        assert!(!silence.begins(start + 99 * MINUTE) && silence.lasts());
        assert_eq!(silence.due(), None);
        assert!(silence.broken(start + 100 * MINUTE));
        assert!(!silence.lasts());
        assert_eq!(silence.due(), Some(start + 110 * MINUTE));
    }

    #[test]
    fn a_link_that_breaks_hides_no_silence_and_makes_none() {
        let start = Instant::now();
        let mut silence = Silence::new(Some(10 * MINUTE));
        silence.listen(start);
        silence.pause(start + 4 * MINUTE);
        // An hour without a connection is no silence of the topics.
        assert!(!silence.begins(start + 64 * MINUTE));
        silence.listen(start + 64 * MINUTE);
        assert_eq!(silence.due(), Some(start + 70 * MINUTE));
        assert!(silence.begins(start + 70 * MINUTE));
        // Once noticed it lasts, whatever becomes of the connection.
        silence.pause(start + 71 * MINUTE);
        silence.listen(start + 72 * MINUTE);
        assert!(silence.lasts() && !silence.begins(start + 90 * MINUTE));
    }

    #[test]
    fn without_source_silence_nothing_is_too_long() {
        let start = Instant::now();
        let mut silence = Silence::new(None);
        silence.listen(start);
        assert!(!silence.begins(start + 100_000 * MINUTE));
        let mut silence = Silence::new(Some(Duration::MAX));
        silence.listen(start);
        assert_eq!(silence.due(), None);
    }
}
