//! The ruler: ways from a queue of RabbitMQ to mosquitto, side by side at the rates that users
//! have. It reads nothing of a contestant but what reaches the subscriber (or its file), and
//! /proc, so that it outlives renames and compares any two binaries.
//!
//! ```text
//! cargo bench --bench bridge -- rabbitmq --help
//! cargo bench --bench bridge -- rabbitmq --only paced-1000,drain --without camel \
//!     --contestant old=OLD/stomp-bridge --contestant new=NEW/stomp-bridge,config=new.toml
//! ```
//!
//! The queue is durable, the 450-byte statuses persistent; who acknowledges subscribes with
//! `client-individual` and a prefetch of 1,000, and publishes with QoS 1, retained, to a mosquitto
//! with `set_tcp_nodelay true`. The subscriber is in here, with QoS 0. Each run has a fresh queue,
//! mosquitto and folder; every other round goes in the reverse order of the one before, and then
//! it is another contestant's turn first.
//!
//! - Paced: one write for each message, at its moment of a schedule that does not move. Once a
//!   probe has come and 1.5 s are over, messages count. A latency begins just before the
//!   publisher's write and ends just after the subscriber's read, on one clock. /proc is read at
//!   the first counted message at the subscriber and at the last. A message that does not come is
//!   a failure, and so is a publisher that was late by more than a second; each run's line ends
//!   with how late it was.
//! - Drain: the queue is full before the contestant starts. /proc is read at the first message at
//!   the subscriber and at the last: the start costs nothing here, nor does what a journal took in
//!   before that first message.
//! - Idle: connected and subscribed; the figures are per second.
//! - Flood, when it is asked for: the server in here instead of RabbitMQ, and the binaries journal
//!   and deliver to nobody.
//!
//! A run that ends at a file has no latencies: the file is read once a millisecond. `KB write`
//! holds sockets too where they are written by write(2), as Node does, and not by send(2). `KB dirty`
//! is the pages that were made dirty, and not what the device wrote: see [`proc`].

mod arrivals;
mod contestant;
mod figures;
mod floor;
mod options;
mod proc;
mod publisher;
mod round;
mod scenario;
mod table;

pub(crate) use floor::{ARGUMENT as FLOOR, main as floor};

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::contestant::Contestant;
use self::figures::{Figures, MEASURES};
use self::options::Options;
use self::round::Round;
use self::scenario::Scenario;
use self::table::Outcome;
use crate::{machine, runtime};
use peers::RabbitMq;

/// Prints a table for each scenario, and writes each run into a file.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    if let Some(unknown) = options.unknown() {
        eprintln!("--without {unknown}: no contestant is called so");
        return ExitCode::FAILURE;
    }
    println!("{}", machine::describe());
    match compare(&options) {
        Ok(file) => {
            println!("\neach run: {}", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> io::Result<PathBuf> {
    let contestants: Vec<(Contestant, Result<(), String>)> = options
        .contestants()
        .into_iter()
        .map(|contestant| {
            let prepared = contestant.prepare().map_err(|error| format!("{error:#}"));
            (contestant, prepared)
        })
        .collect();
    let runtime = runtime();
    let rabbitmq = runtime.block_on(RabbitMq::start());
    let mut runs = Runs::create()?;
    for (index, scenario) in options.only.iter().enumerate() {
        let outcomes = compete(
            options,
            index,
            *scenario,
            &contestants,
            &rabbitmq,
            &mut runs,
        )?;
        println!(
            "\n{scenario}: {}; medians of {}",
            scenario.describe(options.duration()),
            options.rounds
        );
        table::print(&outcomes);
    }
    Ok(runs.path)
}

/// One scenario's rounds.
fn compete(
    options: &Options,
    index: usize,
    scenario: Scenario,
    contestants: &[(Contestant, Result<(), String>)],
    rabbitmq: &RabbitMq,
    runs: &mut Runs,
) -> io::Result<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = contestants
        .iter()
        .map(|(contestant, _)| Outcome {
            name: contestant.name.clone(),
            runs: Vec::new(),
            failures: Vec::new(),
        })
        .collect();
    for round in 0..options.rounds {
        for turn in 0..contestants.len() {
            let at = place(contestants.len(), turn, index, round as usize);
            let (contestant, prepared) = &contestants[at];
            let outcome = &mut outcomes[at];
            let conditions = Round {
                contestant,
                scenario,
                duration: options.duration(),
                stomp_port: rabbitmq.stomp_port(),
                queue: format!("/queue/{scenario}-{index}-{round}-{at}"),
            };
            let result = prepared
                .clone()
                .and_then(|()| conditions.run().map_err(|error| format!("{error:#}")));
            runs.write(scenario, round, &contestant.name, &result)?;
            match result {
                Ok(figures) => outcome.runs.push(figures),
                Err(failure) => outcome.failures.push(failure),
            }
        }
    }
    Ok(outcomes)
}

/// Whose turn it is. A machine that gets slower, or faster, favours nobody in two rounds: the second
/// one is the first in reverse.
fn place(contestants: usize, turn: usize, scenario: usize, round: usize) -> usize {
    let turn = match round % 2 {
        0 => turn,
        _ => contestants - 1 - turn,
    };
    (turn + scenario + round / 2) % contestants
}

/// Each run as it ends, separated by tabs: in a file, and on stderr.
struct Runs {
    path: PathBuf,
    file: File,
}

impl Runs {
    fn create() -> io::Result<Runs> {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rabbitmq.tsv");
        let mut file = File::create(&path)?;
        let heads: Vec<&str> = MEASURES.iter().map(|measure| measure.head).collect();
        let heads = heads.join("\t");
        writeln!(file, "scenario\tround\tcontestant\t{heads}\tlate ms")?;
        Ok(Runs { path, file })
    }

    fn write(
        &mut self,
        scenario: Scenario,
        round: u32,
        contestant: &str,
        result: &Result<Figures, String>,
    ) -> io::Result<()> {
        let what = match result {
            Ok(figures) => figures
                .values
                .iter()
                .chain([&figures.late_max.map(|late| late.as_secs_f64() * 1e3)])
                .map(|value| value.map_or("-".to_owned(), |value| format!("{value:.3}")))
                .collect::<Vec<_>>()
                .join("\t"),
            Err(failure) => failure.clone(),
        };
        let line = format!("{scenario}\t{}\t{contestant}\t{what}", round + 1);
        eprintln!("{line}");
        writeln!(self.file, "{line}")
    }
}
