//! The zone of a history's days, as those find it who read it.

/// The settings that say so.
pub(super) const SELECT: &str =
    "SELECT name, value FROM history_setting WHERE name IN ('day_zone', 'recounted_below')";

/// The zone, and whether all days are of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct DayZone {
    /// `None`: nobody says it.
    pub(super) name: Option<String>,
    /// Days are being counted again, since it was another one.
    pub(super) is_recounting: bool,
}

impl DayZone {
    /// What the rows of [`SELECT`] say.
    pub(super) fn of(rows: Vec<(String, String)>) -> DayZone {
        let mut zone = DayZone::default();
        for (name, value) in rows {
            match name.as_str() {
                "day_zone" => zone.name = Some(value),
                _ => zone.is_recounting = true,
            }
        }
        zone
    }
}
