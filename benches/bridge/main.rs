//! The daemon's speed, measured on the real binary as a process of its own, against a STOMP server
//! in here.
//!
//! ```text
//! cargo bench --bench bridge                    everything, about five minutes
//! cargo bench --bench bridge -- journal         one or some of them
//! ```
//!
//! - `journal`: messages a second that are journaled, synced and acknowledged, with one sink that
//!   wants none of them.
//! - `sqlite`, `postgres`, `mqtt`, `mqtt-default`: half a million messages through the daemon into
//!   one sink, until it has confirmed the last; the last of them with a mosquitto that does not say
//!   `set_tcp_nodelay true`.
//! - `latency`: from the server's write to an MQTT subscriber behind mosquitto, at 1,000 messages a
//!   second.
//! - `rabbitmq`: the ruler. From a real RabbitMQ to mosquitto at the rates that users have: the
//!   daemon, a script, an Apache Camel application and the floor in turn, or any two binaries. Only
//!   when it is asked for by name, alone, and with options of its own: `-- rabbitmq --help`.
//! - `rabbitmq-sinks`: a real source. The daemon with all four sinks against a reader that does
//!   nothing but acknowledge.
//! - `heartbeat`: how late the daemon's heart-beats come while a webhook never answers, the history
//!   is locked, and messages flood in or the journal is full.
//! - `scripts`: the same work by scripts in JavaScript and Python, as ratios; run
//!   `benches/scripts/prepare` first. Only when it is asked for by name.
//! - `self-check`: the server and the subscriber of this benchmark themselves, without the daemon.
//!
//! Each figure is from one run, but for those of the latency (medians of five), of the ruler and of
//! `rabbitmq-sinks` (medians of three). The daemon's files lie under `target/`, not in `/tmp`, which
//! may be memory and make syncing free; those of PostgreSQL and RabbitMQ do lie there.

mod daemon;
mod flood;
mod heartbeat;
mod latency;
mod machine;
mod mosquitto;
mod rabbitmq;
mod rabbitmq_sinks;
mod scripts;
mod self_check;
mod stomp;
mod subscriber;
mod sustained;

use std::process::ExitCode;

type Bench = fn() -> Vec<Row>;

/// Needs what nobody else does, so it runs only when it is asked for.
const SCRIPTS: &str = "scripts";
/// Has options of its own.
const RABBITMQ: &str = "rabbitmq";

/// One line of the table.
struct Row {
    what: String,
    value: String,
}

impl Row {
    fn new(what: impl Into<String>, value: impl Into<String>) -> Row {
        Row {
            what: what.into(),
            value: value.into(),
        }
    }
}

const BENCHES: [(&str, Bench); 10] = [
    ("self-check", self_check::run),
    ("journal", flood::journal),
    ("sqlite", sustained::sqlite),
    ("postgres", sustained::postgres),
    ("mqtt", sustained::mqtt),
    ("mqtt-default", sustained::mqtt_default),
    ("latency", latency::run),
    ("rabbitmq-sinks", rabbitmq_sinks::run),
    ("heartbeat", heartbeat::run),
    (SCRIPTS, scripts::run),
];

/// For peers and queries; the measured processes run elsewhere.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test --all-targets` does not, and wants to know only that
    // nothing is broken.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let others: Vec<String> = arguments
        .iter()
        .filter(|argument| *argument != "--bench")
        .cloned()
        .collect();
    match others.split_first() {
        Some((name, rest)) if name == rabbitmq::FLOOR => return rabbitmq::floor(rest),
        Some((name, rest)) if name == RABBITMQ => return rabbitmq::run(rest),
        _ => {}
    }
    let mut chosen: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if chosen.is_empty() {
        let all = BENCHES
            .map(|(name, _)| name)
            .into_iter()
            .filter(|name| *name != SCRIPTS);
        chosen = if measured {
            all.collect()
        } else {
            vec!["self-check"]
        };
    }
    if let Some(unknown) = chosen
        .iter()
        .find(|name| BENCHES.iter().all(|(known, _)| known != *name))
    {
        eprintln!(
            "no benchmark is called {unknown}: choose from {}, or {RABBITMQ} alone",
            BENCHES.map(|(name, _)| name).join(", ")
        );
        return ExitCode::FAILURE;
    }
    println!("{}", machine::describe());
    for (name, run) in BENCHES
        .into_iter()
        .filter(|(name, _)| chosen.contains(name))
    {
        println!("\n{name}");
        for Row { what, value } in run() {
            println!("  {what:<44}{value:>16}");
        }
    }
    ExitCode::SUCCESS
}
