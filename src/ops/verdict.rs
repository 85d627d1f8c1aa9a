//! How the daemon is: one verdict serves `status`, `/readyz`, the page, its title and the API, so
//! that all of them say one thing. It is made of facts; `words` says each in both languages.

mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lang::Lang;
use super::reload::RejectedReload;
use super::view::{Behind, View};
use crate::bilingual::Bilingual;
use crate::secret::redact;
use crate::sinks::Condition;
use crate::source::{Link, LinkState, Refuser, by_name, sorted};

/// More topics with the same trouble are counted.
const TOPICS_SHOWN_MAX: usize = 5;

/// Failures in a row before the first connection that are still a start.
const START_FAILURES_MAX: u32 = 2;

/// How much something matters for the daemon, not for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Level {
    /// All is well.
    #[serde(rename = "ok")]
    Ok,
    /// Not known yet.
    #[serde(rename = "unk")]
    Unknown,
    /// Worth a look.
    #[serde(rename = "warn")]
    Warning,
    /// Somebody should act.
    #[serde(rename = "crit")]
    Critical,
}

impl Level {
    /// The name in JSON and on the page.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Unknown => "unk",
            Level::Warning => "warn",
            Level::Critical => "crit",
        }
    }
}

/// What a sink that is not up waits for, the least urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    /// Its first answer.
    First,
    /// The next attempt.
    Attempt,
    /// Something to be done, or a long time.
    Pause,
    /// `sinks retry`.
    Operator,
}

impl Waits {
    /// What a sink in this condition waits for, if for anything.
    fn of(condition: Condition) -> Option<Waits> {
        match condition {
            Condition::Up | Condition::Removed => None,
            Condition::Starting => Some(Waits::First),
            Condition::Retrying => Some(Waits::Attempt),
            Condition::Paused => Some(Waits::Pause),
            Condition::Disabled => Some(Waits::Operator),
        }
    }
}

/// What leaves the journal no room for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The log: the sinks make room.
    Log,
    /// Its disk: a person does.
    Disk,
}

/// Why the daemon is not ready, as `/metrics` counts it: from the server to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Link,
    TopicRefused,
    TopicSilent,
    Sink,
    JournalFull,
}

impl Reason {
    const ALL: [Reason; 5] = [
        Reason::Link,
        Reason::TopicRefused,
        Reason::TopicSilent,
        Reason::Sink,
        Reason::JournalFull,
    ];

    /// The label of the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Reason::Link => "link",
            Reason::TopicRefused => "topic_refused",
            Reason::TopicSilent => "topic_silent",
            Reason::Sink => "sink",
            Reason::JournalFull => "journal_full",
        }
    }
}

/// A sink that is not up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Down {
    pub(super) name: Arc<str>,
    pub(super) since: Timestamp,
    pub(super) trouble: Option<String>,
    pub(super) next_attempt: Option<Timestamp>,
    pub(super) pending: u64,
}

/// A topic that is not heard, or says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unheard {
    pub(super) name: Arc<str>,
    pub(super) since: Timestamp,
    /// The server's words, where it refuses the topic.
    pub(super) error: String,
    pub(super) last_message: Option<Timestamp>,
}

/// A topic whose last snapshot has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoSnapshot {
    pub(super) name: Arc<str>,
    pub(super) error: String,
    pub(super) last_success: Option<Timestamp>,
}

/// A sink that delivers although something is to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warned {
    pub(super) name: Arc<str>,
    pub(super) warning: String,
}

/// Something that is not as it should be, or not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// The journal accepts nothing, or has no room for what topics may bring.
    JournalFull {
        full: Option<Full>,
        held_back: u64,
        /// The sink that is furthest behind.
        held_by: Option<Arc<str>>,
    },
    /// The source waits for the journal.
    Paused {
        since: Timestamp,
        held_back: u64,
        disk_full: bool,
        trouble: Option<String>,
    },
    Evicted {
        entries: u64,
    },
    /// They were removed before anybody had dealt with them.
    UndecodableRemoved {
        entries: u64,
    },
    AccountingErrors(Vec<String>),
    /// There is no connection.
    Unconnected {
        server: String,
        stopped: bool,
        first: bool,
        since: Timestamp,
        trouble: Option<String>,
        refused_by: Option<Refuser>,
        failures: u32,
        next_attempt: Option<Timestamp>,
        no_sign_in_before: Option<Timestamp>,
    },
    Undeliverable(Bilingual),
    Refused {
        topics: Vec<Unheard>,
        count: usize,
        of: usize,
    },
    SinksDown {
        waits: Waits,
        sinks: Vec<Down>,
    },
    SinksBehind(Vec<Behind>),
    SinksWarned(Vec<Warned>),
    /// Connected, and not every topic is subscribed.
    Subscribing {
        since: Timestamp,
    },
    /// No topic says anything.
    LinkSilent {
        since: Timestamp,
    },
    Silent {
        topics: Vec<Unheard>,
        count: usize,
        of: usize,
    },
    /// The snapshots of these topics fail.
    SnapshotsFailing {
        topics: Vec<NoSnapshot>,
        count: usize,
    },
    DeadLetters {
        sinks: Vec<(Arc<str>, u64)>,
        count: u64,
    },
    Undecodable {
        entries: u64,
    },
    ReloadRejected(RejectedReload),
    SecretsUnread(RejectedReload),
    /// Subscribed, and nothing has come since the start.
    NothingYet {
        since: Timestamp,
        topics: usize,
    },
}

impl Fact {
    /// Its name in JSON.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Fact::JournalFull { .. } => "journal_full",
            Fact::Paused { .. } => "paused",
            Fact::Evicted { .. } => "evicted",
            Fact::AccountingErrors(_) => "accounting_errors",
            Fact::Unconnected { .. } => "not_connected",
            Fact::Undeliverable(_) => "undeliverable",
            Fact::Refused { .. } => "topics_refused",
            Fact::SinksDown { waits, .. } => match waits {
                Waits::First => "sinks_starting",
                Waits::Attempt => "sinks_retrying",
                Waits::Pause => "sinks_paused",
                Waits::Operator => "sinks_disabled",
            },
            Fact::SinksBehind(_) => "sinks_behind",
            Fact::SinksWarned(_) => "sinks_warned",
            Fact::Subscribing { .. } => "subscribing",
            Fact::LinkSilent { .. } => "link_silent",
            Fact::Silent { .. } => "topics_silent",
            Fact::SnapshotsFailing { .. } => "snapshots_failing",
            Fact::DeadLetters { .. } => "dead_letters",
            Fact::Undecodable { .. } => "undecodable",
            Fact::UndecodableRemoved { .. } => "undecodable_removed",
            Fact::ReloadRejected(_) => "reload_rejected",
            Fact::SecretsUnread(_) => "secrets_unread",
            Fact::NothingYet { .. } => "nothing_yet",
        }
    }

    /// How much it matters.
    pub(super) fn level(&self) -> Level {
        match self {
            Fact::Unconnected { first: true, .. }
            | Fact::Subscribing { .. }
            | Fact::NothingYet { .. }
            | Fact::SinksDown {
                waits: Waits::First,
                ..
            } => Level::Unknown,
            Fact::JournalFull { .. }
            | Fact::Paused { .. }
            | Fact::Evicted { .. }
            | Fact::AccountingErrors(_)
            | Fact::Unconnected { .. }
            | Fact::Undeliverable(_)
            | Fact::Refused { .. }
            | Fact::SinksDown {
                waits: Waits::Operator,
                ..
            } => Level::Critical,
            Fact::SinksDown { .. }
            | Fact::SinksBehind(_)
            | Fact::SinksWarned(_)
            | Fact::LinkSilent { .. }
            | Fact::Silent { .. }
            | Fact::SnapshotsFailing { .. }
            | Fact::DeadLetters { .. }
            | Fact::Undecodable { .. }
            | Fact::UndecodableRemoved { .. }
            | Fact::ReloadRejected(_)
            | Fact::SecretsUnread(_) => Level::Warning,
        }
    }

    /// The reason that it is, and how many times; `None`: the daemon is ready in spite of it.
    fn reason(&self) -> Option<(Reason, usize)> {
        match self {
            Fact::Unconnected { .. }
            | Fact::Paused { .. }
            | Fact::Subscribing { .. }
            | Fact::LinkSilent { .. } => Some((Reason::Link, 1)),
            Fact::Refused { count, .. } => Some((Reason::TopicRefused, *count)),
            Fact::Silent { count, .. } => Some((Reason::TopicSilent, *count)),
            Fact::SinksDown { sinks, .. } => Some((Reason::Sink, sinks.len())),
            Fact::JournalFull { full: Some(_), .. } => Some((Reason::JournalFull, 1)),
            Fact::JournalFull { full: None, .. }
            | Fact::Evicted { .. }
            | Fact::AccountingErrors(_)
            | Fact::Undeliverable(_)
            | Fact::SinksBehind(_)
            | Fact::SinksWarned(_)
            | Fact::SnapshotsFailing { .. }
            | Fact::DeadLetters { .. }
            | Fact::Undecodable { .. }
            | Fact::UndecodableRemoved { .. }
            | Fact::ReloadRejected(_)
            | Fact::SecretsUnread(_)
            | Fact::NothingYet { .. } => None,
        }
    }

    /// Whether something of what was received may be lost. A warning may say that a sink's other side
    /// has got nothing of what counts as delivered.
    fn may_be_loss(&self) -> bool {
        matches!(
            self,
            Fact::Evicted { .. }
                | Fact::UndecodableRemoved { .. }
                | Fact::AccountingErrors(_)
                | Fact::SinksWarned(_)
        )
    }
}

/// Something to do, or to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Todo {
    /// The fact's name, such as `sinks_retrying`.
    pub key: String,
    /// How much it matters.
    pub state: Level,
    /// The topic or sink that it is about; empty where it is about none.
    pub subject: String,
    /// The fact in words.
    pub what: String,
    /// The consequence, and the next step.
    pub advice: String,
    /// The sink that can be tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// A verdict in the words of one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Said {
    /// The worst of all.
    pub state: Level,
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub sentence: String,
    /// What to do, the most urgent first.
    pub todo: Vec<Todo>,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The most urgent first.
    facts: Vec<Fact>,
    at: Timestamp,
    /// Until the journal is full, where a sink that waits fills it.
    full_in_seconds: Option<i64>,
}

impl View {
    /// How the daemon is now. Reads memory only.
    pub fn verdict(&self) -> Verdict {
        let mut facts = facts(self);
        // Facts of one level stay in their order, which is that of the table in `facts`.
        facts.sort_by_key(|fact| std::cmp::Reverse(fact.level()));
        let full_in = self.journal_full_in();
        Verdict {
            facts,
            at: Timestamp::now(),
            full_in_seconds: full_in.map(|left| left.as_secs() as i64),
        }
    }
}

impl Verdict {
    /// Whether it delivers all: connected, every topic subscribed and none silent, and every sink up.
    pub fn is_ready(&self) -> bool {
        self.facts.iter().all(|fact| fact.reason().is_none())
    }

    /// How many times each reason keeps it from being ready.
    pub(super) fn counts(&self) -> [(Reason, usize); 5] {
        let reasons = || self.facts.iter().filter_map(Fact::reason);
        Reason::ALL.map(|reason| {
            let counts = reasons().filter(|(it, _)| *it == reason);
            (reason, counts.map(|(_, count)| count).sum())
        })
    }

    /// Why it is not ready, one line each, in English: the source, the sinks, then the journal. What
    /// has passed is no reason.
    pub fn reasons(&self) -> Vec<String> {
        let mut facts: Vec<&Fact> = self.facts.iter().collect();
        facts.sort_by_key(|fact| fact.reason().map(|(reason, _)| reason));
        facts.into_iter().flat_map(words::reasons).collect()
    }

    /// The worst of all facts.
    pub(super) fn level(&self) -> Level {
        let levels = self.facts.iter().map(Fact::level);
        levels.max().unwrap_or(Level::Ok)
    }

    /// In the words of a language.
    pub(super) fn said(&self, lang: Lang) -> Said {
        // A source that waits for a full journal is said by that.
        let is_full = self
            .facts
            .iter()
            .any(|it| matches!(it, Fact::JournalFull { .. }));
        let is_said = |fact: &&Fact| !(is_full && matches!(fact, Fact::Paused { .. }));
        let facts: Vec<Fact> = self.facts.iter().filter(is_said).cloned().collect();
        let todo = facts
            .iter()
            .flat_map(|fact| words::todo(fact, self.at, self.full_in_seconds, lang));
        Said {
            state: self.level(),
            title: without_secrets(words::title(&facts, self.at, lang)),
            sentence: without_secrets(words::sentence(&facts, self.at, lang)),
            todo: todo
                .map(|todo| Todo {
                    what: without_secrets(todo.what),
                    ..todo
                })
                .collect(),
        }
    }
}

fn without_secrets(text: String) -> String {
    redact(&text).into_owned()
}

/// All facts, in the order in which they matter.
fn facts(view: &View) -> Vec<Fact> {
    let link = view.source.link();
    let held_back = view.source.held_back();
    let status = view.journal.log.status();
    let mut facts = Vec::new();
    if status.full || held_back > 0 {
        let full = match (status.full, status.disk_full) {
            (false, _) => None,
            (true, false) => Some(Full::Log),
            (true, true) => Some(Full::Disk),
        };
        facts.push(Fact::JournalFull {
            full,
            held_back,
            held_by: view.journal_held_by(),
        });
    }
    if link.state == LinkState::Paused {
        facts.push(Fact::Paused {
            since: link.since,
            held_back,
            disk_full: status.disk_full,
            trouble: link.trouble.clone(),
        });
    }
    if status.evicted > 0 {
        let entries = status.evicted;
        facts.push(Fact::Evicted { entries });
    }
    let errors = view.audit.accounting_errors();
    if !errors.is_empty() {
        facts.push(Fact::AccountingErrors(errors));
    }
    facts.extend(unconnected(view, &link));
    facts.extend(
        link.undeliverable
            .as_ref()
            .map(|it| Fact::Undeliverable(it.words())),
    );
    facts.extend(refused(view));
    facts.extend(sinks_down(view));
    facts.extend(sinks_behind(view));
    facts.extend(sinks_warned(view));
    if link.state == LinkState::Connected {
        facts.push(Fact::Subscribing { since: link.since });
    }
    facts.extend(silent(view, &link));
    facts.extend(snapshots_failing(view));
    facts.extend(dead_letters(view));
    let entries = view.samples.on_disk().undecodable;
    if entries > 0 {
        facts.push(Fact::Undecodable { entries });
    }
    let entries = status.undecodable_removed;
    if entries > 0 {
        facts.push(Fact::UndecodableRemoved { entries });
    }
    facts.extend(view.reloads.last_rejected().map(Fact::ReloadRejected));
    facts.extend(view.reloads.unread_secrets().map(Fact::SecretsUnread));
    if link.state == LinkState::Subscribed && link.last_message.is_none() {
        facts.push(Fact::NothingYet {
            since: link.since,
            // A refused one is none of them.
            topics: (view.setup.current().topics.len())
                .saturating_sub(view.source.refused_topics().len()),
        });
    }
    facts
}

fn unconnected(view: &View, link: &Link) -> Option<Fact> {
    let stopped = link.state == LinkState::Stopped;
    if !stopped && link.state != LinkState::Connecting {
        return None;
    }
    let connections = view.source.counters.connections.load(Relaxed);
    Some(Fact::Unconnected {
        server: view.setup.current().server.clone(),
        stopped,
        // A refusal is no start: it stays until somebody corrects something.
        first: !stopped
            && connections == 0
            && link.failures <= START_FAILURES_MAX
            && link.refused_by.is_none(),
        since: link.since,
        trouble: link.trouble.clone(),
        refused_by: link.refused_by,
        failures: link.failures,
        next_attempt: link.next_attempt,
        no_sign_in_before: link.no_sign_in_before,
    })
}

fn refused(view: &View) -> Option<Fact> {
    let refused = view.source.refused_topics();
    let count = refused.len();
    let topics = sorted(refused).into_iter().take(TOPICS_SHOWN_MAX);
    let topics = topics.map(|(name, it)| Unheard {
        name,
        since: it.since,
        error: it.error,
        last_message: None,
    });
    (count > 0).then(|| Fact::Refused {
        topics: topics.collect(),
        count,
        of: count.max(view.setup.current().topics.len()),
    })
}

/// Of each topic, where the whole link is silent, that says it already.
fn silent(view: &View, link: &Link) -> Option<Fact> {
    if link.state == LinkState::Silent {
        return Some(Fact::LinkSilent { since: link.since });
    }
    let topics = view.source.topics();
    let of = topics.len();
    let silent = topics.into_iter().filter_map(|(name, it)| {
        Some(Unheard {
            name,
            since: it.silent_since?,
            error: String::new(),
            last_message: it.last_message,
        })
    });
    let mut topics: Vec<Unheard> = silent.collect();
    topics.sort_by(|one, other| by_name(&one.name, &other.name));
    let count = topics.len();
    topics.truncate(TOPICS_SHOWN_MAX);
    (count > 0).then_some(Fact::Silent { topics, count, of })
}

fn snapshots_failing(view: &View) -> Option<Fact> {
    let failing = view.source.resyncs().into_iter().filter_map(|(name, it)| {
        Some(NoSnapshot {
            name,
            error: it.trouble?,
            last_success: it.last_success,
        })
    });
    let mut topics: Vec<NoSnapshot> = failing.collect();
    topics.sort_by(|one, other| by_name(&one.name, &other.name));
    let count = topics.len();
    topics.truncate(TOPICS_SHOWN_MAX);
    (count > 0).then_some(Fact::SnapshotsFailing { topics, count })
}

/// The disabled first, then the paused, and those that have not been tried last.
fn sinks_down(view: &View) -> Vec<Fact> {
    let status = view.journal.log.status();
    let pending = |name: &str| {
        let sink = status.sinks.iter().find(|sink| &*sink.name == name);
        sink.map_or(0, |sink| sink.pending(status.head))
    };
    let mut by_waits: BTreeMap<Waits, Vec<Down>> = BTreeMap::new();
    for sink in &*view.sinks.all() {
        let report = sink.health.report();
        let Some(waits) = Waits::of(Condition::of(Some(&report))) else {
            continue;
        };
        by_waits.entry(waits).or_default().push(Down {
            name: Arc::clone(&sink.name),
            since: report.since,
            trouble: report.trouble,
            next_attempt: report.next_attempt,
            pending: pending(&sink.name),
        });
    }
    let most_urgent_first = by_waits.into_iter().rev();
    most_urgent_first
        .map(|(waits, sinks)| Fact::SinksDown { waits, sinks })
        .collect()
}

/// A sink that is up may be slower than what comes, or held by one device.
fn sinks_behind(view: &View) -> Option<Fact> {
    let all = view.sinks.all();
    let up = all.iter().filter(|sink| sink.health.report().up);
    let behind: Vec<Behind> = up.filter_map(|sink| view.behind(&sink.name)).collect();
    (!behind.is_empty()).then_some(Fact::SinksBehind(behind))
}

/// A sink that is not up has its trouble.
fn sinks_warned(view: &View) -> Option<Fact> {
    let all = view.sinks.all();
    let warned = all.iter().filter_map(|sink| {
        let report = sink.health.report();
        let name = Arc::clone(&sink.name);
        let warning = report.warning.filter(|_| report.up)?;
        Some(Warned { name, warning })
    });
    let warned: Vec<Warned> = warned.collect();
    (!warned.is_empty()).then_some(Fact::SinksWarned(warned))
}

fn dead_letters(view: &View) -> Option<Fact> {
    let sinks = view.journal.log.status().sinks.into_iter();
    let sinks = sinks.filter(|sink| sink.dead_lettered > 0);
    let sinks: Vec<(Arc<str>, u64)> = sinks.map(|it| (it.name, it.dead_lettered)).collect();
    let count = sinks.iter().map(|(_, count)| count).sum();
    (count > 0).then_some(Fact::DeadLetters { sinks, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::both;

    fn down(name: &str, trouble: Option<&str>) -> Down {
        Down {
            name: name.into(),
            since: Timestamp::UNIX_EPOCH,
            trouble: trouble.map(str::to_owned),
            next_attempt: None,
            pending: 7,
        }
    }

    fn warned(name: &str, warning: &str) -> Warned {
        Warned {
            name: name.into(),
            warning: warning.to_owned(),
        }
    }

    fn verdict(mut facts: Vec<Fact>) -> Verdict {
        facts.sort_by_key(|fact| std::cmp::Reverse(fact.level()));
        Verdict {
            facts,
            at: Timestamp::from_second(60).unwrap(),
            full_in_seconds: None,
        }
    }

    fn unconnected(first: bool) -> Fact {
        Fact::Unconnected {
            server: "http://platform.example.com:9004/ws".to_owned(),
            stopped: false,
            first,
            since: Timestamp::UNIX_EPOCH,
            trouble: Some("connection refused".to_owned()),
            refused_by: None,
            failures: 3,
            next_attempt: None,
            no_sign_in_before: None,
        }
    }

    fn sinks(waits: Waits, names: &[&str]) -> Fact {
        let sinks = names
            .iter()
            .map(|name| down(name, Some("refused")))
            .collect();
        Fact::SinksDown { waits, sinks }
    }

    /// The sentence in both languages, and whether it is ready.
    fn check(facts: Vec<Fact>, level: Level, ready: bool, en: &str, zh: &str) {
        let verdict = verdict(facts);
        assert_eq!(
            (verdict.level(), verdict.is_ready()),
            (level, ready),
            "{en}"
        );
        let said = Lang::ALL.map(|lang| verdict.said(lang).sentence);
        assert_eq!(said, [en, zh]);
    }

    #[test]
    fn one_sentence_says_the_two_worst_and_promises_only_what_holds() {
        check(
            Vec::new(),
            Level::Ok,
            true,
            "All is well. Every status is received and delivered.",
            "一切正常。每条状态都已收到并送达。",
        );
        check(
            vec![sinks(Waits::Attempt, &["oncall"]), unconnected(false)],
            Level::Critical,
            false,
            "Not connected to platform.example.com:9004 for 1 min, and 1 sink is retrying. Nothing \
             that was received is lost.",
            "与 platform.example.com:9004 断开已 1 分钟，1 个输出端正在重试。已收到的数据没有丢失。",
        );
        check(
            vec![
                Fact::Undecodable { entries: 1 },
                Fact::Evicted { entries: 2 },
            ],
            Level::Critical,
            true,
            "2 entries were evicted before every sink had them, and 1 message could not be decoded.",
            "2 条在所有输出端收到前已被清除，1 条消息无法解析。",
        );
        check(
            vec![Fact::UndecodableRemoved { entries: 3 }],
            Level::Warning,
            true,
            "3 undecodable messages were removed before anybody dealt with them.",
            "3 条无法解析的消息在处理前已被清除。",
        );
        let behind = |name: &str| Behind {
            name: name.into(),
            since: Timestamp::UNIX_EPOCH,
            pending: 2_997,
        };
        check(
            vec![Fact::SinksBehind(vec![behind("oncall")])],
            Level::Warning,
            true,
            "The sink oncall is 1 min behind. Nothing that was received is lost.",
            "输出端 oncall 落后 1 分钟。已收到的数据没有丢失。",
        );
        check(
            vec![Fact::SinksBehind(vec![behind("oncall"), behind("site")])],
            Level::Warning,
            true,
            "2 sinks are behind. Nothing that was received is lost.",
            "2 个输出端落后。已收到的数据没有丢失。",
        );
        check(
            vec![Fact::SinksWarned(vec![warned("warehouse", "untended")])],
            Level::Warning,
            true,
            "The sink warehouse has a warning.",
            "输出端 warehouse 有警告。",
        );
        check(
            vec![unconnected(true)],
            Level::Unknown,
            false,
            "Connecting to platform.example.com:9004 …",
            "正在连接 platform.example.com:9004……",
        );
    }

    #[test]
    fn every_fact_has_words_in_both_languages_and_a_next_step() {
        let at = Timestamp::UNIX_EPOCH;
        let topic = Unheard {
            name: "map-1".into(),
            since: at,
            error: "access refused".to_owned(),
            last_message: Some(at),
        };
        let reload = RejectedReload {
            at,
            problems: vec!["config.toml:3: unknown key".to_owned()],
        };
        let topics = vec![topic];
        let all = [
            Fact::JournalFull {
                full: Some(Full::Log),
                held_back: 0,
                held_by: Some("a".into()),
            },
            Fact::JournalFull {
                full: Some(Full::Disk),
                held_back: 0,
                held_by: None,
            },
            Fact::JournalFull {
                full: None,
                held_back: 2,
                held_by: None,
            },
            Fact::Paused {
                since: at,
                held_back: 1,
                disk_full: false,
                trouble: None,
            },
            Fact::Evicted { entries: 2 },
            Fact::AccountingErrors(vec!["sink a: 1".to_owned()]),
            unconnected(false),
            unconnected(true),
            Fact::Undeliverable(both("message 7", "消息 7")),
            Fact::Refused {
                topics: topics.clone(),
                count: 7,
                of: 9,
            },
            sinks(Waits::First, &["a"]),
            sinks(Waits::Attempt, &["a", "b"]),
            sinks(Waits::Pause, &["a"]),
            sinks(Waits::Operator, &["a"]),
            Fact::Subscribing { since: at },
            Fact::SinksWarned(vec![warned("a", "x"), warned("b", "y")]),
            Fact::LinkSilent { since: at },
            Fact::Silent {
                topics,
                count: 1,
                of: 9,
            },
            Fact::SnapshotsFailing {
                topics: vec![NoSnapshot {
                    name: "map-1".into(),
                    error: "http://h answered 403 (no)".to_owned(),
                    last_success: Some(at),
                }],
                count: 7,
            },
            Fact::DeadLetters {
                sinks: vec![("a".into(), 2)],
                count: 2,
            },
            Fact::Undecodable { entries: 3 },
            Fact::UndecodableRemoved { entries: 1 },
            Fact::ReloadRejected(reload.clone()),
            Fact::SecretsUnread(reload),
            Fact::NothingYet {
                since: at,
                topics: 2,
            },
        ];
        let mut keys = std::collections::BTreeSet::new();
        for fact in all {
            keys.insert(fact.key());
            let (is_reason, lines) = (fact.reason().is_some(), words::reasons(&fact));
            assert_eq!(is_reason, !lines.is_empty(), "{fact:?}");
            let verdict = verdict(vec![fact]);
            let [en, zh] = Lang::ALL.map(|lang| verdict.said(lang));
            assert_ne!(en.sentence, zh.sentence);
            assert!(!zh.title.is_ascii(), "{}", zh.title);
            assert!(
                en.sentence.is_ascii() || en.sentence.contains('…'),
                "{}",
                en.sentence
            );
            assert_eq!(en.todo.len(), zh.todo.len());
            assert!(!en.todo.is_empty(), "{}", en.sentence);
            for (en, zh) in en.todo.iter().zip(&zh.todo) {
                assert!(!en.what.is_empty() && !en.advice.is_empty(), "{en:?}");
                assert_ne!(en.advice, zh.advice, "{en:?}");
            }
        }
        assert_eq!(keys.len(), 22, "{keys:?}");
    }

    #[test]
    fn the_advice_is_that_of_the_error_and_a_guess_only_where_it_has_none() {
        let check = |fact: Fact, en: [&str; 2], zh: &str| {
            let verdict = verdict(vec![fact]);
            let todo = verdict.said(Lang::En).todo.remove(0);
            assert!(todo.what.starts_with(en[0]), "{todo:?}");
            assert_eq!(todo.advice, en[1]);
            assert_eq!(verdict.said(Lang::Zh).todo[0].advice, zh);
        };
        let sink = |trouble: &str| Fact::SinksDown {
            waits: Waits::Attempt,
            sinks: vec![down("a", Some(trouble))],
        };
        check(
            sink("https://h answered 401: no; check `headers` and `secret`"),
            [
                "\"https://h answered 401: no\", for 1 min.",
                "Check `headers` and `secret`. All its events wait, in order.",
            ],
            "请检查 `headers` 和 `secret`。全部事件按顺序等待。",
        );
        check(
            sink("/h.db: database or disk is full; the disk is full: free some space"),
            [
                "\"/h.db: database or disk is full\", for 1 min.",
                "The disk is full: free some space. All its events wait, in order.",
            ],
            "磁盘已满：请腾出空间。全部事件按顺序等待。",
        );
        check(
            sink("https://h answered 503"),
            [
                "\"https://h answered 503\", for 1 min.",
                "Nothing to do while its other side restarts: all its events wait, in order.",
            ],
            "若对方正在重启则无需处理：全部事件按顺序等待。",
        );
        let signin =
            "sign-in refused: https://h answered 401; check the user and password in source.signin";
        let mut source = unconnected(false);
        if let Fact::Unconnected { trouble, .. } = &mut source {
            *trouble = Some(signin.to_owned());
        }
        check(
            source,
            [
                "\"sign-in refused: https://h answered 401\"",
                "Check the user and password in source.signin. 3 attempts failed. It is being tried.",
            ],
            "请检查 source.signin 的用户和密码。已失败 3 次。正在尝试。",
        );
        check(
            Fact::JournalFull {
                full: Some(Full::Disk),
                held_back: 0,
                held_by: None,
            },
            [
                "The journal's disk is full",
                "Free some space on the journal's disk: reception goes on by itself once 64 MiB are \
                 free.",
            ],
            "请在持久日志所在的磁盘上腾出空间：可用空间达到 64 MiB 后自动恢复接收。",
        );
    }

    #[test]
    fn a_warning_of_a_sink_is_said_whole_however_long_it_is() {
        let warning = format!(
            "postgres://bridge@{}/d: the history was not tended: permission denied for table \
             state_interval_row; grant the user DELETE on the tables, beside SELECT, INSERT and \
             UPDATE, and EXECUTE on the functions bridge_make_partition and bridge_drop_before",
            "h".repeat(400)
        );
        let verdict = verdict(vec![Fact::SinksWarned(vec![warned("warehouse", &warning)])]);
        let [en, zh] = Lang::ALL.map(|lang| verdict.said(lang).todo.remove(0));
        assert_eq!((&*en.key, &*en.subject), ("sinks_warned", "warehouse"));
        let denied = "permission denied for table state_interval_row\".";
        assert!(en.what.ends_with(denied), "{}", en.what);
        assert_eq!(
            en.advice,
            "Grant the user DELETE on the tables, beside SELECT, INSERT and UPDATE, and EXECUTE on \
             the functions bridge_make_partition and bridge_drop_before. The sink goes on delivering."
        );
        assert!(
            zh.what.contains("历史库未能整理：permission denied"),
            "{}",
            zh.what
        );
        assert!(
            zh.advice.starts_with("请授予用户表的 DELETE 权限"),
            "{}",
            zh.advice
        );
        assert!(zh.advice.ends_with("。投递仍在继续。"), "{}", zh.advice);
    }

    #[test]
    fn a_rejected_reload_is_said_in_the_language_of_the_reader() {
        let problem = |key: &str, message: &str| format!("/c/config.toml:3:5: {key}: {message}");
        let problems = vec![
            problem("source.urll", "unknown key `urll`, did you mean `url`?"),
            problem("topics.t.ack", "expected a text, found true"),
            problem("x", "what nobody knows"),
        ];
        let at = Timestamp::UNIX_EPOCH;
        let verdict = verdict(vec![Fact::ReloadRejected(RejectedReload { at, problems })]);
        let said = |lang| verdict.said(lang).todo.remove(0).what;
        assert!(said(Lang::En).contains("source.urll: unknown key `urll`"));
        assert_eq!(
            said(Lang::Zh),
            "“/c/config.toml:3:5：source.urll：未知的键 `urll`，是否想写 `url`？；\
             /c/config.toml:3:5：topics.t.ack：应为文本，实际为 true；\
             /c/config.toml:3:5: x: what nobody knows”"
        );
    }

    #[test]
    fn a_refusal_is_no_start() {
        let mut refused = unconnected(false);
        if let Fact::Unconnected { refused_by, .. } = &mut refused {
            *refused_by = Some(Refuser::SignIn);
        }
        check(
            vec![refused],
            Level::Critical,
            false,
            "Not connected to platform.example.com:9004 for 1 min: the sign-in is refused. Nothing \
             that was received is lost.",
            "与 platform.example.com:9004 断开已 1 分钟：登录被拒绝。已收到的数据没有丢失。",
        );
    }

    #[test]
    fn of_many_topics_the_first_few_are_named() {
        let topics = vec![
            Unheard {
                name: "map".into(),
                since: Timestamp::UNIX_EPOCH,
                error: "no".to_owned(),
                last_message: None,
            };
            TOPICS_SHOWN_MAX
        ];
        let verdict = verdict(vec![Fact::Refused {
            topics,
            count: 500,
            of: 500,
        }]);
        let reasons = verdict.reasons();
        assert_eq!(
            (reasons.len(), &*reasons[5]),
            (6, "495 more topics refused")
        );
    }

    #[test]
    fn reasons_go_from_the_server_to_the_journal_whatever_is_worse() {
        let since = Timestamp::UNIX_EPOCH;
        let full = Fact::JournalFull {
            full: Some(Full::Log),
            held_back: 0,
            held_by: None,
        };
        let verdict = verdict(vec![
            full,
            sinks(Waits::Operator, &["a"]),
            Fact::Subscribing { since },
        ]);
        let reasons = verdict.reasons();
        for (reason, begins) in reasons
            .iter()
            .zip(["source connected", "sink a", "journal full"])
        {
            assert!(reason.starts_with(begins), "{reasons:?}");
        }
    }

    #[test]
    fn each_reason_is_counted_as_often_as_it_is_said() {
        let since = Timestamp::UNIX_EPOCH;
        let (full, held_back, held_by) = (Some(Full::Log), 0, None);
        let verdict = verdict(vec![
            sinks(Waits::Operator, &["a"]),
            sinks(Waits::Attempt, &["b", "c"]),
            Fact::JournalFull {
                full,
                held_back,
                held_by,
            },
            Fact::LinkSilent { since },
            Fact::Evicted { entries: 7 },
        ]);
        let counts = verdict.counts().map(|(_, count)| count);
        assert_eq!(counts, [1, 0, 0, 3, 1]);
        assert_eq!(verdict.reasons().len(), 5);
    }

    #[test]
    fn a_sink_that_can_be_tried_has_a_button_and_one_that_starts_has_none() {
        let retry = |waits| {
            let said = verdict(vec![sinks(waits, &["a"])]).said(Lang::En);
            said.todo[0].retry.clone()
        };
        let expected = Some("a".to_owned());
        for waits in [Waits::Attempt, Waits::Pause, Waits::Operator] {
            assert_eq!(retry(waits), expected);
        }
        assert_eq!(retry(Waits::First), None);
    }
}
