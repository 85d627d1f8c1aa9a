//! `stomp-bridge sinks forget`: a sink that has left the configuration lets go of its entries.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::print::say;
use super::target::Target;
use crate::ops::control::AdminCommand;

#[derive(Debug, Args)]
pub(super) struct SinksArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give up a sink that has left the configuration: its cursor, what is dead-lettered for it,
    /// and the entries that the journal kept for it alone.
    Forget {
        #[command(flatten)]
        target: Target,
        /// Its name.
        sink: String,
    },
}

pub(super) async fn sinks(args: &SinksArgs) -> anyhow::Result<ExitCode> {
    let Verb::Forget { target, sink } = &args.verb;
    target
        .carry_out(&AdminCommand::Forget { sink: sink.clone() })
        .await?;
    say!("the sink {sink} is forgotten: what the journal kept for it alone goes");
    Ok(ExitCode::SUCCESS)
}
