//! Deletes the oldest statuses of a history, on an operator's word.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;

use super::answer::say_wrapped;
use super::place::PlaceArgs;
use crate::cli::print::{counted, tell};
use crate::cli::time::{When, age, when};
use crate::sinks::history::operator::Operator;
use crate::sinks::history::reader::Reader;

/// Between two lines that say how far it has come.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Delete statuses older than this age, such as 90d or 1y (ms, s, m, h, d, w, y); by default, than
    /// the retention of the configuration.
    #[arg(long, value_name = "AGE", value_parser = age, conflicts_with = "until")]
    keep: Option<When>,
    /// Delete what was received before this time of the history's zone.
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
    /// Delete them.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn prune(args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let store = args.place.store()?;
    let reader = Reader::open(&store).await?;
    let (now, zone) = (Timestamp::now(), reader.zone());
    let before = match args.keep.or(args.until) {
        Some(time) => time.instant(now, &zone)?,
        None => args.by_retention(now)?,
    };
    if before > now {
        bail!("--until lies in the future: that would be every status");
    }
    let mut history = Operator::open(&store).await?;
    let older = history.older(before).await?;
    let local = before
        .to_zoned(zone)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string();
    let name = history.name().to_owned();
    let old = format!("received before {local} ({})", reader.zone_name());
    if older == 0 {
        say_wrapped(&format!(
            "{name}: no statuses were {old}: there is nothing to delete"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        say_wrapped(&format!(
            "{name}: {} {old}; intervals, days and gaps stay",
            counted(older, "status was", "statuses were")
        ));
        say_wrapped("nothing was deleted: add --yes to do that");
        return Ok(ExitCode::FAILURE);
    }
    let mut told = Instant::now();
    let mut tell = |deleted: u64| {
        if told.elapsed() >= TELL_INTERVAL {
            told = Instant::now();
            tell!("{deleted} of {older} are deleted");
        }
    };
    let deleted = history.prune(before, &mut tell).await?;
    let are = if deleted == 1 { "is" } else { "are" };
    say_wrapped(&format!(
        "{name}: {} {old} {are} deleted; intervals, days and gaps stay",
        counted(deleted, "status", "statuses")
    ));
    Ok(ExitCode::SUCCESS)
}

impl PruneArgs {
    fn by_retention(&self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let Some(keep) = self.place.retention() else {
            bail!("no retention of statuses is known here: say --keep 365d, or --until 2026-01-01");
        };
        let before = now.checked_sub(keep).ok();
        before.context("the retention goes back before all time")
    }
}
