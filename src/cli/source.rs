//! `stomp-bridge source retry`: the daemon connects now, in place of waiting for its next attempt.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::print::{age, one_line, say};
use super::target::Target;
use crate::ops::control::AdminCommand;

#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Connect now: the source waits for its next attempt no longer. The limit on refused sign-ins
    /// still holds, since it protects the account.
    #[command(after_help = "Example: stomp-bridge source retry")]
    Retry {
        #[command(flatten)]
        target: Target,
    },
}

pub(super) async fn source(args: &SourceArgs) -> anyhow::Result<ExitCode> {
    let Verb::Retry { target } = &args.verb;
    let reply = target.carry_out(&AdminCommand::RetrySource).await?;
    if let Some(why) = &reply.needless {
        say!("{}: nothing to do", one_line(why));
        return Ok(ExitCode::SUCCESS);
    }
    match reply.not_before {
        None => say!("the source connects now; `stomp-bridge status` says what comes of it"),
        Some(until) => say!(
            "the source connects in {}: sign-ins were refused, and another one might lock the \
             account; correct source.signin and reload: then it connects at once",
            age(Timestamp::now(), until)
        ),
    }
    Ok(ExitCode::SUCCESS)
}
