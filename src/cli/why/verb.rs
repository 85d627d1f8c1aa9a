//! The verb itself: what may be asked, and what is answered where nothing is found.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::device::Device;
use super::find::{Readings, Search, Undecodable};
use super::stored::{self, LastKnown, Stored};
use super::text;
use super::way::{follow, follow_stored};
use crate::cli::print::{self, counted, harmless, one_line, say, tell};
use crate::cli::target::Target;
use crate::cli::terminal::columns;
use crate::cli::time::{When, when};
use crate::journal::Eviction;

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    #[command(flatten)]
    target: Target,
    /// The device: its client and its id as in 1/7, its id alone, or a name from [names].
    #[arg(value_name = "DEVICE")]
    device: String,
    /// The newest event that was received at or before this time: "2026-11-29 10:00" (the zone of the
    /// first history, as `history` has it; the answer names it), 2026-11-29T10:00Z, or an age such as
    /// 2h, 3d or 1y (ms, s, m, h, d, w, y).
    #[arg(long, value_name = "TIME", value_parser = when)]
    at: Option<When>,
    /// Only the device of this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn why(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let readings = Readings::of(&args.target);
    let zone = readings.zone(&args.target);
    let until = match &args.at {
        Some(at) => at.instant(Timestamp::now(), &zone)?,
        None => Timestamp::MAX,
    };
    let mut reader = args.target.reader().await?;
    let stream = args.stream.as_deref();
    let by = (&args.target, &readings);
    let device = Device::meant(&args.device, stream, by, &mut reader).await?;
    let search = readings.find(&mut reader, &device, until).await?;
    let mut way = match search {
        Search::Found(found) => follow(&args.target, &readings, &mut reader, *found).await?,
        search => match args.in_histories(&device, until).await {
            Some(stored) => follow_stored(&args.target, &readings, &mut reader, stored).await?,
            None => {
                let kept = readings
                    .undecodable(&mut reader, &device, None, until)
                    .await?;
                let evicted = reader.evictions().await?;
                let last = match search {
                    Search::Nowhere(_) => args.last_known(&device).await,
                    _ => None,
                };
                match last {
                    Some((history, last)) => args.tell_gone((&history, &last), until, &zone),
                    None => args.tell_absence(&search, until, &zone),
                }
                tell_kept(&kept, &evicted);
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    let behind = Some((way.is_ours.then_some(way.position), way.received_at));
    let behind = readings
        .undecodable(&mut reader, &device, behind, until)
        .await?;
    way.undecodable_behind = Some(behind).filter(|behind| behind.statuses > 0);
    if args.json {
        print::json(&way)?;
    } else {
        say!("{}", text::text(&way, &zone, columns()));
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
                    let is_before = |found: &Stored| {
                        newest.as_ref().is_none_or(|newest| found.is_before(newest))
                    };
                    newest = found.filter(is_before).or(newest);
                }
                Err(why) => tell!("sink {} was not asked: {}", history.name, one_line(&why)),
            }
        }
        newest
    }

    /// The first history that knows the device, and what it knows.
    async fn last_known(&self, device: &Device) -> Option<(String, LastKnown)> {
        for history in self.target.histories() {
            // One that does not answer was told of by now.
            if let Ok(Some(last)) = stored::last_known(&history, device).await {
                return Some((history.name, last));
            }
        }
        None
    }

    /// The end of the search, where one was given.
    fn by(&self, until: Timestamp, zone: &TimeZone) -> String {
        match self.at {
            Some(_) => format!(" at or before {}", text::time(until, zone)),
            None => String::new(),
        }
    }

    /// That its statuses are no longer kept, or came later.
    fn tell_gone(&self, (history, last): (&str, &LastKnown), until: Timestamp, zone: &TimeZone) {
        let time = |time: Option<Timestamp>| {
            time.map_or_else(
                || "an unknown time".to_owned(),
                |time| text::time(time, zone),
            )
        };
        let by = self.by(until, zone);
        tell!(
            "no status of device {}{by} is kept, neither in the journal nor in a history; by sink \
             {history} it is {} since {}, and was heard last at {}",
            harmless(&self.device),
            harmless(&last.state),
            time(last.since),
            time(last.last_seen)
        );
    }

    /// That there is none, and how far was looked.
    fn tell_absence(&self, search: &Search, until: Timestamp, zone: &TimeZone) {
        let device = harmless(&self.device);
        let by = self.by(until, zone);
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

/// What the journal knows besides, where no event of a device is found: an undecodable status is
/// none, and what was evicted may have been one.
fn tell_kept(kept: &Undecodable, evicted: &[Eviction]) {
    if kept.statuses > 0 {
        let said = text::undecodable(kept.statuses, kept.newest);
        tell!("the journal has {said}");
    }
    if kept.nameless > 0 {
        let name = counted(
            kept.nameless,
            "undecodable entry names",
            "undecodable entries name",
        );
        tell!("{name} no device that can be read: see stomp-bridge dlq list --undecodable");
    }
    if kept.is_cut {
        tell!("there are more undecodable entries: the search among them has taken too long");
    }
    let entries: u64 = evicted.iter().map(|eviction| eviction.entries).sum();
    if entries > 0 {
        let entries = counted(entries, "entry", "entries");
        tell!("the journal was full and has evicted {entries} before every sink had them");
    }
}
