//! The newest row of `device`, and which statuses of a batch become its rows.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::model::{Origin, StatusEvent};
use crate::sinks::Newest;

/// What `device` says of its newest row: its origin, and when it was received.
pub(super) fn stored_newest((origin, received_at): (String, Timestamp)) -> Option<Newest> {
    Some(Newest {
        origin: Origin::parse(&origin)?,
        received_at,
    })
}

/// The last status of each device, in the batch's order, of those whose index is not in `known`.
pub(super) fn newest_per_device<'a>(
    statuses: &[&'a StatusEvent],
    known: &HashSet<usize>,
) -> Vec<&'a StatusEvent> {
    let mut newest: HashMap<(&str, &str), usize> = HashMap::with_capacity(statuses.len());
    for (index, status) in statuses
        .iter()
        .enumerate()
        .filter(|(index, _)| !known.contains(index))
    {
        newest.insert((&status.client_id, &status.device_id), index);
    }
    let mut indices: Vec<usize> = newest.into_values().collect();
    indices.sort_unstable();
    indices.into_iter().map(|index| statuses[index]).collect()
}

/// The indices of the statuses that the history has from another origin. The broker redelivered
/// them, so they are not newer in spite of their higher position. `stored` is what the history has
/// of this batch: event id, origin.
pub(super) fn known_before(
    statuses: &[&StatusEvent],
    stored: &[(String, String)],
) -> HashSet<usize> {
    let origins: HashMap<&str, &str> = stored
        .iter()
        .map(|(id, origin)| (id.as_str(), origin.as_str()))
        .collect();
    let is_known = |status: &StatusEvent| {
        origins
            .get(status.event_id.as_str())
            .is_some_and(|at| *at != status.origin)
    };
    statuses
        .iter()
        .enumerate()
        .filter(|(_, status)| is_known(status))
        .map(|(index, _)| index)
        .collect()
}
