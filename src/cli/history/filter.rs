//! Which rows are asked for, from the command line to what a history understands.

use anyhow::bail;
use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;

use super::labels::Labels;
use super::meant::meant;
use super::place::History;
use super::unknown::Wanted;
use crate::cli::time::{When, when};
use crate::sinks::history::question::{Devices, Filter, Question};
use crate::sinks::history::row::Row;

/// The words of [`crate::model::Severity`].
const SEVERITIES: [&str; 5] = ["critical", "warning", "info", "ok", "unknown"];

/// Groups that are named in an error.
const GROUPS_SHOWN_MAX: usize = 10;

#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// Only this device: client and device as in 1/7, a device of any client as in 7, or a name
    /// from [names].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Only the devices of this group of [names].
    #[arg(long, value_name = "GROUP", conflicts_with = "device")]
    group: Option<String>,
    /// Only the device with this serial number.
    #[arg(long, value_name = "SERIAL")]
    serial: Option<String>,
    /// Only devices of this stream: a topic's name, unless its `stream` is another.
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only this state, by its name or by the word as sent.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only states of this severity.
    #[arg(long, value_name = "SEVERITY", value_parser = PossibleValuesParser::new(SEVERITIES))]
    severity: Option<String>,
    /// Only this topic, by its name.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct SpanArgs {
    /// From this time on: an age such as 24h, 7d or 1y (ms, s, m, h, d, w, y), or a time of the
    /// history's zone such as 2026-11-01 or 2026-11-01T10:00.
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<When>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
}

impl DeviceArgs {
    /// What they name. A group was looked up before.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            stream: self.stream.as_deref(),
            device: self.device.as_deref(),
            serial: self.serial.as_deref(),
            ..Wanted::default()
        }
    }

    /// Narrows a filter to the devices; the answer has serial numbers, or not.
    ///
    /// # Errors
    /// [names] has no such group, the device is another one's name, or the history does not answer.
    pub(super) async fn narrow(
        &self,
        history: &mut History,
        filter: &mut Filter,
        serials: Serials,
    ) -> anyhow::Result<()> {
        filter.stream = self.stream.clone();
        if let Some(group) = &self.group {
            let chosen = history.labels.grouped(group);
            if !chosen.is_known {
                bail!(no_group(group, &history.labels));
            }
            filter.devices = Devices::listed(chosen.devices);
        }
        if let Some(device) = &self.device {
            filter.devices = meant(device, self.stream.as_deref(), history).await??;
        }
        match (&self.serial, serials) {
            (None, _) => {}
            (Some(serial), Serials::Asked) => filter.serial = Some(serial.clone()),
            (Some(serial), Serials::LookedUp) => {
                let wanted = Filter {
                    serial: Some(serial.clone()),
                    ..filter.clone()
                };
                let wanted = Filter {
                    since: None,
                    until: None,
                    ..wanted
                };
                let question = Question::Devices;
                let rows = history.reader.rows(&question, &wanted, None).await?;
                let rows = rows
                    .iter()
                    .map(|values| Row::new(question.fields(), values).device());
                filter.devices = Devices::Keys(rows.collect());
            }
        }
        Ok(())
    }
}

/// How an answer is narrowed to a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serials {
    /// It has them.
    Asked,
    /// It has them not: the devices are looked up before.
    LookedUp,
}

fn no_group(group: &str, labels: &Labels) -> String {
    let groups = labels.groups();
    match groups.as_slice() {
        [] => format!("there is no group {group}: the configuration's [names] has none"),
        shown => {
            let shown: Vec<&str> = shown.iter().take(GROUPS_SHOWN_MAX).copied().collect();
            let more = if groups.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            format!(
                "there is no group {group}; [names] has {}{more}",
                shown.join(", ")
            )
        }
    }
}

impl StatusArgs {
    /// What they name, and the devices.
    pub(super) fn wanted<'a>(&'a self, device: &'a DeviceArgs) -> Wanted<'a> {
        Wanted {
            topic: self.topic.as_deref(),
            state: self.state.as_deref(),
            ..device.wanted()
        }
    }

    /// Narrows a filter to states and topics.
    pub(super) fn narrow(&self, filter: &mut Filter) {
        filter.state = self.state.clone();
        filter.severity = self.severity.clone();
        filter.topic = self.topic.clone();
    }
}

impl SpanArgs {
    /// Narrows a filter to a time.
    ///
    /// # Errors
    /// Nothing lies between its ends.
    pub(super) fn narrow(
        &self,
        history: &History,
        now: Timestamp,
        filter: &mut Filter,
    ) -> anyhow::Result<()> {
        let zone = history.reader.zone();
        let instant = |when: Option<When>| when.map(|when| when.instant(now, &zone)).transpose();
        (filter.since, filter.until) = (instant(self.since)?, instant(self.until)?);
        if filter
            .since
            .zip(filter.until)
            .is_some_and(|(since, until)| since >= until)
        {
            bail!("--since is not before --until: nothing lies between them");
        }
        if filter.since.is_some_and(|since| since > now) {
            bail!("--since lies in the future: nothing was stored since then");
        }
        Ok(())
    }
}
