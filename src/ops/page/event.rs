//! The way of one entry of the journal: when it was received, what it says, and what became of it at
//! each sink, with the proof.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::asker::Asker;
use super::frame::Frame;
use super::links::device_path;
use super::regions::mark;
use crate::journal::{self, DeadLetter, DeliveryProof, Entry, EntryContent, SinkStatus};
use crate::model::{Position, Via};
use crate::ops::lang::{Lang, date, grouped};
use crate::ops::snapshot::{StateNow, state};
use crate::ops::view::View;
use crate::secret::redact;

/// The journal's file is read within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a body that are shown.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What became of an entry at one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub(super) enum Fate {
    /// The sink has confirmed it.
    Confirmed {
        #[schema(value_type = String)]
        at: Timestamp,
        attempts: u32,
        /// What the other side has answered.
        answer: String,
    },
    /// It is a dead letter.
    DeadLetter {
        #[schema(value_type = String)]
        at: Timestamp,
        error: String,
    },
    /// The sink comes to it later.
    Waits {
        /// Entries before it.
        before: u64,
    },
    /// The sink is past it, and there is no proof: it did not want it, or the proof is too old.
    Passed,
}

/// One sink's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct AtSink {
    pub(super) sink: String,
    #[serde(flatten)]
    pub(super) fate: Fate,
}

/// An entry and its way.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Way {
    pub(super) position: i64,
    pub(super) topic: String,
    #[schema(value_type = String)]
    pub(super) received_at: Timestamp,
    /// `status`, `undecodable` or `coverage`.
    pub(super) kind: &'static str,
    /// The device, as `client/device`, and the path of its page.
    pub(super) device: Option<(String, String)>,
    /// The state that it says.
    pub(super) state: Option<StateNow>,
    /// The last state known before, where the status gives another as its old one.
    pub(super) previous: Option<String>,
    /// The same was received before.
    pub(super) repeat: bool,
    /// Why it cannot be decoded.
    pub(super) reason: Option<String>,
    /// The beginning of the body.
    pub(super) body: String,
    pub(super) sinks: Vec<AtSink>,
}

/// Follows an entry; `None`: the journal no longer has it.
pub(super) async fn follow(view: &View, position: Position) -> Result<Option<Way>, String> {
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        let Some(entry) = reader.entry(position).await? else {
            return Ok(None);
        };
        let proofs = reader.proofs(position).await?;
        let letters = reader.dead_letters_at(position).await?;
        Ok::<_, journal::Error>(Some(way(view, &entry, &proofs, &letters)))
    };
    match timeout(READ_TIMEOUT, read).await {
        Ok(Ok(way)) => Ok(way),
        Ok(Err(error)) => Err(redacted(&error.to_string())),
        Err(_) => Err(format!("no answer within {} s", READ_TIMEOUT.as_secs())),
    }
}

fn redacted(text: &str) -> String {
    redact(text).into_owned()
}

fn way(view: &View, entry: &Entry, proofs: &[DeliveryProof], letters: &[DeadLetter]) -> Way {
    let via = match &entry.content {
        EntryContent::Status { .. } => Some(Via::Live),
        EntryContent::Resync { .. } => Some(Via::Resync),
        _ => None,
    };
    let key = via.and_then(|via| view.decoders.status_key(&entry.topic, via, &entry.body));
    let said = key
        .as_ref()
        .map(|(stream, key)| state(view, stream, key.new_state.trim(), 1));
    let device = key.map(|(stream, key)| {
        let path = device_path(&stream, &key.client_id, &key.device_id);
        let name = match key.client_id.is_empty() {
            true => key.device_id,
            false => format!("{}/{}", key.client_id, key.device_id),
        };
        (redacted(&name), path)
    });
    let (previous, repeat, reason) = match &entry.content {
        EntryContent::Status { previous, repeat } => (previous.as_deref(), *repeat, None),
        EntryContent::Resync { previous, .. } => (previous.as_deref(), false, None),
        EntryContent::Undecodable { reason } => (None, false, Some(redacted(reason))),
        EntryContent::Coverage | EntryContent::Alarm => (None, false, None),
    };
    let sinks = view.journal.log.status().sinks;
    Way {
        position: entry.position.0,
        topic: entry.topic.to_string(),
        received_at: entry.received_at,
        kind: entry.content.kind().as_str(),
        device,
        state: said,
        previous: previous.map(redacted),
        repeat,
        reason,
        body: body(&entry.body),
        sinks: sinks
            .iter()
            .map(|sink| AtSink {
                sink: sink.name.to_string(),
                fate: fate(sink, entry.position, proofs, letters),
            })
            .collect(),
    }
}

fn body(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(BODY_BYTES_MAX)];
    let text = String::from_utf8_lossy(shown);
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let pretty = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    match pretty.filter(|pretty| pretty.len() <= 2 * BODY_BYTES_MAX) {
        Some(pretty) => redacted(&pretty),
        None => redacted(&text),
    }
}

fn fate(
    sink: &SinkStatus,
    position: Position,
    proofs: &[DeliveryProof],
    letters: &[DeadLetter],
) -> Fate {
    if let Some(letter) = letters.iter().find(|letter| *letter.sink == *sink.name) {
        let (at, error) = (letter.at, redacted(&letter.error));
        return Fate::DeadLetter { at, error };
    }
    if let Some(proof) = proofs.iter().rfind(|proof| proof.sink == sink.name) {
        return Fate::Confirmed {
            at: proof.confirmed_at,
            attempts: proof.attempts,
            answer: redacted(&proof.answer),
        };
    }
    match position.0 - sink.cursor.0 {
        before @ 1.. => Fate::Waits {
            before: before.unsigned_abs() - 1,
        },
        _ => Fate::Passed,
    }
}

#[derive(Template)]
#[template(path = "page/event.html")]
struct Event {
    f: Frame,
    l: Lang,
    zone: jiff::tz::TimeZone,
    position: i64,
    way: Option<Way>,
    failure: Option<String>,
}

impl Event {
    fn date(&self, at: &Timestamp) -> String {
        date(*at, &self.zone)
    }

    fn mark(&self, state: &StateNow) -> &'static str {
        mark(state.severity)
    }

    fn state<'b>(&self, state: &'b StateNow) -> &'b str {
        match self.l {
            Lang::Zh if !state.word.is_empty() => &state.word,
            _ => &state.state,
        }
    }

    /// The time of a sink's part, its mark, and what became of the entry there.
    fn fate(&self, at: &AtSink) -> (String, &'static str, String) {
        let l = self.l;
        match &at.fate {
            Fate::Confirmed { at, attempts, .. } => {
                let noun = l.plural((*attempts).into(), "attempt", "attempts");
                let en = format!("confirmed, {attempts} {noun}");
                let zh = format!("已确认，尝试 {attempts} 次");
                (self.date(at), "ok", l.t(&en, &zh).to_owned())
            }
            Fate::DeadLetter { at, .. } => (
                self.date(at),
                "crit",
                l.t("dead-lettered", "死信").to_owned(),
            ),
            Fate::Waits { before } => {
                let before = grouped(*before);
                let en = format!("waits: {before} entries before it");
                (
                    String::new(),
                    "unk",
                    l.t(&en, &format!("等待中：前面还有 {before} 条"))
                        .to_owned(),
                )
            }
            Fate::Passed => {
                let en = "the sink is past it: it did not want it, or the proof is no longer kept";
                let zh = "该输出已处理过：不需要此条，或凭据已过期";
                (String::new(), "ok", l.t(en, zh).to_owned())
            }
        }
    }

    /// The other side's words.
    fn answer<'b>(&self, at: &'b AtSink) -> &'b str {
        match &at.fate {
            Fate::Confirmed { answer, .. } => answer,
            Fate::DeadLetter { error, .. } => error,
            Fate::Waits { .. } | Fate::Passed => "",
        }
    }
}

/// The page.
pub(super) async fn event(
    State(view): State<View>,
    asker: Asker,
    Path(position): Path<i64>,
) -> Response {
    let mut f = Frame::new(&view, &asker, "event");
    f.subject = position.to_string();
    let (way, failure) = match follow(&view, Position(position)).await {
        Ok(way) => (way, None),
        Err(error) => (None, Some(error)),
    };
    let page = Event {
        l: asker.lang,
        zone: view.setup.current().zone.clone(),
        f,
        position,
        way,
        failure,
    };
    let mut answer = page.f.answer(&page);
    if page.way.is_none() && page.failure.is_none() {
        *answer.status_mut() = StatusCode::NOT_FOUND;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(cursor: i64) -> SinkStatus {
        SinkStatus {
            name: "a".into(),
            cursor: Position(cursor),
            dead_lettered: 0,
            dlq_bytes: 0,
            configured: true,
        }
    }

    #[test]
    fn what_is_listed_counts_before_what_is_proven_and_that_before_the_cursor() {
        let at = Timestamp::UNIX_EPOCH;
        let letter = DeadLetter {
            sink: "a".to_owned(),
            position: Position(7),
            error: "no".to_owned(),
            at,
        };
        let proof = DeliveryProof {
            sink: "a".into(),
            from: Position(7),
            to: Position(7),
            positions: None,
            confirmed_at: at,
            attempts: 2,
            answer: "204".to_owned(),
        };
        let of = |cursor, proofs: &[DeliveryProof], letters: &[DeadLetter]| {
            fate(&sink(cursor), Position(7), proofs, letters)
        };
        let proofs = [proof];
        assert!(matches!(of(9, &proofs, &[letter]), Fate::DeadLetter { .. }));
        assert!(matches!(
            of(9, &proofs, &[]),
            Fate::Confirmed { attempts: 2, .. }
        ));
        assert_eq!(of(9, &[], &[]), Fate::Passed);
        assert_eq!(of(4, &[], &[]), Fate::Waits { before: 2 });
    }
}
