//! The verb itself: what may be asked, and what is answered where nothing is found.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::device::Device;
use super::find::{Readings, Search};
use super::stored::{self, Stored};
use super::text;
use super::way::{follow, follow_stored};
use crate::cli::print::{self, harmless, one_line, say, tell};
use crate::cli::target::Target;
use crate::cli::terminal::columns;

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    #[command(flatten)]
    target: Target,
    /// The device: its client and its id as in 1/7, its id alone, or a name from [names].
    #[arg(value_name = "DEVICE")]
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
    let until = match &args.at {
        Some(text) => time(text, Timestamp::now(), &readings.zone())?,
        None => Timestamp::MAX,
    };
    let mut reader = args.target.reader().await?;
    let stream = args.stream.as_deref();
    let by = (&args.target, &readings);
    let device = Device::meant(&args.device, stream, by, &mut reader).await?;
    let search = readings.find(&mut reader, &device, until).await?;
    let way = match search {
        Search::Found(found) => follow(&args.target, &readings, &mut reader, *found).await?,
        search => match args.in_histories(&device, until).await {
            Some(stored) => follow_stored(&args.target, &readings, &mut reader, stored).await?,
            None => {
                args.tell_absence(&search, &readings.zone());
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    if args.json {
        print::json(&way)?;
    } else {
        let decoder = readings.decoder(&way.status.topic);
        let state_name = |word: &str| decoder.state_name(word).to_owned();
        say!(
            "{}",
            text::text(&way, decoder.zone(), &state_name, columns())
        );
    }
    Ok(ExitCode::SUCCESS)
}

impl WhyArgs {
    /// The newest event of a device that any history has.
    async fn in_histories(&self, device: &Device, until: Timestamp) -> Option<Stored> {
        let mut newest: Option<Stored> = None;
        for history in self.target.histories() {
            match stored::newest(&history, device, until).await {
                Ok(found) => {
                    let at = |stored: &Stored| stored.entry.received_at;
                    let is_newer = |found: &Stored| {
                        newest.as_ref().is_none_or(|newest| at(found) > at(newest))
                    };
                    newest = found.filter(is_newer).or(newest);
                }
                Err(why) => tell!("sink {} was not asked: {}", history.name, one_line(&why)),
            }
        }
        newest
    }

    /// That there is none, and how far was looked.
    fn tell_absence(&self, search: &Search, zone: &TimeZone) {
        let device = harmless(&self.device);
        let by = self.at.as_ref().map(|at| format!(" at or before {at}"));
        let by = harmless(&by.unwrap_or_default());
        match search {
            Search::Stopped(at, received_at) => {
                let back = received_at.map(|at| format!(", received {},", text::time(at, zone)));
                let back = back.unwrap_or_default();
                tell!(
                    "no event of device {device}{by} from position {at}{back} on, and none in a \
                     history: the search ended there, since it has taken too long; to search on, \
                     name an earlier time with --at"
                );
            }
            Search::Nowhere(Some(oldest)) => tell!(
                "device {device} was never seen{by}: neither by the journal, which begins at \
                 position {oldest}, nor by a history"
            ),
            Search::Nowhere(None) | Search::Found(_) => tell!(
                "device {device} was never seen{by}: the journal is empty, and no history has it"
            ),
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
