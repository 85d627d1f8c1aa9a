//! `/metrics`: read off the parts at each scrape, so nothing is kept twice and nothing grows
//! between scrapes.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::sinks::SinkView;
use super::view::View;
use crate::source::LinkState;

/// OpenMetrics text, as the body's first lines promise.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics, now.
pub(super) fn encode(view: View) -> String {
    let mut registry = Registry::with_prefix("stomp_bridge");
    registry.register_collector(Box::new(Scrape(view)));
    let mut body = String::new();
    text::encode(&mut body, &registry).expect("a string takes any text");
    body
}

#[derive(Debug)]
struct Scrape(View);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    sink: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Topic {
    topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resynced {
    topic: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unread {
    topic: String,
    field: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

/// Topics with a label of their own; all others share one, so that thousands of topics are no
/// burden to what scrapes.
const TOPICS_MAX: usize = 200;

/// That label. A topic of this name has no other.
const OTHER_TOPICS: &str = "other";

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        self.configuration(&mut encoder)?;
        self.source(&mut encoder)?;
        self.topics(&mut encoder)?;
        self.journal(&mut encoder)?;
        self.sinks(&mut encoder)
    }
}

impl Scrape {
    fn configuration(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let reloads = &self.0.reloads;
        let is_good = reloads.last_rejected().is_none() && reloads.unread_secrets().is_none();
        let help = "0 while the last reload is rejected, or secrets are not read again: what was \
                    before holds";
        gauge(
            encoder,
            "config_last_reload_successful",
            help,
            is_good.into(),
        )?;
        let (applied, rejected) = self.0.reloads.counts();
        let reloads = [("success", applied), ("failure", rejected)];
        let reloads = reloads.map(|(result, count)| (Ended { result }, count));
        let help = "Reloads since the start, also those that changed nothing";
        counters(encoder, "config_reloads", help, reloads)?;
        let at = self.0.reloads.last_at().unwrap_or(self.0.started_at);
        let help = "When the configuration was read last, in seconds since 1970";
        let at = at.as_second().unsigned_abs();
        gauge(encoder, "config_last_reload_timestamp_seconds", help, at)
    }

    fn source(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let link = self.0.source.link();
        let states = LinkState::ALL.map(|state| {
            (
                State {
                    state: state.as_str(),
                },
                u64::from(state == link.state),
            )
        });
        gauges(
            encoder,
            "link_state",
            "1 for the state that the STOMP link is in",
            states,
        )?;
        let help = "When the link entered that state, in seconds since 1970";
        gauge(
            encoder,
            "link_state_since_timestamp_seconds",
            help,
            link.since.as_second().unsigned_abs(),
        )?;
        if let Some(at) = link.last_message {
            let help = "When the last message came, in seconds since 1970";
            gauge(
                encoder,
                "last_message_timestamp_seconds",
                help,
                at.as_second().unsigned_abs(),
            )?;
        }
        let warnings = self.0.source.profile().warnings.len() as u64;
        gauge(
            encoder,
            "link_warnings",
            "Configuration warnings, which status names",
            warnings,
        )?;
        let refused = self.0.source.refused_topics().len() as u64;
        gauge(
            encoder,
            "topics_refused",
            "Topics that the server refuses, which status names",
            refused,
        )?;
        let help =
            "Most earlier deliveries that the server has counted for one message, since the start";
        let highest = self.0.source.delivery_counts().into_values().max();
        gauge(
            encoder,
            "highest_delivery_count",
            help,
            highest.unwrap_or(0),
        )?;
        let counters = &self.0.source.counters;
        counter(
            encoder,
            "silences",
            "Times that no message of a topic came for as long as its silence",
            &counters.silences,
        )?;
        counter(
            encoder,
            "connect_attempts",
            "Attempts to connect",
            &counters.attempts,
        )?;
        counter(
            encoder,
            "connections",
            "Connections that reached CONNECTED",
            &counters.connections,
        )?;
        counter(
            encoder,
            "messages",
            "MESSAGE frames received",
            &counters.messages,
        )?;
        counter(
            encoder,
            "message_body_bytes",
            "Bytes of their bodies",
            &counters.body_bytes,
        )?;
        counter(
            encoder,
            "statuses_accepted",
            "Statuses decoded",
            &counters.accepted,
        )?;
        counter(
            encoder,
            "statuses_undecodable",
            "Statuses kept raw: they cannot be decoded",
            &counters.undecodable,
        )?;
        counter(
            encoder,
            "frames_malformed",
            "Frames read in spite of a rule that they have broken",
            &counters.malformed,
        )?;
        counter(
            encoder,
            "messages_unknown",
            "Messages of no topic, kept raw",
            &counters.unknown,
        )?;
        counter(
            encoder,
            "acknowledged",
            "ACK frames sent",
            &counters.acknowledged,
        )
    }

    fn topics(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let topics = self.0.source.topics();
        let silent = topics.values().filter(|it| it.silent_since.is_some());
        gauge(
            encoder,
            "topics_silent",
            "Topics of which no message has come for as long as their silence allows",
            silent.count() as u64,
        )?;
        let help = "When the topic's last message came, in seconds since 1970; 0: none since the \
                    start. Topics beyond the first 200 are one, other, with the newest of theirs";
        let last = labelled(&topics, |it| {
            let last = it.last_message;
            last.map_or(0, |at| at.as_second().unsigned_abs())
        });
        gauges(encoder, "topic_last_message_timestamp_seconds", help, last)?;
        let help = "1 while the topic is silent; of other, while one of its topics is";
        let silent = labelled(&topics, |it| it.silent_since.is_some().into());
        gauges(encoder, "topic_silent", help, silent)?;
        self.resyncs(encoder)?;
        self.unreadable(encoder)
    }

    fn resyncs(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let resyncs = self.0.source.resyncs();
        let mut counts = BTreeMap::new();
        for (index, (name, it)) in resyncs.iter().enumerate() {
            let topic = match index < TOPICS_MAX {
                true => name,
                false => OTHER_TOPICS,
            };
            let results = [
                ("taken_in", it.successes_total),
                ("failed", it.failures_total),
            ];
            for (result, count) in results {
                *counts.entry((topic, result)).or_default() += count;
            }
        }
        let counts = counts.into_iter().map(|((topic, result), count)| {
            let topic = topic.to_owned();
            (Resynced { topic, result }, count)
        });
        let help = "Snapshots that were asked for, by how that ended";
        counters(encoder, "resyncs", help, counts)?;
        let help = "When the topic's last snapshot was taken in, in seconds since 1970; 0: none \
                    since the start";
        let last = labelled(&resyncs, |it| {
            let last = it.last_success;
            last.map_or(0, |at| at.as_second().unsigned_abs())
        });
        gauges(encoder, "resync_last_success_timestamp_seconds", help, last)?;
        let help = "1 while the topic's newest snapshot is one that failed; of other, of one";
        let failing = labelled(&resyncs, |it| it.trouble.is_some().into());
        gauges(encoder, "resync_failing", help, failing)
    }

    fn unreadable(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let unreadable = self.0.source.unreadable();
        let (mut fields, mut unmapped) = (BTreeMap::new(), BTreeMap::new());
        let (mut ignored, mut empty) = (BTreeMap::new(), BTreeMap::new());
        for (index, (name, it)) in unreadable.iter().enumerate() {
            let topic = match index < TOPICS_MAX {
                true => name,
                false => OTHER_TOPICS,
            };
            for (field, count) in &it.fields {
                *fields.entry((topic, *field)).or_default() += count;
            }
            *unmapped.entry(topic).or_default() += it.unmapped_total();
            *ignored.entry(topic).or_default() += it.ignored;
            *empty.entry(topic).or_default() += it.empty;
        }
        let fields = fields.into_iter().map(|((topic, field), count)| {
            let topic = topic.to_owned();
            (Unread { topic, field }, count)
        });
        let help = "Statuses stored without a field whose value could not be read";
        counters(encoder, "fields_unreadable", help, fields)?;
        let of_topic = |(topic, count): (&str, u64)| {
            let topic = topic.to_owned();
            (Topic { topic }, count)
        };
        let help = "Statuses whose state [states] does not have; status names the words";
        let unmapped = unmapped.into_iter().map(of_topic);
        counters(encoder, "statuses_unmapped", help, unmapped)?;
        let help = "Objects that the topic's ignore has dropped";
        let ignored = ignored.into_iter().map(of_topic);
        counters(encoder, "statuses_ignored", help, ignored)?;
        let help = "Messages that were an empty array";
        let empty = empty.into_iter().map(of_topic);
        counters(encoder, "messages_empty", help, empty)
    }

    fn journal(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let status = self.0.journal.log.status();
        gauge(
            encoder,
            "journal_head",
            "The newest durable position",
            position(status.head),
        )?;
        if let Some(oldest) = status.oldest {
            gauge(
                encoder,
                "journal_oldest",
                "The oldest position kept",
                position(oldest),
            )?;
        }
        let help = "Entries evicted by when_full = \"drop_oldest\" before every sink had them";
        count(encoder, "journal_evicted", help, status.evicted)?;
        let help = "Statuses whose old state was not the last one known";
        count(
            encoder,
            "missed_transitions",
            help,
            status.missed_transitions,
        )?;
        let help = "Statuses that were received before, by their event key or by another topic";
        count(encoder, "repeats", help, status.repeats)?;
        let help =
            "Statuses that snapshots brought, those that only confirm what was known included";
        count(encoder, "statuses_resynced", help, status.resynced)?;
        let help = "Devices whose last state is known";
        gauge(encoder, "devices", help, status.devices)?;
        let help = "Devices that were forgotten because of journal.devices_max";
        count(encoder, "devices_evicted", help, status.devices_evicted)?;
        gauge(
            encoder,
            "journal_bytes",
            "Bytes of entries and their indexes",
            status.bytes,
        )?;
        gauge(
            encoder,
            "journal_full",
            "1 while the journal accepts nothing, or topics wait at the server for its room",
            self.0.is_journal_full().into(),
        )
    }

    fn sinks(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let head = self.0.journal.log.status().head;
        let running = self.0.sinks.all();
        let each = |value: fn(&SinkView) -> u64| {
            running.iter().map(move |sink| {
                (
                    Sink {
                        sink: sink.name.to_string(),
                    },
                    value(sink),
                )
            })
        };
        gauges(
            encoder,
            "sink_up",
            "1 while the sink is up",
            each(|s| s.health.report().up.into()),
        )?;
        let lag = running.iter().map(|sink| {
            let behind = head.0.saturating_sub(sink.counters.position.load(Relaxed));
            (
                Sink {
                    sink: sink.name.to_string(),
                },
                behind.unsigned_abs(),
            )
        });
        gauges(
            encoder,
            "sink_lag",
            "Entries between the sink's cursor and the head",
            lag,
        )?;
        let delivered = each(|sink| sink.counters.delivered.load(Relaxed));
        counters(
            encoder,
            "sink_delivered",
            "Events that the sink has confirmed",
            delivered,
        )?;
        let filtered = each(|sink| sink.counters.filtered.load(Relaxed));
        counters(
            encoder,
            "sink_filtered",
            "Entries that the sink does not want",
            filtered,
        )?;
        let dead_lettered = each(|sink| sink.counters.dead_lettered.load(Relaxed));
        counters(
            encoder,
            "sink_dead_lettered",
            "Events dead-lettered for the sink since the start",
            dead_lettered,
        )?;
        let known = self.0.journal.log.status().sinks;
        let dlq_bytes = known.iter().filter(|sink| sink.configured).map(|sink| {
            let label = Sink {
                sink: sink.name.to_string(),
            };
            (label, sink.dlq_bytes)
        });
        let help = "Bytes that the sink's dead letters take, of journal.dlq_max_bytes";
        gauges(encoder, "sink_dlq_bytes", help, dlq_bytes)?;
        let retries = each(|sink| sink.counters.retries.load(Relaxed));
        counters(
            encoder,
            "sink_retries",
            "Attempts that failed and are made again",
            retries,
        )?;
        let waiting = each(|sink| sink.counters.lanes_waiting.load(Relaxed));
        let help = "Events of single devices that wait for another attempt while others go on";
        gauges(encoder, "sink_lanes_waiting", help, waiting)?;
        let again = each(|sink| sink.counters.again.load(Relaxed));
        counters(
            encoder,
            "sink_redelivered",
            "Events delivered again by a redrive or a replay",
            again,
        )?;
        self.accounts(encoder)
    }

    fn accounts(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let accountings = self.0.journal.cursors.accountings();
        let outcomes = accountings.into_iter().flat_map(|(sink, accounting)| {
            let passed = accounting.passed;
            let outcomes = [
                ("delivered", passed.delivered),
                ("filtered", passed.filtered),
                ("undecodable", passed.undecodable),
                ("dead_lettered", passed.dead_lettered),
                ("evicted", passed.evicted),
                ("removed", passed.removed),
                ("redriven", accounting.redriven),
                ("discarded", accounting.discarded),
            ];
            outcomes.map(|(outcome, count)| {
                (
                    Outcome {
                        sink: sink.to_string(),
                        outcome,
                    },
                    count,
                )
            })
        });
        gauges(
            encoder,
            "sink_accounting",
            "Outcomes of the entries that the sink's cursor has passed, across restarts",
            outcomes,
        )?;
        let accounting_errors = self.0.audit.accounting_errors().len() as u64;
        gauge(
            encoder,
            "accounting_errors",
            "Errors of the delivery accounting: there should be none",
            accounting_errors,
        )
    }
}

/// A value of each topic: the largest where a label is shared.
fn labelled<T>(topics: &BTreeMap<Arc<str>, T>, value: impl Fn(&T) -> u64) -> Vec<(Topic, u64)> {
    let mut labelled: BTreeMap<&str, u64> = BTreeMap::new();
    for (index, (name, topic)) in topics.iter().enumerate() {
        let label = if index < TOPICS_MAX {
            name
        } else {
            OTHER_TOPICS
        };
        let largest = labelled.entry(label).or_default();
        *largest = value(topic).max(*largest);
    }
    let labelled = labelled.into_iter();
    labelled
        .map(|(label, value)| {
            let topic = label.to_owned();
            (Topic { topic }, value)
        })
        .collect()
}

fn position(position: crate::model::Position) -> u64 {
    position.0.unsigned_abs()
}

fn counter(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: &AtomicU64,
) -> Result<(), Error> {
    count(encoder, name, help, value.load(Relaxed))
}

fn count(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), Error> {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), Error> {
    let metric = ConstGauge::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> Result<(), Error> {
    family(
        encoder,
        name,
        help,
        values
            .into_iter()
            .map(|(labels, value)| (labels, ConstCounter::new(value))),
    )
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> Result<(), Error> {
    family(
        encoder,
        name,
        help,
        values
            .into_iter()
            .map(|(labels, value)| (labels, ConstGauge::new(value))),
    )
}

fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    members: impl IntoIterator<Item = (L, M)>,
) -> Result<(), Error> {
    let mut members = members.into_iter().peekable();
    let Some((_, first)) = members.peek() else {
        return Ok(());
    };
    let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, metric) in members {
        metric.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TopicStatus;

    #[test]
    fn topics_beyond_two_hundred_share_a_label_with_the_one_of_that_name() {
        let topic = |second: i64| TopicStatus {
            last_message: jiff::Timestamp::from_second(second).ok(),
            silent_since: None,
            messages: 0,
        };
        let mut topics: BTreeMap<Arc<str>, TopicStatus> = (0..500)
            .map(|number| (format!("map-{number:03}").into(), topic(number)))
            .collect();
        let second = |it: &TopicStatus| it.last_message.map_or(0, |at| at.as_second() as u64);
        let value = |values: &[(Topic, u64)], label: &str| {
            let found: Vec<u64> = values
                .iter()
                .filter(|(topic, _)| topic.topic == label)
                .map(|(_, value)| *value)
                .collect();
            assert_eq!(found.len(), 1, "{label}");
            found[0]
        };
        let values = labelled(&topics, second);
        assert_eq!(values.len(), TOPICS_MAX + 1);
        assert_eq!(value(&values, "map-199"), 199);
        assert_eq!(value(&values, OTHER_TOPICS), 499);
        topics.insert(OTHER_TOPICS.into(), topic(1000));
        let values = labelled(&topics, second);
        assert_eq!(values.len(), TOPICS_MAX + 1);
        assert_eq!(value(&values, OTHER_TOPICS), 1000);
    }
}
