//! Whether a topic's messages come: how long there has been none while it was subscribed. It is
//! given the time, and knows nothing of the link; that one is watched by heart-beats, by pings, or
//! by [`Options::silence_max`](crate::stomp::Options).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::names::in_short;

/// One topic's clock, for all connections, since a link that breaks now and then does not make a
/// topic speak. Only the time in which we listened counts.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// A longer time is a silence; `None`: nobody has said how long is too long.
    after: Option<Duration>,
    /// Without a message, in the connections before this one.
    before: Duration,
    /// Without a message on this connection since then; `None`: the topic is not subscribed.
    since: Option<Instant>,
    noticed: bool,
}

impl Silence {
    /// From now on a silence takes this long.
    pub(super) fn last(&mut self, after: Option<Duration>) {
        self.noticed &= after == self.after;
        self.after = after;
    }

    /// The topic is subscribed.
    pub(super) fn listen(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The connection is over: until the next `listen` nothing can come.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before = self
                .before
                .saturating_add(now.saturating_duration_since(since));
        }
    }

    /// The topic was unsubscribed, or refused: what comes under its name later is another one.
    pub(super) fn forget(&mut self) {
        *self = Silence {
            after: self.after,
            ..Silence::default()
        };
    }

    /// A message has come. Says whether it ends a silence.
    pub(super) fn broken(&mut self, now: Instant) -> bool {
        self.before = Duration::ZERO;
        self.since = self.since.map(|_| now);
        std::mem::take(&mut self.noticed)
    }

    /// A message could not be heard, since nobody reads.
    pub(super) fn unread(&mut self, now: Instant) {
        self.before = Duration::ZERO;
        self.since = self.since.map(|_| now);
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

    /// Whether the topic is subscribed.
    pub(super) fn is_heard(&self) -> bool {
        self.since.is_some()
    }
}

/// Between two looks at all clocks: with thousands of topics, each of which speaks just before it
/// would be silent, there would be one look for each message.
const LOOK_MIN: Duration = Duration::from_millis(100);

/// When to look at the clocks of all topics. Messages only put a silence off, so that nothing is to
/// be done for them: a look that comes too early finds the next time.
#[derive(Debug, Default)]
pub(super) struct NextLook {
    at: Option<Instant>,
}

impl NextLook {
    /// A clock has begun to run, or runs to another time.
    pub(super) fn no_later_than(&mut self, due: Option<Instant>) {
        self.at = self.at.into_iter().chain(due).min();
    }

    /// When it is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.at
    }

    /// Every clock was looked at, and the first silence may begin then.
    pub(super) fn taken(&mut self, next: Option<Instant>, now: Instant) {
        self.at = next.map(|next| next.max(now + LOOK_MIN));
    }
}

/// The time between two lines of a kind: of hundreds of topics each may fall silent at its own time.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// What the log says of silences.
#[derive(Debug, Default)]
pub(super) struct SilenceLog {
    begun: Untold,
    ended: Untold,
}

/// Topics that the log has not named yet, by their names, and what it is to say of each.
#[derive(Debug, Default)]
struct Untold {
    topics: BTreeMap<String, String>,
    not_before: Option<Instant>,
}

impl Untold {
    fn due(&self, now: Instant) -> Option<Instant> {
        let waits = !self.topics.is_empty();
        waits.then(|| self.not_before.unwrap_or(now))
    }

    fn take(&mut self, now: Instant) -> Option<Vec<String>> {
        self.due(now).filter(|due| *due <= now)?;
        self.not_before = Some(now + LINES_EVERY);
        Some(std::mem::take(&mut self.topics).into_values().collect())
    }
}

impl SilenceLog {
    /// A topic has fallen silent; its last message came then.
    pub(super) fn begun(&mut self, topic: &str, last: Option<Timestamp>) {
        let words = match last {
            Some(last) => format!("{topic} (the last came at {last:.0})"),
            None => format!("{topic} (none has come)"),
        };
        self.ended.topics.remove(topic);
        self.begun.topics.insert(topic.to_owned(), words);
    }

    /// A topic speaks again. A silence that was not told yet is none.
    pub(super) fn ended(&mut self, topic: &str) {
        if self.begun.topics.remove(topic).is_none() {
            self.ended.topics.insert(topic.to_owned(), topic.to_owned());
        }
    }

    /// When [`SilenceLog::tell`] has something to say.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.begun
            .due(now)
            .into_iter()
            .chain(self.ended.due(now))
            .min()
    }

    /// Writes the lines that are due.
    pub(super) fn tell(&mut self, now: Instant) {
        if let Some(topics) = self.begun.take(now) {
            warn!(
                topics = in_short(&topics),
                count = topics.len(),
                "topic silent: no message for as long as its silence allows; check that the \
                 platform still sends, and to this destination"
            );
        }
        if let Some(topics) = self.ended.take(now) {
            info!(
                topics = in_short(&topics),
                count = topics.len(),
                "topic receives messages again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn clock(after: Option<Duration>) -> Silence {
        Silence {
            after,
            ..Silence::default()
        }
    }

    #[test]
    fn it_is_noticed_once_and_ends_with_the_next_message() {
        let start = Instant::now();
        let mut silence = clock(Some(10 * MINUTE));
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
        let mut silence = clock(Some(10 * MINUTE));
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
        let mut silence = clock(None);
        silence.listen(start);
        assert!(!silence.begins(start + 100_000 * MINUTE));
        let mut silence = clock(Some(Duration::MAX));
        silence.listen(start);
        assert_eq!(silence.due(), None);
    }

    #[test]
    fn what_could_not_be_read_is_no_silence_and_ends_none() {
        let start = Instant::now();
        let mut silence = clock(Some(10 * MINUTE));
        silence.listen(start);
        silence.unread(start + 9 * MINUTE);
        assert!(!silence.begins(start + 18 * MINUTE));
        assert!(silence.begins(start + 19 * MINUTE));
        silence.unread(start + 20 * MINUTE);
        assert!(silence.lasts());
    }

    #[test]
    fn another_topic_of_the_name_begins_without_the_silence_of_the_first() {
        let start = Instant::now();
        let mut silence = clock(Some(10 * MINUTE));
        silence.listen(start);
        assert!(silence.begins(start + 10 * MINUTE));
        silence.forget();
        assert!(!silence.lasts() && !silence.is_heard());
        silence.listen(start + 20 * MINUTE);
        assert_eq!(silence.due(), Some(start + 30 * MINUTE));
    }

    #[test]
    fn the_clocks_are_looked_at_when_the_first_silence_may_begin_and_seldom() {
        let start = Instant::now();
        let mut look = NextLook::default();
        assert_eq!(look.due(), None);
        look.no_later_than(Some(start + 2 * MINUTE));
        look.no_later_than(Some(start + MINUTE));
        look.no_later_than(Some(start + 3 * MINUTE));
        look.no_later_than(None);
        assert_eq!(look.due(), Some(start + MINUTE));
        let now = start + MINUTE;
        look.taken(Some(now), now);
        assert_eq!(look.due(), Some(now + LOOK_MIN));
        look.taken(None, now);
        assert_eq!(look.due(), None);
    }

    #[test]
    fn five_hundred_topics_that_fall_silent_one_by_one_make_a_few_lines() {
        let start = Instant::now();
        let mut untold = Untold::default();
        let mut lines = Vec::new();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            untold
                .topics
                .extend((0..10).map(|topic| (format!("{second} {topic}"), format!("t-{topic}"))));
            lines.extend(untold.take(now).map(|topics| topics.len()));
        }
        assert_eq!(lines, [10, 100, 100, 100, 100, 100]);
        assert_eq!(untold.due(start), Some(start + MINUTE));
        assert_eq!(
            untold.take(start + MINUTE).map(|topics| topics.len()),
            Some(90)
        );
        assert_eq!(untold.due(start + MINUTE), None);
    }

    #[test]
    fn a_silence_that_is_over_before_it_was_told_is_not_told() {
        let now = Instant::now();
        let mut log = SilenceLog::default();
        log.begun("a", None);
        log.begun("b", None);
        log.ended("a");
        assert_eq!(log.begun.take(now), Some(vec!["b (none has come)".into()]));
        assert_eq!(log.ended.take(now), None);
        log.ended("b");
        log.begun("b", None);
        let later = now + LINES_EVERY;
        assert_eq!(log.ended.take(later), None);
        assert!(log.begun.take(later).is_some());
    }
}
