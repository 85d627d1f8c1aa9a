//! The values of all metrics now: read off the parts, one after the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;

use super::exposition::{Exposition, Format};
use super::list::{self, Family};
use super::process;
use super::topic_labels::TopicLabels;
use crate::model::Position;
use crate::ops::sinks::SinkView;
use crate::ops::view::View;
use crate::sinks::Condition;
use crate::source::LinkState;

/// All metrics, now.
pub(in crate::ops) fn encode(view: &View, format: Format) -> String {
    let mut scrape = Scrape {
        view,
        out: Exposition::new(format),
        now: Timestamp::now(),
    };
    scrape.process();
    scrape.readiness();
    scrape.link();
    scrape.topics();
    scrape.statuses();
    scrape.journal();
    scrape.sinks();
    scrape.accounting();
    scrape.out.finish()
}

struct Scrape<'a> {
    view: &'a View,
    out: Exposition,
    now: Timestamp,
}

impl Scrape<'_> {
    fn process(&mut self) {
        let version = env!("CARGO_PKG_VERSION");
        self.out.family(&list::BUILD_INFO).sample(&[version], 1);
        self.one(&list::PROCESS_START, seconds(self.view.started_at));
        process::write(&mut self.out);
    }

    fn readiness(&mut self) {
        let view = self.view;
        let verdict = view.verdict();
        self.one(&list::READY, u8::from(verdict.is_ready()));
        let mut samples = self.out.family(&list::NOT_READY);
        for (reason, count) in verdict.counts() {
            samples.sample(&[reason.as_str()], count);
        }
        let reloads = &view.reloads;
        let is_good = reloads.last_rejected().is_none() && reloads.unread_secrets().is_none();
        self.one(&list::CONFIG_GOOD, u8::from(is_good));
        let (applied, rejected) = reloads.counts();
        let mut samples = self.out.family(&list::CONFIG_RELOADS);
        samples.sample(&["success"], applied);
        samples.sample(&["failure"], rejected);
        let at = reloads.last_at().unwrap_or(view.started_at);
        self.one(&list::CONFIG_AT, seconds(at));
    }

    fn link(&mut self) {
        let source = &self.view.source;
        let link = source.link();
        let mut samples = self.out.family(&list::LINK_STATE);
        for state in LinkState::ALL {
            samples.sample(&[state.as_str()], u8::from(state == link.state));
        }
        self.one(&list::LINK_SINCE, seconds(link.since));
        self.maybe(&list::LINK_RECEIVED_AT, source.last_byte().map(seconds));
        self.maybe(&list::LAST_MESSAGE, link.last_message.map(seconds));
        self.one(&list::LINK_WARNINGS, source.profile().warnings.len());
        let counters = &source.counters;
        let counts: [(_, &AtomicU64); 11] = [
            (&list::CONNECT_ATTEMPTS, &counters.attempts),
            (&list::CONNECTIONS, &counters.connections),
            (&list::RECEIVED_FRAMES, &counters.frames_received),
            (&list::RECEIVED_BYTES, &counters.bytes_received),
            (&list::SENT_FRAMES, &counters.frames_sent),
            (&list::SENT_BYTES, &counters.bytes_sent),
            (&list::MESSAGES, &counters.messages),
            (&list::MESSAGE_BODY_BYTES, &counters.body_bytes),
            (&list::ACKNOWLEDGED, &counters.acknowledged),
            (&list::FRAMES_MALFORMED, &counters.malformed),
            (&list::MESSAGES_UNKNOWN, &counters.unknown),
        ];
        for (family, count) in counts {
            self.one(family, count.load(Relaxed));
        }
        let highest = source.delivery_counts().into_values().max();
        self.one(&list::DELIVERY_COUNT, highest.unwrap_or(0));
    }

    fn topics(&mut self) {
        let source = &self.view.source;
        let topics = source.topics();
        let labels = TopicLabels::of(topics.keys().map(|name| &**name));
        let each = || topics.iter().map(|(name, topic)| (&**name, topic));
        let messages = each().map(|(name, topic)| (name, topic.messages));
        let messages = labels.merged(messages, |a, b| a + b);
        self.by_topic(&list::TOPIC_MESSAGES, messages);
        let last = each().map(|(name, topic)| (name, topic.last_message.map_or(0.0, seconds)));
        let last = labels.merged(last, f64::max);
        self.by_topic(&list::TOPIC_LAST_MESSAGE, last);
        let silent = || each().map(|(name, topic)| (name, u64::from(topic.silent_since.is_some())));
        self.by_topic(&list::TOPIC_SILENT, labels.merged(silent(), u64::max));
        let silent: u64 = silent().map(|(_, is_silent)| is_silent).sum();
        self.one(&list::TOPICS_SILENT, silent);
        self.one(&list::SILENCES, source.counters.silences.load(Relaxed));
        self.one(&list::TOPICS_REFUSED, source.refused_topics().len());
        self.one(&list::TOPICS_HELD_BACK, source.held_back());
        let resyncs = source.resyncs();
        let each = || resyncs.iter().map(|(name, resync)| (&**name, resync));
        let add = |a: u64, b: u64| a + b;
        let taken_in = labels.merged(each().map(|(name, it)| (name, it.successes_total)), add);
        let failed = labels.merged(each().map(|(name, it)| (name, it.failures_total)), add);
        let mut samples = self.out.family(&list::RESYNCS);
        for (result, counts) in [("taken_in", taken_in), ("failed", failed)] {
            for (topic, count) in counts {
                samples.sample(&[topic, result], count);
            }
        }
        let last = each().map(|(name, it)| (name, it.last_success.map_or(0.0, seconds)));
        self.by_topic(&list::RESYNC_LAST, labels.merged(last, f64::max));
        let failing = each().map(|(name, it)| (name, u8::from(it.trouble.is_some())));
        self.by_topic(&list::RESYNC_FAILING, labels.merged(failing, u8::max));
    }

    fn statuses(&mut self) {
        let source = &self.view.source;
        self.one(&list::ACCEPTED, source.counters.accepted.load(Relaxed));
        let undecodable = source.counters.undecodable.load(Relaxed);
        self.one(&list::UNDECODABLE, undecodable);
        let topics = source.topics();
        let labels = TopicLabels::of(topics.keys().map(|name| &**name));
        let unreadable = source.unreadable();
        let each = || unreadable.iter().map(|(name, topic)| (&**name, topic));
        let add = |a: u64, b: u64| a + b;
        // Of every topic from the start: `increase` sees nothing of a counter that begins with 1.
        let none = || topics.keys().map(|name| (&**name, 0));
        let unmapped = each().map(|(name, topic)| (name, topic.unmapped_total()));
        self.by_topic(&list::UNMAPPED, labels.merged(unmapped.chain(none()), add));
        let ignored = each().map(|(name, topic)| (name, topic.ignored));
        self.by_topic(&list::IGNORED, labels.merged(ignored.chain(none()), add));
        // There are as many fields as `fields` may name.
        let mut fields: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for (name, topic) in each() {
            for (field, count) in &topic.fields {
                fields.entry(field).or_default().push((name, *count));
            }
        }
        let mut samples = self.out.family(&list::UNREADABLE);
        for (field, counts) in fields {
            for (topic, count) in labels.merged(counts.into_iter(), add) {
                samples.sample(&[topic, field], count);
            }
        }
        let empty = each().map(|(name, topic)| (name, topic.empty));
        self.by_topic(&list::EMPTY, labels.merged(empty.chain(none()), add));
        let status = self.view.journal.log.status();
        self.one(&list::REPEATS, status.repeats);
        self.one(&list::RESYNCED, status.resynced);
        self.one(&list::MISSED, status.missed_transitions);
        self.one(&list::DEVICES, status.devices);
        self.one(&list::DEVICES_MAX, self.view.bounds.devices);
        self.one(&list::DEVICES_EVICTED, status.devices_evicted);
    }

    fn journal(&mut self) {
        let view = self.view;
        let log = &view.journal.log;
        let journaled = view.source.journaled.read();
        let mut samples = self.out.family(&list::JOURNALED_LATENCY);
        samples.histogram(&[], &journaled);
        let status = log.status();
        self.one(&list::JOURNAL_HEAD, status.head.0);
        let oldest = status.oldest.unwrap_or(Position::START);
        self.one(&list::JOURNAL_OLDEST, oldest.0);
        self.one(&list::JOURNAL_BYTES, status.bytes);
        self.one(&list::JOURNAL_BYTES_MAX, view.bounds.journal_bytes);
        self.one(&list::JOURNAL_FULL, u8::from(view.is_journal_full()));
        let slowest = status.sinks.iter().map(|sink| sink.cursor).min();
        let pending = slowest.map_or(0.0, |cursor| self.lag_seconds(cursor));
        self.one(&list::JOURNAL_PENDING, pending);
        self.one(&list::JOURNAL_EVICTED, status.evicted);
    }

    fn sinks(&mut self) {
        let status = self.view.journal.log.status();
        let running = self.view.sinks.all();
        let condition = |sink: &SinkView| Condition::of(Some(&sink.health.report()));
        let conditions: Vec<Condition> = running.iter().map(condition).collect();
        let mut samples = self.out.family(&list::SINK_UP);
        for (sink, condition) in running.iter().zip(&conditions) {
            samples.sample(&[&sink.name], u8::from(*condition == Condition::Up));
        }
        let mut samples = self.out.family(&list::SINK_STATE);
        for (sink, condition) in running.iter().zip(&conditions) {
            for other in Condition::CONFIGURED {
                samples.sample(&[&sink.name, other.as_str()], u8::from(other == *condition));
            }
        }
        let mut samples = self.out.family(&list::SINK_LAG_ENTRIES);
        for sink in running.iter() {
            let behind = (status.head.0 - cursor(sink).0).max(0);
            samples.sample(&[&sink.name], behind);
        }
        let lags: Vec<f64> = running
            .iter()
            .map(|sink| self.lag_seconds(cursor(sink)))
            .collect();
        let mut samples = self.out.family(&list::SINK_LAG_SECONDS);
        for (sink, lag) in running.iter().zip(lags) {
            samples.sample(&[&sink.name], lag);
        }
        let mut samples = self.out.family(&list::SINK_LATENCY);
        for sink in running.iter() {
            samples.histogram(&[&sink.name], &sink.counters.confirmed.read());
        }
        type Count = fn(&SinkView) -> &AtomicU64;
        let counts: [(_, Count); 6] = [
            (&list::SINK_DELIVERED, |sink| &sink.counters.delivered),
            (&list::SINK_FILTERED, |sink| &sink.counters.filtered),
            (&list::SINK_RETRIES, |sink| &sink.counters.retries),
            (&list::SINK_DEAD_LETTERED, |sink| {
                &sink.counters.dead_lettered
            }),
            (&list::SINK_REDELIVERED, |sink| &sink.counters.again),
            (&list::SINK_LANES_WAITING, |sink| {
                &sink.counters.lanes_waiting
            }),
        ];
        for (family, count) in counts {
            let mut samples = self.out.family(family);
            for sink in running.iter() {
                samples.sample(&[&sink.name], count(sink).load(Relaxed));
            }
        }
        let configured = || status.sinks.iter().filter(|sink| sink.configured);
        let mut samples = self.out.family(&list::SINK_DLQ_ENTRIES);
        for sink in configured() {
            samples.sample(&[&sink.name], sink.dead_lettered);
        }
        let mut samples = self.out.family(&list::SINK_DLQ_BYTES);
        for sink in configured() {
            samples.sample(&[&sink.name], sink.dlq_bytes);
        }
        self.one(&list::DLQ_BYTES_MAX, self.view.bounds.dlq_bytes);
    }

    fn accounting(&mut self) {
        let mut samples = self.out.family(&list::SINK_ACCOUNTING);
        for (sink, accounting) in self.view.journal.cursors.accountings() {
            let passed = accounting.passed;
            for (outcome, count) in [
                ("delivered", passed.delivered),
                ("filtered", passed.filtered),
                ("undecodable", passed.undecodable),
                ("dead_lettered", passed.dead_lettered),
                ("evicted", passed.evicted),
                ("removed", passed.removed),
                ("redriven", accounting.redriven),
                ("discarded", accounting.discarded),
            ] {
                samples.sample(&[&sink, outcome], count);
            }
        }
        let errors = self.view.audit.accounting_errors().len();
        self.one(&list::ACCOUNTING_ERRORS, errors);
    }

    fn one(&mut self, family: &'static Family, value: impl std::fmt::Display) {
        self.out.family(family).sample(&[], value);
    }

    fn maybe(&mut self, family: &'static Family, value: Option<f64>) {
        let mut samples = self.out.family(family);
        if let Some(value) = value {
            samples.sample(&[], value);
        }
    }

    fn by_topic(
        &mut self,
        family: &'static Family,
        values: BTreeMap<&str, impl std::fmt::Display>,
    ) {
        let mut samples = self.out.family(family);
        for (topic, value) in values {
            samples.sample(&[topic], value);
        }
    }

    /// How long the oldest entry behind a cursor has waited.
    fn lag_seconds(&self, cursor: Position) -> f64 {
        let since = self.view.journal.log.waits_since(cursor);
        since.map_or(0.0, |since| {
            let waited = self.now.duration_since(since).as_secs_f64();
            waited.max(0.0)
        })
    }
}

fn cursor(sink: &SinkView) -> Position {
    Position(sink.counters.position.load(Relaxed))
}

/// A time in seconds since 1970, to the microsecond.
fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}
