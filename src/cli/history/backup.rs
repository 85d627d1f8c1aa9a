//! A copy of a SQLite history, made beside the daemon.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::place::PlaceArgs;
use crate::cli::print::{bytes, say};
use crate::sinks::history::operator::{Copied, Operator};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The copy; there must be no such file. Its owner alone can read it.
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

pub(super) async fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let mut history = Operator::open(&args.place.store()?).await?;
    let to = args.to.display();
    match history.back_up(&args.to).await {
        Ok(Copied::Bytes(count)) => {
            say!("{}: copied to {to}, {}", history.name(), bytes(count));
            Ok(ExitCode::SUCCESS)
        }
        Ok(Copied::By(command)) => bail!(
            "{} is no SQLite history: copy it by PostgreSQL's own command, which asks for the \
             password:\n{command}",
            history.name()
        ),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{error}, and nothing is written over: name another file, or move it away")
        }
        Err(error) => Err(error).with_context(|| format!("copy {} to {to}", history.name())),
    }
}
