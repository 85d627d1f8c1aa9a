//! The way of one entry of the journal: when it was received, what it says, and what became of it at
//! each sink, with the proof.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::asker::Asker;
use super::failure;
use super::frame::Frame;
use super::json_text::indented;
use super::regions::mark;
use crate::delivery::decoder_of;
use crate::journal::{DeadLetter, DeliveryProof, Entry, EntryContent, SinkStatus};
use crate::model::{Position, StatusEvent, device_name};
use crate::ops::lang::{Lang, date, grouped};
use crate::ops::links::device_path;
use crate::ops::snapshot::{StateNow, state};
use crate::ops::trouble;
use crate::ops::view::View;
use crate::secret::{beginning, redact};

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
    /// The sink is past it, and there is no proof: it did not want it, its dead letter was dropped,
    /// or the proof is too old.
    Passed,
}

impl Fate {
    /// When it came to that, where that is known.
    fn at(&self) -> Option<Timestamp> {
        match self {
            Fate::Confirmed { at, .. } | Fate::DeadLetter { at, .. } => Some(*at),
            Fate::Waits { .. } | Fate::Passed => None,
        }
    }
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
    /// What the device is called.
    pub(super) name: Option<String>,
    /// What is made of it now.
    pub(super) decoded: Option<Decoded>,
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

/// What an entry says of its device.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Decoded {
    pub(super) state: StateNow,
    /// The state before, as the message gives it.
    pub(super) old: Option<StateNow>,
    pub(super) changed: bool,
    /// The message's state before is not the one that was known.
    pub(super) missed_transition: bool,
    pub(super) serial: Option<String>,
    /// Province, city, district and the rest.
    pub(super) place: Vec<String>,
    pub(super) coordinate_system: Option<String>,
    /// Longitude and latitude.
    pub(super) wgs84: Option<(f64, f64)>,
    #[schema(value_type = Option<String>)]
    pub(super) occurred_at: Option<Timestamp>,
}

impl Decoded {
    fn of(view: &View, status: &StatusEvent) -> Decoded {
        let state = |word: &str| state(view, &status.stream, word.trim(), 1);
        let place = &status.place;
        let parts = [&place.province, &place.city, &place.district, &place.detail];
        Decoded {
            state: state(&status.new_state),
            old: status.old_state.as_deref().map(state),
            changed: status.changed,
            missed_transition: status.missed_transition,
            serial: status.serial.as_deref().map(redacted),
            place: parts
                .into_iter()
                .flatten()
                .map(|part| redacted(part))
                .collect(),
            coordinate_system: place.coordinate_system.as_deref().map(redacted),
            wgs84: place.wgs84.map(|at| (at.longitude, at.latitude)),
            occurred_at: status.occurred_at,
        }
    }
}

/// Follows an entry; `None`: the journal no longer has it.
pub(super) async fn follow(
    view: &View,
    position: Position,
    lang: Lang,
) -> Result<Option<Way>, String> {
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        let Some(entry) = reader.entry(position).await? else {
            return Ok(None);
        };
        let proofs = reader.proofs(position).await?;
        let letters = reader.dead_letters_at(position).await?;
        Ok(Some(way(view, &entry, &proofs, &letters)))
    };
    failure::read(lang, read).await
}

/// When the run of entries was evicted that an entry, which the journal no longer has, is one of.
pub(super) async fn evicted(
    view: &View,
    position: Position,
    lang: Lang,
) -> Result<Option<Timestamp>, String> {
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        let evictions = reader.evictions().await?.into_iter();
        let mut of = evictions.filter(|eviction| eviction.has(position));
        Ok(of.next().map(|eviction| eviction.until))
    };
    failure::read(lang, read).await
}

fn redacted(text: &str) -> String {
    redact(text).into_owned()
}

fn way(view: &View, entry: &Entry, proofs: &[DeliveryProof], letters: &[DeadLetter]) -> Way {
    let decoders = view.decoders.current();
    let decoder = decoders.get(&entry.topic).filter(|_| {
        let content = &entry.content;
        matches!(
            content,
            EntryContent::Status { .. } | EntryContent::Resync { .. }
        )
    });
    let origin = view.journal.log.ids().origin(entry.position);
    let status = decoder.and_then(|decoder| {
        let decoder = decoder_of(decoder, &entry.content);
        let previous = entry.content.previous();
        decoder
            .event(&entry.body, origin, entry.received_at, previous)
            .ok()
    });
    let device = status.as_ref().map(|status| {
        let path = device_path(&status.stream, &status.client_id, &status.device_id);
        let name = device_name(&status.client_id, &status.device_id);
        (redacted(&name), path)
    });
    let label = status.as_ref().and_then(|status| status.label.as_ref());
    let name = label.and_then(|label| label.name.as_deref()).map(redacted);
    let (previous, repeat, reason) = match &entry.content {
        EntryContent::Status { previous, repeat } => (previous.as_deref(), *repeat, None),
        EntryContent::Resync { previous, .. } => (previous.as_deref(), false, None),
        EntryContent::Undecodable { reason } => (None, false, Some(redacted(reason))),
        EntryContent::Coverage | EntryContent::Alarm => (None, false, None),
    };
    let sinks = view.journal.log.status().sinks;
    let mut sinks: Vec<AtSink> = sinks
        .iter()
        .map(|sink| AtSink {
            sink: sink.name.to_string(),
            fate: fate(sink, entry.position, proofs, letters),
        })
        .collect();
    sinks.sort_by_key(|at| at.fate.at().unwrap_or(Timestamp::MAX));
    Way {
        position: entry.position.0,
        topic: entry.topic.to_string(),
        received_at: entry.received_at,
        kind: entry.content.kind().as_str(),
        device,
        name,
        decoded: status.as_ref().map(|status| Decoded::of(view, status)),
        previous: previous.map(redacted),
        repeat,
        reason,
        body: body(&entry.body),
        sinks,
    }
}

fn body(bytes: &[u8]) -> String {
    match indented(bytes, 2 * BODY_BYTES_MAX) {
        Some(lines) => redacted(&lines),
        None => beginning(bytes, BODY_BYTES_MAX).marked(),
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
    /// The journal has evicted it.
    evicted: Option<Timestamp>,
    failure: Option<String>,
}

impl Event {
    fn date(&self, at: &Timestamp) -> String {
        date(*at, &self.zone)
    }

    fn kind(&self, way: &Way) -> &'static str {
        let (en, zh) = match way.kind {
            "status" => ("status", "状态"),
            "coverage" => ("coverage", "收听情况"),
            "alarm" => ("alarm", "告警"),
            "resync" => ("status of a snapshot", "快照中的状态"),
            _ => ("undecodable", "无法解析"),
        };
        self.l.t(en, zh)
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

    /// How long after its receipt a sink had it.
    fn after(&self, way: &Way, at: &AtSink) -> String {
        let Some(at) = at.fate.at() else {
            return String::new();
        };
        let after = Duration::try_from(at.duration_since(way.received_at)).unwrap_or_default();
        format!("+{}", self.l.took(after))
    }

    /// The mark of a sink's part, and what became of the entry there.
    fn fate(&self, at: &AtSink) -> (&'static str, String) {
        let l = self.l;
        match &at.fate {
            Fate::Confirmed { at, attempts, .. } => {
                let (at, noun) = (
                    self.date(at),
                    l.plural((*attempts).into(), "attempt", "attempts"),
                );
                let en = format!("confirmed at {at}, {attempts} {noun}");
                let zh = format!("{at} 已确认，尝试 {attempts} 次");
                ("ok", l.t(&en, &zh).to_owned())
            }
            Fate::DeadLetter { at, .. } => {
                let at = self.date(at);
                let en = format!("dead-lettered at {at}");
                ("crit", l.t(&en, &format!("{at} 转为死信")).to_owned())
            }
            Fate::Waits { before } => {
                let noun = l.plural(*before, "entry", "entries");
                let before = grouped(*before);
                let en = format!("waits: {before} {noun} before it");
                let zh = format!("等待中：前面还有 {before} 条");
                ("unk", l.t(&en, &zh).to_owned())
            }
            Fate::Passed => {
                let en = "the sink is past it: delivered, filtered, or its dead letter was \
                          dropped; no proof is kept";
                let zh = "该输出端的游标已越过：已投递、已过滤，或其死信已删除；没有送达记录";
                ("unk", l.t(en, zh).to_owned())
            }
        }
    }

    /// What became of it in one line.
    fn summary(&self, way: &Way) -> String {
        let named = |wanted: fn(&Fate) -> bool| {
            let found = way.sinks.iter().filter(|at| wanted(&at.fate));
            let names: Vec<&str> = found.map(|at| at.sink.as_str()).collect();
            (names.len() as u64, names.join(self.l.t(", ", "、")))
        };
        let mut parts: Vec<String> = Vec::new();
        let mut add = |count: u64, en: String, zh: String| {
            if count > 0 {
                parts.push(self.l.t(&en, &zh).to_owned());
            }
        };
        let (count, _) = named(|fate| matches!(fate, Fate::Confirmed { .. }));
        let noun = self.l.plural(count, "sink", "sinks");
        add(
            count,
            format!("{count} {noun} confirmed it"),
            format!("{count} 个输出端已确认"),
        );
        let (count, names) = named(|fate| matches!(fate, Fate::DeadLetter { .. }));
        add(
            count,
            format!("{names} dead-lettered it"),
            format!("{names} 已转为死信"),
        );
        let (count, names) = named(|fate| matches!(fate, Fate::Waits { .. }));
        add(
            count,
            format!("{names} will get it"),
            format!("{names} 尚未收到"),
        );
        parts.join(self.l.t(", ", "，"))
    }

    fn is_dead_letter(&self, at: &AtSink) -> bool {
        matches!(at.fate, Fate::DeadLetter { .. })
    }

    /// The system of the pair as it was sent, where that is another one.
    fn converted_from<'b>(&self, decoded: &'b Decoded) -> Option<&'b str> {
        let system = decoded.coordinate_system.as_deref()?;
        (!system.eq_ignore_ascii_case("wgs84")).then_some(system)
    }

    fn pair(&self, (longitude, latitude): &(f64, f64)) -> String {
        format!("{latitude:.5}, {longitude:.5}")
    }

    /// The other side's words.
    fn answer(&self, at: &AtSink) -> String {
        match &at.fate {
            Fate::Confirmed { answer: said, .. } | Fate::DeadLetter { error: said, .. } => {
                self.in_words(said)
            }
            Fate::Waits { .. } | Fate::Passed => String::new(),
        }
    }

    /// An error or a proof in the language of the page.
    fn in_words(&self, error: &str) -> String {
        trouble::said(error, self.l).into_owned()
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
    let position = Position(position);
    let (way, failure) = match follow(&view, position, asker.lang).await {
        Ok(way) => (way, None),
        Err(error) => (None, Some(error)),
    };
    let evicted = match way.is_none() && failure.is_none() {
        // Nothing is said of it where that cannot be read.
        true => evicted(&view, position, asker.lang)
            .await
            .unwrap_or_default(),
        false => None,
    };
    let page = Event {
        l: asker.lang,
        zone: view.setup.current().zone.clone(),
        f,
        position: position.0,
        way,
        evicted,
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
