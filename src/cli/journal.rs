//! `stomp-bridge journal reset-id`: a stale copy of a journal goes on under a new id.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::print::say;
use super::target::Target;
use crate::journal::Proof;

#[derive(Debug, Args)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give a new id to a stale copy of the journal, such as a restored backup.
    ///
    /// The daemon must not run. The copy keeps all its entries, and each sink continues from its
    /// cursor in the copy. Entries that a sink got later come again, under other event ids. A SQL
    /// history with start = "oldest" gets all entries of the copy.
    ResetId {
        #[command(flatten)]
        target: Target,
        /// Also where nothing says that it is a stale copy, such as a copy for another machine.
        #[arg(long)]
        force: bool,
    },
}

pub(super) async fn journal(args: &JournalArgs) -> anyhow::Result<ExitCode> {
    let Verb::ResetId { target, force } = &args.verb;
    let proof = match force {
        true => Proof::Waived,
        false => Proof::Wanted,
    };
    let (path, renewed) = target.reset_id(proof).await?;
    say!(
        "the journal {} has a new id, {} (before: {}); start the daemon again",
        path.display(),
        renewed.now.simple(),
        renewed.before.simple()
    );
    Ok(ExitCode::SUCCESS)
}
