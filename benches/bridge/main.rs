//! The daemon's speed, measured on the real binary as a process of its own, against a STOMP server in here.
//!
//! ```text
//! cargo bench --bench bridge                    everything, about two minutes
//! cargo bench --bench bridge -- journal         one of: self-check, journal, history, latency, heartbeat
//! ```
//!
//! - `journal`: messages a second that are journaled, synced and acknowledged, with one sink that wants none of them.
//! - `history`: the same with a SQLite history, and how long the history takes to have them all.
//! - `latency`: from the server's write to an MQTT subscriber behind mosquitto, at 1,000 messages a second.
//! - `heartbeat`: how late the daemon's heart-beats come while a webhook never answers, the history is locked, and messages
//!   flood in or the journal is full.
//! - `self-check`: the server and the subscriber of this benchmark themselves, without the daemon.
//!
//! Each figure is from one run, bounded in count and time. The files lie under `target/`, not in `/tmp`, which may be
//! memory and make syncing free.

mod daemon;
mod flood;
mod heartbeat;
mod latency;
mod machine;
mod message;
mod mosquitto;
mod self_check;
mod source;
mod subscriber;

use std::process::ExitCode;

type Bench = fn() -> Vec<Row>;

/// One line of the table.
struct Row {
    what: &'static str,
    value: String,
}

impl Row {
    fn new(what: &'static str, value: impl Into<String>) -> Row {
        Row { what, value: value.into() }
    }
}

const BENCHES: [(&str, Bench); 5] = [
    ("self-check", self_check::run),
    ("journal", flood::journal),
    ("history", flood::history),
    ("latency", latency::run),
    ("heartbeat", heartbeat::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test --all-targets` does not, and wants to know only that nothing is broken.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let mut chosen: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    if chosen.is_empty() {
        chosen = if measured { BENCHES.map(|(name, _)| name).to_vec() } else { vec!["self-check"] };
    }
    if let Some(unknown) = chosen.iter().find(|name| BENCHES.iter().all(|(known, _)| known != *name)) {
        eprintln!("no benchmark is called {unknown}: choose from {}", BENCHES.map(|(name, _)| name).join(", "));
        return ExitCode::FAILURE;
    }
    println!("{}", machine::describe());
    for (name, run) in BENCHES.into_iter().filter(|(name, _)| chosen.contains(name)) {
        println!("\n{name}");
        for Row { what, value } in run() {
            println!("  {what:<44}{value:>16}");
        }
    }
    ExitCode::SUCCESS
}
