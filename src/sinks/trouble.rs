//! Why a sink could not deliver.

use std::time::Duration;

/// Why a sink could not deliver, by what `delivery` does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The sink's trouble: it is tried again for ever, not before `after` where the sink named a
    /// time.
    Retry {
        /// What failed and where, for one log line.
        error: String,
        /// How long the other side asked us to wait.
        after: Option<Duration>,
    },
    /// The attempt failed, and nobody can tell whether by the sink or by what it was given (a
    /// timeout, HTTP 500): where each device has an order of its own, this one's events wait while
    /// the others' go on. Elsewhere it is the sink's trouble.
    Unclear {
        /// What failed and where, for one log line.
        error: String,
    },
    /// Something in the batch will never be taken. With an `index` it is `events[index]`; without,
    /// the batch is bisected until one event is left, which is dead-lettered.
    Refused {
        /// Which event of the batch, where the sink knows.
        index: Option<usize>,
        /// See [`By`].
        by: By,
        /// What was refused and why.
        error: String,
    },
    /// The other side wants nothing any more (HTTP 410): the sink stops, its entries are kept.
    Disabled {
        /// What it said.
        error: String,
    },
}

/// Who refuses an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Our own rules: the other side was not asked, so it says nothing of the other side.
    Us,
    /// The other side. Where it refuses too much, that is its trouble and not the events'.
    Them,
}

/// A batch that was not delivered whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The first so many events are confirmed.
    pub confirmed: usize,
    /// Why not the rest.
    pub trouble: Trouble,
}
