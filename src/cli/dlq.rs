//! `stomp-bridge dlq`: the dead letters of each sink, and the undecodable entries.

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::dlq_list::{ListArgs, Listed, list};
use super::print::{self, counted, harmless, local_time, one_line, say, tell, zone_name};
use super::target::{Operator, Target, account};
use super::terminal::{columns, hanging};
use super::why::Readings;
use crate::journal::{Reader, Which};
use crate::model::Position;
use crate::ops::control::AdminCommand;
use crate::ops::decode_again::parts;
use crate::ops::redecoded::{Batch, Redecoded};

#[derive(Debug, Args)]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List dead letters and undecodable entries.
    #[command(
        after_help = "Examples:\n  stomp-bridge dlq list oncall\n  stomp-bridge dlq list --limit 20 --offset 20"
    )]
    List(ListArgs),
    /// Show entries in full: topic, time, reason and body.
    #[command(after_help = "Example: stomp-bridge dlq show oncall 17")]
    Show(Chosen),
    /// Deliver entries again, with the same event ids. An entry that is rejected again stays
    /// listed, with the new reason.
    #[command(
        after_help = "Examples: stomp-bridge dlq redrive oncall --all\n          stomp-bridge dlq redrive --undecodable 17"
    )]
    Redrive(Chosen),
    /// Drop entries: the sink never gets them.
    #[command(after_help = "Example: stomp-bridge dlq drop oncall 17 18")]
    Drop(Chosen),
}

#[derive(Debug, Args)]
struct Chosen {
    #[command(flatten)]
    target: Target,
    /// The sink, then positions as `dlq list` prints them; with --undecodable only positions.
    #[arg(value_name = "SINK|POSITION")]
    names: Vec<String>,
    /// Undecodable entries, in place of a sink's dead letters.
    #[arg(long)]
    undecodable: bool,
    /// All entries.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One entry, whole.
#[derive(Debug, Serialize)]
struct Shown {
    sink: Option<String>,
    position: Position,
    topic: String,
    received_at: Timestamp,
    at: Timestamp,
    error: String,
    body: String,
}

pub(super) async fn dlq(args: &DlqArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::List(args) => {
            list(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show(chosen) => chosen.show().await,
        Verb::Redrive(chosen) if chosen.undecodable => chosen.redrive_undecodable().await,
        Verb::Redrive(chosen) => {
            let (sink, which) = chosen.sink_and_which()?;
            let done = format!("queued for redelivery to {sink}");
            chosen
                .carry_out(AdminCommand::Redrive { sink, which }, &done)
                .await
        }
        Verb::Drop(chosen) if chosen.undecodable => {
            chosen
                .carry_out(
                    AdminCommand::DropUndecodable {
                        which: chosen.which(&chosen.names)?,
                    },
                    "dropped",
                )
                .await
        }
        Verb::Drop(chosen) => {
            let (sink, which) = chosen.sink_and_which()?;
            chosen
                .carry_out(AdminCommand::Drop { sink, which }, "dropped")
                .await
        }
    }
}

/// The dead letters of a sink; `None`: the undecodable entries. Bodies are read one by one: those of
/// all may fill the memory.
async fn listed(reader: &mut Reader, sink: Option<&str>) -> anyhow::Result<Vec<Listed>> {
    let Some(sink) = sink else {
        let undecodable = reader.undecodable_part(0, u64::MAX).await?;
        return Ok(undecodable.into_iter().map(Listed::from).collect());
    };
    let letters = reader.dead_letters_part(Some(sink), 0, u64::MAX).await?;
    Ok(letters.into_iter().map(Listed::from).collect())
}

/// Whether a position was asked for.
fn is_of(which: &Which, position: Position) -> bool {
    match which {
        Which::All => true,
        Which::Positions(positions) => positions.contains(&position),
    }
}

impl Chosen {
    fn sink_and_which(&self) -> anyhow::Result<(String, Which)> {
        let Some((sink, positions)) = self.names.split_first() else {
            bail!("name a sink, or use --undecodable; `stomp-bridge dlq list` lists the entries");
        };
        Ok((sink.clone(), self.which(positions)?))
    }

    fn which(&self, positions: &[String]) -> anyhow::Result<Which> {
        match (self.all, positions.is_empty()) {
            (true, true) => Ok(Which::All),
            (true, false) => bail!("--all and positions do not go together"),
            (false, true) => {
                bail!("name positions, or use --all; `stomp-bridge dlq list` lists the entries")
            }
            (false, false) => {
                let position = |text: &String| {
                    text.parse()
                        .map(Position)
                        .map_err(|_| anyhow!("{text} is no position"))
                };
                Ok(Which::Positions(
                    positions.iter().map(position).collect::<Result<_, _>>()?,
                ))
            }
        }
    }

    async fn show(&self) -> anyhow::Result<ExitCode> {
        let (sink, which) = match self.undecodable {
            true => (None, self.which(&self.names)?),
            false => self
                .sink_and_which()
                .map(|(sink, which)| (Some(sink), which))?,
        };
        let mut reader = self.target.reader().await?;
        if let Some(sink) = &sink {
            account(&mut reader, sink).await?;
        }
        let mut shown = Vec::new();
        let mut listed = listed(&mut reader, sink.as_deref()).await?;
        listed.retain(|listed| is_of(&which, listed.position));
        for listed in listed {
            let entry = match &listed.sink {
                Some(sink) => reader.dead_letter(sink, listed.position).await?,
                None => reader.entry(listed.position).await?,
            };
            let Some(entry) = entry else {
                continue;
            };
            shown.push(Shown {
                sink: listed.sink,
                position: listed.position,
                topic: entry.topic.to_string(),
                received_at: entry.received_at,
                at: listed.at,
                error: listed.error,
                body: String::from_utf8_lossy(&entry.body).into_owned(),
            });
        }
        if shown.is_empty() {
            bail!("there is no such entry; `stomp-bridge dlq list` lists the entries");
        }
        if self.json {
            print::json(&shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        let zone = Readings::of(&self.target).zone(&self.target);
        let zone_name = zone_name(&zone);
        for Shown {
            sink,
            position,
            topic,
            received_at,
            at,
            error,
            body,
        } in shown
        {
            let sink = sink.unwrap_or_else(|| "(undecodable)".to_owned());
            let [received_at, at] = [received_at, at].map(|time| local_time(time, &zone));
            let head = format!(
                "{sink} {position}: topic {topic}, received {received_at}, dead-lettered {at}, times \
                 of {zone_name}"
            );
            let why = format!("  why:  {}", harmless(&error));
            let lines = [(head, 2), (why, 8)].into_iter();
            let lines = lines.flat_map(|(line, lead)| hanging(&line, lead, columns()));
            lines.for_each(|line| say!("{line}"));
            say!("  body: {}\n", harmless(&body));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn carry_out(&self, command: AdminCommand, done: &str) -> anyhow::Result<ExitCode> {
        let reply = self.target.carry_out(&command).await?;
        self.say(reply.entries, 0, done)
    }

    /// Says how many entries that was done with, and why not with the others. `told`: of so many that
    /// was said already.
    fn say(&self, entries: u64, told: u64, done: &str) -> anyhow::Result<ExitCode> {
        if self.json {
            print::json(&serde_json::json!({ "entries": entries }))?;
        } else {
            say!("{} {done}", counted(entries, "entry", "entries"));
        }
        let wanted = if self.all {
            1
        } else {
            self.names.len() - usize::from(!self.undecodable)
        };
        if entries + told < wanted as u64 && !self.all {
            tell!("{}", self.others());
            return Ok(ExitCode::FAILURE);
        }
        Ok(match told {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    /// Why there are entries with which nothing was done.
    fn others(&self) -> &'static str {
        match self.undecodable {
            true => {
                "the other entries are not undecodable, were redriven or dropped before, or are no \
                 longer in the journal"
            }
            false => {
                "the other entries are not dead-lettered, or the sink has not reached them yet"
            }
        }
    }

    /// Decodes with the present configuration: an entry that is still undecodable stays where it
    /// is.
    async fn redrive_undecodable(&self) -> anyhow::Result<ExitCode> {
        let which = self.which(&self.names)?;
        let reading = self.target.reading()?;
        let decoders = reading.decoders().map_err(|wrong| anyhow!("{wrong}"))?;
        let redrive = async |operator: Operator<'_>| {
            let mut reader = self.target.reader().await?;
            let mut undecodable = listed(&mut reader, None).await?;
            undecodable.retain(|listed| is_of(&which, listed.position));
            let (mut batch, mut redriven) = (Batch::default(), Redriven::default());
            for Listed { position, .. } in undecodable {
                let Some(entry) = reader.entry(position).await? else {
                    continue;
                };
                let decoder = decoders.get(&entry.topic);
                match decoder.map(|decoder| parts(decoder, &entry.body)) {
                    Some(Ok(parts)) => {
                        if let Some(full) = batch.add(Redecoded { position, parts }) {
                            redriven.add(&operator, full).await?;
                        }
                    }
                    Some(Err(reason)) => {
                        tell!(
                            "entry {position} cannot be decoded with this configuration either: {}",
                            one_line(&reason)
                        );
                        redriven.left += 1;
                    }
                    None => {
                        tell!(
                            "entry {position}: the configuration has no topic {}",
                            entry.topic
                        );
                        redriven.left += 1;
                    }
                }
            }
            if let Some(rest) = batch.take() {
                redriven.add(&operator, rest).await?;
            }
            if redriven.entries > 0 {
                operator.tell_when();
            }
            anyhow::Ok(redriven)
        };
        let Redriven { entries, left } = self.target.operate(redrive).await?;
        self.say(
            entries,
            left,
            "queued for delivery to every sink that wants them",
        )
    }
}

/// Undecodable entries, as far as they were looked at.
#[derive(Debug, Default)]
struct Redriven {
    /// They are on their way.
    entries: u64,
    /// They stay where they are.
    left: u64,
}

impl Redriven {
    async fn add(&mut self, operator: &Operator<'_>, batch: Vec<Redecoded>) -> anyhow::Result<()> {
        let command = AdminCommand::RedriveUndecodable { entries: batch };
        let reply = operator.carry_out(&command).await?;
        self.entries += reply.entries;
        self.left += reply.left;
        if let Some(why) = &reply.why {
            let left = counted(reply.left, "entry", "entries");
            tell!("{left} not redriven: {}", one_line(why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        chosen: Chosen,
    }

    #[test]
    fn entries_that_are_left_are_what_was_asked_for() {
        let others = |line: &[&str]| Line::try_parse_from(line).unwrap().chosen.others();
        assert!(others(&["drop", "oncall", "17"]).contains("not dead-lettered"));
        let undecodable = others(&["drop", "--undecodable", "17"]);
        assert!(undecodable.contains("not undecodable") && !undecodable.contains("sink"));
    }
}
