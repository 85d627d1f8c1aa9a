//! Every metric: its name, its type, its labels and its help. The answer of `/metrics` and
//! docs/metrics.md are made from this list.

/// One metric, with a sample for each set of labels.
#[derive(Debug)]
pub(super) struct Family {
    /// As it is in the answer; a counter's ends with `_total`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// Its name in both formats.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    let kind = Kind::Counter;
    Family {
        name,
        kind,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    let kind = Kind::Gauge;
    Family {
        name,
        kind,
        labels,
        help,
    }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    let kind = Kind::Histogram;
    Family {
        name,
        kind,
        labels,
        help,
    }
}

// Process.

pub(super) static BUILD_INFO: Family = gauge(
    "stomp_bridge_build_info",
    &["version"],
    "1, with the version that runs",
);
pub(super) static PROCESS_START: Family = gauge(
    "process_start_time_seconds",
    &[],
    "When the daemon started, in seconds since 1970",
);
pub(super) static PROCESS_CPU: Family = counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time of the process",
);
pub(super) static PROCESS_RESIDENT: Family = gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory of the process that is resident",
);
pub(super) static PROCESS_VIRTUAL: Family = gauge(
    "process_virtual_memory_bytes",
    &[],
    "Address space of the process",
);
pub(super) static PROCESS_FDS: Family = gauge("process_open_fds", &[], "Open file descriptors");
pub(super) static PROCESS_FDS_MAX: Family = gauge(
    "process_max_fds",
    &[],
    "How many file descriptors may be open",
);
pub(super) static PROCESS_THREADS: Family = gauge("process_threads", &[], "Threads of the process");
// Readiness.

pub(super) static READY: Family = gauge(
    "stomp_bridge_ready",
    &[],
    "1 while every topic is subscribed and heard and every sink is up, as /readyz says",
);
pub(super) static NOT_READY: Family = gauge(
    "stomp_bridge_not_ready_reasons",
    &["reason"],
    "How many times each reason keeps the daemon from being ready",
);
pub(super) static CONFIG_GOOD: Family = gauge(
    "stomp_bridge_config_last_reload_successful",
    &[],
    "0 while the last reload is rejected, or secrets are not read again: what was before holds",
);
pub(super) static CONFIG_RELOADS: Family = counter(
    "stomp_bridge_config_reloads_total",
    &["result"],
    "Reloads since the start, also those that changed nothing: success or failure",
);
pub(super) static CONFIG_AT: Family = gauge(
    "stomp_bridge_config_last_reload_timestamp_seconds",
    &[],
    "When the configuration was read last, in seconds since 1970",
);
// The link.

pub(super) static LINK_STATE: Family = gauge(
    "stomp_bridge_link_state",
    &["state"],
    "1 for the state that the STOMP link is in",
);
pub(super) static LINK_SINCE: Family = gauge(
    "stomp_bridge_link_state_since_timestamp_seconds",
    &[],
    "When the link entered that state, in seconds since 1970",
);
pub(super) static LINK_RECEIVED_AT: Family = gauge(
    "stomp_bridge_link_last_received_timestamp_seconds",
    &[],
    "When the last byte came from the server, heart-beats too, in seconds since 1970",
);
pub(super) static LAST_MESSAGE: Family = gauge(
    "stomp_bridge_last_message_timestamp_seconds",
    &[],
    "When the last message came, in seconds since 1970",
);
pub(super) static LINK_WARNINGS: Family = gauge(
    "stomp_bridge_link_warnings",
    &[],
    "Configuration warnings, which status names",
);
pub(super) static CONNECT_ATTEMPTS: Family = counter(
    "stomp_bridge_connect_attempts_total",
    &[],
    "Attempts to connect",
);
pub(super) static CONNECTIONS: Family = counter(
    "stomp_bridge_connections_total",
    &[],
    "Connections that reached CONNECTED",
);
pub(super) static RECEIVED_FRAMES: Family = counter(
    "stomp_bridge_received_frames_total",
    &[],
    "STOMP frames received, without heart-beats",
);
pub(super) static RECEIVED_BYTES: Family = counter(
    "stomp_bridge_received_bytes_total",
    &[],
    "Bytes of STOMP received, heart-beats too",
);
pub(super) static SENT_FRAMES: Family = counter(
    "stomp_bridge_sent_frames_total",
    &[],
    "STOMP frames sent, without heart-beats",
);
pub(super) static SENT_BYTES: Family = counter(
    "stomp_bridge_sent_bytes_total",
    &[],
    "Bytes of STOMP sent, heart-beats too",
);
pub(super) static MESSAGES: Family = counter(
    "stomp_bridge_messages_total",
    &[],
    "MESSAGE frames received",
);
pub(super) static MESSAGE_BODY_BYTES: Family = counter(
    "stomp_bridge_message_body_bytes_total",
    &[],
    "Bytes of their bodies",
);
pub(super) static ACKNOWLEDGED: Family =
    counter("stomp_bridge_acknowledged_total", &[], "ACK frames sent");
pub(super) static FRAMES_MALFORMED: Family = counter(
    "stomp_bridge_frames_malformed_total",
    &[],
    "Frames read in spite of a rule that they have broken",
);
pub(super) static MESSAGES_UNKNOWN: Family = counter(
    "stomp_bridge_messages_unknown_total",
    &[],
    "Messages of no topic, kept raw",
);
pub(super) static DELIVERY_COUNT: Family = gauge(
    "stomp_bridge_delivery_count_highest",
    &[],
    "Most earlier deliveries that the server has counted for one message, since the start",
);
// Topics.

pub(super) static TOPIC_MESSAGES: Family = counter(
    "stomp_bridge_topic_messages_total",
    &["topic"],
    "Messages of the topic. Topics beyond the first 200 are one, other",
);
pub(super) static TOPIC_LAST_MESSAGE: Family = gauge(
    "stomp_bridge_topic_last_message_timestamp_seconds",
    &["topic"],
    "When the topic's last message came, in seconds since 1970; 0: none since the start",
);
pub(super) static TOPIC_SILENT: Family = gauge(
    "stomp_bridge_topic_silent",
    &["topic"],
    "1 while the topic is silent; of other, while one of its topics is",
);
pub(super) static TOPICS_SILENT: Family = gauge(
    "stomp_bridge_topics_silent",
    &[],
    "Topics of which no message has come for as long as their silence allows",
);
pub(super) static SILENCES: Family = counter(
    "stomp_bridge_silences_total",
    &[],
    "Times that no message of a topic came for as long as its silence",
);
pub(super) static TOPICS_REFUSED: Family = gauge(
    "stomp_bridge_topics_refused",
    &[],
    "Topics that the server refuses, which status names",
);
pub(super) static TOPICS_HELD_BACK: Family = gauge(
    "stomp_bridge_topics_held_back",
    &[],
    "Topics that wait at the server for the journal's room",
);
pub(super) static RESYNCS: Family = counter(
    "stomp_bridge_resyncs_total",
    &["topic", "result"],
    "Snapshots that were asked for, by how that ended: taken_in or failed",
);
pub(super) static RESYNC_LAST: Family = gauge(
    "stomp_bridge_resync_last_success_timestamp_seconds",
    &["topic"],
    "When the topic's last snapshot was taken in, in seconds since 1970; 0: none since the start",
);
pub(super) static RESYNC_FAILING: Family = gauge(
    "stomp_bridge_resync_failing",
    &["topic"],
    "1 while the newest snapshot of the topic failed; of other, while that of any of them did",
);
// Statuses.

pub(super) static ACCEPTED: Family = counter(
    "stomp_bridge_statuses_accepted_total",
    &[],
    "Statuses decoded",
);
pub(super) static UNDECODABLE: Family = counter(
    "stomp_bridge_statuses_undecodable_total",
    &[],
    "Statuses kept raw: they cannot be decoded",
);
pub(super) static UNMAPPED: Family = counter(
    "stomp_bridge_statuses_unmapped_total",
    &["topic"],
    "Statuses whose state [states] does not have; status names the words",
);
pub(super) static IGNORED: Family = counter(
    "stomp_bridge_statuses_ignored_total",
    &["topic"],
    "Objects that the topic's ignore has dropped",
);
pub(super) static UNREADABLE: Family = counter(
    "stomp_bridge_fields_unreadable_total",
    &["topic", "field"],
    "Statuses stored without a field whose value could not be read",
);
pub(super) static EMPTY: Family = counter(
    "stomp_bridge_messages_empty_total",
    &["topic"],
    "Messages that were an empty array",
);
pub(super) static REPEATS: Family = counter(
    "stomp_bridge_repeats_total",
    &[],
    "Statuses that were received before, by their event key or by another topic",
);
pub(super) static RESYNCED: Family = counter(
    "stomp_bridge_statuses_resynced_total",
    &[],
    "Statuses that snapshots brought, those that only confirm what was known included",
);
pub(super) static MISSED: Family = counter(
    "stomp_bridge_missed_transitions_total",
    &[],
    "Statuses whose old state was not the last one known",
);
pub(super) static DEVICES: Family = gauge(
    "stomp_bridge_devices",
    &[],
    "Devices whose last state is known",
);
pub(super) static DEVICES_MAX: Family = gauge(
    "stomp_bridge_devices_max",
    &[],
    "journal.devices_max: how many devices may be known",
);
pub(super) static DEVICES_EVICTED: Family = counter(
    "stomp_bridge_devices_evicted_total",
    &[],
    "Devices that were forgotten because of journal.devices_max",
);
// The journal.

pub(super) static JOURNALED_LATENCY: Family = histogram(
    "stomp_bridge_journaled_latency_seconds",
    &[],
    "From a message's bytes to its status on disk: only then is it acknowledged",
);
pub(super) static JOURNAL_HEAD: Family = gauge(
    "stomp_bridge_journal_head",
    &[],
    "The newest durable position",
);
pub(super) static JOURNAL_OLDEST: Family = gauge(
    "stomp_bridge_journal_oldest",
    &[],
    "The oldest position kept; 0: the journal is empty",
);
pub(super) static JOURNAL_BYTES: Family = gauge(
    "stomp_bridge_journal_bytes",
    &[],
    "Bytes of entries and their indexes",
);
pub(super) static JOURNAL_BYTES_MAX: Family = gauge(
    "stomp_bridge_journal_max_bytes",
    &[],
    "journal.max_bytes: how many they may be",
);
pub(super) static JOURNAL_FULL: Family = gauge(
    "stomp_bridge_journal_full",
    &[],
    "1 while the journal accepts nothing, or topics wait at the server for its room",
);
pub(super) static JOURNAL_PENDING: Family = gauge(
    "stomp_bridge_journal_oldest_pending_seconds",
    &[],
    "How long the oldest entry has waited that some sink has yet to get; 0: none waits",
);
pub(super) static JOURNAL_EVICTED: Family = counter(
    "stomp_bridge_journal_evicted_total",
    &[],
    "Entries evicted by when_full = \"drop_oldest\" before every sink had them",
);
// Sinks.

pub(super) static SINK_UP: Family =
    gauge("stomp_bridge_sink_up", &["sink"], "1 while the sink is up");
pub(super) static SINK_STATE: Family = gauge(
    "stomp_bridge_sink_state",
    &["sink", "state"],
    "1 for the condition that the sink is in: up, starting, retrying, paused or disabled",
);
pub(super) static SINK_LAG_ENTRIES: Family = gauge(
    "stomp_bridge_sink_lag_entries",
    &["sink"],
    "Entries between the sink's cursor and the head",
);
pub(super) static SINK_LAG_SECONDS: Family = gauge(
    "stomp_bridge_sink_lag_seconds",
    &["sink"],
    "How long the oldest of them has waited, to a second or a 60th; 0: there is none",
);
pub(super) static SINK_LATENCY: Family = histogram(
    "stomp_bridge_sink_confirmed_latency_seconds",
    &["sink"],
    "From a message's bytes to the sink's confirmation, without redrives and replays",
);
pub(super) static SINK_DELIVERED: Family = counter(
    "stomp_bridge_sink_delivered_total",
    &["sink"],
    "Events that the sink has confirmed",
);
pub(super) static SINK_FILTERED: Family = counter(
    "stomp_bridge_sink_filtered_total",
    &["sink"],
    "Entries that the sink does not want",
);
pub(super) static SINK_RETRIES: Family = counter(
    "stomp_bridge_sink_retries_total",
    &["sink"],
    "Attempts that failed and are made again",
);
pub(super) static SINK_DEAD_LETTERED: Family = counter(
    "stomp_bridge_sink_dead_lettered_total",
    &["sink"],
    "Events dead-lettered for the sink since the start",
);
pub(super) static SINK_REDELIVERED: Family = counter(
    "stomp_bridge_sink_redelivered_total",
    &["sink"],
    "Events delivered again by a redrive or a replay",
);
pub(super) static SINK_LANES_WAITING: Family = gauge(
    "stomp_bridge_sink_lanes_waiting",
    &["sink"],
    "Events of single devices that wait for another attempt while others go on",
);
pub(super) static SINK_DLQ_ENTRIES: Family = gauge(
    "stomp_bridge_sink_dlq_entries",
    &["sink"],
    "Dead letters of the sink",
);
pub(super) static SINK_DLQ_BYTES: Family = gauge(
    "stomp_bridge_sink_dlq_bytes",
    &["sink"],
    "Bytes that the sink's dead letters take",
);
pub(super) static DLQ_BYTES_MAX: Family = gauge(
    "stomp_bridge_dlq_max_bytes",
    &[],
    "journal.dlq_max_bytes: how many those of each sink may be",
);
pub(super) static SINK_ACCOUNTING: Family = gauge(
    "stomp_bridge_sink_accounting",
    &["sink", "outcome"],
    "Outcomes of the entries that the sink's cursor has passed, across restarts",
);
pub(super) static ACCOUNTING_ERRORS: Family = gauge(
    "stomp_bridge_accounting_errors",
    &[],
    "Errors of the delivery accounting: there should be none",
);

/// All of them, in the order of the answer.
#[cfg(test)]
pub(super) static ALL: &[&Family] = &[
    &BUILD_INFO,
    &PROCESS_START,
    &PROCESS_CPU,
    &PROCESS_RESIDENT,
    &PROCESS_VIRTUAL,
    &PROCESS_FDS,
    &PROCESS_FDS_MAX,
    &PROCESS_THREADS,
    &READY,
    &NOT_READY,
    &CONFIG_GOOD,
    &CONFIG_RELOADS,
    &CONFIG_AT,
    &LINK_STATE,
    &LINK_SINCE,
    &LINK_RECEIVED_AT,
    &LAST_MESSAGE,
    &LINK_WARNINGS,
    &CONNECT_ATTEMPTS,
    &CONNECTIONS,
    &RECEIVED_FRAMES,
    &RECEIVED_BYTES,
    &SENT_FRAMES,
    &SENT_BYTES,
    &MESSAGES,
    &MESSAGE_BODY_BYTES,
    &ACKNOWLEDGED,
    &FRAMES_MALFORMED,
    &MESSAGES_UNKNOWN,
    &DELIVERY_COUNT,
    &TOPIC_MESSAGES,
    &TOPIC_LAST_MESSAGE,
    &TOPIC_SILENT,
    &TOPICS_SILENT,
    &SILENCES,
    &TOPICS_REFUSED,
    &TOPICS_HELD_BACK,
    &RESYNCS,
    &RESYNC_LAST,
    &RESYNC_FAILING,
    &ACCEPTED,
    &UNDECODABLE,
    &UNMAPPED,
    &IGNORED,
    &UNREADABLE,
    &EMPTY,
    &REPEATS,
    &RESYNCED,
    &MISSED,
    &DEVICES,
    &DEVICES_MAX,
    &DEVICES_EVICTED,
    &JOURNALED_LATENCY,
    &JOURNAL_HEAD,
    &JOURNAL_OLDEST,
    &JOURNAL_BYTES,
    &JOURNAL_BYTES_MAX,
    &JOURNAL_FULL,
    &JOURNAL_PENDING,
    &JOURNAL_EVICTED,
    &SINK_UP,
    &SINK_STATE,
    &SINK_LAG_ENTRIES,
    &SINK_LAG_SECONDS,
    &SINK_LATENCY,
    &SINK_DELIVERED,
    &SINK_FILTERED,
    &SINK_RETRIES,
    &SINK_DEAD_LETTERED,
    &SINK_REDELIVERED,
    &SINK_LANES_WAITING,
    &SINK_DLQ_ENTRIES,
    &SINK_DLQ_BYTES,
    &DLQ_BYTES_MAX,
    &SINK_ACCOUNTING,
    &ACCOUNTING_ERRORS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_that_prometheus_expects() {
        let names: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is given twice");
        for family in ALL {
            let Family { name, kind, .. } = family;
            assert!(name.starts_with("stomp_bridge_") || name.starts_with("process_"));
            let is_counter = *kind == Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(
                !name.ends_with("_count") && !name.ends_with("_sum"),
                "{name}"
            );
            assert!(
                !family.help.ends_with('.') && !family.help.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn docs_list_every_metric() {
        let docs = include_str!("../../../docs/metrics.md");
        let rows = ALL.iter().map(|family| {
            let labels: Vec<String> = family.labels.iter().map(|it| format!("`{it}`")).collect();
            let Family {
                name, kind, help, ..
            } = family;
            let kind = kind.as_str();
            format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
        });
        let rows: String = rows.collect();
        assert!(
            docs.contains(&rows),
            "docs/metrics.md is to have these rows:\n{rows}"
        );
    }
}
