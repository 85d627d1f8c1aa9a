//! Which times a row can hold, alike in both databases.

use jiff::Timestamp;

/// 0001-01-01T00:00:00Z.
const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// The time, in the years 1 to 9999. A year beyond them is a device's clock that was never set:
/// SQLite has no text for it that sorts, Postgres writes it in another form, and other programs
/// refuse to read it. The row is stored without it.
pub(super) fn storable(time: Option<Timestamp>) -> Option<Timestamp> {
    time.filter(|time| *time >= FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_before_the_first_are_none() {
        for (time, expected) in [
            (Timestamp::MIN, false),
            ("0000-12-31T23:59:59.999999Z".parse().unwrap(), false),
            ("0001-01-01T00:00:00Z".parse().unwrap(), true),
            (Timestamp::MAX, true),
        ] {
            assert_eq!(storable(Some(time)).is_some(), expected, "{time}");
        }
        assert_eq!(storable(None), None);
    }
}
