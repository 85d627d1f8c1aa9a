//! A journal that a history does not know.

use tracing::warn;
use uuid::Uuid;

/// A journal that the history does not know, although it knows another. The journal was deleted,
/// moved or restored, or two daemons write one history under one name.
pub(super) fn warn_of_another_journal(sink: &str, journal: Uuid, other: Option<String>) {
    if let Some(other) = other {
        warn!(
            sink,
            journal = %journal.simple(),
            other,
            "the history was written from another journal: this one begins at its oldest entry. After \
             `journal restore` that is as it should be. Else what the other one held for this sink is \
             not there: where it was moved, stop and bring it back"
        );
    }
}
