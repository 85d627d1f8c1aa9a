//! `stomp-bridge sinks forget`: a removed sink keeps no entries.

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
    /// Forget a sink that was removed from the configuration: its cursor, its dead letters, and the
    /// entries that only this sink needs.
    Forget {
        #[command(flatten)]
        target: Target,
        /// The sink's name.
        sink: String,
    },
}

pub(super) async fn sinks(args: &SinksArgs) -> anyhow::Result<ExitCode> {
    let Verb::Forget { target, sink } = &args.verb;
    target
        .carry_out(&AdminCommand::Forget { sink: sink.clone() })
        .await?;
    say!("the sink {sink} is forgotten: the journal keeps nothing for it");
    Ok(ExitCode::SUCCESS)
}
