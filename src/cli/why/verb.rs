//! The verb itself: what may be asked, and what is answered where nothing is found.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::device::Device;
use super::find::{Readings, Search};
use super::text;
use super::way::follow;
use crate::cli::print::{self, harmless, say, tell};
use crate::cli::target::Target;

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    #[command(flatten)]
    target: Target,
    /// The device: its client and its id, or its id alone.
    #[arg(value_name = "CLIENT/DEVICE")]
    device: String,
    /// The newest event that was received at or before this time: "2026-11-29 10:00" (the zone of
    /// the platform's times, which the answer names), 2026-11-29T10:00Z, or an age such as 2h or 3d.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only the device of this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn why(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let readings = Readings::of(&args.target);
    let zone = readings.zone();
    let now = Timestamp::now();
    let until = match &args.at {
        Some(text) => time(text, now, &zone)?,
        None => Timestamp::MAX,
    };
    let device = Device {
        text: args.device.clone(),
        stream: args.stream.clone(),
    };
    let mut reader = args.target.reader().await?;
    match readings.find(&mut reader, &device, until).await? {
        Search::Found(found) => {
            let decoder = readings.decoder(&found.entry.topic);
            let way = follow(&args.target, &readings, &mut reader, *found).await?;
            if args.json {
                print::json(&way)?;
            } else {
                let state_name = |word: &str| decoder.state_name(word).to_owned();
                say!("{}", text::text(&way, decoder.zone(), &state_name));
            }
            Ok(ExitCode::SUCCESS)
        }
        Search::Stopped(at, received_at) => {
            let back = received_at.map(|time| format!(", received {}", text::time(time, &zone)));
            tell!(
                "no event of device {} was found from position {at}{} on: the search has taken too \
                 long; name an earlier time with --at to search on",
                harmless(&args.device),
                back.unwrap_or_default()
            );
            Ok(ExitCode::FAILURE)
        }
        Search::Nowhere(oldest) => {
            let kept = match oldest {
                Some(oldest) => format!("the journal begins at position {oldest}"),
                None => "the journal is empty".to_owned(),
            };
            let by = args.at.as_ref().map(|at| format!(" at or before {at}"));
            tell!(
                "no event of device {}{}: {kept}, and delivered entries stay for journal.keep",
                harmless(&args.device),
                harmless(&by.unwrap_or_default())
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A time as people write it, in a zone.
pub(in crate::cli) fn time(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let time = local.to_zoned(zone.clone());
        return Ok(time.with_context(|| format!("{local}"))?.timestamp());
    }
    let time = ago(text).and_then(|ago| now.checked_sub(ago).ok());
    time.ok_or_else(|| {
        anyhow!("expected a time such as \"2026-11-29 10:00\", 2026-11-29T10:00Z, 2h or 3d")
    })
}

fn ago(text: &str) -> Option<SignedDuration> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.trim().parse::<i64>().ok());
    let ago = match days {
        Some(days) => Some(SignedDuration::from_secs(days.checked_mul(86_400)?)),
        None => text.parse().ok(),
    };
    ago.filter(|ago: &SignedDuration| !ago.is_negative())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_or_absolute_or_so_long_ago() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z"),
            ("2026-11-29 10:00", "2026-11-29T02:00:00Z"),
            ("2026-11-29T10:00:01.5", "2026-11-29T02:00:01.5Z"),
            ("2026-11-29", "2026-11-28T16:00:00Z"),
            ("2h", "2026-11-29T10:00:00Z"),
            ("3d", "2026-11-26T12:00:00Z"),
        ] {
            assert_eq!(
                time(text, now, &zone).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
        for text in ["", "yesterday", "-2h", "99999999999999999d"] {
            assert!(time(text, now, &zone).is_err(), "{text}");
        }
    }
}
