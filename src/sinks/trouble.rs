//! Why a sink could not deliver.

use std::time::Duration;

use crate::secret::redact_echo;

/// Why a sink could not deliver, by what `delivery` does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The sink's trouble: it is retried without end, not before `after` if the sink named a time.
    Retry {
        /// What failed and where, for one log line.
        error: String,
        /// How long the other side asked us to wait.
        after: Option<Duration>,
    },
    /// The attempt failed by the sink or by its events; nobody can tell which (a timeout, HTTP
    /// 500). If each device has its own order, this device's events wait while the others go on.
    /// Elsewhere it is the sink's trouble.
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
        /// The reason of the rejection.
        error: String,
    },
    /// The other side accepts nothing from now on (HTTP 410): the sink stops, its entries are kept.
    Disabled {
        /// What it said.
        error: String,
    },
}

impl Trouble {
    /// Without the secrets that the other side may have repeated.
    pub fn redacted(mut self) -> Trouble {
        let (Trouble::Retry { error, .. }
        | Trouble::Unclear { error }
        | Trouble::Refused { error, .. }
        | Trouble::Disabled { error }) = &mut self;
        *error = redact_echo(error).into_owned();
        self
    }
}

/// Who refuses an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Our own rules: the other side was not asked, so it says nothing of the other side. Or the
    /// other side names the event's own data as the cause, and is well itself.
    Us,
    /// The other side. Where it refuses too much, that is its trouble and not the events'.
    Them,
}

/// A batch that was not delivered whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// How many of the first events are confirmed.
    pub confirmed: usize,
    /// Why not the rest.
    pub trouble: Trouble,
}
