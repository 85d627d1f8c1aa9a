//! What of a status a sink does not get: an address is personal data, and not every receiver is to
//! have it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Payload, StatusEvent};

/// Columns of a status that are absent for a sink, as if the message had not had them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Omit(BTreeSet<&'static str>);

impl Omit {
    /// The columns that may be absent. The others say which event it is, or are made of it.
    pub const COLUMNS: [&str; 15] = [
        "serial",
        "old_state",
        "province",
        "city",
        "district",
        "detail",
        "coordinate_system",
        "longitude",
        "latitude",
        "wgs84_longitude",
        "wgs84_latitude",
        "occurred_at",
        PAYLOAD,
        NAME,
        GROUP,
    ];

    /// Of columns by their names.
    ///
    /// # Errors
    /// The first name that is none of [`Omit::COLUMNS`].
    pub fn read<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Omit, &'n str> {
        let column = |name: &'n str| {
            let mut columns = Omit::COLUMNS.into_iter();
            columns.find(|column| *column == name).ok_or(name)
        };
        names
            .into_iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map(Omit)
    }

    /// Whether what is omitted still stands in the payload.
    pub fn leaves_payload(&self) -> bool {
        let mut sent = self
            .0
            .iter()
            .filter(|column| ![NAME, GROUP].contains(column));
        sent.next().is_some() && !self.0.contains(PAYLOAD)
    }

    /// The coordinates that still say the place, where the other pair is omitted.
    pub fn leaves_place(&self) -> Option<&'static str> {
        let has = |names: [&str; 2]| names.iter().any(|name| self.0.contains(name));
        match (
            has(["longitude", "latitude"]),
            has(["wgs84_longitude", "wgs84_latitude"]),
        ) {
            (true, false) => Some("wgs84_longitude"),
            (false, true) => Some("longitude"),
            _ => None,
        }
    }

    /// The status without them.
    pub fn apply(&self, mut status: Arc<StatusEvent>) -> Arc<StatusEvent> {
        if !self.0.is_empty() {
            let status = Arc::make_mut(&mut status);
            self.0.iter().for_each(|column| omit(status, column));
        }
        status
    }
}

const PAYLOAD: &str = "payload";
/// No message has them.
const NAME: &str = "name";
const GROUP: &str = "group";

/// Two coordinates are one place: without one of them there is none.
fn omit(status: &mut StatusEvent, column: &str) {
    let place = &mut status.place;
    match column {
        "serial" => status.serial = None,
        "old_state" => status.old_state = None,
        "province" => place.province = None,
        "city" => place.city = None,
        "district" => place.district = None,
        "detail" => place.detail = None,
        "coordinate_system" => place.coordinate_system = None,
        "longitude" | "latitude" => place.raw = None,
        "wgs84_longitude" | "wgs84_latitude" => place.wgs84 = None,
        "occurred_at" => status.occurred_at = None,
        PAYLOAD => status.payload = Payload::null(),
        NAME => status.label.iter_mut().for_each(|label| label.name = None),
        GROUP => status.label.iter_mut().for_each(|label| label.group = None),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{Coordinates, Event, EventKind, Label, Place};

    fn status() -> StatusEvent {
        let text = || Some("x".to_owned());
        let point = Some(Coordinates {
            longitude: 1.0,
            latitude: 2.0,
        });
        StatusEvent {
            place: Place {
                province: text(),
                city: text(),
                district: text(),
                detail: text(),
                coordinate_system: text(),
                raw: point,
                wgs84: point,
            },
            occurred_at: Some(Timestamp::UNIX_EPOCH),
            payload: Payload::parse("{}").unwrap(),
            label: Some(Label {
                name: Some("x".into()),
                group: Some("x".into()),
            }),
            ..StatusEvent::sample()
        }
    }

    fn null_columns(status: Arc<StatusEvent>) -> Vec<String> {
        let json: serde_json::Value =
            serde_json::from_slice(&Event::Status(status).to_json()).unwrap();
        let columns = EventKind::Status.names().iter();
        let null = columns.filter(|column| json[**column].is_null());
        null.map(|column| (*column).to_owned()).collect()
    }

    #[test]
    fn each_column_that_may_be_absent_is_absent_by_itself() {
        assert!(null_columns(Arc::new(status())).is_empty());
        for column in Omit::COLUMNS {
            let omitted = Omit::read([column]).unwrap().apply(Arc::new(status()));
            let expected: &[&str] = match column {
                "longitude" | "latitude" => &["longitude", "latitude"],
                "wgs84_longitude" | "wgs84_latitude" => &["wgs84_longitude", "wgs84_latitude"],
                column => &[column],
            };
            assert_eq!(null_columns(omitted), expected, "{column}");
        }
        let all = Omit::read(Omit::COLUMNS).unwrap().apply(Arc::new(status()));
        assert_eq!(null_columns(all).len(), Omit::COLUMNS.len());
    }

    #[test]
    fn another_sink_has_the_status_as_it_is() {
        let shared = Arc::new(status());
        let omitted = Omit::read(["detail"]).unwrap().apply(Arc::clone(&shared));
        assert_eq!(omitted.place.detail, None);
        assert_eq!(shared.place.detail.as_deref(), Some("x"));
        let same = Omit::default().apply(Arc::clone(&shared));
        assert!(Arc::ptr_eq(&same, &shared));
        assert_eq!(Omit::read(["device_id"]), Err("device_id"));
    }

    #[test]
    fn the_same_place_by_the_other_pair_is_named() {
        let leaves =
            |names: &[&'static str]| Omit::read(names.iter().copied()).unwrap().leaves_place();
        assert_eq!(leaves(&["latitude"]), Some("wgs84_longitude"));
        assert_eq!(leaves(&["wgs84_latitude", "payload"]), Some("longitude"));
        assert_eq!(leaves(&["latitude", "wgs84_longitude"]), None);
        assert_eq!(leaves(&["detail"]), None);
    }
}
