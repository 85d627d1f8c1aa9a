//! `stomp-bridge journal reset-id`: a stale copy of a journal goes on under a new id.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::print::say;
use super::target::Target;

#[derive(Debug, Args)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give the journal a new id, where it is a copy that was brought back and is older than what a
    /// sink has got from it.
    ///
    /// The daemon must not run. Everything that the copy holds is kept, and each sink goes on where
    /// the copy knows it to be: what it had got after that comes once more, under other event ids.
    /// A SQL history with start = "oldest" gets all that is kept.
    ResetId {
        #[command(flatten)]
        target: Target,
    },
}

pub(super) async fn journal(args: &JournalArgs) -> anyhow::Result<ExitCode> {
    let Verb::ResetId { target } = &args.verb;
    let (path, renewed) = target.reset_id().await?;
    say!(
        "the journal {} has a new id, {} (before: {}); start the daemon again",
        path.display(),
        renewed.now.simple(),
        renewed.before.simple()
    );
    Ok(ExitCode::SUCCESS)
}
