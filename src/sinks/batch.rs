//! What a sink is given: events of the log, and why it gets them.

use uuid::Uuid;

use crate::model::{Event, Position};

/// Events for one sink, in the journal's order.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The journal they come from.
    pub journal: Uuid,
    /// At least one.
    pub events: &'a [Event],
    /// Where the cursor stands once all of them are confirmed.
    pub through: Position,
    /// See [`Reason`].
    pub reason: Reason,
}

/// Why events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// They come next in the log. After trouble they may come again.
    #[default]
    Log,
    /// They were dead-lettered, and an operator wants them delivered. The sink may have newer ones:
    /// nothing newer may be overwritten by them.
    Redrive,
    /// They are part of a replay, and may be older than what the sink has, too.
    Replay,
}
