//! What both databases give back of their rows, and the statements that ask for it.

use std::sync::Arc;

use super::device::{state, time};
use super::gaps::{Begins, Heard};
use super::recorder::{Kept, journal_of};
use super::timeline::{Fault, Gap, Met, Piece};

/// An event of a device.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct KeptText {
    sequence: i64,
    position: i64,
    journal_key: i64,
    topic_key: i64,
    profile_key: i64,
    state_key: i64,
    state: String,
    severity: String,
    changed: bool,
    missed_transition: bool,
    received: String,
    placed: String,
}

/// Events `e` with their state; `time` writes a time as a text.
pub(super) fn select_kept(time: impl Fn(&str) -> String) -> String {
    format!(
        "SELECT e.sequence, e.position, CAST(e.journal_key AS bigint) AS journal_key, \
         CAST(e.topic_key AS bigint) AS topic_key, e.profile_key, \
         CAST(e.state_key AS bigint) AS state_key, s.state, s.severity, e.changed, e.missed_transition, \
         {} AS received, {} AS placed \
         FROM event AS e JOIN state AS s ON s.state_key = e.state_key",
        time("e.received_at"),
        time("coalesce(e.placed_at, e.received_at)")
    )
}

impl KeptText {
    /// `None`: its time is none.
    pub(super) fn kept(self) -> Option<Kept> {
        Some(Kept {
            met: Met {
                at: time(&self.placed)?,
                sequence: self.sequence,
                state: state(self.state_key, &self.state, &self.severity),
                missed: self.missed_transition,
            },
            changed: self.changed,
            topic_key: self.topic_key,
            journal_key: self.journal_key,
            position: self.position,
            profile_key: self.profile_key,
            received_at: time(&self.received)?,
        })
    }
}

/// A closed piece.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct PieceText {
    since: String,
    until: String,
    ends_sequence: i64,
    state_key: i64,
    state: String,
    severity: String,
    cause: Option<String>,
    run_since: Option<String>,
    fault_since: Option<String>,
    fault_uncertain_us: i64,
    ends_fault: bool,
}

/// Pieces `i` with their state; `time` writes a time as a text.
pub(super) fn select_pieces(time: impl Fn(&str) -> String) -> String {
    let times = ["since", "until", "run_since", "fault_since"];
    let times = times.map(|name| format!("{} AS {name}", time(&format!("i.{name}"))));
    format!(
        "SELECT i.ends_sequence, CAST(i.state_key AS bigint) AS state_key, s.state, s.severity, \
         i.cause, i.fault_uncertain_us, i.ends_fault, {} \
         FROM state_interval_row AS i JOIN state AS s ON s.state_key = i.state_key",
        times.join(", ")
    )
}

impl PieceText {
    /// `None`: a time in it is none.
    pub(super) fn piece(self) -> Option<Piece> {
        let begins = time(&self.since)?;
        let earlier = |text: &Option<String>| match text {
            Some(text) => time(text),
            None => Some(begins),
        };
        let state = state(self.state_key, &self.state, &self.severity);
        let fault = match state.is_fault() {
            true => Some(Fault {
                since: earlier(&self.fault_since)?,
                uncertain_us: self.fault_uncertain_us,
            }),
            false => None,
        };
        Some(Piece {
            since: begins,
            until: time(&self.until)?,
            ends_sequence: self.ends_sequence,
            state,
            cause: self.cause.map(Arc::from),
            run_since: earlier(&self.run_since)?,
            fault,
            ends_fault: self.ends_fault,
        })
    }
}

/// A row of `coverage`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct HeardText {
    event_id: String,
    origin: String,
    heard: bool,
    began: String,
    cause: Option<String>,
    begins_gap: bool,
    ended: Option<String>,
}

/// The rows of coverage; `time` writes a time as a text.
pub(super) fn select_heard(time: impl Fn(&str) -> String) -> String {
    format!(
        "SELECT event_id, origin, heard, {} AS began, cause, begins_gap, {} AS ended FROM coverage",
        time("at"),
        time("gap_until")
    )
}

impl HeardText {
    /// The row, and what it says of gaps so far; `None`: a time in it is none.
    pub(super) fn heard(self) -> Option<(Heard, Begins)> {
        let position = self.origin.rsplit_once('-')?.1.parse().ok()?;
        let begins = Begins {
            gap: self.begins_gap,
            until: self.ended.as_deref().and_then(time),
        };
        let heard = Heard {
            journal: journal_of(&self.origin).to_owned(),
            position,
            event_id: self.event_id,
            heard: self.heard,
            at: time(&self.began)?,
            cause: self.cause.unwrap_or_default().into(),
        };
        Some((heard, begins))
    }
}

/// A gap: topic, beginning, cause and origin.
pub(super) type GapText = (String, String, Option<String>, String);

/// A gap with its topic; `None`: its time is none.
pub(super) fn gap((topic, since, cause, origin): GapText) -> Option<(String, Gap)> {
    let gap = Gap {
        since: time(&since)?,
        cause: cause.unwrap_or_default().into(),
        journal: journal_of(&origin).into(),
        position: origin.rsplit_once('-')?.1.parse().ok()?,
    };
    Some((topic, gap))
}
