//! `stomp-bridge replay`: a slice of the log to one sink again.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::print::{self, counted, local_time, say, zone_name};
use super::target::{Target, account};
use super::terminal::{columns, hanging};
use super::time::{When, when};
use super::why::Readings;
use crate::delivery::{Statuses, event_of};
use crate::journal::{Reader, Replay};
use crate::model::{Event, Position};
use crate::ops::control::AdminCommand;
use crate::pipeline::Decoders;

/// Entries that are looked at in one go.
const ENTRIES: usize = 1000;
const BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    target: Target,
    /// The sink that gets the entries.
    sink: String,
    /// Only entries received at or after this time: "2026-11-23 08:00" (the zone of the first history,
    /// as why has it), 2026-11-23T08:00Z, or an age such as 2h, 3d or 1y (ms, s, m, h, d, w, y).
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<When>,
    /// Only entries received before this time.
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
    /// Only the statuses of this device: client and device as in 1/7, a device of any client as in 7,
    /// or a name from [names].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Only print how many entries there are.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// When the entries were received that are wanted, and the zone in which that is said.
#[derive(Debug)]
struct Times {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    zone: TimeZone,
}

impl Times {
    /// Between what is written, in a zone.
    ///
    /// # Errors
    /// Nothing can lie between them.
    fn of(written: [Option<When>; 2], now: Timestamp, zone: TimeZone) -> anyhow::Result<Times> {
        let instant = |when: Option<When>| when.map(|when| when.instant(now, &zone)).transpose();
        let [since, until] = written;
        let (since, until) = (instant(since)?, instant(until)?);
        if since
            .zip(until)
            .is_some_and(|(since, until)| since >= until)
        {
            bail!("--since is not before --until: nothing lies between them");
        }
        if since.is_some_and(|since| since > now) {
            bail!("--since lies in the future: nothing was received since then");
        }
        Ok(Times { since, until, zone })
    }
}

pub(super) async fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let zone = Readings::of(&args.target).zone(&args.target);
    let times = Times::of([args.since, args.until], Timestamp::now(), zone)?;
    if args.dry_run {
        return count(args, &times).await;
    }
    let command = AdminCommand::Replay {
        sink: args.sink.clone(),
        since: times.since,
        until: times.until,
        device_id: args.device.clone(),
    };
    let reply = args.target.carry_out(&command).await?;
    let missing = missing(&times, &mut args.target.reader().await?).await?;
    if args.json {
        let missing_before = missing.map(|missing| missing.before);
        print::json(&json!({
            "sink": args.sink, "looked_at": reply.entries, "missing_before": missing_before,
            "replaced": reply.replaced
        }))?;
    } else {
        let begins = format!(
            "replay to the sink {} begins, with the same event ids: it looks through {}; \
             `stomp-bridge status` says `replays` until it ends",
            args.sink,
            counted(reply.entries, "entry", "entries")
        );
        let replaced = (reply.replaced > 0).then(|| replaced(reply.replaced));
        say_all(&times, std::iter::once(begins).chain(replaced), missing);
    }
    Ok(ExitCode::SUCCESS)
}

/// What to say of a replay that ends here, with so many entries left.
fn replaced(left: u64) -> String {
    let left = counted(left, "entry", "entries");
    format!(
        "it replaces a replay that had {left} left to look through: replay those that the \
         new one leaves out once `stomp-bridge status` no longer says `replays`"
    )
}

/// Entries that a replay would want and that are no longer there.
#[derive(Debug, Clone, Copy)]
struct Missing {
    /// All that were received before this time; `None`: all.
    before: Option<Timestamp>,
}

/// What of the slice is gone, if anything may be.
async fn missing(times: &Times, reader: &mut Reader) -> anyhow::Result<Option<Missing>> {
    let oldest = reader.read_after(Position::START, 1, BYTES).await?;
    let Some(oldest) = oldest.first() else {
        return Ok(Some(Missing { before: None }));
    };
    let is_whole = oldest.position.0 == Position::START.0 + 1
        || times.since.is_some_and(|since| since >= oldest.received_at);
    let before = Some(oldest.received_at);
    Ok((!is_whole).then_some(Missing { before }))
}

/// What to say of it, with the time in a zone.
fn shortened(missing: Missing, zone: &TimeZone) -> String {
    let kept = "delivered entries stay for journal.keep, while there is room";
    match missing.before {
        None => format!("the journal has no entry now: {kept}"),
        Some(before) => {
            let (before, of) = (local_time(before, zone), zone_name(zone));
            format!("the replay is shortened: the journal begins at {before} ({of}), since {kept}")
        }
    }
}

/// Prints what is said, broken at the terminal's width.
fn say_all(times: &Times, said: impl IntoIterator<Item = String>, missing: Option<Missing>) {
    let missing = missing.map(|it| shortened(it, &times.zone));
    for line in said.into_iter().chain(missing) {
        say!("{}", hanging(&line, 0, columns()).join("\n"));
    }
}

/// What the replay would find now, read from the journal's file.
async fn count(args: &ReplayArgs, times: &Times) -> anyhow::Result<ExitCode> {
    let reading = args.target.reading()?;
    let decoders = reading.decoders().map_err(|wrong| anyhow!("{wrong}"))?;
    let wants = reading.sink(&args.sink);
    let Some(delivery) = wants.map_err(|wrong| anyhow!("{wrong}"))? else {
        bail!("there is no sink {} in the configuration", args.sink);
    };
    let mut reader = args.target.reader().await?;
    let through = account(&mut reader, &args.sink).await?.cursor;
    let mut slice = Replay {
        done: Position::START,
        through,
        since: times.since,
        until: times.until,
        device_id: args.device.clone(),
    };
    let listed = reader.listed_between(&args.sink, Position::START, through);
    let dead_letters = listed.await?;
    let journal = reader.ids().await?;
    let statuses = Statuses::new(Decoders::new(Arc::clone(decoders)));
    let mut found: Option<(Position, Position, u64)> = None;
    loop {
        let mut entries = reader.read_after(slice.done, ENTRIES, BYTES).await?;
        entries.retain(|entry| entry.position <= through);
        let Some(last) = entries.last() else { break };
        slice.done = last.position;
        for entry in entries {
            if !slice.wants(entry.received_at) || dead_letters.contains(&entry.position) {
                continue;
            }
            let event = event_of(delivery, &journal, &statuses, &entry);
            let device = slice.device_id.as_deref();
            let is_wanted = |event: &Event| device.is_none_or(|device| event.is_of(device));
            if event.as_ref().is_some_and(is_wanted) {
                let (first, _, count) = found.unwrap_or((entry.position, entry.position, 0));
                found = Some((first, entry.position, count + 1));
            }
        }
    }
    let (first, last, count) = found.map_or((None, None, 0), |(first, last, count)| {
        (Some(first), Some(last), count)
    });
    let missing = missing(times, &mut reader).await?;
    if args.json {
        let missing_before = missing.map(|missing| missing.before);
        print::json(&json!({
            "sink": args.sink, "events": count, "first": first, "last": last,
            "missing_before": missing_before
        }))?;
    } else {
        let span = first
            .zip(last)
            .map(|(first, last)| format!(", positions {first} to {last}"))
            .unwrap_or_default();
        let events = events(count, args.device.as_deref());
        say_all(
            times,
            [format!("{events}{span}; nothing was sent")],
            missing,
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// How many, and of which device, since a mistyped one has none.
fn events(count: u64, device: Option<&str>) -> String {
    let events = counted(count, "event", "events");
    let device = device.map(|device| format!(" of device {}", print::harmless(device)));
    events + &device.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_that_is_replaced_is_said_with_what_it_leaves() {
        assert!(replaced(1).contains("a replay that had 1 entry left"));
        assert!(replaced(70).contains("a replay that had 70 entries left"));
    }

    #[test]
    fn a_count_names_the_device() {
        assert_eq!(events(0, Some("1/7")), "0 events of device 1/7");
        assert_eq!(events(1, None), "1 event");
    }

    #[test]
    fn a_slice_lies_between_times_of_a_zone() {
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let of = |since: &str, until: &str| {
            let written =
                [since, until].map(|text| (!text.is_empty()).then(|| when(text).unwrap()));
            Times::of(written, now, zone.clone())
        };
        let received = of("2026-11-23 08:00", "1w").unwrap_err().to_string();
        assert!(received.contains("not before --until"), "{received}");
        let received = of("2026-11-22 08:00", "2d").unwrap();
        let times = [received.since, received.until].map(|time| time.unwrap().to_string());
        assert_eq!(times, ["2026-11-22T00:00:00Z", "2026-11-27T12:00:00Z"]);
        assert!(of("2026-11-29 20:00", "").is_ok() && of("2026-11-29 20:01", "").is_err());
        let all = (None, None);
        assert_eq!(of("", "").map(|it| (it.since, it.until)).unwrap(), all);
    }

    #[test]
    fn where_the_journal_begins_is_said_in_local_time_with_its_zone() {
        let before = Some("2026-11-23T08:00:00.5Z".parse().unwrap());
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let said = shortened(Missing { before }, &zone);
        assert!(
            said.contains("begins at 2026-11-23 16:00:00 (Asia/Shanghai), since"),
            "{said}"
        );
    }
}
