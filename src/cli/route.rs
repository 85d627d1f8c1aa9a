//! What one message becomes: each status in it, what each sink makes of that, and what it would send.
//! It connects to nothing and writes nothing.

use std::collections::BTreeMap;

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::sent::Sent;
use crate::config::Plan;
use crate::delivery::Verdict;
use crate::model::{Event, Origin, Payload, Position, StatusEvent};
use crate::pipeline::{Body, Decision, Decoder, Doubts, Field, StatusKey};

/// One status of a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    /// Dropped by the topic's `ignore`.
    Ignored(String),
    /// Kept raw, for this reason.
    Undecodable(String),
    /// What sinks get.
    Status(Box<Routed>),
}

/// A status, and what becomes of it.
#[derive(Debug, Serialize)]
pub(super) struct Routed {
    /// Its columns.
    pub(super) event: serde_json::Map<String, Value>,
    /// Fields that could not be read.
    pub(super) unreadable: Vec<&'static str>,
    /// `[states]` does not have its state.
    pub(super) unmapped: bool,
    /// The topic's `encoding` has made it, of a body that is UTF-8, too.
    pub(super) utf8: bool,
    pub(super) sinks: Vec<AtSink>,
}

/// What becomes of a status at one sink.
#[derive(Debug, Serialize)]
pub(super) struct AtSink {
    pub(super) sink: String,
    pub(super) takes: bool,
    /// The part of `when` that decided, or another reason.
    pub(super) why: String,
    /// The columns that the part uses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) values: BTreeMap<String, Value>,
    /// What it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sends: Option<Sent>,
}

/// What a message of a topic becomes; `last`: the state last known of its device.
///
/// # Errors
/// There is no such topic.
pub(super) fn route<'b>(
    plan: &Plan,
    topic: &str,
    body: impl Into<Body<'b>>,
    last: Option<&str>,
) -> anyhow::Result<Vec<Found>> {
    let decoder = plan.decoders.get(topic).ok_or_else(|| {
        let mut names: Vec<&str> = plan.decoders.keys().map(|name| &**name).collect();
        names.sort_unstable();
        anyhow!(
            "there is no topic `{topic}`; the configuration has {}",
            names.join(", ")
        )
    })?;
    let received_at = Timestamp::now();
    let elements = decoder
        .split_message(&body.into(), received_at)
        .into_iter()
        .zip(1..);
    let found = elements.map(|(element, position)| {
        if element.ignored {
            return Found::Ignored(String::from_utf8_lossy(&element.raw).into_owned());
        }
        let origin = Origin {
            journal: uuid::Uuid::nil(),
            position: Position(position),
        };
        // The reason is the intake's: what is kept is read as UTF-8 later.
        let read = element.outcome.map_err(|reason| reason.reason);
        match read.and_then(|key| status(decoder, key, &element.raw, origin, received_at, last)) {
            Ok(status) => Found::Status(Box::new(routed(plan, status, element.doubts))),
            Err(reason) => Found::Undecodable(reason),
        }
    });
    Ok(found.collect())
}

/// As the journal and delivery decode it: the last state counts where the status names another one.
fn status(
    decoder: &Decoder,
    key: StatusKey,
    raw: &[u8],
    origin: Origin,
    received_at: Timestamp,
    last: Option<&str>,
) -> Result<StatusEvent, String> {
    let said = key.old_state.as_deref().map(str::trim);
    let previous = last.filter(|last| said != Some(last.trim()));
    let event = decoder.event(raw, origin, received_at, previous);
    event.map_err(|reason| reason.reason)
}

fn routed(plan: &Plan, status: StatusEvent, doubts: Doubts) -> Routed {
    let event = Event::from(status);
    let columns = serde_json::to_value(&event).ok();
    let sinks = plan.sinks.iter().filter_map(|(delivery, settings)| {
        let Event::Status(status) = &event else {
            return None;
        };
        let verdict = Verdict::of(delivery, status);
        let takes = matches!(verdict, Verdict::Taken(_));
        let (why, values) = in_words(verdict);
        Some(AtSink {
            sink: delivery.name.to_string(),
            takes,
            why,
            values,
            sends: takes.then(|| {
                let event = Event::Status(delivery.omit.apply(status.clone()));
                Sent::of(settings, &event)
            }),
        })
    });
    Routed {
        sinks: sinks.collect(),
        event: match columns {
            Some(Value::Object(columns)) => columns,
            // A payload with a number that no double holds.
            _ => without_payload(&event),
        },
        unreadable: doubts.fields().map(Field::name).collect(),
        unmapped: doubts.unmapped,
        utf8: doubts.is_utf8_too,
    }
}

/// The columns of an event whose payload has no form as a value: it is a text there.
fn without_payload(event: &Event) -> serde_json::Map<String, Value> {
    let Some(status) = event.status() else {
        return serde_json::Map::new();
    };
    let payload = status.payload.get().to_owned();
    let status = StatusEvent {
        payload: Payload::null(),
        ..status.clone()
    };
    let mut columns = match serde_json::to_value(Event::from(status)) {
        Ok(Value::Object(columns)) => columns,
        _ => serde_json::Map::new(),
    };
    columns.insert("payload".to_owned(), payload.into());
    columns
}

fn in_words(verdict: Verdict) -> (String, BTreeMap<String, Value>) {
    let decided = |decision: Decision| (decision.part, decision.values.into_iter().collect());
    let plain = |text: &str| (text.to_owned(), BTreeMap::new());
    match verdict {
        Verdict::Taken(None) => plain("it has no `when`"),
        Verdict::Taken(Some(decision)) | Verdict::Filtered(decision) => decided(decision),
        Verdict::OtherTopic => plain("its `topics` do not have this one"),
        Verdict::OtherKind => plain("its `kinds` have no statuses"),
        Verdict::OnlyConfirms => plain("a snapshot that only confirms what was known"),
        Verdict::Unreadable(error) => plain(&format!(
            "`when` cannot be evaluated, so a dead letter: {error}"
        )),
    }
}
