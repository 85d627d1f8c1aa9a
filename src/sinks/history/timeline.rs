//! The timeline of a device: which pieces its statuses close. Owns no clock and no database; the
//! same for every history.
//!
//! A piece is one device, one state, certain or not. It is uncertain from the moment after which we
//! may have missed something, up to the next status: from the first gap of the topic that brought
//! the status before, else, where the status reports another old state than ours, from the status
//! before.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::Severity;

/// Why a piece is uncertain, where no gap is the reason.
pub(super) const MISSED: &str = "missed_transition";

/// What `[states]` made of a word, with the key of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) key: i64,
    pub(super) state: Arc<str>,
    pub(super) severity: Severity,
}

impl State {
    /// Two words may mean the same.
    fn is(&self, other: &State) -> bool {
        self.severity == other.severity && self.state == other.state
    }

    /// Somebody should act.
    pub(super) fn is_fault(&self) -> bool {
        self.severity == Severity::Critical
    }
}

/// A time in which a topic was not heard began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) since: Timestamp,
    pub(super) cause: Arc<str>,
    /// The journal that tells of it, and where.
    pub(super) journal: Arc<str>,
    pub(super) position: i64,
}

/// A fault that lasts: since when, and how many microseconds of it are uncertain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) since: Timestamp,
    pub(super) uncertain_us: i64,
}

/// The piece that is open, which the device's next status may close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) state: State,
    pub(super) since: Timestamp,
    /// Since when it is in this state, through uncertain pieces.
    pub(super) run_since: Timestamp,
    pub(super) fault: Option<Fault>,
    /// The status before.
    pub(super) last_seen: Timestamp,
}

/// What a status says to the timeline.
#[derive(Debug, Clone)]
pub(super) struct Met {
    /// Not before the status before.
    pub(super) at: Timestamp,
    pub(super) sequence: i64,
    pub(super) state: State,
    pub(super) missed: bool,
}

/// A piece that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// The status that closed it.
    pub(super) ends_sequence: i64,
    pub(super) state: State,
    /// Why it is uncertain; `None`: it is certain.
    pub(super) cause: Option<Arc<str>>,
    pub(super) run_since: Timestamp,
    /// The fault that it is part of, up to its end.
    pub(super) fault: Option<Fault>,
    /// The fault ended with it.
    pub(super) ends_fault: bool,
}

impl Piece {
    /// How long it is; a clock that was set back makes none shorter than nothing.
    pub(super) fn microseconds(&self) -> i64 {
        microseconds(self.since, self.until)
    }
}

/// From one time to another, in microseconds.
pub(super) fn microseconds(since: Timestamp, until: Timestamp) -> i64 {
    (until.as_microsecond() - since.as_microsecond()).max(0)
}

/// The pieces that one status closes, in order: a certain one, an uncertain one, both or none.
pub(super) type Closed = [Option<Piece>; 2];

impl Open {
    /// The first piece of a device.
    pub(super) fn first(met: &Met) -> Open {
        Open {
            state: met.state.clone(),
            since: met.at,
            run_since: met.at,
            fault: met.state.is_fault().then_some(Fault {
                since: met.at,
                uncertain_us: 0,
            }),
            last_seen: met.at,
        }
    }

    /// The piece that a status opens behind a closed one.
    pub(super) fn after(piece: &Piece, met: &Met) -> Open {
        let mut open = Open::first(met);
        open.goes_on(&piece.state, piece.run_since, piece.fault);
        open
    }

    /// The closed piece is the open one again: the status that is asked for stands within it.
    pub(super) fn again(piece: &Piece, met: &Met) -> Option<Open> {
        (piece.cause.is_none() && piece.state.is(&met.state)).then(|| Open {
            state: piece.state.clone(),
            since: piece.since,
            run_since: piece.run_since,
            fault: piece.fault,
            last_seen: met.at,
        })
    }

    /// The piece that was open before as it was at a status within it.
    pub(super) fn at(&self, met: &Met) -> Option<Open> {
        self.state.is(&met.state).then(|| Open {
            last_seen: met.at,
            ..self.clone()
        })
    }

    /// Whether the status has another state.
    pub(super) fn is_left_by(&self, met: &Met) -> bool {
        !self.state.is(&met.state)
    }

    /// The device says something; `gap` is the first one that began since it did so last.
    pub(super) fn meet(&mut self, met: &Met, gap: Option<&Gap>) -> Closed {
        let missed = met.missed && self.last_seen < met.at;
        let broke = match gap {
            Some(gap) => Some((gap.since, Arc::clone(&gap.cause))),
            None => missed.then(|| (self.last_seen, MISSED.into())),
        };
        if broke.is_none() && !self.is_left_by(met) {
            self.last_seen = met.at;
            return [None, None];
        }
        let certain_until = broke.as_ref().map_or(met.at, |(since, _)| *since);
        let has_certain = broke.is_none() || self.since < certain_until;
        let mut certain = has_certain.then(|| self.piece(self.since, certain_until, met, None));
        let mut uncertain = broke.map(|(since, cause)| {
            if let Some(fault) = &mut self.fault {
                fault.uncertain_us += microseconds(since, met.at);
            }
            self.piece(since, met.at, met, Some(cause))
        });
        if let Some(last) = uncertain.as_mut().or(certain.as_mut()) {
            last.ends_fault = last.fault.is_some() && !met.state.is_fault();
        }
        let before = std::mem::replace(self, Open::first(met));
        self.goes_on(&before.state, before.run_since, before.fault);
        [certain, uncertain]
    }

    fn goes_on(&mut self, before: &State, run_since: Timestamp, fault: Option<Fault>) {
        if self.state.is(before) {
            self.run_since = run_since;
        }
        if self.fault.is_some() {
            self.fault = fault.or(self.fault);
        }
    }

    fn piece(
        &self,
        since: Timestamp,
        until: Timestamp,
        met: &Met,
        cause: Option<Arc<str>>,
    ) -> Piece {
        Piece {
            since,
            until,
            ends_sequence: met.sequence,
            state: self.state.clone(),
            cause,
            run_since: self.run_since,
            fault: self.fault,
            ends_fault: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn met(second: i64, severity: Severity, missed: bool) -> Met {
        Met {
            at: at(second),
            sequence: second,
            state: State {
                key: severity as i64,
                state: severity.as_str().into(),
                severity,
            },
            missed,
        }
    }

    fn gap(second: i64) -> Gap {
        Gap {
            since: at(second),
            cause: "silent".into(),
            journal: "j".into(),
            position: second,
        }
    }

    /// `since-until cause`, and `!` where a fault ends.
    fn said(closed: Closed) -> Vec<String> {
        closed
            .into_iter()
            .flatten()
            .map(|piece| {
                format!(
                    "{}-{} {}{}",
                    piece.since.as_second(),
                    piece.until.as_second(),
                    piece.cause.as_deref().unwrap_or("certain"),
                    if piece.ends_fault { "!" } else { "" }
                )
            })
            .collect()
    }

    use Severity::{Critical, Ok};

    #[test]
    fn a_piece_ends_where_the_state_changes_and_a_repeat_ends_none() {
        let mut open = Open::first(&met(10, Ok, false));
        assert!(said(open.meet(&met(20, Ok, false), None)).is_empty());
        assert_eq!(open.last_seen, at(20));
        assert_eq!(
            said(open.meet(&met(30, Critical, false), None)),
            ["10-30 certain"]
        );
        assert_eq!(
            said(open.meet(&met(30, Ok, false), None)),
            ["30-30 certain!"]
        );
        assert_eq!((open.since, open.run_since), (at(30), at(30)));
    }

    #[test]
    fn what_may_have_been_missed_is_uncertain_from_the_gap_or_from_the_status_before() {
        let mut open = Open::first(&met(10, Critical, false));
        open.meet(&met(20, Critical, false), None);
        assert_eq!(
            said(open.meet(&met(50, Critical, true), Some(&gap(30)))),
            ["10-30 certain", "30-50 silent"]
        );
        assert_eq!((open.since, open.run_since), (at(50), at(10)));
        // Nothing certain lies before it.
        assert_eq!(
            said(open.meet(&met(60, Ok, true), None)),
            ["50-60 missed_transition!"]
        );
        // Between two statuses of one instant nothing lasts.
        assert_eq!(
            said(open.meet(&met(60, Critical, true), None)),
            ["60-60 certain"]
        );
    }

    #[test]
    fn an_episode_goes_through_uncertain_pieces_and_counts_them() {
        let mut open = Open::first(&met(0, Critical, false));
        open.meet(&met(10, Critical, false), Some(&gap(4)));
        let [certain, uncertain] = open.meet(&met(30, Ok, false), Some(&gap(20)));
        let [certain, uncertain] = [certain.unwrap(), uncertain.unwrap()];
        let fault = |uncertain_us| Fault {
            since: at(0),
            uncertain_us,
        };
        assert_eq!(certain.fault, Some(fault(6_000_000)));
        assert_eq!(uncertain.fault, Some(fault(16_000_000)));
        assert_eq!((certain.ends_fault, uncertain.ends_fault), (false, true));
        assert_eq!(open.fault, None);
    }
}
