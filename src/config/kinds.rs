//! `kinds` of a sink: which kinds of events it wants.

use std::collections::BTreeSet;

use super::context::Context;
use super::path::Path;
use super::report::unknown;
use super::units::List;
use crate::model::{EntryKind, EventKind};

/// The kinds of these names; the default where there are no names, or none that holds.
pub(super) fn check(
    check: &mut Context<'_>,
    path: &Path,
    written: Option<&List>,
    default: &[EventKind],
) -> BTreeSet<EventKind> {
    let mut kinds = BTreeSet::new();
    if let Some(List(names)) = written {
        let known = EventKind::ALL.map(EventKind::as_str).join(", ");
        let expected = format!("expected one or more of {known}");
        if names.is_empty() {
            let message = "an empty list wants nothing";
            check.report.error_with(path, message, &expected);
        }
        for name in names {
            match kind(name) {
                Ok(kind) => _ = kinds.insert(kind),
                Err(message) => check.report.error_with(path, message, &expected),
            }
        }
    }
    if kinds.is_empty() {
        kinds.extend(default);
    }
    kinds
}

fn kind(name: &str) -> Result<EventKind, String> {
    match EntryKind::named(name) {
        Some(EntryKind::Status) => Ok(EventKind::Status),
        Some(EntryKind::Coverage) => Ok(EventKind::Coverage),
        Some(EntryKind::Undecodable) => Err(
            "undecodable entries stay in the journal and go to no sink: see `dlq list --undecodable`"
                .to_owned(),
        ),
        Some(EntryKind::Resync) => Err(
            "statuses of snapshots are of the kind `status`: choose them by when = \"via == 'resync'\""
                .to_owned(),
        ),
        Some(EntryKind::Alarm) => Err("there are no alarms yet".to_owned()),
        None => {
            let known = EventKind::ALL.map(EventKind::as_str);
            Err(unknown("kind", name, known.into_iter()))
        }
    }
}
