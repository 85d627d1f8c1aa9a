//! Which topics are silent: the clocks of all of them, and who hears of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use jiff::Timestamp;

use super::Intake;
use crate::source::clock;
use crate::source::settings::Settings;

impl Intake {
    /// These topics are wanted from now on, each with its time for a silence.
    pub(in crate::source) fn expect(&mut self, settings: &Settings) {
        let wanted: HashSet<&str> = settings.topics.iter().map(|topic| &*topic.name).collect();
        let mut times = BTreeMap::new();
        for (name, topic) in &mut self.topics {
            let is_wanted = wanted.contains(&**name);
            let after = settings.silence_of(name).filter(|_| is_wanted);
            topic.silence.last(after);
            if !topic.silence.lasts() {
                topic.times.silent_since(None);
            }
            self.next_look.no_later_than(topic.silence.due());
            if is_wanted {
                times.insert(Arc::clone(name), Arc::clone(&topic.times));
            }
        }
        self.status.topics_are(times);
    }

    /// When [`Intake::look_for_silences`] has something to do.
    pub(in crate::source) fn silence_due(&self, now: Instant) -> Option<Instant> {
        let line = self.silence_log.due(now);
        self.next_look.due().into_iter().chain(line).min()
    }

    /// Notices the topics that fall silent, and names them in the log.
    pub(in crate::source) fn look_for_silences(&mut self, now: Instant) {
        if self.next_look.due().is_some_and(|due| due <= now) {
            let at = Timestamp::now();
            let mut next = None;
            for topic in self.topics.values_mut() {
                if topic.silence.begins(now) {
                    topic.times.silent_since(Some(at));
                    self.status.counters.silences.fetch_add(1, Relaxed);
                    let last = topic.times.read().last_message;
                    self.silence_log.begun(&topic.name, last);
                }
                next = next.into_iter().chain(topic.silence.due()).min();
            }
            self.next_look.taken(next, now);
        }
        self.silence_log.tell(now);
    }

    /// How many topics are subscribed, and how many of them are silent.
    pub(in crate::source) fn subscribed_and_silent(&self) -> (usize, usize) {
        let subscribed = self.topics.values().map(|topic| &topic.silence);
        let subscribed = subscribed.filter(|silence| silence.is_heard());
        subscribed.fold((0, 0), |(subscribed, silent), silence| {
            (subscribed + 1, silent + usize::from(silence.lasts()))
        })
    }

    /// The connection is over: no topic can be heard.
    pub(in crate::source) fn pause_silences(&mut self, now: Instant) {
        for topic in self.topics.values_mut() {
            topic.silence.pause(now);
        }
    }

    /// Nobody reads: what cannot be heard is no silence.
    pub(in crate::source) fn unread(&mut self, now: Instant) {
        for topic in self.topics.values_mut() {
            topic.silence.unread(now);
        }
    }

    /// A topic is subscribed.
    pub(super) fn listen_to(&mut self, topic: &Arc<str>) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.silence.listen(clock::now());
            self.next_look.no_later_than(topic.silence.due());
        }
    }

    /// A topic was unsubscribed, or is refused: what was not heard of it is no silence.
    pub(super) fn forget_silence(&mut self, topic: &str) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.silence.forget();
            topic.times.silent_since(None);
        }
    }
}
