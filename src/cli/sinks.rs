//! `stomp-bridge sinks`: a removed sink keeps no entries; one that waits is tried at once; any gets a
//! test event.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::print::{age, say};
use super::sink_list::{ListArgs, list};
use super::sink_test::{TestArgs, test};
use super::target::Target;
use crate::ops::control::AdminCommand;

#[derive(Debug, Args)]
pub(super) struct SinksArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the sinks: type, state, lag and dead letters.
    #[command(
        after_help = "Example: stomp-bridge sinks list --config /etc/stomp-bridge/config.toml"
    )]
    List(ListArgs),
    /// Send one marked test event to a sink now, by its real way: template, TLS, sign-in.
    ///
    /// The daemon need not run, and where it runs it goes on undisturbed. The event is in no journal
    /// and moves no cursor. A SQL history stores it in a transaction that is rolled back; an MQTT
    /// broker gets it under another client id, and does not retain it. The exit code is 1 where it was
    /// not confirmed.
    #[command(
        after_help = "Examples:\n  stomp-bridge sinks test oncall\n  stomp-bridge sinks test site --json | jq .answer"
    )]
    Test(TestArgs),
    /// Forget a sink that was removed from the configuration: its cursor, its dead letters, and the
    /// entries that only this sink needs.
    Forget {
        #[command(flatten)]
        target: Target,
        /// The sink's name.
        sink: String,
    },
    /// Deliver to a sink now: it waits for its next attempt no longer, and a disabled sink is
    /// opened again. Its `rate` still holds.
    #[command(after_help = "Example: stomp-bridge sinks retry oncall")]
    Retry {
        #[command(flatten)]
        target: Target,
        /// The sink's name.
        sink: String,
    },
}

pub(super) async fn sinks(args: &SinksArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::List(args) => list(args).await?,
        Verb::Test(args) => return test(args).await,
        Verb::Forget { target, sink } => {
            let sink = sink.clone();
            target
                .carry_out(&AdminCommand::Forget { sink: sink.clone() })
                .await?;
            say!("the sink {sink} is forgotten: the journal keeps nothing for it");
        }
        Verb::Retry { target, sink } => {
            let sink = sink.clone();
            let retry = AdminCommand::RetrySink { sink: sink.clone() };
            let reply = target.carry_out(&retry).await?;
            say!("{}", retried(&sink, reply.not_before, Timestamp::now()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// When the next attempt comes of it.
fn retried(sink: &str, not_before: Option<Timestamp>, now: Timestamp) -> String {
    match not_before {
        None => {
            format!("the sink {sink} is tried now; `stomp-bridge status` says what comes of it")
        }
        Some(until) => format!(
            "the sink {sink} is tried in {}: its `rate` allows no attempt before; \
             `stomp-bridge status` says what comes of it",
            age(now, until)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_says_when_the_attempt_comes() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(retried("oncall", None, at(0)).starts_with("the sink oncall is tried now;"));
        let said = retried("oncall", Some(at(42)), at(0));
        assert!(
            said.starts_with("the sink oncall is tried in 42 s: its `rate` allows"),
            "{said}"
        );
    }
}
