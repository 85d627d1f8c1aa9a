//! From the command line to the verb that it names.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use super::args::{Cli, Verb};
use super::error_words::in_words;
use super::exit::refuse;
use super::print::tell;
use super::runtime::runtime;
use super::terminal::columns;
use super::{
    check, config, demo, dlq, doctor, generated, history, init, journal, log, replay, send, sinks,
    source, status, support_bundle, tap, why,
};

/// Below so many columns a help text stands under its option, not beside it.
const NARROW: usize = 60;

/// Runs the verb that the command line names.
pub fn run() -> ExitCode {
    let is_narrow = columns().is_some_and(|columns| columns < NARROW);
    let command = Cli::command().next_line_help(is_narrow);
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    // Also where the verb logs nothing: a mistake in it must not pass unseen.
    if let Err(error) = log::check(cli.log.as_deref()) {
        return refuse(&error);
    }
    match cli.verb {
        Verb::Run(args) => super::run::run(&args.file, cli.log.as_deref()),
        Verb::Check(args) => check::check(&args, cli.log.as_deref()),
        Verb::Config(args) => ask(config::config(&args)),
        Verb::Demo(args) => demo::demo(&args, cli.log.as_deref()),
        Verb::Init(args) => init::init(&args, cli.log.as_deref()),
        Verb::Doctor(args) => doctor::doctor(&args, cli.log.as_deref()),
        Verb::Status(args) => ask(status::status(&args)),
        Verb::Dlq(args) => ask(dlq::dlq(&args)),
        Verb::History(args) => ask(history::history(&args)),
        Verb::Why(args) => ask(why::why(&args)),
        Verb::Replay(args) => ask(replay::replay(&args)),
        Verb::Sinks(args) => ask(sinks::sinks(&args)),
        Verb::Source(args) => ask(source::source(&args)),
        Verb::Journal(args) => ask(journal::journal(&args)),
        Verb::SupportBundle(args) => ask(support_bundle::support_bundle(&args)),
        Verb::Tap(args) => tap::tap(&args, cli.log.as_deref()),
        Verb::Completions(args) => ask(async { generated::completions(&args, Cli::command()) }),
        Verb::Man(args) => ask(async { generated::man(&args, Cli::command()) }),
        Verb::Send(args) => send::send(&args, cli.log.as_deref()),
    }
}

/// Runs a verb that asks and answers; prints its error with all its causes on standard error.
fn ask(verb: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    match runtime().and_then(|runtime| runtime.block_on(verb)) {
        Ok(code) => code,
        Err(error) => {
            tell!("stomp-bridge: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}
