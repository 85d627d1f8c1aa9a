//! The command line: one file per verb.

mod check;
mod connection;
mod demo;
mod dlq;
mod frames;
mod journal;
mod live;
mod log;
mod print;
mod replay;
mod run;
mod send;
mod sinks;
mod status;
mod tap;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The configuration cannot be used: systemd does not restart on it (`RestartPreventExitStatus=78`,
/// EX_CONFIG).
const BAD_CONFIGURATION: u8 = 78;

/// Carry device status messages from STOMP to MQTT, SQL history and webhooks. Nothing is lost once
/// it is received.
#[derive(Debug, Parser)]
#[command(name = "stomp-bridge", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// The log level: error, warn, info, debug or trace; or a level for each part, such as
    /// `info,stomp_bridge::sinks=debug`.
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        default_value = "info",
        value_name = "LEVEL"
    )]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon.
    #[command(after_help = "Example: stomp-bridge run --config /etc/stomp-bridge/config.toml")]
    Run(ConfigArgs),
    /// Validate the configuration; the exit code is 78 if it has errors.
    #[command(after_help = "Example: stomp-bridge check --config config.toml")]
    Check(ConfigArgs),
    /// Try everything without any set-up: a small STOMP broker, simulated devices, and the daemon
    /// with a SQLite history.
    #[command(after_help = "Example: stomp-bridge demo --dir ./demo")]
    Demo(demo::DemoArgs),
    /// Show the running daemon's link, its journal and each sink's lag.
    #[command(after_help = "Example: stomp-bridge status --config /etc/stomp-bridge/config.toml")]
    Status(status::StatusArgs),
    /// List, show, redrive and drop dead letters and undecodable entries.
    Dlq(dlq::DlqArgs),
    /// Deliver a slice of the journal to one sink again, with the same event ids.
    #[command(after_help = "Example: stomp-bridge replay site --since 2h --device 7 --dry-run")]
    Replay(replay::ReplayArgs),
    /// Forget sinks that were removed from the configuration.
    #[command(after_help = "Example: stomp-bridge sinks forget oncall")]
    Sinks(sinks::SinksArgs),
    /// Use a stale copy of a journal under a new id.
    #[command(
        after_help = "Example: stomp-bridge journal reset-id --config /etc/stomp-bridge/config.toml"
    )]
    Journal(journal::JournalArgs),
    /// Show the topics' messages as they arrive, over a connection of its own; the daemon need not
    /// run.
    ///
    /// The command subscribes to each topic with ack auto and without the headers of a durable
    /// subscription: the daemon misses nothing. It refuses queues unless --force is given: a queue
    /// gives each message to one consumer only. It does not reconnect; Ctrl-C ends it.
    #[command(
        after_help = "Examples:\n  stomp-bridge tap --topic map-1\n  stomp-bridge tap --frames --count 3\n  \
                            stomp-bridge tap --json | jq .state"
    )]
    Tap(tap::TapArgs),
    /// Send one message to the source's server; the daemon need not run.
    #[command(
        after_help = "Example: stomp-bridge send /topic/state/1 '{\"deviceId\":1,\"newState\":\"正常\"}' --header \
                            content-type:application/json --receipt"
    )]
    Send(send::SendArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
}

/// Runs the verb that the command line names.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.verb {
        Verb::Run(args) => run::run(&args.config, &cli.log),
        Verb::Check(args) => check::check(&args.config),
        Verb::Demo(args) => demo::demo(&args, &cli.log),
        Verb::Status(args) => ask(status::status(&args)),
        Verb::Dlq(args) => ask(dlq::dlq(&args)),
        Verb::Replay(args) => ask(replay::replay(&args)),
        Verb::Sinks(args) => ask(sinks::sinks(&args)),
        Verb::Journal(args) => ask(journal::journal(&args)),
        Verb::Tap(args) => tap::tap(&args, &cli.log),
        Verb::Send(args) => send::send(&args, &cli.log),
    }
}

/// Runs a verb that asks and answers; its error is told on standard error, with all its causes.
fn ask(verb: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    match runtime().and_then(|runtime| runtime.block_on(verb)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("stomp-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An error that ends a verb, with all its causes in one line.
fn fail(error: &anyhow::Error) -> ExitCode {
    tracing::error!(error = format!("{error:#}"), "stomp-bridge ends");
    ExitCode::FAILURE
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
