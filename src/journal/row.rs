//! The encoding of values in the rows of the journal's tables.

use jiff::Timestamp;

use super::EntryContent;
use super::error::UnknownKind;
use crate::model::{EntryKind, Position};

/// A time as it is stored.
pub(super) fn timestamp(microseconds: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The kind of an entry, from its column.
pub(super) fn kind(name: &str) -> Result<EntryKind, sqlx::Error> {
    let unknown = || sqlx::Error::Decode(UnknownKind(name.to_owned()).into());
    EntryKind::named(name).ok_or_else(unknown)
}

/// The content of an entry, from its columns.
pub(super) fn content(
    name: &str,
    previous: Option<String>,
    repeat: bool,
    reason: Option<String>,
) -> Result<EntryContent, sqlx::Error> {
    Ok(match kind(name)? {
        EntryKind::Status => EntryContent::Status {
            previous: previous.map(Into::into),
            repeat,
        },
        EntryKind::Undecodable => EntryContent::Undecodable {
            reason: reason.unwrap_or_default().into(),
        },
        EntryKind::Coverage => EntryContent::Coverage,
        EntryKind::Alarm => EntryContent::Alarm,
        EntryKind::Resync => EntryContent::Resync {
            previous: previous.map(Into::into),
            confirms: repeat,
        },
    })
}

/// Positions as the JSON array that `json_each` takes.
pub(super) fn json(positions: &[Position]) -> String {
    serde_json::to_string(positions).expect("numbers always serialise")
}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::super::error::failed;
    use super::*;

    #[test]
    fn an_entry_of_a_newer_version_is_said_to_be_one() {
        let unknown = content("weather", None, false, None).unwrap_err();
        let error = failed("read")(unknown);
        assert!(
            matches!(&error, Error::UnknownKind { kind } if kind == "weather"),
            "{error}"
        );
        assert!(error.is_of_no_use());
    }
}
