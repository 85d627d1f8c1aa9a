//! A place in the journal, and the origin that it gives to an event.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in one journal: 1 for the first entry, never used twice (invariant I4). 0 lies before
/// every entry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position(pub i64);

impl Position {
    /// Before the first entry: a cursor here has everything still to read.
    pub const START: Position = Position(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 32 digits of the journal, a dash, and the longest number of 64 bits.
const TEXT_BYTES_MAX: usize = 32 + 1 + 19;

/// Where an event came from: unique over all journals, and the same on every replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The id that the journal had: made with its file, or when it was restored from a backup.
    pub journal: Uuid,
    /// The entry in that journal.
    pub position: Position,
}

impl Origin {
    /// What its `Display` writes, in one allocation.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(TEXT_BYTES_MAX);
        let _ = write!(text, "{self}");
        text
    }

    /// Reads what its `Display` writes; `None`: the text is none.
    pub fn parse(text: &str) -> Option<Origin> {
        let (journal, position) = text.split_once('-')?;
        Some(Origin {
            journal: Uuid::try_parse(journal).ok()?,
            position: Position(position.parse().ok()?),
        })
    }
}

impl fmt::Display for Origin {
    /// `<uuid, 32 hex digits>-<position>`: safe in URLs, MQTT levels and HTTP headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.journal.simple(), self.position)
    }
}
