//! `tap SINK`: what a running daemon's sink has sent, as it is confirmed, and what became a dead letter.
//! It reads the journal's file, where the daemon writes both; the daemon does nothing for it.

use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Map, Value};

use super::connection::Interrupt;
use super::following::{Following, Waited};
use super::journal_tap::daemon;
use super::live::printable;
use super::print::{counted, harmless, one_line, say, tell};
use super::sent::Sent;
use super::sink_test::sink;
use super::tap_line::Filter;
use super::target::Target;
use crate::config::Plan;
use crate::delivery::{self, Statuses, event_of};
use crate::excerpt::beginning;
use crate::journal::{DeadLetter, DeliveryProof, Entry, Reader};
use crate::model::{Event, EventKind, JournalIds, Position, device_name};
use crate::ops::status::{Report, Sink};
use crate::pipeline::Decoders;
use crate::secret::redact;
use crate::sinks::{Condition, Settings};

/// How often the journal is looked at. The daemon writes what was confirmed once a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Confirmed attempts, or dead letters, that one look reads; and entries that are read at once, and
/// their bytes. A reader that is slower falls behind, and holds nobody up.
const PROOFS_MAX: u32 = 64;
const LETTERS_MAX: u32 = 256;
const ENTRIES_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// Characters of a body in a line for people; JSON has all of it.
const BODY_CHARS: usize = 600;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The sink's name.
    pub(super) sink: &'a str,
    /// Only events of these topics; none: of all.
    pub(super) topics: &'a [String],
    pub(super) filter: Filter<'a>,
    pub(super) count: Option<u64>,
    pub(super) json: bool,
}

/// Prints what comes, until enough has come or the daemon has gone.
///
/// # Errors
/// There is no such sink, no daemon runs, or the journal cannot be read.
pub(super) async fn follow(
    target: &Target,
    plan: &Plan,
    wanted: Wanted<'_>,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let (delivery, settings) = sink(plan, wanted.sink)?;
    let Some(report) = daemon(target).await else {
        bail!(
            "no stomp-bridge runs on this journal, so that no sink sends anything: start it with \
             `stomp-bridge run`; `stomp-bridge sinks test {0}` sends a test event, `stomp-bridge \
             config route` shows what a message would become",
            wanted.sink
        )
    };
    let mut reader = target.reader().await?;
    let journal = reader.ids().await?;
    let mut tap = Tap {
        wanted,
        // It was wanted, whatever the file says by now.
        delivery: delivery::Settings {
            kinds: EventKind::ALL.into(),
            topics: None,
            when: None,
            ..delivery.clone()
        },
        settings,
        statuses: Statuses::new(Decoders::new(plan.decoders.clone())),
        journal,
        proof: reader.newest_proof().await?,
        rejected_at: Timestamp::now(),
        left: wanted.count.unwrap_or(u64::MAX),
    };
    let mut following = Following::new(target, LOOK_INTERVAL);
    while tap.left > 0 {
        let has_come = tokio::select! {
            has_come = tap.look(&mut reader) => has_come?,
            () = interrupt.asked() => return Ok(()),
        };
        if tap.left < wanted.count.unwrap_or(u64::MAX) {
            following.has_come();
        }
        if has_come {
            // There may be more of it.
            continue;
        }
        match following.wait(interrupt).await {
            Waited::Look => {}
            Waited::Wondering => {
                let report = daemon(target).await.unwrap_or_else(|| report.clone());
                tell!("{}", nothing_yet(&report, wanted.sink));
            }
            Waited::Ended => {
                tell!("the daemon has stopped; its sinks send nothing more");
                return Ok(());
            }
            Waited::Interrupted => return Ok(()),
        }
    }
    Ok(())
}

/// Why nothing comes.
fn nothing_yet(report: &Report, name: &str) -> String {
    let found = report.sinks.iter().find(|sink| sink.name == name);
    let Some(sink) = found else {
        return format!(
            "the running daemon has no sink {name}: does it run with another configuration?"
        );
    };
    let state = in_words(sink);
    let waits = match sink.account.pending {
        0 => "no entry waits for it".to_owned(),
        entries => counted(entries, "entry waits for it", "entries wait for it"),
    };
    format!("the sink {name} is {state}; {waits}, nothing sent yet")
}

/// How a sink is, and why, where that is trouble of now.
pub(super) fn in_words(sink: &Sink) -> String {
    let state = sink.state.as_str();
    let is_in_trouble = matches!(
        sink.state,
        Condition::Retrying | Condition::Paused | Condition::Disabled
    );
    match sink.last_error.as_deref().filter(|_| is_in_trouble) {
        Some(error) => format!("{state}: {}", one_line(error)),
        None => state.to_owned(),
    }
}

/// How far it was read, and what is still wanted.
struct Tap<'a> {
    wanted: Wanted<'a>,
    delivery: delivery::Settings,
    settings: &'a Settings,
    statuses: Statuses,
    journal: JournalIds,
    proof: i64,
    rejected_at: Timestamp,
    left: u64,
}

/// What became of an event, for a program.
#[derive(Serialize)]
struct Line<'a> {
    sink: &'a str,
    position: Position,
    event_id: Option<&'a str>,
    sends: Option<&'a Sent>,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Confirmed {
        confirmed_at: Timestamp,
        attempts: u32,
        answer: &'a str,
        /// Events that were confirmed together.
        events: usize,
    },
    DeadLetter {
        dead_lettered_at: Timestamp,
        error: &'a str,
    },
}

impl Tap<'_> {
    /// Prints what has come since. False where nothing has.
    async fn look(&mut self, reader: &mut Reader) -> anyhow::Result<bool> {
        let sink = self.wanted.sink;
        let reading = || format!("read what {sink} has confirmed");
        let proofs = reader.proofs_after(sink, self.proof, PROOFS_MAX).await;
        let proofs = proofs.with_context(reading)?;
        let rejected_at = self.rejected_at;
        let letters = reader.dead_letters_since(sink, rejected_at, LETTERS_MAX);
        let letters = letters.await.with_context(reading)?;
        let has_come = !proofs.is_empty() || !letters.is_empty();
        for (number, proof) in proofs {
            self.proof = number;
            self.confirmed(reader, &proof).await?;
        }
        for letter in letters {
            self.rejected_at = letter.at;
            self.rejected(reader, &letter).await?;
        }
        Ok(has_come)
    }

    async fn confirmed(
        &mut self,
        reader: &mut Reader,
        proof: &DeliveryProof,
    ) -> anyhow::Result<()> {
        let mut after = Position(proof.from.0.saturating_sub(1));
        let mut shown: Vec<(Position, Option<Event>)> = Vec::new();
        let (mut events, mut lines) = (0, 0);
        while after < proof.to && self.left > 0 {
            let entries = reader.read_after(after, ENTRIES_MAX, BYTES_MAX).await?;
            let Some(last) = entries.last().map(|entry| entry.position) else {
                break;
            };
            after = last;
            let of_proof = |entry: &&Entry| proof.is_of(entry.position);
            for entry in entries.iter().filter(of_proof) {
                events += 1;
                let event = self.event(entry);
                if self.takes(&entry.topic, event.as_ref()) {
                    shown.push((entry.position, event));
                }
            }
            if !self.wanted.json {
                lines += shown.len();
                shown.drain(..).try_for_each(|(position, event)| {
                    self.print_event(position, proof.confirmed_at, event.as_ref())
                })?;
            }
        }
        if !self.wanted.json {
            if lines > 0 {
                self.say_answer(proof, events);
            }
            return Ok(());
        }
        for (position, event) in shown {
            let outcome = Outcome::Confirmed {
                confirmed_at: proof.confirmed_at,
                attempts: proof.attempts,
                answer: &proof.answer,
                events,
            };
            self.print_json(position, event.as_ref(), outcome)?;
        }
        Ok(())
    }

    async fn rejected(&mut self, reader: &mut Reader, letter: &DeadLetter) -> anyhow::Result<()> {
        let sink = self.wanted.sink;
        // Dropped or redriven meanwhile: there is nothing to show.
        let Some(entry) = reader.dead_letter(sink, letter.position).await? else {
            return Ok(());
        };
        let event = self.event(&entry);
        if self.left == 0 || !self.takes(&entry.topic, event.as_ref()) {
            return Ok(());
        }
        if self.wanted.json {
            let outcome = Outcome::DeadLetter {
                dead_lettered_at: letter.at,
                error: &letter.error,
            };
            return self.print_json(letter.position, event.as_ref(), outcome);
        }
        self.print_event(letter.position, letter.at, event.as_ref())?;
        say!("    <- dead letter: {}", one_line(&letter.error));
        Ok(())
    }

    fn event(&self, entry: &Entry) -> Option<Event> {
        event_of(&self.delivery, &self.journal, &self.statuses, entry)
    }

    fn takes(&self, topic: &str, event: Option<&Event>) -> bool {
        let topics = self.wanted.topics;
        let filter = &self.wanted.filter;
        let is_of_topic = topics.is_empty() || topics.iter().any(|name| name == topic);
        is_of_topic
            && match event.and_then(Event::status) {
                Some(status) => filter.takes_status(status),
                None => filter.takes_all(),
            }
    }

    fn print_event(
        &mut self,
        position: Position,
        at: Timestamp,
        event: Option<&Event>,
    ) -> anyhow::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        let time = at.to_zoned(TimeZone::system()).strftime("%H:%M:%S");
        let Some(event) = event else {
            say!("{time} entry {position}: its event cannot be made by this configuration");
            return Ok(());
        };
        let sent = Sent::of(self.settings, event);
        let device = event.status().map(|status| {
            format!(
                " device {}",
                device_name(&status.client_id, &status.device_id)
            )
        });
        let device = printable(&device.unwrap_or_default());
        let head = harmless(&redact(&sent.head())).replace('\n', " ");
        say!("{time} {}{device}  {head}", event.topic());
        let body = match &sent {
            Sent::Row { .. } => Some(row(event)),
            sent => sent.body().map(str::to_owned),
        };
        if let Some(body) = body {
            let body = harmless(&redact(&body)).replace('\n', "\\n");
            say!("    {}", beginning(&body, BODY_CHARS));
        }
        Ok(())
    }

    fn say_answer(&self, proof: &DeliveryProof, events: usize) {
        let together = match events {
            0 | 1 => String::new(),
            events => format!(", {events} events together"),
        };
        let attempts = match proof.attempts {
            0 | 1 => String::new(),
            attempts => format!(", attempt {attempts}"),
        };
        say!("    <- {}{together}{attempts}", one_line(&proof.answer));
    }

    fn print_json(
        &mut self,
        position: Position,
        event: Option<&Event>,
        outcome: Outcome<'_>,
    ) -> anyhow::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        let sent = event.map(|event| Sent::of(self.settings, event));
        let line = Line {
            sink: self.wanted.sink,
            position,
            event_id: event.map(Event::event_id),
            sends: sent.as_ref(),
            outcome,
        };
        say!("{}", redact(&serde_json::to_string(&line)?));
        Ok(())
    }
}

/// The columns of a row that hold something, without the message that they were made of.
fn row(event: &Event) -> String {
    let columns: Option<Map<String, Value>> = serde_json::from_slice(&event.to_json()).ok();
    let mut columns = columns.unwrap_or_default();
    columns.retain(|name, value| !value.is_null() && name != "payload" && name != "origin");
    Value::from(columns).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sink_waits_for_is_said_where_nothing_comes() {
        let mut report: Report = serde_json::from_str(include_str!("status/report.json")).unwrap();
        let said = nothing_yet(&report, "oncall");
        assert!(said.contains("has no sink oncall"), "{said}");
        let sink = serde_json::json!({
            "name": "oncall", "configured": true, "state": "retrying", "up": false, "since": null,
            "last_error": "answered\n503", "replaying": false, "dlq_bytes": 0,
            "sink": "oncall", "cursor": 0, "pending": 7, "waiting": 0,
            "started": 0, "rewound": 0, "furthest": 0, "redriven": 0, "discarded": 0,
            "delivered": 0, "filtered": 0, "undecodable": 0, "dead_lettered": 0,
            "evicted": 0, "removed": 0
        });
        report.sinks = vec![serde_json::from_value(sink).unwrap()];
        let check = |report: &Report, expected: &str| {
            assert_eq!(nothing_yet(report, "oncall"), expected);
        };
        let rest = "7 entries wait for it, nothing sent yet";
        let expected = format!("the sink oncall is retrying: answered 503; {rest}");
        check(&report, &expected);
        for state in [Condition::Up, Condition::Starting] {
            // What has passed is not why nothing comes.
            report.sinks[0].state = state;
            let state = state.as_str();
            check(&report, &format!("the sink oncall is {state}; {rest}"));
        }
    }
}
