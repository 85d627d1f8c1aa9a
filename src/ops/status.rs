//! The report of `/status` and `stomp-bridge status`: the link, the journal and each sink, at one
//! moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::audit::Intake;
use super::lang::Lang;
use super::reload::RejectedReload;
use super::sinks::SinkView;
use super::verdict::Said;
use super::view::View;
use crate::journal::{self, SinkAccounting};
use crate::model::Position;
use crate::pipeline::{Decoder, States};
use crate::secret::redact_echo;
use crate::sinks::Condition;
use crate::source;

/// The state of the daemon at one moment, as `/status` gives it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Of the daemon.
    pub version: String,
    /// When this was true.
    pub at: Timestamp,
    /// When the daemon started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Connected, subscribed, and every sink up.
    pub ready: bool,
    /// How the daemon is, and what to do, in words.
    #[serde(default)]
    pub verdict: Option<Said>,
    /// Why it is not ready, one line each.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The last reload, where it was rejected: the configuration before it holds.
    #[serde(default)]
    pub rejected_reload: Option<RejectedReload>,
    /// Since when files of secrets are another and cannot be used, and why: those before are used.
    #[serde(default)]
    pub unread_secrets: Option<RejectedReload>,
    /// The STOMP side.
    pub link: Link,
    /// The counters of received messages since the start.
    pub intake: Intake,
    /// The log.
    pub journal: Journal,
    /// In the configuration's order; then those that left it.
    pub sinks: Vec<Sink>,
    /// What does not balance, one line each; there should be none.
    pub accounting_errors: Vec<String>,
}

/// The STOMP side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Link {
    /// `connecting`, `connected`, `subscribed`, `receiving`, `silent`, `paused: journal full` or
    /// `stopped`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Why the last connection or attempt ended, though it may have passed.
    pub last_error: Option<String>,
    /// When that was.
    #[serde(default)]
    pub last_error_at: Option<Timestamp>,
    /// When the next attempt to connect is due; `source retry` makes it now, or as soon as
    /// `no_sign_in_before` allows.
    #[serde(default)]
    pub next_attempt: Option<Timestamp>,
    /// No sign-in comes before it, not even by `source retry`, so that the platform does not lock
    /// the account.
    #[serde(default)]
    pub no_sign_in_before: Option<Timestamp>,
    /// Attempts in a row that have failed.
    #[serde(default)]
    pub failures: u32,
    /// The message that has ended one connection after another, and what to do.
    #[serde(default)]
    pub undeliverable: Option<String>,
    /// When the last message came.
    pub last_message: Option<Timestamp>,
    /// What kind of server it is: `spring-simple`, `rabbitmq`, `activemq`, `artemis` or `unknown`;
    /// none before the first connection.
    pub broker: Option<String>,
    /// The name and version that the newest connection's server gives itself.
    #[serde(default)]
    pub server: Option<String>,
    /// The server's promise for each topic, by its name; empty before the first connection.
    pub guarantee: BTreeMap<String, String>,
    /// By topic: the highest count of earlier deliveries that the server gave a message, since the
    /// start. Without the topics that it counts none for.
    #[serde(default)]
    pub highest_delivery_count: BTreeMap<String, u64>,
    /// Configuration warnings, one line each.
    pub warnings: Vec<String>,
    /// The topics that the server refuses: the others are subscribed without them.
    #[serde(default)]
    pub refused: Vec<RefusedTopic>,
    /// The topics that are being left, by a reload or for want of room: what the server has sent of
    /// them is still being journaled and acknowledged.
    #[serde(default)]
    pub leaving: Vec<String>,
    /// When the messages of each topic came, by its name.
    #[serde(default)]
    pub topics: BTreeMap<String, Topic>,
}

/// When the messages of a topic came, and what of them could not be read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Topic {
    /// The last one since the daemon started.
    pub last_message: Option<Timestamp>,
    /// Since when it is too long that none has come.
    pub silent_since: Option<Timestamp>,
    /// By field: statuses that are stored without it since it could not be read; of this process.
    #[serde(default)]
    pub unreadable: BTreeMap<String, u64>,
    /// By word that `[states]` does not have now: statuses of that state since the start.
    #[serde(default)]
    pub unmapped: BTreeMap<String, u64>,
    /// The same of words that are not counted by themselves.
    #[serde(default)]
    pub unmapped_others: u64,
    /// Statuses that the topic's `encoding` has made, of bodies that are UTF-8, too.
    #[serde(default)]
    pub utf8: u64,
    /// Objects that the topic's `ignore` has dropped.
    #[serde(default)]
    pub ignored: u64,
    /// Messages without any status: an empty array.
    #[serde(default)]
    pub empty: u64,
    /// How its last snapshots ended; none where it has no `resync`.
    #[serde(default)]
    pub resync: Option<Resync>,
}

/// How the last snapshots of a topic ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Resync {
    /// When the last one was taken in, since the start.
    pub last_success: Option<Timestamp>,
    /// How many statuses it had.
    pub devices: u64,
    /// How many of them were left out, since a message of the device was newer.
    pub skipped: u64,
    /// How many more could not be read.
    pub unreadable: u64,
    /// When the last one failed, though it may have passed.
    pub last_failure: Option<Timestamp>,
    /// Why there is none now; none where the newest one did not fail.
    pub trouble: Option<String>,
    /// Failures in a row.
    pub failures: u32,
}

/// A topic that the server refuses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusedTopic {
    /// Its name.
    pub topic: String,
    /// As it is configured.
    pub destination: String,
    /// Since when.
    pub since: Timestamp,
    /// The server's words, and what to do.
    pub error: String,
}

/// The log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    /// Its id: the first part of each event's origin.
    pub uuid: String,
    /// The newest position.
    pub head: Position,
    /// The oldest that is kept.
    pub oldest: Option<Position>,
    /// What the entries occupy.
    pub bytes: u64,
    /// What they may occupy: `journal.max_bytes`.
    #[serde(default)]
    pub max_bytes: u64,
    /// It accepts nothing, or topics wait at the server, until the sinks have caught up.
    pub full: bool,
    /// Its disk is what is full.
    #[serde(default)]
    pub disk_full: bool,
    /// Undecodable entries that nobody has dealt with.
    pub undecodable: u64,
    /// Undecodable entries that were removed before anybody had dealt with them, ever.
    #[serde(default)]
    pub undecodable_removed: u64,
    /// Entries that were evicted because it was full, ever.
    pub evicted: u64,
    /// Devices whose last state is known.
    pub devices: u64,
    /// How many there may be: `journal.devices_max`.
    #[serde(default)]
    pub devices_max: u64,
}

/// One sink.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Whether it is in the configuration; where not, entries are kept for it until it is
    /// forgotten.
    pub configured: bool,
    /// How it is: `up`, `starting`, `retrying`, `paused`, `disabled` or `removed`.
    pub state: Condition,
    /// Whether its other side answers.
    pub up: bool,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The last trouble, though it may have passed, or why the last dead letter is one.
    pub last_error: Option<String>,
    /// When that was.
    #[serde(default)]
    pub last_error_at: Option<Timestamp>,
    /// What is to be mended although it delivers.
    #[serde(default)]
    pub warning: Option<String>,
    /// When it is tried next, where it waits for that; `sinks retry` tries it now.
    #[serde(default)]
    pub next_attempt: Option<Timestamp>,
    /// Its `rate` allows no attempt before, also not by `sinks retry`.
    #[serde(default)]
    pub no_attempt_before: Option<Timestamp>,
    /// Something could be delivered now, and waits for its `rate`.
    #[serde(default)]
    pub waits_for_rate: bool,
    /// Since when the oldest entry that it has not passed waits, about.
    #[serde(default)]
    pub waits_since: Option<Timestamp>,
    /// What it got since the daemon started.
    #[serde(default)]
    pub since_start: SinceStart,
    /// A replay is going on.
    pub replaying: bool,
    /// The bytes of its dead letters; their bound is `journal.dlq_max_bytes`.
    pub dlq_bytes: u64,
    /// That bound.
    #[serde(default)]
    pub dlq_max_bytes: u64,
    /// Its accounting since the journal began: where the cursor is, and the outcomes of the entries
    /// before it.
    #[serde(flatten)]
    pub account: SinkAccounting,
}

/// What became of a sink's events since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceStart {
    /// Confirmed by the sink.
    pub delivered: u64,
    /// Not wanted by its `topics`, `kinds` or `when`.
    pub filtered: u64,
    /// Dead-lettered.
    pub dead_lettered: u64,
    /// Delivered by a redrive or a replay.
    pub redelivered: u64,
}

impl Report {
    /// As it is now.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn of(view: &View) -> Result<Report, journal::Error> {
        let mut reader = view.journal.log.reader().await?;
        let accounts = reader.accounts().await?;
        let (link, status) = (view.source.link(), view.journal.log.status());
        let profile = view.source.profile();
        let guarantee = profile.guarantees.into_iter();
        let verdict = view.verdict();
        let reasons = verdict.reasons();
        Ok(Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: Timestamp::now(),
            started_at: Some(view.started_at),
            ready: reasons.is_empty(),
            verdict: Some(verdict.said(Lang::En)),
            reasons,
            rejected_reload: view.reloads.last_rejected(),
            unread_secrets: view.reloads.unread_secrets(),
            link: Link {
                state: link.state.as_str().to_owned(),
                since: link.since,
                last_error: link.last_error,
                last_error_at: link.last_error_at,
                next_attempt: link.next_attempt,
                no_sign_in_before: link.no_sign_in_before,
                failures: link.failures,
                undeliverable: link.undeliverable.map(|found| found.to_string()),
                last_message: link.last_message,
                broker: profile.broker.map(|broker| broker.as_str().to_owned()),
                server: profile
                    .agreed
                    .and_then(|agreed| agreed.server)
                    .map(|name| redact_echo(&name).into_owned()),
                guarantee: guarantee
                    .map(|(topic, says)| (topic.to_string(), says.en.into_owned()))
                    .collect(),
                highest_delivery_count: delivery_counts(view),
                warnings: profile.warnings.iter().map(ToString::to_string).collect(),
                refused: refused(view),
                leaving: leaving(view),
                topics: topics(view),
            },
            intake: Intake::of(view),
            journal: Journal {
                uuid: view.journal.log.uuid().simple().to_string(),
                head: status.head,
                oldest: status.oldest,
                bytes: status.bytes,
                max_bytes: view.bounds.journal_bytes,
                full: view.is_journal_full(),
                disk_full: status.disk_full,
                undecodable: reader.undecodable_count().await?,
                undecodable_removed: reader.undecodable_removed().await?,
                evicted: reader
                    .evictions()
                    .await?
                    .iter()
                    .map(|eviction| eviction.entries)
                    .sum(),
                devices: status.devices,
                devices_max: view.bounds.devices,
            },
            sinks: sinks(view, accounts),
            accounting_errors: view.audit.accounting_errors(),
        })
    }
}

fn delivery_counts(view: &View) -> BTreeMap<String, u64> {
    let counts = view.source.delivery_counts().into_iter();
    counts
        .map(|(topic, count)| (topic.to_string(), count))
        .collect()
}

fn refused(view: &View) -> Vec<RefusedTopic> {
    let refused = source::sorted(view.source.refused_topics()).into_iter();
    let told = refused.map(|(topic, it)| RefusedTopic {
        topic: topic.to_string(),
        destination: it.destination,
        since: it.since,
        error: it.error,
    });
    told.collect()
}

fn leaving(view: &View) -> Vec<String> {
    let leaving = view.source.leaving().into_iter();
    let mut names: Vec<String> = leaving.map(|topic| topic.to_string()).collect();
    names.sort_by(|one, other| source::by_name(one, other));
    names
}

fn topics(view: &View) -> BTreeMap<String, Topic> {
    let topics = view.source.topics().into_iter();
    let mut unreadable = view.source.unreadable();
    let mut resyncs = view.source.resyncs();
    let decoders = view.decoders.current();
    let topic = |(name, it): (Arc<str>, source::TopicStatus)| {
        let unreadable = unreadable.remove(&name).unwrap_or_default();
        let decoder = decoders.get(&name);
        let states = decoder.map(Decoder::states);
        let fields = unreadable.fields.into_iter();
        let topic = Topic {
            last_message: it.last_message,
            silent_since: it.silent_since,
            unreadable: fields
                .map(|(field, count)| (field.to_owned(), count))
                .collect(),
            unmapped: redacted_words(still_unmapped(unreadable.unmapped, states)),
            unmapped_others: unreadable.unmapped_others,
            utf8: unreadable.utf8,
            ignored: unreadable.ignored,
            empty: unreadable.empty,
            resync: resyncs.remove(&name).map(resync),
        };
        (name.to_string(), topic)
    };
    topics.map(topic).collect()
}

fn resync(report: source::ResyncReport) -> Resync {
    Resync {
        last_success: report.last_success,
        devices: report.devices,
        skipped: report.skipped,
        unreadable: report.unreadable,
        last_failure: report.last_failure,
        trouble: report.trouble,
        failures: report.failures,
    }
}

/// Those words that the vocabulary in force does not have, either: a reload may have brought some.
fn still_unmapped(words: BTreeMap<String, u64>, states: Option<&States>) -> BTreeMap<String, u64> {
    let words = words.into_iter();
    words
        .filter(|(word, _)| states.is_none_or(|states| !states.knows(word)))
        .collect()
}

/// Words of a peer, without secrets.
fn redacted_words(words: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut redacted = BTreeMap::new();
    for (word, count) in words {
        *redacted.entry(redact_echo(&word).into_owned()).or_default() += count;
    }
    redacted
}

fn since_start(sink: &SinkView) -> SinceStart {
    let counters = &sink.counters;
    SinceStart {
        delivered: counters.delivered.load(Relaxed),
        filtered: counters.filtered.load(Relaxed),
        dead_lettered: counters.dead_lettered.load(Relaxed),
        redelivered: counters.again.load(Relaxed),
    }
}

fn sinks(view: &View, accounts: Vec<SinkAccounting>) -> Vec<Sink> {
    let running = view.sinks.all();
    let in_journal = view.journal.log.status().sinks;
    let dlq_bytes = |name: &str| {
        let of_sink = in_journal.iter().find(|sink| &*sink.name == name);
        of_sink.map_or(0, |sink| sink.dlq_bytes)
    };
    let place = |sink: &Sink| {
        running
            .iter()
            .position(|known| *known.name == *sink.name)
            .unwrap_or(usize::MAX)
    };
    let mut sinks: Vec<Sink> = accounts
        .into_iter()
        .map(|account| {
            let known = running.iter().find(|sink| sink.name == account.sink);
            let health = known.map(|sink| sink.health.report());
            Sink {
                name: account.sink.to_string(),
                configured: known.is_some(),
                state: Condition::of(health.as_ref()),
                up: health.as_ref().is_some_and(|health| health.up),
                since: health.as_ref().map(|health| health.since),
                next_attempt: health.as_ref().and_then(|health| health.next_attempt),
                no_attempt_before: health.as_ref().and_then(|health| health.no_attempt_before),
                waits_for_rate: health.as_ref().is_some_and(|health| health.waits_for_rate),
                waits_since: view.journal.log.waits_since(account.cursor),
                since_start: known.map(since_start).unwrap_or_default(),
                warning: health.as_ref().and_then(|health| health.warning.clone()),
                last_error_at: health.as_ref().and_then(|health| health.last_error_at),
                last_error: health.and_then(|health| health.last_error),
                replaying: view.journal.cursors.replay(&account.sink).is_some(),
                dlq_bytes: dlq_bytes(&account.sink),
                dlq_max_bytes: view.bounds.dlq_bytes,
                account,
            }
        })
        .collect();
    sinks.sort_by_key(place);
    sinks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;
    use crate::pipeline::State;
    use crate::secret::{Lifetime, protect};

    #[test]
    fn a_word_that_a_reload_has_mapped_is_no_longer_unmapped() {
        let mapped = State {
            name: "maintenance".to_owned(),
            severity: Severity::Info,
        };
        let states = States {
            words: [("检修中".to_owned(), mapped)].into(),
        };
        let words = BTreeMap::from([("检修中".to_owned(), 1), ("着火".to_owned(), 2)]);
        let expected = BTreeMap::from([("着火".to_owned(), 2)]);
        assert_eq!(still_unmapped(words.clone(), Some(&states)), expected);
        assert_eq!(still_unmapped(words.clone(), None), words);
    }

    #[test]
    fn words_that_are_secrets_are_counted_as_one() {
        protect("word-secret-a-5e02", Lifetime::Configured);
        protect("word-secret-b-5e02", Lifetime::Configured);
        let word = |word: &str, count| (word.to_owned(), count);
        let words = [
            word("word-secret-a-5e02", 2),
            word("word-secret-b-5e02", 3),
            word("故障", 1),
        ];
        let expected = BTreeMap::from([word("…", 5), word("故障", 1)]);
        assert_eq!(redacted_words(words.into()), expected);
    }
}
