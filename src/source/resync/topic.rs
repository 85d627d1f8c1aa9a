//! When one topic's snapshot is asked for. Its deadlines go by the time that it is given; reports have
//! the clock's. It asks nobody.
//!
//! The topic is heard: a snapshot is due at once, since something may have passed us by before, and
//! again after `every`. A failure is retried later and later. While the topic is not heard there is
//! no snapshot: what it says would be old before the topic is heard again.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::error::ResyncError;
use super::snapshot::{Snapshot, SnapshotStatus};
use crate::journal::Unchanged;
use crate::pipeline::Decoder;
use crate::retry::Backoff;
use crate::source::outage_log::OutageLog;
use crate::source::resync_report::ResyncReport;
use crate::source::resync_settings::Resync;

/// The waits after failures: the first one and the longest.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// One topic with its snapshots.
#[derive(Debug)]
pub(super) struct TopicResync {
    pub(super) resync: Resync,
    /// Of the snapshots.
    pub(super) decoder: Decoder,
    stage: Stage,
    /// Since when the topic is heard.
    heard_since: Timestamp,
    /// Nothing that was taken in says what has become of the devices since the last gap.
    owes: bool,
    backoff: Backoff,
    /// After a failure nothing is asked before, whatever the connection does.
    not_before: Option<Instant>,
    /// The part of it that is the server's wish, and so holds after a reload too.
    wished: Option<Instant>,
    outage: OutageLog,
    /// Why statuses of the last snapshot could not be read.
    unreadable: Option<String>,
    unreadable_told: bool,
    pub(super) report: ResyncReport,
}

/// Where it stands.
#[derive(Debug)]
enum Stage {
    /// The topic is not heard.
    Deaf,
    /// Nothing is to be done before the next gap.
    Done,
    /// The next request begins then.
    Due(Instant),
    /// A request is in flight, since then.
    Asking(Timestamp),
    Taking(Taking),
}

/// A snapshot that is being taken in.
#[derive(Debug)]
struct Taking {
    statuses: std::vec::IntoIter<SnapshotStatus>,
    began: Timestamp,
    devices: u64,
    skipped: u64,
    unreadable: u64,
    reason: Option<String>,
}

impl TopicResync {
    /// Of a topic that is not heard yet.
    pub(super) fn new(resync: Resync, decoder: Decoder) -> TopicResync {
        let [initial, max] = WAITS;
        TopicResync {
            resync,
            decoder,
            stage: Stage::Deaf,
            heard_since: Timestamp::MIN,
            owes: true,
            backoff: Backoff::new(initial, max),
            not_before: None,
            wished: None,
            outage: OutageLog::default(),
            unreadable: None,
            unreadable_told: false,
            report: ResyncReport::default(),
        }
    }

    /// The same topic, which is asked for otherwise from now on. What was corrected is tried at
    /// once, unless the server has asked to be left alone.
    pub(super) fn goes_on_from(&mut self, before: &TopicResync) {
        if self.resync.url == before.resync.url {
            (self.not_before, self.wished) = (before.wished, before.wished);
        }
        if let Stage::Due(at) = self.stage {
            self.stage = Stage::Due(self.no_earlier(at));
        }
        self.owes = before.owes;
        self.report = before.report.clone();
    }

    /// Whether the next snapshot is the first one since a gap.
    pub(super) fn owes(&self) -> bool {
        self.owes
    }

    /// Why some statuses cannot be read, where that is news.
    pub(super) fn unreadable_news(&mut self) -> Option<&str> {
        let told = std::mem::replace(&mut self.unreadable_told, self.unreadable.is_some());
        self.unreadable.as_deref().filter(|_| !told)
    }

    /// Whether a request that began before is still wanted.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking(_))
    }

    /// Whether there is something to take in.
    pub(super) fn takes(&self) -> bool {
        matches!(self.stage, Stage::Taking(_))
    }

    /// The topic is heard since then.
    pub(super) fn heard(&mut self, since: Timestamp, now: Instant) {
        self.heard_since = since;
        self.owes = true;
        self.stage = Stage::Due(self.no_earlier(now));
    }

    /// Messages that are newer than the answer wait unread: it is asked for later.
    pub(super) fn asks_later(&mut self, now: Instant) {
        if self.is_asking() {
            self.stage = Stage::Due(now + WAITS[0]);
        }
    }

    fn no_earlier(&self, at: Instant) -> Instant {
        self.not_before.map_or(at, |earliest| at.max(earliest))
    }

    /// It is not heard any longer.
    pub(super) fn ceased(&mut self) {
        self.stage = Stage::Deaf;
    }

    /// When the next request is to begin.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            _ => None,
        }
    }

    /// A request begins.
    pub(super) fn asks(&mut self, at: Timestamp) {
        self.stage = Stage::Asking(at);
    }

    /// There is an answer. Gives the wait until the next request where it is none, and whether that
    /// is to be logged.
    pub(super) fn answered(
        &mut self,
        outcome: Result<Snapshot, ResyncError>,
        now: Instant,
    ) -> Option<(Duration, bool)> {
        let Stage::Asking(began) = self.stage else {
            return None;
        };
        match outcome {
            Ok(snapshot) => {
                self.stage = Stage::Taking(Taking {
                    devices: snapshot.statuses.len() as u64,
                    statuses: snapshot.statuses.into_iter(),
                    began,
                    skipped: 0,
                    unreadable: snapshot.unreadable,
                    reason: snapshot.reason,
                });
                None
            }
            Err(error) => Some(self.failed(&error, now)),
        }
    }

    fn failed(&mut self, error: &ResyncError, now: Instant) -> (Duration, bool) {
        let wait = self.backoff.next(fastrand::f64());
        let wait = wait.max(error.after().unwrap_or_default());
        self.stage = Stage::Due(now + wait);
        self.not_before = Some(now + wait);
        self.wished = error.after().map(|after| now + after);
        let text = error.to_string();
        let is_news = self
            .outage
            .should_log(&self.resync.url.to_string(), &text, now);
        self.report.last_failure = Some(Timestamp::now());
        self.report.trouble = Some(text);
        self.report.failures = self.backoff.failures();
        self.report.failures_total += 1;
        (wait, is_news)
    }

    /// The next statuses to take in, and the time that they are of: that of the request, however
    /// quiet the link is. What they say was so then, and a gap that turns out later begins no earlier.
    pub(super) fn part(
        &mut self,
        count: usize,
    ) -> Option<(Timestamp, Unchanged, Vec<SnapshotStatus>)> {
        let Stage::Taking(taking) = &mut self.stage else {
            return None;
        };
        // A clock that was set back places none in the gap before.
        let at = taking.began.max(self.heard_since);
        let unchanged = match self.owes {
            true => Unchanged::Confirms,
            false => Unchanged::Dropped,
        };
        let statuses = taking.statuses.by_ref().take(count).collect();
        Some((at, unchanged, statuses))
    }

    /// So many of a part were left out. Gives whether all of the snapshot is taken in by now.
    pub(super) fn skipped(&mut self, count: u64, now: Instant) -> bool {
        let Stage::Taking(taking) = &mut self.stage else {
            return false;
        };
        taking.skipped += count;
        if taking.statuses.len() > 0 {
            return false;
        }
        self.report.devices = taking.devices;
        self.report.skipped = taking.skipped;
        self.report.unreadable = taking.unreadable;
        self.unreadable = taking.reason.take();
        self.report.last_success = Some(Timestamp::now());
        self.report.successes_total += 1;
        self.report.trouble = None;
        self.report.failures = 0;
        self.owes = false;
        self.backoff.reset();
        (self.not_before, self.wished) = (None, None);
        self.outage.over();
        self.stage = match self.resync.every {
            Some(every) => Stage::Due(now + every),
            None => Stage::Done,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::{Mapping, StatusKey};
    use crate::source::signin::StepMethod;

    fn topic(every: Option<Duration>) -> TopicResync {
        let resync = Resync {
            url: "http://h/devices".parse().unwrap(),
            method: StepMethod::Get,
            headers: Vec::new(),
            expect: None,
            tls: None,
            timeout: Duration::from_secs(30),
            every,
            body_bytes_max: 1,
            redacted: Vec::new(),
        };
        let decoder = Decoder::new("map-1".into(), Mapping::default(), Arc::default());
        TopicResync::new(resync, decoder)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn snapshot(devices: usize) -> Result<Snapshot, ResyncError> {
        let key = StatusKey {
            client_id: String::new(),
            device_id: "1".to_owned(),
            old_state: None,
            new_state: "x".to_owned(),
            event_key: None,
            shared_hash: None,
        };
        Ok(Snapshot {
            statuses: vec![("{}".into(), key); devices],
            ..Snapshot::default()
        })
    }

    #[test]
    fn a_snapshot_is_of_its_request_and_of_no_gap_before_it() {
        let now = Instant::now();
        for (heard_since, expected) in [(0, 100), (70, 100), (101, 101)] {
            let mut topic = topic(None);
            topic.heard(at(heard_since), now);
            topic.asks(at(100));
            assert_eq!(topic.answered(snapshot(1), now), None);
            let (of, ..) = topic.part(9).unwrap();
            assert_eq!(of, at(expected), "{heard_since}");
        }
    }

    #[test]
    fn the_first_snapshot_after_each_gap_confirms_and_the_others_do_not() {
        let (now, every) = (Instant::now(), Duration::from_secs(600));
        let mut topic = topic(Some(every));
        assert_eq!(topic.due(), None, "it is not heard");
        for gap in 0..2 {
            topic.heard(at(0), now);
            for unchanged in [Unchanged::Confirms, Unchanged::Dropped, Unchanged::Dropped] {
                assert!(topic.due().is_some(), "{gap}");
                topic.asks(at(1));
                assert_eq!(topic.due(), None);
                topic.answered(snapshot(3), now);
                for (part, is_last) in [(2, false), (1, true)] {
                    let (_, how, statuses) = topic.part(2).unwrap();
                    assert_eq!((how, statuses.len()), (unchanged, part));
                    assert_eq!(topic.skipped(1, now), is_last);
                }
                assert_eq!(topic.due(), Some(now + every));
                assert_eq!((topic.report.devices, topic.report.skipped), (3, 2));
            }
            topic.ceased();
            assert_eq!(topic.due(), None);
        }
        assert_eq!(topic.report.successes_total, 6);
    }

    #[test]
    fn a_failure_is_retried_as_late_as_the_server_asks_and_what_is_owed_stays() {
        let now = Instant::now();
        let mut topic = topic(None);
        topic.heard(at(0), now);
        for (after, wait_max) in [(None, 1), (Some(120), 120), (None, 300)] {
            topic.asks(at(1));
            let after = after.map(Duration::from_secs);
            let error = ResyncError::Failed {
                text: "no".to_owned(),
                after,
            };
            let (wait, _) = topic.answered(Err(error), now).unwrap();
            assert!(wait >= after.unwrap_or_default());
            assert!(wait <= Duration::from_secs(wait_max), "{wait:?}");
            assert_eq!(topic.due(), Some(now + wait));
        }
        assert_eq!(topic.report.failures, 3);
        // Another connection does not hurry it.
        let due = topic.due();
        topic.ceased();
        topic.heard(at(2), now);
        assert_eq!(topic.due(), due);
        topic.asks(at(1));
        topic.answered(snapshot(0), now);
        let (_, unchanged, _) = topic.part(9).unwrap();
        assert_eq!(unchanged, Unchanged::Confirms);
        assert!(topic.skipped(0, now), "an empty one is one, too");
        assert_eq!((topic.due(), topic.report.failures), (None, 0));
        topic.heard(at(3), now);
        assert_eq!(topic.due(), Some(now), "the failures are over");
        // Messages wait unread: another answer will do.
        topic.asks(at(3));
        topic.asks_later(now);
        assert_eq!(topic.due(), Some(now + WAITS[0]));
        // An answer that nobody waits for any longer.
        topic.ceased();
        assert_eq!(topic.answered(snapshot(1), now), None);
        assert!(!topic.takes());
    }

    #[test]
    fn after_a_reload_only_the_wish_of_the_server_goes_on() {
        let now = Instant::now();
        for after in [None, Some(Duration::from_secs(120))] {
            let mut before = topic(None);
            before.heard(at(0), now);
            before.asks(at(1));
            let text = "no".to_owned();
            before.answered(Err(ResyncError::Failed { text, after }), now);
            for (url, wished) in [("http://h/devices", after), ("http://h/others", None)] {
                let mut corrected = topic(Some(Duration::from_secs(600)));
                corrected.resync.url = url.parse().unwrap();
                corrected.heard(at(0), now);
                corrected.goes_on_from(&before);
                let expected = now + wished.unwrap_or_default();
                assert_eq!(corrected.due(), Some(expected), "{url} {after:?}");
            }
        }
    }
}
