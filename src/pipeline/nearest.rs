//! The known name that a mistyped one was meant to be.

use strsim::osa_distance;

/// The candidate that a name was likely meant to be. At most a third of its characters, and at most
/// three, are inserted, deleted, replaced or swapped with their neighbour.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance_max = (name.chars().count() / 3).clamp(1, 3);
    let name = name.to_lowercase();
    let near = candidates
        .into_iter()
        .map(|candidate| (osa_distance(&name, &candidate.to_lowercase()), candidate));
    near.filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventKind;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        for (name, expected) in [
            ("severty", Some("severity")),
            ("device", None),
            ("devcie_id", Some("device_id")),
            ("Changed", Some("changed")),
            ("temperature", None),
            ("stat", Some("state")),
            ("receivedat", Some("received_at")),
            ("wgs84_logitude", Some("wgs84_longitude")),
            ("", None),
        ] {
            let columns = EventKind::Status.columns().iter().copied();
            assert_eq!(nearest(name, columns), expected, "{name}");
        }
    }
}
