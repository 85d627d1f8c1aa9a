//! All that is known of one event, from the frame to the sinks.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::fate::{Fate, Known};
use super::find::{Found, Readings, Undecodable};
use super::stored::{self, InHistory, Stored, StoredAs};
use crate::cli::target::Target;
use crate::delivery::{Settings, Verdict, decoder_of};
use crate::journal::{Entry, Reader, SinkAccounting};
use crate::model::{Event, Omit, Origin, Position, StatusEvent};
use crate::ops::status::Report;

/// A running daemon answers at once; without one there is nothing to wait for.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(2);

/// An event's way.
#[derive(Debug, Serialize)]
pub(super) struct Way {
    pub(super) position: Position,
    pub(super) received_at: Timestamp,
    /// The last state known before, where the status gives another as its old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_known: Option<String>,
    /// Repeats of the device's statuses that came behind it.
    pub(super) repeats_behind: u64,
    /// Statuses of the device that came behind it and are undecodable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) undecodable_behind: Option<Undecodable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warning: Option<String>,
    /// Its columns.
    pub(super) event: Box<RawValue>,
    pub(super) sinks: Vec<AtSink>,
    /// It is shown as a history's row says it: its sink, and the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) only_in: Option<OnlyIn>,
    /// It came from this journal.
    #[serde(skip)]
    pub(super) is_ours: bool,
    /// What the state before is called, where there is one.
    #[serde(skip)]
    pub(super) old_name: Option<String>,
    #[serde(skip)]
    pub(super) status: StatusEvent,
}

/// One sink's part of it.
#[derive(Debug, Serialize)]
pub(super) struct AtSink {
    pub(super) sink: String,
    /// It is in the configuration; `None`: nobody can say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) configured: Option<bool>,
    #[serde(flatten)]
    pub(super) fate: Fate,
    /// Of a SQL history: whether it has the event now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<InHistory>,
    /// What the history's row says, where it is read otherwise by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stored_as: Option<StoredAs>,
}

impl AtSink {
    /// What its history says.
    fn learn(&mut self, (history, stored_as): (InHistory, Option<StoredAs>)) {
        self.stored_as = stored_as;
        if let InHistory::Sequence(_) = history {
            let fate = std::mem::replace(&mut self.fate, Fate::Stored);
            self.fate = fate.with_row();
        }
        self.history = Some(history);
    }
}

/// Where an event is that was not found in the journal.
#[derive(Debug, Serialize)]
pub(super) struct OnlyIn {
    pub(super) sink: String,
    pub(super) sequence: i64,
    /// The journal has its entry, which the configuration reads otherwise by now.
    pub(super) in_journal: bool,
}

/// Follows an event that was found in the journal.
///
/// # Errors
/// The journal cannot be read, or the entry cannot be decoded.
pub(super) async fn follow(
    target: &Target,
    readings: &Readings,
    reader: &mut Reader,
    found: Found,
) -> anyhow::Result<Way> {
    let Found { entry, repeats } = found;
    let origin = reader.ids().await?.origin(entry.position);
    let status = decoded(readings, &entry, origin)?;
    let verdict = |settings: &Settings| Some(Verdict::of_entry(settings, &entry.content, &status));
    let sinks = at_sinks(
        target,
        readings,
        reader,
        (&status, InJournal::Yes),
        &verdict,
    )
    .await?;
    let decoder = readings.decoder(&entry.topic);
    let old = status.old_state.as_deref();
    Ok(Way {
        last_known: entry.content.previous().map(str::to_owned),
        repeats_behind: repeats,
        warning: warning(readings, &status.topic),
        old_name: old.map(|word| decoder.state_name(word).to_owned()),
        ..Way::new(status, sinks)?
    })
}

/// Follows an event that was found in a history alone: it is what the row says, also where the
/// configuration would read it otherwise by now. What became of it at the sinks is known where it
/// came from this journal.
///
/// # Errors
/// The journal cannot be read.
pub(super) async fn follow_stored(
    target: &Target,
    readings: &Readings,
    reader: &mut Reader,
    stored: Stored,
) -> anyhow::Result<Way> {
    let is_whole = is_whole(readings, &stored);
    let mut status = stored.status;
    status.label = readings.label(&status);
    let is_ours = reader.ids().await?.has(stored.origin);
    let in_journal = is_ours && reader.entry(status.position).await?.is_some();
    let at = match in_journal {
        true => InJournal::Yes,
        false => InJournal::NoLonger,
    };
    let verdict = |settings: &Settings| of_row(settings, &status, is_whole);
    let sinks = match is_ours {
        true => at_sinks(target, readings, reader, (&status, at), &verdict).await?,
        false => Vec::new(),
    };
    let only_in = OnlyIn {
        sink: stored.sink,
        sequence: stored.sequence,
        in_journal,
    };
    let old_name = stored.old_name.or_else(|| status.old_state.clone());
    Ok(Way {
        only_in: Some(only_in),
        is_ours,
        old_name,
        ..Way::new(status, sinks)?
    })
}

/// Whether a row has all that a `when` may look at: its sink omits nothing.
fn is_whole(readings: &Readings, stored: &Stored) -> bool {
    let (_, settings) = settings(readings, &stored.sink);
    stored.has_payload() && settings.is_some_and(|settings| settings.omit == Omit::default())
}

/// What a sink makes of a row. `None`: nobody can say, since its `when` may look at what the row
/// does not have.
fn of_row(settings: &Settings, status: &StatusEvent, is_whole: bool) -> Option<Verdict> {
    match Verdict::of(settings, status) {
        Verdict::Filtered(_) if !is_whole => None,
        verdict => Some(verdict),
    }
}

fn decoded(readings: &Readings, entry: &Entry, origin: Origin) -> anyhow::Result<StatusEvent> {
    let decoder = readings.decoder(&entry.topic);
    let decoder = decoder_of(&decoder, &entry.content);
    let previous = entry.content.previous();
    let status = decoder.event(&entry.body, origin, entry.received_at, previous);
    status.map_err(|undecodable| {
        let position = entry.position;
        anyhow::anyhow!("the entry {position} can no longer be decoded: {undecodable}")
    })
}

impl Way {
    fn new(status: StatusEvent, sinks: Vec<AtSink>) -> anyhow::Result<Way> {
        let event = Event::from(status.clone());
        Ok(Way {
            position: status.position,
            received_at: status.received_at,
            last_known: None,
            repeats_behind: 0,
            undecodable_behind: None,
            warning: None,
            event: RawValue::from_string(String::from_utf8(event.to_json())?)?,
            sinks,
            only_in: None,
            is_ours: true,
            old_name: None,
            status,
        })
    }
}

/// That it may have been read otherwise by the daemon.
fn warning(readings: &Readings, topic: &str) -> Option<String> {
    let read = "it is read as the platform's own message";
    match &readings.problem {
        Some(problem) => {
            let problem = problem.lines().next().unwrap_or_default();
            Some(format!(
                "the configuration cannot be used, so {read}: {problem}"
            ))
        }
        None if !readings.has(topic) => {
            Some(format!("the configuration has no topic {topic}, so {read}"))
        }
        None => None,
    }
}

/// Whether the journal has an event's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InJournal {
    Yes,
    NoLonger,
}

/// `verdict`: what a sink with these settings makes of it, as far as that is known.
async fn at_sinks(
    target: &Target,
    readings: &Readings,
    reader: &mut Reader,
    (status, in_journal): (&StatusEvent, InJournal),
    verdict: &dyn Fn(&Settings) -> Option<Verdict>,
) -> anyhow::Result<Vec<AtSink>> {
    // Before the proofs: a cursor that is read behind them may have passed the event since.
    let accounts = reader.accounts().await?;
    let proofs = reader.proofs(status.position).await?;
    let dead_letters = reader.dead_letters_at(status.position).await?;
    let evictions = match in_journal {
        InJournal::Yes => None,
        InJournal::NoLonger => Some(reader.evictions().await?),
    };
    let report = timeout(DAEMON_TIMEOUT, target.get::<Report>("/status"));
    let report = report.await.ok().and_then(Result::ok);
    let at_sink = |account: &SinkAccounting| {
        let (configured, settings) = settings(readings, &account.sink);
        let live = report.as_ref().map(|report| report.sinks.as_slice());
        let mut live = live.into_iter().flatten();
        let known = Known {
            account,
            proofs: &proofs,
            dead_letters: &dead_letters,
            evictions: evictions.as_deref(),
            verdict: settings.and_then(verdict),
            live: live.find(|sink| sink.account.sink == account.sink),
        };
        AtSink {
            sink: account.sink.to_string(),
            configured,
            fate: Fate::of(status, known),
            history: None,
            stored_as: None,
        }
    };
    let mut sinks: Vec<AtSink> = accounts.iter().map(at_sink).collect();
    for history in target.histories() {
        if let Some(at) = sinks.iter_mut().find(|at| at.sink == history.name) {
            at.learn(stored::look_up(&history, status).await);
        }
    }
    Ok(sinks)
}

/// Whether a sink is in the configuration, and what it wants.
fn settings<'r>(readings: &'r Readings, sink: &str) -> (Option<bool>, Option<&'r Settings>) {
    let reading = readings.reading.as_ref();
    match reading.map(|reading| reading.sink(sink)) {
        Some(Ok(settings)) => (Some(settings.is_some()), settings),
        Some(Err(_)) => (Some(true), None),
        None => (None, None),
    }
}
