//! All that the page shows of one moment, without words: the API gives it as it is. It reads memory
//! only, and holds no secret.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::links::device_path;
use super::samples::Rate;
use super::setup::{Setup, TopicSetup};
use super::view::View;
use crate::bilingual::Bilingual;
use crate::journal;
use crate::latency::LatencyReading;
use crate::model::Severity;
use crate::secret::redact;
use crate::sinks::Condition;
use crate::source::{Agreed, Broker, LinkState, RefusedTopic, SeenGap, TopicStatus, by_name};

/// Gaps with a line of their own.
const GAPS_SHOWN_MAX: usize = 20;

/// Topics of a gap that are named.
const NAMES_MAX: usize = 3;

/// Changes in the list.
const CHANGES_SHOWN_MAX: usize = 12;

/// A topic of which nothing came for this long has a paler cell.
const QUIET: i64 = 600;

/// Of one moment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Snapshot {
    /// The moment.
    #[schema(value_type = String)]
    pub(super) at: Timestamp,
    #[schema(value_type = String)]
    pub(super) started_at: Timestamp,
    /// The host that the daemon runs on.
    pub(super) name: String,
    pub(super) version: &'static str,
    pub(super) link: LinkNow,
    /// In the configuration's order.
    pub(super) topics: Vec<TopicNow>,
    /// The gaps of the last day, since the daemon started; the newest first.
    pub(super) gaps: Vec<GapNow>,
    pub(super) journal: JournalNow,
    pub(super) sinks: Vec<SinkNow>,
    pub(super) devices: DevicesNow,
    pub(super) changes: Vec<ChangeNow>,
    /// When the configuration in force was applied.
    #[schema(value_type = String)]
    pub(super) configured_at: Timestamp,
}

/// The STOMP side.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LinkNow {
    /// As in `status`.
    pub(super) state: &'static str,
    /// Subscribed, and something is heard.
    pub(super) heard: bool,
    #[schema(value_type = String)]
    pub(super) since: Timestamp,
    pub(super) server: String,
    /// The kind of server, where it says so.
    pub(super) broker: Option<&'static str>,
    /// What the newest connection has agreed with the server; none before the first.
    pub(super) session: Option<SessionNow>,
    /// When something last came, if only a heart-beat.
    #[schema(value_type = Option<String>)]
    pub(super) last_byte: Option<Timestamp>,
    /// When the platform last accepted a sign-in.
    #[schema(value_type = Option<String>)]
    pub(super) signed_in: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    pub(super) last_message: Option<Timestamp>,
    pub(super) heartbeat_seconds: f64,
    pub(super) failures: u32,
    #[schema(value_type = Option<String>)]
    pub(super) next_attempt: Option<Timestamp>,
    /// Messages a second.
    pub(super) rate: f64,
    pub(super) guarantees: Vec<GuaranteeNow>,
    pub(super) warnings: Vec<LineNow>,
}

/// What a connection and its server have agreed on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SessionNow {
    #[schema(value_type = String)]
    pub(super) at: Timestamp,
    /// Without user, password and query.
    pub(super) address: String,
    /// `TCP`, `TLS`, `WebSocket`, or `SockJS` with its transport.
    pub(super) transport: String,
    /// Of STOMP.
    pub(super) version: &'static str,
    /// The server's name and version.
    pub(super) server: Option<String>,
    /// The server's name for the session.
    pub(super) id: Option<String>,
    /// We send something at least so often.
    pub(super) heartbeat_sent_seconds: Option<f64>,
    /// The server does.
    pub(super) heartbeat_received_seconds: Option<f64>,
}

/// A guarantee, and the topics that have it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct GuaranteeNow {
    #[serde(flatten)]
    pub(super) says: LineNow,
    pub(super) topics: Vec<String>,
}

/// A line in both languages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(super) struct LineNow {
    pub(super) en: String,
    pub(super) zh: String,
}

impl LineNow {
    fn of(line: &Bilingual) -> LineNow {
        LineNow {
            en: redacted(&line.en),
            zh: redacted(&line.zh),
        }
    }
}

/// How long something took in the last five minutes: of 50 and of 99 in a hundred, at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(super) struct LatencyNow {
    pub(super) p50_seconds: f64,
    pub(super) p99_seconds: f64,
}

impl LatencyNow {
    /// `None`: nothing was.
    fn of(reading: &LatencyReading) -> Option<LatencyNow> {
        let seconds = |percent| Some(reading.percentile(percent)?.as_secs_f64());
        Some(LatencyNow {
            p50_seconds: seconds(50.0)?,
            p99_seconds: seconds(99.0)?,
        })
    }
}

/// How a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TopicState {
    Refused,
    /// It is not subscribed now, for another reason.
    Unheard,
    Silent,
    /// Subscribed, and nothing has come since the start.
    Subscribed,
    Receiving,
}

/// One topic.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TopicNow {
    pub(super) name: String,
    pub(super) destination: String,
    pub(super) table: Option<String>,
    pub(super) state: TopicState,
    #[schema(value_type = Option<String>)]
    pub(super) since: Option<Timestamp>,
    pub(super) silence_seconds: Option<u64>,
    #[schema(value_type = Option<String>)]
    pub(super) last_message: Option<Timestamp>,
    pub(super) messages: u64,
    pub(super) rate: f64,
    /// Messages a second in the last hour, the oldest first.
    pub(super) points: Vec<f64>,
    /// When it was first heard since the daemon started; none: not yet.
    #[schema(value_type = Option<String>)]
    pub(super) heard_since: Option<Timestamp>,
    /// The times of the last day, since the daemon started, in which it was not heard.
    #[schema(value_type = Vec<Vec<String>>)]
    pub(super) gaps: Vec<(Timestamp, Option<Timestamp>)>,
    /// How much of the time since then it was heard.
    pub(super) heard_percent: f64,
    /// Nothing came for ten minutes.
    pub(super) quiet: bool,
}

/// A time in which topics were not heard.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct GapNow {
    /// The first few.
    pub(super) topics: Vec<String>,
    pub(super) count: usize,
    /// It is of all topics.
    pub(super) all: bool,
    #[schema(value_type = String)]
    pub(super) since: Timestamp,
    #[schema(value_type = Option<String>)]
    pub(super) until: Option<Timestamp>,
    pub(super) cause: &'static str,
}

/// The log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct JournalNow {
    pub(super) head: i64,
    pub(super) oldest: Option<i64>,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    /// Of entries that some sink has yet to get.
    pub(super) pending_bytes: u64,
    /// Of entries that are kept for a replay.
    pub(super) kept_bytes: u64,
    /// The sink that has yet to get most.
    pub(super) held_by: Option<String>,
    pub(super) full: bool,
    pub(super) full_in_seconds: Option<u64>,
    pub(super) pauses_when_full: bool,
    pub(super) undecodable: u64,
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) undecodable_since_start: u64,
    pub(super) waiting: i64,
    /// From a message's receipt to the disk.
    pub(super) latency: Option<LatencyNow>,
}

/// One sink.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SinkNow {
    pub(super) name: String,
    /// Its type; none where it has left the configuration.
    pub(super) kind: Option<&'static str>,
    /// `up`, `starting`, `retrying`, `paused`, `disabled` or `removed`.
    #[schema(value_type = String)]
    pub(super) state: Condition,
    #[schema(value_type = Option<String>)]
    pub(super) since: Option<Timestamp>,
    pub(super) pending: u64,
    #[schema(value_type = Option<String>)]
    pub(super) oldest_pending: Option<Timestamp>,
    /// Entries a second that it is past.
    pub(super) rate: f64,
    pub(super) points: Vec<f64>,
    /// Since the journal began.
    pub(super) delivered: u64,
    /// From a message's receipt to the sink's confirmation.
    pub(super) latency: Option<LatencyNow>,
    pub(super) dead_letters: u64,
    pub(super) dlq_bytes: u64,
    pub(super) dlq_max_bytes: u64,
    /// Why it is not up now.
    pub(super) trouble: Option<String>,
    /// What is to be mended although it is up.
    pub(super) warning: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(super) next_attempt: Option<Timestamp>,
}

/// The devices whose last state is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct DevicesNow {
    pub(super) known: u64,
    /// The worst first.
    pub(super) states: Vec<StateNow>,
    /// Devices that changed their state since the daemon started.
    pub(super) changed: u64,
}

/// A state, and how many devices are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StateNow {
    /// The vocabulary's name.
    pub(super) state: String,
    /// As the platform sends it.
    pub(super) word: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    pub(super) devices: u64,
}

/// A device that has changed its state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ChangeNow {
    pub(super) stream: String,
    pub(super) client_id: String,
    pub(super) device_id: String,
    /// The path of its page.
    pub(super) path: String,
    /// What it is called.
    pub(super) name: Option<String>,
    pub(super) from: StateNow,
    pub(super) to: StateNow,
    #[schema(value_type = String)]
    pub(super) at: Timestamp,
}

impl Snapshot {
    /// As it is now.
    pub(super) fn of(view: &View) -> Snapshot {
        let at = Timestamp::now();
        let setup = view.setup.current();
        let gaps = view.source.gaps();
        let begin = at.saturating_sub(jiff::SignedDuration::from_hours(24));
        let begin = begin.unwrap_or(Timestamp::MIN).max(view.started_at);
        let link = link(view, &setup);
        Snapshot {
            at,
            started_at: view.started_at,
            name: setup.host.clone(),
            version: env!("CARGO_PKG_VERSION"),
            topics: topics(view, &setup, &gaps, (begin, at), &link),
            link,
            gaps: grouped_gaps(
                gaps,
                &setup.topics.iter().map(|topic| &*topic.name).collect(),
            ),
            journal: journal(view, &setup),
            sinks: sinks(view, &setup),
            devices: devices(view),
            changes: changes(view),
            configured_at: setup.applied_at,
        }
    }

    /// How many topics are in a state.
    pub(super) fn topics_in(&self, state: TopicState) -> usize {
        self.topics
            .iter()
            .filter(|topic| topic.state == state)
            .count()
    }

    /// How many topics are heard.
    pub(super) fn topics_heard(&self) -> usize {
        let heard = [
            TopicState::Silent,
            TopicState::Subscribed,
            TopicState::Receiving,
        ];
        self.topics
            .iter()
            .filter(|topic| heard.contains(&topic.state))
            .count()
    }

    /// How many dead letters there are.
    pub(super) fn dead_letters(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.dead_letters).sum()
    }
}

fn redacted(text: &str) -> String {
    redact(text).into_owned()
}

fn link(view: &View, setup: &Setup) -> LinkNow {
    let (link, profile) = (view.source.link(), view.source.profile());
    let mut guarantees: BTreeMap<LineNow, Vec<String>> = BTreeMap::new();
    for (topic, says) in profile.guarantees {
        guarantees
            .entry(LineNow::of(&says))
            .or_default()
            .push(topic.to_string());
    }
    let broker = profile.broker.filter(|broker| *broker != Broker::Unknown);
    LinkNow {
        state: link.state.as_str(),
        heard: link.state.is_ready() || link.state == LinkState::Silent,
        since: link.since,
        server: redacted(&setup.server),
        broker: broker.map(Broker::as_str),
        session: profile.agreed.map(session),
        last_byte: view.source.last_byte(),
        signed_in: link.signed_in,
        last_message: link.last_message,
        heartbeat_seconds: setup.heartbeat.as_secs_f64(),
        failures: link.failures,
        next_attempt: link.next_attempt,
        rate: view.samples.messages(Instant::now()).now,
        guarantees: guarantees
            .into_iter()
            .map(|(says, topics)| GuaranteeNow { says, topics })
            .collect(),
        warnings: profile
            .warnings
            .iter()
            .map(|it| LineNow::of(&it.words()))
            .collect(),
    }
}

fn session(agreed: Agreed) -> SessionNow {
    let name = |name: Option<String>| name.as_deref().map(redacted);
    let seconds = |every: Option<Duration>| every.as_ref().map(Duration::as_secs_f64);
    SessionNow {
        at: agreed.at,
        address: redacted(&agreed.dialled.address),
        transport: agreed.dialled.transport,
        version: agreed.version,
        server: name(agreed.server),
        id: name(agreed.session),
        heartbeat_sent_seconds: seconds(agreed.heartbeat.outgoing),
        heartbeat_received_seconds: seconds(agreed.heartbeat.incoming),
    }
}

fn topics(
    view: &View,
    setup: &Setup,
    gaps: &[SeenGap],
    day: (Timestamp, Timestamp),
    link: &LinkNow,
) -> Vec<TopicNow> {
    let (status, refused) = (view.source.topics(), view.source.refused_topics());
    let mut rates = view.samples.topics(Instant::now());
    let mut by_topic: HashMap<&str, Vec<&SeenGap>> = HashMap::new();
    for gap in gaps {
        by_topic.entry(&gap.topic).or_default().push(gap);
    }
    let topics = setup.topics.iter().map(|topic| {
        let gaps = by_topic.remove(&*topic.name).unwrap_or_default();
        topic_now(
            topic,
            status.get(&topic.name).copied().unwrap_or_default(),
            refused.get(&topic.name),
            (rates.remove(&topic.name).unwrap_or_default(), &gaps),
            (day, link),
        )
    });
    topics.collect()
}

fn topic_now(
    topic: &TopicSetup,
    status: TopicStatus,
    refused: Option<&RefusedTopic>,
    (rate, gaps): (Rate, &[&SeenGap]),
    ((begin, at), link): ((Timestamp, Timestamp), &LinkNow),
) -> TopicNow {
    let open = gaps.iter().find(|gap| gap.until.is_none());
    let (state, since) = match (refused, open, status.silent_since) {
        (Some(refused), ..) => (TopicState::Refused, Some(refused.since)),
        (_, Some(gap), _) => (TopicState::Unheard, Some(gap.since)),
        // A link that was never there was never lost.
        (..) if !link.heard => {
            let since = status.heard_since.map(|_| link.since);
            (TopicState::Unheard, since)
        }
        (_, _, Some(since)) => (TopicState::Silent, Some(since)),
        _ if status.last_message.is_none() => (TopicState::Subscribed, None),
        _ => (TopicState::Receiving, None),
    };
    let mut times: Vec<(Timestamp, Option<Timestamp>)> = gaps
        .iter()
        .filter(|gap| gap.until.is_none_or(|until| until > begin))
        .map(|gap| (gap.since.max(begin), gap.until))
        .collect();
    // Whether a gap is one is known only at its end, where the server may have kept all of it.
    if open.is_none() && matches!(state, TopicState::Refused | TopicState::Unheard) {
        let since = since.filter(|_| status.heard_since.is_some());
        times.push((since.unwrap_or(begin).max(begin), None));
    }
    let seconds = |since: Timestamp, until: Timestamp| {
        (until.as_millisecond() - since.as_millisecond()).max(0) as f64
    };
    let deaf: f64 = times
        .iter()
        .map(|(since, until)| seconds(*since, until.unwrap_or(at).min(at)))
        .sum();
    let heard_since = status.heard_since.map(|since| since.max(begin));
    let first = times.iter().map(|(since, _)| *since).chain(heard_since);
    let whole = seconds(first.min().unwrap_or(begin), at).max(1.0);
    let age = status
        .last_message
        .map(|last| at.as_second() - last.as_second());
    TopicNow {
        name: topic.name.to_string(),
        destination: redacted(&topic.destination),
        table: topic.table.as_deref().map(str::to_owned),
        state,
        since,
        silence_seconds: topic.silence.as_ref().map(Duration::as_secs),
        last_message: status.last_message,
        messages: status.messages,
        rate: rate.now,
        points: rate.points,
        heard_since: status.heard_since,
        gaps: times,
        heard_percent: (100.0 - deaf * 100.0 / whole).clamp(0.0, 100.0),
        quiet: age.is_none_or(|age| age > QUIET),
    }
}

/// Gaps that began and ended within the same second for the same cause are one. That of a topic which
/// has left the configuration would never end: it is none.
fn grouped_gaps(gaps: Vec<SeenGap>, topics: &HashSet<&str>) -> Vec<GapNow> {
    type Key = (i64, Option<i64>, &'static str);
    let mut groups: BTreeMap<Key, (GapNow, BTreeSet<Arc<str>>)> = BTreeMap::new();
    for gap in gaps.into_iter().filter(|gap| topics.contains(&*gap.topic)) {
        let until = gap.until.map(Timestamp::as_second);
        let key = (gap.since.as_second(), until, gap.cause.as_str());
        let group = groups.entry(key).or_insert_with(|| {
            let now = GapNow {
                topics: Vec::new(),
                count: 0,
                all: false,
                since: gap.since,
                until: gap.until,
                cause: gap.cause.as_str(),
            };
            (now, BTreeSet::new())
        });
        group.1.insert(gap.topic);
    }
    let groups = groups.into_values().rev().take(GAPS_SHOWN_MAX);
    let group = |(gap, names): (GapNow, BTreeSet<Arc<str>>)| {
        let mut shown: Vec<String> = names.iter().map(ToString::to_string).collect();
        shown.sort_by(|one, other| by_name(one, other));
        shown.truncate(NAMES_MAX);
        GapNow {
            count: names.len(),
            all: topics.len() > 1 && names.len() >= topics.len(),
            topics: shown,
            ..gap
        }
    };
    groups.map(group).collect()
}

fn journal(view: &View, setup: &Setup) -> JournalNow {
    let (status, room) = (view.journal.log.status(), view.journal.log.room());
    let max_bytes = view.bounds.journal_bytes;
    let free = room.bytes.min(room.bytes_max);
    let pending_bytes = room.bytes_max.saturating_sub(free).min(status.bytes);
    let intake = super::audit::Intake::of(view);
    JournalNow {
        head: status.head.0,
        oldest: status.oldest.map(|oldest| oldest.0),
        bytes: status.bytes,
        max_bytes,
        pending_bytes,
        kept_bytes: status.bytes - pending_bytes,
        held_by: view.journal_held_by().map(|name| name.to_string()),
        full: view.is_journal_full(),
        full_in_seconds: view.journal_full_in().as_ref().map(Duration::as_secs),
        pauses_when_full: setup.pauses_when_full,
        undecodable: view.samples.on_disk().undecodable,
        received: intake.received,
        accepted: intake.accepted,
        undecodable_since_start: intake.undecodable,
        waiting: intake.waiting,
        latency: LatencyNow::of(&view.samples.journaled()),
    }
}

fn sinks(view: &View, setup: &Setup) -> Vec<SinkNow> {
    let status = view.journal.log.status();
    let accountings: HashMap<Arc<str>, journal::Accounting> =
        view.journal.cursors.accountings().into_iter().collect();
    let (on_disk, now) = (view.samples.on_disk(), Timestamp::now());
    let mut rates = view.samples.sinks(Instant::now());
    let confirmed = view.samples.confirmed();
    let running = view.sinks.all();
    let place = |name: &str| {
        let place = running.iter().position(|sink| &*sink.name == name);
        place.unwrap_or(usize::MAX)
    };
    let mut sinks: Vec<SinkNow> = status
        .sinks
        .iter()
        .map(|sink| {
            let health = running.iter().find(|known| known.name == sink.name);
            let health = health.map(|known| known.health.report());
            let rate = rates.remove(&sink.name).unwrap_or_default();
            let accounting = accountings.get(&sink.name).copied().unwrap_or_default();
            let delivered = accounting.passed.delivered + accounting.redriven;
            let pending = sink.pending(status.head);
            SinkNow {
                name: sink.name.to_string(),
                kind: setup.sinks.get(&sink.name).copied(),
                state: Condition::of(health.as_ref()),
                since: health.as_ref().map(|it| it.since),
                pending,
                oldest_pending: on_disk
                    .oldest_pending(&sink.name, sink.cursor, now)
                    .filter(|_| pending > 0),
                rate: rate.now,
                points: rate.points,
                delivered,
                latency: confirmed.get(&sink.name).and_then(LatencyNow::of),
                dead_letters: sink.dead_lettered,
                dlq_bytes: sink.dlq_bytes,
                dlq_max_bytes: view.bounds.dlq_bytes,
                trouble: health
                    .as_ref()
                    .and_then(|it| it.trouble.as_deref())
                    .map(redacted),
                warning: health
                    .as_ref()
                    .and_then(|it| it.warning.as_deref())
                    .map(redacted),
                next_attempt: health.and_then(|it| it.next_attempt),
            }
        })
        .collect();
    sinks.sort_by_key(|sink| (sink.state == Condition::Up, place(&sink.name)));
    sinks
}

/// What a device is called, by the names of the configuration.
pub(super) fn name_of(
    view: &View,
    [stream, client_id, device_id]: [&str; 3],
    serial: Option<&str>,
) -> Option<String> {
    let decoders = view.decoders.current();
    let mut decoders = decoders.values();
    let decoder = decoders.find(|decoder| &**decoder.stream() == stream)?;
    let name = decoder.name_of(client_id, device_id, serial)?;
    Some(redacted(&name))
}

/// What the vocabulary makes of a word of a stream.
pub(super) fn state(view: &View, stream: &str, word: &str, devices: u64) -> StateNow {
    let decoders = view.decoders.current();
    let decoder = decoders
        .values()
        .find(|decoder| &**decoder.stream() == stream);
    let (state, severity) = decoder.map_or((word, Severity::Unknown), |it| it.state(word));
    StateNow {
        state: redacted(state),
        word: redacted(word),
        severity,
        devices,
    }
}

/// A word of a stream's platform for each name of its vocabulary.
pub(super) fn words_by_name(view: &View, stream: &str) -> BTreeMap<String, String> {
    let decoders = view.decoders.current();
    let mut decoders = decoders.values();
    let decoder = decoders.find(|decoder| &**decoder.stream() == stream);
    let words = decoder.map(|decoder| decoder.states().words_by_name());
    let words = words.unwrap_or_default().into_iter();
    words
        .map(|(name, word)| (redacted(name), redacted(word)))
        .collect()
}

/// How many devices are in each state, the worst first, each with the words that mean it as the
/// platform sends them.
pub(super) fn states_now(view: &View) -> Vec<(StateNow, Vec<String>)> {
    let mut states: Vec<(StateNow, Vec<String>)> = Vec::new();
    for count in view.journal.log.device_states() {
        let next = state(view, &count.stream, &count.state, count.devices);
        let word = count.state.to_string();
        let same = |(it, _): &&mut (StateNow, Vec<String>)| {
            it.state == next.state && it.severity == next.severity
        };
        match states.iter_mut().find(same) {
            Some((known, words)) => {
                known.devices += next.devices;
                words.push(word);
            }
            None => states.push((next, vec![word])),
        }
    }
    let worst = |(it, _): &(StateNow, Vec<String>)| {
        let rank = match it.severity {
            Severity::Critical => 4,
            Severity::Warning => 3,
            Severity::Unknown => 2,
            Severity::Info => 1,
            Severity::Ok => 0,
        };
        (std::cmp::Reverse(rank), std::cmp::Reverse(it.devices))
    };
    states.sort_by_key(worst);
    states
}

fn devices(view: &View) -> DevicesNow {
    DevicesNow {
        known: view.journal.log.status().devices,
        states: states_now(view)
            .into_iter()
            .map(|(state, _)| state)
            .collect(),
        changed: view.journal.log.changes().1,
    }
}

fn changes(view: &View) -> Vec<ChangeNow> {
    let changes = view.journal.log.changes().0.into_iter();
    let changes = changes.take(CHANGES_SHOWN_MAX);
    let change = |it: journal::Change| ChangeNow {
        from: state(view, &it.stream, &it.from, 1),
        to: state(view, &it.stream, &it.to, 1),
        name: name_of(view, [&it.stream, &it.client_id, &it.device_id], None),
        path: device_path(&it.stream, &it.client_id, &it.device_id),
        stream: it.stream.to_string(),
        client_id: redacted(&it.client_id),
        device_id: redacted(&it.device_id),
        at: it.at,
    };
    changes.map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CoverageCause;

    #[test]
    fn gaps_of_the_same_second_are_one_and_those_of_topics_that_are_gone_are_none() {
        let gap = |topic: &str, since, until: Option<i64>| SeenGap {
            topic: topic.into(),
            since: Timestamp::from_second(since).unwrap(),
            until: until.map(|until| Timestamp::from_second(until).unwrap()),
            cause: CoverageCause::ConnectionLost,
        };
        let gaps = vec![
            gap("a", 10, Some(20)),
            gap("b", 10, Some(20)),
            gap("gone", 10, Some(20)),
            gap("gone", 30, None),
            gap("b", 40, None),
        ];
        let found = grouped_gaps(gaps, &["a", "b"].into());
        let found: Vec<_> = found.iter().map(|gap| (gap.count, gap.all)).collect();
        assert_eq!(found, [(1, false), (2, true)]);
    }
}
