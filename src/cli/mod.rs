//! The command line: one file per verb.

mod check;
mod demo;
mod log;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The configuration cannot be used: systemd does not restart on it (`RestartPreventExitStatus=78`, EX_CONFIG).
const BAD_CONFIGURATION: u8 = 78;

/// Carries device status messages from STOMP to MQTT, SQL history and webhooks, and loses none of them.
#[derive(Debug, Parser)]
#[command(name = "stomp-bridge", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// What to log: error, warn, info, debug, trace, or by part, such as `info,stomp_bridge::sinks=debug`.
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon.
    #[command(after_help = "Example: stomp-bridge run --config /etc/stomp-bridge/config.toml")]
    Run(ConfigArgs),
    /// Say everything that is wrong with a configuration; exit code 78 where there is something.
    #[command(after_help = "Example: stomp-bridge check --config config.toml")]
    Check(ConfigArgs),
    /// Try it all without any set-up: a small STOMP broker, simulated devices and the daemon, into SQLite.
    #[command(after_help = "Example: stomp-bridge demo --dir ./demo")]
    Demo(demo::DemoArgs),
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
    }
}

/// An error that ends a verb, with all its causes in one line.
fn fail(error: &anyhow::Error) -> ExitCode {
    tracing::error!(error = format!("{error:#}"), "stomp-bridge ends");
    ExitCode::FAILURE
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
