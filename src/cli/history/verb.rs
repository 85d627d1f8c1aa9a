//! The subcommands of `stomp-bridge history`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{availability, devices, events, export, faults, gaps};

#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The newest state of each device; those in trouble come first.
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
    /// How much of its time each device was well: in states of the severity ok or info. Times in
    /// which nobody heard the device do not count. The window is of whole days of the history's
    /// zone, and of what has passed of today.
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
}

pub(in crate::cli) async fn history(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Devices(args) => devices::devices(args).await,
        Verb::Events(args) => events::events(args).await,
        Verb::Faults(args) => faults::faults(args).await,
        Verb::Availability(args) => availability::availability(args).await,
        Verb::Gaps(args) => gaps::gaps(args).await,
        Verb::Export(args) => export::export(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}
