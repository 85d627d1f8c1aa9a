//! A device is forgotten: its rows in every history, its last state, its dead letters. What would go
//! is said first.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;

use super::answer::say_wrapped;
use crate::cli::print::{counted, harmless, say, table};
use crate::cli::target::Target;
use crate::cli::why::{Device, Kept, Readings};
use crate::journal::{ForgottenDevice, Reader, Which};
use crate::model::{Position, device_name};
use crate::ops::control::AdminCommand;
use crate::sinks::history::kept::KeptDevice;
use crate::sinks::history::operator::Operator;
use crate::sinks::history::reader::ReadError;

/// Devices of one name that are looked up: one of them has to be named anyway.
const NAMED_MAX: usize = 100;
/// How long a history may still come to the device's newest status; its cursor is written once a
/// second.
const WAITS_MAX: u32 = 50;
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    #[command(flatten)]
    target: Target,
    /// The device: its client and its id as in 1/7, or a name from [names], also of a serial number.
    #[arg(long, value_name = "DEVICE")]
    device: String,
    /// Only the device of this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Forget it.
    #[arg(long)]
    yes: bool,
}

/// All that there is of a device.
struct Known {
    histories: Vec<InHistory>,
    last_states: Vec<ForgottenDevice>,
    dead_letters: DeadLetters,
    kept: Kept,
}

/// The dead letters of a device.
#[derive(Debug, Default)]
struct DeadLetters {
    by_sink: BTreeMap<String, Vec<Position>>,
    /// Client and device of them.
    devices: BTreeSet<(String, String)>,
}

struct InHistory {
    sink: String,
    operator: Operator,
    devices: Vec<KeptDevice>,
}

pub(super) async fn forget(args: &ForgetArgs) -> anyhow::Result<ExitCode> {
    let readings = Readings::of(&args.target);
    if let Some(problem) = &readings.problem {
        bail!("the configuration has to say what the journal's entries mean: {problem}");
    }
    let mut reader = args.target.reader().await?;
    let stream = args.stream.as_deref();
    let by = (&args.target, &readings);
    let device = Device::meant(&args.device, stream, by, &mut reader).await?;
    let count = device.texts().len();
    if count > NAMED_MAX {
        let count = counted(count as u64, "device", "devices");
        bail!("{} are {count}: name one of them", harmless(&args.device));
    }
    let mut known = Known::of(&args.target, &readings, &mut reader, &device).await?;
    let names = known.names();
    match names.as_slice() {
        [] => bail!("device {} was never seen", harmless(&args.device)),
        [_] => {}
        several => bail!(
            "{} are {}: name one of them",
            harmless(&args.device),
            several.join(", ")
        ),
    }
    known.say(args.yes);
    if !args.yes {
        say_wrapped("nothing was done: add --yes to forget the device");
        return Ok(ExitCode::FAILURE);
    }
    known.wait(&mut reader).await?;
    // What has waited may have been rejected meanwhile.
    known.dead_letters = DeadLetters::of(&readings, &mut reader, &device).await?;
    known.forget(&args.target).await?;
    say_wrapped(&format!(
        "device {} is forgotten: its next status is that of a new device",
        names[0]
    ));
    Ok(ExitCode::SUCCESS)
}

impl Known {
    async fn of(
        target: &Target,
        readings: &Readings,
        reader: &mut Reader,
        device: &Device,
    ) -> anyhow::Result<Known> {
        let mut histories = Vec::new();
        for history in target.histories() {
            let store = history.store.map_err(|error| anyhow!("{error}"))?;
            let mut operator = match Operator::open(&store).await {
                // The sink has stored nothing yet.
                Err(ReadError::Missing(_)) => continue,
                opened => opened?,
            };
            let mut devices = Vec::new();
            for text in device.texts() {
                devices.extend(operator.devices(&text).await?);
            }
            devices.retain(|it| device.is(&it.stream, &it.client_id, &it.device_id));
            histories.push(InHistory {
                sink: history.name,
                operator,
                devices,
            });
        }
        let mut last_states = Vec::new();
        for text in device.texts() {
            last_states.extend(reader.devices_named(&text).await?);
        }
        last_states.retain(|it| device.is(&it.stream, &it.client_id, &it.device_id));
        Ok(Known {
            histories,
            last_states,
            dead_letters: DeadLetters::of(readings, reader, device).await?,
            kept: readings.kept(reader, device).await?,
        })
    }

    /// The devices that are meant: `client/device`.
    fn names(&self) -> Vec<String> {
        let stored = self.histories.iter().flat_map(|history| &history.devices);
        let stored = stored.map(|it| (&*it.client_id, &*it.device_id));
        let last = self.last_states.iter();
        let last = last.map(|it| (&*it.client_id, &*it.device_id));
        // Of two devices, `a/b` of `c` and `b` of `c/a`, the names look the same.
        let letters = self.dead_letters.devices.iter();
        let letters = letters.map(|(client, device)| (&**client, &**device));
        let devices: BTreeSet<(&str, &str)> = stored.chain(last).chain(letters).collect();
        let names = devices.into_iter();
        names
            .map(|(client, device)| harmless(&device_name(client, device)))
            .collect()
    }

    /// What goes, and what stays.
    fn say(&self, is_done: bool) {
        let (name, verb) = (
            self.names().join(", "),
            if is_done { "is to be" } else { "would be" },
        );
        say_wrapped(&format!("device {name} {verb} forgotten:"));
        let stored = self.histories.iter().map(|history| {
            let statuses: u64 = history.devices.iter().map(|it| it.statuses).sum();
            let intervals: u64 = history.devices.iter().map(|it| it.intervals).sum();
            let statuses = counted(statuses, "status", "statuses");
            let intervals = counted(intervals, "interval", "intervals");
            let rows = format!("{statuses}, {intervals}, its days and itself");
            [format!("  {}", history.sink), rows]
        });
        let letters = self.dead_letters.by_sink.iter().map(|(sink, positions)| {
            let count = positions.len() as u64;
            let letters = counted(count, "dead letter", "dead letters");
            [format!("  {sink}"), letters]
        });
        let last = match self.last_states.len() {
            0 => "no last state".to_owned(),
            1 => "its last state".to_owned(),
            count => format!("its last states, of {count} streams"),
        };
        let last = std::iter::once(["  journal".to_owned(), last]);
        for line in table(stored.chain(letters).chain(last)) {
            say!("{line}");
        }
        let more = if self.kept.is_cut { "more than " } else { "" };
        say_wrapped(&format!(
            "what stays: {more}{} of its statuses in the journal, payloads included, until \
             journal.keep is over; a replay would store them again, and what waits for another \
             sink is still delivered",
            self.kept.statuses
        ));
    }

    /// Until every history has what the journal has of the device: else it would be stored behind
    /// our back.
    async fn wait(&self, reader: &mut Reader) -> anyhow::Result<()> {
        let Some(newest) = self.kept.newest else {
            return Ok(());
        };
        let is_history = |sink: &str| self.histories.iter().any(|history| history.sink == sink);
        for _ in 0..WAITS_MAX {
            let accounts = reader.accounts().await?;
            let mut behind = accounts.iter().filter(|account| account.cursor < newest);
            if !behind.any(|account| is_history(&account.sink)) {
                return Ok(());
            }
            tokio::time::sleep(WAIT).await;
        }
        bail!(
            "statuses of the device wait for a history, which would store them afterwards: run this \
             again once `stomp-bridge status` shows no lag there"
        )
    }

    /// The rows first: a status that comes meanwhile is stored as one of the known device.
    async fn forget(&mut self, target: &Target) -> anyhow::Result<()> {
        let mut devices = self.last_states.clone();
        for history in &mut self.histories {
            for device in &history.devices {
                history.operator.forget(device).await?;
                devices.push(ForgottenDevice {
                    stream: device.stream.clone(),
                    client_id: device.client_id.clone(),
                    device_id: device.device_id.clone(),
                });
            }
        }
        devices.sort_unstable();
        devices.dedup();
        target
            .carry_out(&AdminCommand::ForgetDevices { devices })
            .await?;
        for (sink, positions) in &self.dead_letters.by_sink {
            let (sink, which) = (sink.clone(), Which::Positions(positions.clone()));
            target
                .carry_out(&AdminCommand::Drop { sink, which })
                .await?;
        }
        Ok(())
    }
}

impl DeadLetters {
    /// Those of every sink.
    async fn of(
        readings: &Readings,
        reader: &mut Reader,
        device: &Device,
    ) -> anyhow::Result<DeadLetters> {
        let mut found = DeadLetters::default();
        for letter in reader.dead_letters().await? {
            let entry = reader.dead_letter(&letter.sink, letter.position).await?;
            if let Some(key) = entry.and_then(|entry| readings.key_of(&entry, device)) {
                let of_sink = found.by_sink.entry(letter.sink).or_default();
                of_sink.push(letter.position);
                found.devices.insert(key);
            }
        }
        Ok(found)
    }
}
