//! The snapshots of all topics, and the requests for them. It is polled by the task that keeps the
//! connection, and never makes that wait.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::ask::{Question, SignedIn, SigninTurn};
use super::error::ResyncError;
use super::live::LiveDevices;
use super::snapshot::{Snapshot, SnapshotStatus};
use super::topic::TopicResync;
use crate::journal::Unchanged;
use crate::pipeline::Decoder;
use crate::source::settings::Settings;
use crate::source::signin::{Credentials, SigninLimit};
use crate::source::status::Status;

/// Requests that are in flight at once: each may hold a body of the longest size.
const REQUESTS_MAX: usize = 2;

/// Statuses that are taken in at once: a few milliseconds of work.
const PART_MAX: usize = 256;

/// The snapshots of all topics.
pub(in crate::source) struct Resyncs {
    topics: BTreeMap<Arc<str>, TopicResync>,
    requests: Vec<Request>,
    /// When the next one is to begin.
    next: Option<Instant>,
    /// A snapshot is being taken in.
    takes: bool,
    /// The newest sign-in of a request on this connection.
    signed_in: Option<SignedIn>,
    turn: SigninTurn,
    signins: SigninLimit,
    status: Arc<Status>,
}

struct Request {
    topic: Arc<str>,
    asked: BoxFuture<'static, Asked>,
}

type Asked = (Result<Snapshot, ResyncError>, Option<SignedIn>);

/// The end of a request.
pub(in crate::source) struct Answered {
    topic: Arc<str>,
    asked: Asked,
}

/// Some statuses of a snapshot.
pub(in crate::source) struct Part {
    pub(in crate::source) topic: Arc<str>,
    pub(in crate::source) stream: Arc<str>,
    /// The time that they are of.
    pub(in crate::source) at: Timestamp,
    pub(in crate::source) unchanged: Unchanged,
    pub(in crate::source) statuses: Vec<SnapshotStatus>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.topic).finish()
    }
}

impl Resyncs {
    /// None yet.
    pub(in crate::source) fn new(signins: SigninLimit, status: Arc<Status>) -> Resyncs {
        Resyncs {
            topics: BTreeMap::new(),
            requests: Vec::new(),
            next: None,
            takes: false,
            signed_in: None,
            turn: SigninTurn::default(),
            signins,
            status,
        }
    }

    /// These are wanted from now on; `heard` says since when a topic is heard. What is new or is
    /// asked for otherwise is asked for at once.
    pub(in crate::source) fn expect(
        &mut self,
        settings: &Settings,
        decoders: &HashMap<Arc<str>, Decoder>,
        heard: impl Fn(&str) -> Option<Timestamp>,
        live: &mut LiveDevices,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.topics);
        for (name, resync) in &settings.resyncs {
            let Some(decoder) = decoders.get(name).map(Decoder::of_snapshots) else {
                continue;
            };
            let known = before.remove(name);
            let same = |it: &TopicResync| it.resync == *resync && it.decoder.reads_as(&decoder);
            let topic = match known {
                Some(mut known) if same(&known) => {
                    known.decoder = decoder;
                    known
                }
                known => {
                    self.drop_request(name, live);
                    let mut topic = TopicResync::new(resync.clone(), decoder);
                    if let Some(since) = heard(name) {
                        topic.heard(since, now);
                    }
                    if let Some(known) = &known {
                        topic.goes_on_from(known);
                    }
                    topic
                }
            };
            self.topics.insert(Arc::clone(name), topic);
        }
        for name in before.keys() {
            self.drop_request(name, live);
        }
        let reports = self.topics.iter();
        let reports = reports.map(|(name, topic)| (Arc::clone(name), topic.report.clone()));
        self.status.resyncs_are(reports.collect());
        self.look();
    }

    /// A topic is heard since then, or not any longer.
    pub(in crate::source) fn heard(
        &mut self,
        name: &str,
        since: Option<Timestamp>,
        live: &mut LiveDevices,
        now: Instant,
    ) {
        let Some(topic) = self.topics.get_mut(name) else {
            return;
        };
        match since {
            Some(since) => topic.heard(since, now),
            None => topic.ceased(),
        }
        self.drop_request(name, live);
        self.look();
    }

    /// The connection has ended.
    pub(in crate::source) fn link_ended(&mut self, live: &mut LiveDevices) {
        self.requests.clear();
        self.signed_in = None;
        self.turn = SigninTurn::default();
        self.topics.values_mut().for_each(TopicResync::ceased);
        live.leave_all();
        self.look();
    }

    /// When a request is to begin.
    pub(in crate::source) fn due(&self) -> Option<Instant> {
        self.next
            .filter(|_| self.requests.len() < REQUESTS_MAX && !self.takes)
    }

    /// Begins the requests that are due.
    pub(in crate::source) fn start_due(
        &mut self,
        settings: &Settings,
        credentials: &Credentials,
        live: &mut LiveDevices,
        now: Instant,
    ) {
        while self.due().is_some_and(|due| due <= now) {
            // The one that has waited longest: those that fail come again soon.
            let topics = self.topics.iter_mut();
            let due = topics.filter_map(|(name, topic)| Some((topic.due()?, name, topic)));
            let Some((_, name, topic)) = due.min_by_key(|(due, ..)| *due) else {
                return;
            };
            topic.asks(Timestamp::now());
            live.watch(name, topic.decoder.stream());
            let question = Question {
                resync: topic.resync.clone(),
                decoder: topic.decoder.clone(),
                signed_in: match &self.signed_in {
                    Some(signed_in) => signed_in.clone(),
                    None => SignedIn::with_connection(credentials.clone()),
                },
                turn: self.turn.clone(),
                signin: settings.signin.clone(),
                signins: self.signins.clone(),
                tls: settings.tls.clone(),
            };
            self.requests.push(Request {
                topic: Arc::clone(name),
                asked: question.ask().boxed(),
            });
            self.look();
        }
    }

    /// The next end of a request. Cancel-safe; it has none while nothing is asked.
    pub(in crate::source) async fn answered(&mut self) -> Answered {
        poll_fn(|context| {
            for index in 0..self.requests.len() {
                if let Poll::Ready(asked) = self.requests[index].asked.poll_unpin(context) {
                    let Request { topic, .. } = self.requests.swap_remove(index);
                    return Poll::Ready(Answered { topic, asked });
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes note of the end of a request.
    pub(in crate::source) fn take(
        &mut self,
        answered: Answered,
        live: &mut LiveDevices,
        now: Instant,
    ) {
        let Answered {
            topic: name,
            asked: (outcome, signed_in),
        } = answered;
        self.signed_in(signed_in);
        let Some(topic) = self.topics.get_mut(&name).filter(|topic| topic.is_asking()) else {
            return;
        };
        if let Some((wait, is_news)) = topic.answered(outcome, now) {
            live.leave(&name);
            let error = topic.report.trouble.as_deref().unwrap_or_default();
            if is_news {
                let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                warn!(topic = %name, retry_in_ms, error, "resync failed: there is no snapshot");
            }
            self.status.resynced(&name, topic.report.clone());
        }
        self.look();
    }

    /// The end of a request that comes too early: messages that are newer wait unread.
    pub(in crate::source) fn ask_later(
        &mut self,
        answered: Answered,
        live: &mut LiveDevices,
        now: Instant,
    ) {
        let Answered { topic, asked } = answered;
        self.signed_in(asked.1);
        if let Some(resync) = self.topics.get_mut(&topic) {
            resync.asks_later(now);
        }
        live.leave(&topic);
        self.look();
    }

    fn signed_in(&mut self, another: Option<SignedIn>) {
        if let Some(another) = another {
            self.signed_in = Some(another);
        }
    }

    /// Whether a snapshot is to be taken in.
    pub(in crate::source) fn takes(&self) -> bool {
        self.takes
    }

    /// The next part of a snapshot.
    pub(in crate::source) fn part(&mut self) -> Option<Part> {
        let mut topics = self.topics.iter_mut();
        let (name, topic) = topics.find(|(_, topic)| topic.takes())?;
        let (at, unchanged, statuses) = topic.part(PART_MAX)?;
        Some(Part {
            topic: Arc::clone(name),
            stream: Arc::clone(topic.decoder.stream()),
            at,
            unchanged,
            statuses,
        })
    }

    /// A part is taken in, but for so many of which a message is newer.
    pub(in crate::source) fn taken(
        &mut self,
        name: &Arc<str>,
        skipped: u64,
        live: &mut LiveDevices,
        now: Instant,
    ) {
        let Some(topic) = self.topics.get_mut(name) else {
            return;
        };
        let after_gap = topic.owes();
        if !topic.skipped(skipped, now) {
            return;
        }
        live.leave(name);
        let report = &topic.report;
        let (devices, skipped, unreadable) = (report.devices, report.skipped, report.unreadable);
        if after_gap {
            info!(topic = %name, devices, skipped, unreadable, "resynced");
        } else {
            debug!(topic = %name, devices, skipped, unreadable, "resynced");
        }
        if let Some(reason) = topic.unreadable_news() {
            warn!(
                topic = %name, unreadable, reason,
                "snapshot partly unreadable: these devices are left as they are; see its fields"
            );
        }
        self.status.resynced(name, topic.report.clone());
        self.look();
    }

    fn drop_request(&mut self, name: &str, live: &mut LiveDevices) {
        self.requests.retain(|request| *request.topic != *name);
        live.leave(name);
    }

    fn look(&mut self) {
        self.next = self.topics.values().filter_map(TopicResync::due).min();
        self.takes = self.topics.values().any(TopicResync::takes);
    }
}
