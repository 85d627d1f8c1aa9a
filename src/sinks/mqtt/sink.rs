//! The sink: hands publishes to the connection's task, and waits for what the broker confirms.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::accused::{Accusation, Accused, Others};
use super::broker::ONLINE;
use super::client_id::client_id;
use super::connection::{Blame, Connection, Lost, Standing};
use super::driver::{Link, Wanted};
use super::judged::{Judged, Known};
use super::publish::{Publish, Unfit};
use super::reason::{Reason as Code, Verdict};
use super::settings::{Qos, Settings};
use super::terms::{Terms, Version};
use super::window::packet_id;
use crate::model::{Event, Position};
use crate::paced::Pacing;
use crate::sinks::{Batch, By, Capabilities, Reason, Sink, Trouble, Undelivered};

/// How long `open` waits for a connection before it reports the trouble.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that confirms nothing for this long while publishes are in flight is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the connection of a suspected publish is watched before it.
const QUIET: Duration = Duration::from_secs(2);
/// With more events in a batch the sink is behind: its next batch waits for the confirmations of
/// this one, and each is read as it comes.
const PACED_EVENTS_MAX: u64 = 100;
/// For DISCONNECT and the end of the driver.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One broker, by way of the task that keeps a connection to it.
pub(super) struct MqttSink {
    settings: Settings,
    /// For log lines: without user and password.
    server: String,
    wanted: watch::Sender<Wanted>,
    link: watch::Receiver<Link>,
    /// Ends the driver's back-off.
    hurry: Arc<Notify>,
    pacing: Pacing,
    pace: Pace,
    accused: Accused,
    judged: Judged,
    /// What the broker has said to confirm the last attempt.
    answer: Option<String>,
}

/// How many publishes may be unconfirmed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As many as the window has room for.
    Window,
    /// One that the broker has failed for a reason that may be the broker's own, with a companion that
    /// shows whether it is: the sink's own status, or else the next event.
    Accompanied,
    /// One, after a connection that was lost before it confirmed anything: MQTT 3.1.1 has no other
    /// way to refuse a publish than to close the connection, and only so is it known which one that
    /// was.
    OneByOne,
}

/// Why not all of a batch was confirmed.
enum Failed {
    /// The first `sent` are confirmed, and the next one must not be sent.
    Unfit { sent: usize, unfit: Unfit },
    /// The broker has answered that it does not accept the event of this index; those before it are
    /// confirmed.
    Rejected {
        index: usize,
        reason: Code,
        /// Its answers to the events behind.
        behind: Vec<(Position, Option<Code>)>,
        others: Others,
    },
    /// The connection is gone.
    Lost {
        confirmed: usize,
        lost: Lost,
        in_flight: bool,
    },
    /// Nothing was confirmed for too long.
    Silent { confirmed: usize },
}

impl Failed {
    /// How many of the first events are confirmed.
    fn confirmed(&self) -> usize {
        match self {
            Failed::Unfit { sent, .. } => *sent,
            Failed::Rejected { index, .. } => *index,
            Failed::Lost { confirmed, .. } | Failed::Silent { confirmed } => *confirmed,
        }
    }
}

impl Sink for MqttSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Only for the report: `may_be_lost` tells at once.
            idle_interval: Duration::from_secs(30),
            ..Capabilities::default()
        }
    }

    fn retry_now(&self) {
        self.hurry.notify_waiters();
    }

    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            let client_id = self
                .settings
                .client_id
                .clone()
                .unwrap_or_else(|| client_id(&self.settings.name, journal));
            self.wanted.send_replace(Wanted::Connection(client_id));
            match timeout(OPEN_TIMEOUT, self.connected()).await {
                Ok(Ok(())) => Ok(None),
                Ok(Err(error)) => Err(Trouble::Retry { error, after: None }),
                Err(_) => Err(Trouble::Retry {
                    error: self.why_down(),
                    after: None,
                }),
            }
        }
        .boxed()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            self.answer = None;
            let Some(connection) = self.connection() else {
                return Err(retry(0, self.why_down()));
            };
            let known = self.known(&batch);
            let (passed, rest) = batch.events.split_at(known.confirmed);
            let confirmed = passed.len();
            if confirmed > 0 {
                self.answer = Some("PUBACK, with an attempt before".to_owned());
            }
            if let (Some(reason), Some(event)) = (known.rejected, rest.first()) {
                let error = self.rejection(&reason, event);
                return Err(refused(confirmed, By::Them, error));
            }
            let rest = Batch {
                events: rest,
                ..batch
            };
            let outcome = self.publish(&connection, rest).await;
            outcome.map_err(|undelivered| behind(confirmed, undelivered))
        }
        .boxed()
    }

    fn answer(&mut self) -> Option<String> {
        self.answer.take()
    }

    fn pacing(&self) -> Option<Pacing> {
        Some(self.pacing.clone())
    }

    fn may_be_lost(&mut self) -> BoxFuture<'_, ()> {
        async move {
            let lost = self.link.wait_for(|link| !matches!(link, Link::Up(_)));
            // The connection's task has ended: nothing more is to be heard of it.
            if lost.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }

    /// The connection's task knows: a broker that no longer answers its pings has lost it.
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            match self.connection() {
                Some(_) => Ok(()),
                None => Err(Trouble::Retry {
                    error: self.why_down(),
                    after: None,
                }),
            }
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.wanted.send_replace(Wanted::Goodbye);
            // The driver drops its end when it is done; one that was never run has nothing to say.
            let _ = timeout(CLOSE_TIMEOUT, async {
                while self.link.changed().await.is_ok() {}
            })
            .await;
        }
        .boxed()
    }
}

impl MqttSink {
    /// Not connected; `wanted`, `link` and `hurry` lead to the driver, and `pacing` to its socket.
    pub(super) fn new(
        settings: Settings,
        server: String,
        wanted: watch::Sender<Wanted>,
        link: watch::Receiver<Link>,
        hurry: Arc<Notify>,
        pacing: Pacing,
    ) -> MqttSink {
        MqttSink {
            settings,
            server,
            wanted,
            link,
            hurry,
            pacing,
            pace: Pace::Window,
            accused: Accused::default(),
            judged: Judged::default(),
            answer: None,
        }
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.link.borrow() {
            Link::Up(connection) => Some(connection.clone()),
            Link::Idle | Link::Down { .. } => None,
        }
    }

    /// What the broker has answered for these events before.
    fn known(&mut self, batch: &Batch<'_>) -> Known {
        match batch.reason {
            Reason::Log => self.judged.of(batch.events),
            Reason::Redrive | Reason::Replay => Known::default(),
        }
    }

    async fn publish(
        &mut self,
        connection: &Connection,
        batch: Batch<'_>,
    ) -> Result<(), Undelivered> {
        self.pace_confirmations(batch.events.len(), connection.terms().room);
        if let Err(error) = self.watch(connection, batch.events).await {
            self.accused.clear();
            return Err(retry(0, error));
        }
        let alone = self.pace == Pace::OneByOne;
        // A redelivered status may be older than the one that the broker retains.
        let retain =
            self.settings.retain && connection.terms().retains && batch.reason == Reason::Log;
        let companion = self.companion(connection);
        let first = connection.accepted();
        let published = self.publish_all(connection, batch.events, retain, companion);
        let published = published.await;
        let confirmed = match &published {
            Ok(()) => batch.events.len(),
            Err(failed) => failed.confirmed(),
        };
        self.answer = self.confirmation(connection, first, confirmed);
        let Err(failed) = published else {
            self.pace = Pace::Window;
            self.accused.clear();
            return Ok(());
        };
        let undelivered = match failed {
            Failed::Unfit { sent, unfit } => {
                self.accused.clear();
                refused(sent, unfit.by, unfit.error)
            }
            rejected @ Failed::Rejected { .. } => return Err(self.rejected(rejected, &batch)),
            Failed::Lost {
                confirmed,
                lost,
                in_flight,
            } => {
                let next = batch.events.get(confirmed);
                let at = next.filter(|_| in_flight && alone).map(Event::position);
                let error = self.blame(&lost.error, connection.terms().version, next);
                self.accuse(confirmed, error, lost.blame, at)
            }
            Failed::Silent { confirmed } => {
                self.accused.clear();
                let seconds = CONFIRM_TIMEOUT.as_secs();
                let error = format!("{}: no confirmation within {seconds} s", self.server);
                retry(confirmed, error)
            }
        };
        if undelivered.confirmed == 0 && matches!(undelivered.trouble, Trouble::Retry { .. }) {
            self.pace = Pace::OneByOne;
        }
        Err(undelivered)
    }

    /// Where a publish is under suspicion, a loss must be noticed at once, too. A small window waits
    /// for its confirmations.
    fn pace_confirmations(&self, events: usize, room: u64) {
        let fits = events as u64 <= room.min(PACED_EVENTS_MAX);
        match self.pace {
            Pace::Window if fits => self.pacing.begin(),
            Pace::Window | Pace::Accompanied | Pace::OneByOne => self.pacing.suspend(),
        }
    }

    /// Sees whether the connection holds while nothing of ours is in flight, where a publish is
    /// under suspicion.
    async fn watch(&self, connection: &Connection, events: &[Event]) -> Result<(), String> {
        let first = events.first().map(Event::position);
        if !self.accused.is_to_be_watched(first) {
            return Ok(());
        }
        match timeout(QUIET, connection.progress(u64::MAX)).await {
            Ok(Standing::Lost { lost, .. }) => Err(lost.error.to_string()),
            Ok(Standing::Confirmed(_)) | Err(_) => Ok(()),
        }
    }

    /// The connection was lost, `at` this event if nothing else was in flight. Counts how often; in
    /// the end that is a rejection.
    fn accuse(
        &mut self,
        confirmed: usize,
        error: String,
        blame: Blame,
        at: Option<Position>,
    ) -> Undelivered {
        let Some(position) = at.filter(|_| blame != Blame::Nothing) else {
            self.accused.clear();
            return retry(confirmed, error);
        };
        if blame == Blame::ThePublish {
            self.accused.clear();
            return refused(confirmed, By::Them, error);
        }
        match self.accused.closed_at(position) {
            Accusation::Open => retry(confirmed, error),
            Accusation::Proven(closes) => {
                let closed =
                    format!("the broker has closed the connection {closes} times at this publish");
                refused(confirmed, By::Them, format!("{closed}: {error}"))
            }
        }
    }

    /// The broker's answer decides; where it says nothing of whose trouble it is, repetition does.
    fn rejected(&mut self, failed: Failed, batch: &Batch<'_>) -> Undelivered {
        let Failed::Rejected {
            index,
            reason,
            behind,
            others,
        } = failed
        else {
            return retry(0, self.why_down());
        };
        let event = &batch.events[index];
        let mut error = self.rejection(&reason, event);
        let is_log = batch.reason == Reason::Log;
        let is_proven = match reason.verdict() {
            Verdict::Never => true,
            Verdict::Accepted | Verdict::Later => false,
            // An operator has asked for this attempt, and reads how it ended.
            Verdict::Unclear if !is_log => true,
            Verdict::Unclear => match self.accused.failed(event.position(), others) {
                Accusation::Open => false,
                Accusation::Proven(times) => {
                    error.push_str(&format!(", {times} times"));
                    if others == Others::Accepted {
                        error.push_str(", while it accepted others");
                    }
                    true
                }
            },
        };
        if is_proven {
            self.accused.clear();
            self.pace = Pace::Window;
            if is_log {
                self.judged.note(event.position(), behind.into_iter());
            }
            return refused(index, By::Them, error);
        }
        self.pace = match reason.verdict() {
            Verdict::Unclear => Pace::Accompanied,
            _ => Pace::OneByOne,
        };
        retry(index, error)
    }

    /// What the broker has answered, and to what.
    fn rejection(&self, reason: &Code, event: &Event) -> String {
        let what = match Publish::rendered(&self.settings, event) {
            Ok(Publish { topic, body }) => {
                format!("the publish to {topic:?} with {} bytes", body.len())
            }
            Err(_) => "a publish".to_owned(),
        };
        format!("{}: the broker rejects {what}: {reason}", self.server)
    }

    fn why_down(&self) -> String {
        match &*self.link.borrow() {
            Link::Down { error, .. } => error.to_string(),
            Link::Idle | Link::Up(_) => format!("{}: not connected yet", self.server),
        }
    }

    /// Waits for a connection, or for the next attempt at one to fail.
    async fn connected(&mut self) -> Result<(), String> {
        let attempt_of = |link: &Link| match link {
            Link::Down { attempt, .. } => *attempt,
            Link::Idle | Link::Up(_) => 0,
        };
        let attempts_before = attempt_of(&self.link.borrow());
        let link = self
            .link
            .wait_for(|link| matches!(link, Link::Up(_)) || attempt_of(link) > attempts_before)
            .await;
        match &*link.map_err(|_| format!("{}: the connection's task has ended", self.server))? {
            Link::Down { error, .. } => Err(error.to_string()),
            Link::Up(_) | Link::Idle => Ok(()),
        }
    }

    /// Publishes in order, at most a window ahead of the confirmations, and waits for them.
    async fn publish_all(
        &self,
        connection: &Connection,
        events: &[Event],
        retain: bool,
        companion: Option<u64>,
    ) -> Result<(), Failed> {
        let first = connection.accepted();
        let mut sent = 0;
        let mut unfit = None;
        let mut confirmed_before = first;
        loop {
            if unfit.is_none() {
                let handed_over = self.hand_over(connection, first, &events[sent..], retain);
                let (count, refused) = handed_over.await;
                sent += count;
                unfit = refused;
            }
            connection.send();
            let is_last = unfit.is_some() || sent == events.len() || connection.has_rejected(first);
            let target = first + sent as u64;
            let progress = timeout(CONFIRM_TIMEOUT, connection.progress(target)).await;
            let (confirmed, lost) = match &progress {
                Ok(Standing::Confirmed(confirmed)) => (*confirmed, None),
                Ok(Standing::Lost { confirmed, lost }) => (*confirmed, Some(lost)),
                Err(_) => (connection.confirmed(), None),
            };
            // Slow is not silent.
            let is_silent = progress.is_err() && confirmed == confirmed_before;
            confirmed_before = confirmed;
            let is_done = is_last && confirmed >= target;
            if !is_done && !is_silent && lost.is_none() {
                continue;
            }
            // Confirmations from before the loss of the connection stay valid, and so do rejections.
            let confirmed = confirmed.saturating_sub(first) as usize;
            if let Some(failed) = rejected(connection, first, &events[..confirmed], companion) {
                return Err(failed);
            }
            return match (unfit, lost.cloned()) {
                (None, _) if is_done => Ok(()),
                (Some(unfit), _) if is_done => Err(Failed::Unfit { sent, unfit }),
                (_, Some(lost)) => Err(Failed::Lost {
                    confirmed,
                    lost,
                    in_flight: sent > confirmed,
                }),
                (_, None) => {
                    connection.abandon();
                    Err(Failed::Silent { confirmed })
                }
            };
        }
    }

    /// Publishes the sink's own status again, where a companion is wanted. Gives its number.
    fn companion(&self, connection: &Connection) -> Option<u64> {
        let topic = self.settings.status_topic.as_ref()?;
        let number = connection.accepted();
        if self.pace != Pace::Accompanied || !connection.has_room(number) {
            return None;
        }
        let Terms {
            qos_max, retains, ..
        } = *connection.terms();
        let body = Bytes::from_static(ONLINE.as_bytes());
        connection.publish(topic, qos_max, retains, body);
        Some(number)
    }

    /// What the broker has said to confirm so many publishes from this number on.
    fn confirmation(
        &self,
        connection: &Connection,
        first: u64,
        confirmed: usize,
    ) -> Option<String> {
        let unheard = connection.take_unheard(first, first + confirmed as u64);
        let last = first + (confirmed as u64).checked_sub(1)?;
        if self.settings.qos == Qos::AtMostOnce {
            return Some("written with QoS 0, which no broker confirms".to_owned());
        }
        let ids = match (packet_id(first), packet_id(last)) {
            (id, last) if id == last => format!("packet id {id}"),
            (id, last) => format!("packet ids {id} to {last}"),
        };
        let reason = match (connection.terms().version, unheard) {
            (Version::V311, _) => "",
            (_, 0) => " 0x00",
            (_, unheard) if unheard >= confirmed as u64 => " 0x10 (nobody subscribes)",
            _ => " 0x00, for some 0x10 (nobody subscribes)",
        };
        Some(format!("PUBACK{reason}, {ids}"))
    }

    fn events_at_once(&self) -> usize {
        match self.pace {
            Pace::Window => usize::MAX,
            Pace::Accompanied if self.settings.status_topic.is_none() => 2,
            Pace::Accompanied | Pace::OneByOne => 1,
        }
    }

    /// Hands over as many as may go now. Gives how many, and why not the next one.
    async fn hand_over(
        &self,
        connection: &Connection,
        first: u64,
        events: &[Event],
        retain: bool,
    ) -> (usize, Option<Unfit>) {
        let mut sent = 0;
        for event in events.iter().take(self.events_at_once()) {
            if !connection.has_room(first) {
                break;
            }
            let terms = connection.terms();
            let Publish { topic, body } = match Publish::new(&self.settings, terms, event) {
                Ok(publish) => publish,
                Err(unfit) => return (sent, Some(unfit)),
            };
            let enough = connection.publish(&topic, self.settings.qos, retain, body);
            sent += 1;
            if enough {
                connection.send();
                tokio::task::yield_now().await;
            }
        }
        (sent, None)
    }

    /// Names the first publish that was not confirmed, for the case that it is always the same.
    fn blame(&self, error: &str, version: Version, unconfirmed: Option<&Event>) -> String {
        let rendered = unconfirmed.map(|event| Publish::rendered(&self.settings, event));
        let Some(Ok(Publish { topic, body })) = rendered else {
            return error.to_owned();
        };
        // MQTT 5 has said whether it keeps them.
        let retained = match (version, self.settings.retain) {
            (Version::V311, true) => ", and whether it keeps retained messages (`retain = false`)",
            _ => "",
        };
        format!(
            "{error}; the next to confirm has topic {topic:?} and {} bytes: if it is always this one, \
             check the broker's limits and access list{retained}",
            body.len()
        )
    }
}

/// The first of these events that the broker has rejected. `first`: the number of the first event's
/// publish; `companion`: that of a publish before it.
fn rejected(
    connection: &Connection,
    first: u64,
    answered: &[Event],
    companion: Option<u64>,
) -> Option<Failed> {
    let before = first + answered.len() as u64;
    let mut before_first = connection.take_rejected(before);
    let mut rejected = before_first.split_off(&first);
    if rejected.is_empty() {
        return None;
    }
    let verdict = |reason: Option<&Code>| reason.map_or(Verdict::Accepted, Code::verdict);
    let events = (first..before).map(|number| verdict(rejected.get(&number)));
    let companion = companion.map(|number| verdict(before_first.get(&number)));
    let verdicts: Vec<Verdict> = events.chain(companion).collect();
    let (number, reason) = rejected.pop_first()?;
    let index = (number - first) as usize;
    let behind = (number + 1..).zip(&answered[index + 1..]);
    let behind = behind.map(|(number, event)| (event.position(), rejected.remove(&number)));
    Some(Failed::Rejected {
        index,
        reason,
        behind: behind.collect(),
        others: others(&verdicts, index),
    })
}

/// What has become of all but one.
fn others(verdicts: &[Verdict], one: usize) -> Others {
    let others = verdicts.iter().enumerate().filter(|(at, _)| *at != one);
    let others: Vec<&Verdict> = others.map(|(_, verdict)| verdict).collect();
    if others.contains(&&Verdict::Accepted) {
        return Others::Accepted;
    }
    match others.iter().all(|verdict| **verdict == Verdict::Never) {
        true => Others::Unknown,
        false => Others::Failed,
    }
}

fn retry(confirmed: usize, error: String) -> Undelivered {
    Undelivered {
        confirmed,
        trouble: Trouble::Retry { error, after: None },
    }
}

/// The event behind the confirmed ones is refused.
fn refused(confirmed: usize, by: By, error: String) -> Undelivered {
    let index = Some(confirmed);
    Undelivered {
        confirmed,
        trouble: Trouble::Refused { index, by, error },
    }
}

/// The same for a batch with so many confirmed events before it.
fn behind(confirmed: usize, undelivered: Undelivered) -> Undelivered {
    let trouble = match undelivered.trouble {
        Trouble::Refused { index, by, error } => {
            let index = index.map(|index| index + confirmed);
            Trouble::Refused { index, by, error }
        }
        other => other,
    };
    Undelivered {
        confirmed: confirmed + undelivered.confirmed,
        trouble,
    }
}
