//! The subcommands of `stomp-bridge history`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{availability, backup, devices, events, export, faults, forget, gaps, prune};

#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The newest state of each device; those in trouble come first.
    ///
    /// SINCE is when that state began, HEARD when the newest status was received. --since and --until
    /// look at HEARD. CERTAIN is `no` where the topic was not heard ever since: the state may be
    /// another by now.
    #[command(
        after_help = "Examples:\n  stomp-bridge history devices --severity critical\n  \
                      stomp-bridge history devices --format geojson >map.json"
    )]
    Devices(devices::DevicesArgs),
    /// Statuses, the newest first; or as they come.
    #[command(
        after_help = "Examples:\n  stomp-bridge history events --device 1/7 --since 24h\n  \
                      stomp-bridge history events --state fault --follow"
    )]
    Events(events::EventsArgs),
    /// The times of devices in states of the severity critical, the newest first.
    #[command(after_help = "Example: stomp-bridge history faults --since 7d")]
    Faults(faults::FaultsArgs),
    /// How much of its time each device was well: in states of the severity ok or info.
    ///
    /// Times in which nobody heard the device do not count: they are NOT KNOWN. FAULTS is how often
    /// the device entered a state of the severity critical. The window is of whole days of the
    /// history's zone, and of what has passed of today; by default it is the last 7 days, with today.
    #[command(
        after_help = "Examples:\n  stomp-bridge history availability --since 2026-11-01\n  \
                      stomp-bridge history availability --by day --device 1/7"
    )]
    Availability(availability::AvailabilityArgs),
    /// The times in which a topic was not heard, the newest first.
    #[command(after_help = "Example: stomp-bridge history gaps --since 7d")]
    Gaps(gaps::GapsArgs),
    /// Every status, as CSV or as JSON lines, in the order of storing.
    #[command(
        after_help = "Example: stomp-bridge history export --since 2026-11-01 --until 2026-12-01 >november.csv"
    )]
    Export(export::ExportArgs),
    /// Forget a device: its rows in every history of the configuration, its last state and its dead
    /// letters. Beside the daemon or without one. Without --yes it only says what would go; the exit
    /// code is then 1.
    ///
    /// What the journal keeps for a replay stays until journal.keep is over.
    #[command(after_help = "Example: stomp-bridge history forget --device 1/7 --yes")]
    Forget(forget::ForgetArgs),
    /// Delete statuses that are too old, however many they are: by the configuration's retention, or
    /// as --keep or --until says. Without --yes it only says how many would go; the exit code is then
    /// 1, or 0 where there is nothing to delete.
    ///
    /// The daemon itself deletes no more than a tenth of the rows a day while it does not believe the
    /// clock. Intervals, days and gaps stay.
    #[command(after_help = "Example: stomp-bridge history prune --keep 90d --yes")]
    Prune(prune::PruneArgs),
    /// Copy a SQLite history to a file, as it is at one moment, while the daemon writes on.
    #[command(after_help = "Example: stomp-bridge history backup /backup/history-2026-11-29.db")]
    Backup(backup::BackupArgs),
}

pub(in crate::cli) async fn history(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Devices(args) => devices::devices(args).await,
        Verb::Events(args) => events::events(args).await,
        Verb::Faults(args) => faults::faults(args).await,
        Verb::Availability(args) => availability::availability(args).await,
        Verb::Gaps(args) => gaps::gaps(args).await,
        Verb::Export(args) => export::export(args).await,
        Verb::Forget(args) => return forget::forget(args).await,
        Verb::Prune(args) => return prune::prune(args).await,
        Verb::Backup(args) => return backup::backup(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}
