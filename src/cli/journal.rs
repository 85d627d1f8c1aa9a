//! `stomp-bridge journal`: a backup of a journal, a journal of a backup, and a new id for a stale copy.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::print::{bytes, say};
use super::target::Target;
use crate::journal::Proof;

#[derive(Debug, Args)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Copy the journal to a file, as it is at one moment, while the daemon writes on.
    ///
    /// The copy has every entry, cursor and dead letter. No daemon takes it for a journal: `journal
    /// restore` makes one of it. Its owner alone can read it.
    #[command(
        after_help = "Example: stomp-bridge journal backup /backup/journal-2026-11-29.backup"
    )]
    Backup {
        #[command(flatten)]
        target: Target,
        /// The copy; there must be no such file.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Make the journal of the configuration from a backup. The daemon must not run, and no journal
    /// may be there.
    ///
    /// Entries of the backup keep their event ids: a SQL history stores none of them twice. What comes
    /// next gets a new id, since the journal may have given the same positions after the backup.
    /// Run it as root or as the daemon's user: the journal belongs to the owner of its folder.
    #[command(
        after_help = "Example: stomp-bridge journal restore /backup/journal-2026-11-29.backup"
    )]
    Restore {
        #[command(flatten)]
        target: Target,
        /// The backup; it stays.
        #[arg(value_name = "FILE")]
        from: PathBuf,
    },
    /// Give a new id to a stale copy of the journal, such as a file that was copied by hand.
    ///
    /// The daemon must not run. The copy keeps all its entries, and each sink continues from its
    /// cursor in the copy. Entries that a sink got later come again, under other event ids. A SQL
    /// history with start = "oldest" gets all entries of the copy.
    #[command(after_help = "Example: stomp-bridge journal reset-id")]
    ResetId {
        #[command(flatten)]
        target: Target,
        /// Also where nothing says that it is a stale copy, such as a copy for another machine.
        #[arg(long)]
        force: bool,
    },
}

pub(super) async fn journal(args: &JournalArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Backup { target, to } => {
            let (path, made) = target.back_up(to).await?;
            say!(
                "the journal {}: copied to {}, up to position {}, {}",
                path.display(),
                to.display(),
                made.head,
                bytes(made.bytes)
            );
        }
        Verb::Restore { target, from } => {
            let (path, made) = target.restore(from).await?;
            say!(
                "the journal {} is made of {}, up to position {}; what comes next has the id {}; \
                 start the daemon",
                path.display(),
                from.display(),
                made.head,
                made.now.simple()
            );
        }
        Verb::ResetId { target, force } => {
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
        }
    }
    Ok(ExitCode::SUCCESS)
}
