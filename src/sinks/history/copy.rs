//! Events in the binary form of COPY, <https://www.postgresql.org/docs/current/sql-copy.html>,
//! section "Binary Format": nothing in it has to be parsed but the JSON. COPY knows no ON CONFLICT:
//! it fails at an event that is there already.

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::COLUMNS;
use crate::model::{Coordinates, Event};

/// The server stores one piece while the next one is made.
const PIECE_BYTES: usize = 64 * 1024;

/// The signature, no flags and no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of a row's number of columns.
const TRAILER: i16 = -1;
/// In place of a value's length.
const NULL: i32 = -1;
/// 2000-01-01, which a timestamptz counts its microseconds from.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

static STATEMENT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "COPY status_event ({}) FROM STDIN (FORMAT binary)",
        *COLUMNS
    )
});

/// Stores the events in `status_event`, in order; gives the number of rows that are new.
pub(super) async fn copy(
    connection: &mut PgConnection,
    events: &[Event],
) -> Result<u64, sqlx::Error> {
    let mut copy = connection.copy_in_raw(&STATEMENT).await?;
    let mut piece = HEADER.to_vec();
    for event in events {
        append(&mut piece, event);
        if piece.len() >= PIECE_BYTES {
            copy.send(piece.as_slice()).await?;
            piece.clear();
        }
    }
    piece.extend(TRAILER.to_be_bytes());
    copy.send(piece).await?;
    copy.finish().await
}

/// One row: the columns of [`Event::FIELDS`].
fn append(row: &mut Vec<u8>, event: &Event) {
    let place = &event.place;
    let longitude = |at: Option<Coordinates>| at.map(|at| at.longitude.to_be_bytes());
    let latitude = |at: Option<Coordinates>| at.map(|at| at.latitude.to_be_bytes());
    row.extend((Event::FIELDS.len() as i16).to_be_bytes());
    value(row, Some(&event.event_id));
    value(row, Some(&*event.topic));
    value(row, Some(&event.client_id));
    value(row, Some(&event.device_id));
    value(row, event.serial.as_ref());
    value(row, event.old_state.as_ref());
    value(row, Some(&event.new_state));
    value(row, Some(&event.state));
    value(row, Some(event.severity.as_str()));
    value(row, Some([u8::from(event.changed)]));
    value(row, Some([u8::from(event.missed_transition)]));
    value(row, place.province.as_ref());
    value(row, place.city.as_ref());
    value(row, place.district.as_ref());
    value(row, place.detail.as_ref());
    value(row, place.coordinate_system.as_ref());
    value(row, longitude(place.raw));
    value(row, latitude(place.raw));
    value(row, longitude(place.wgs84));
    value(row, latitude(place.wgs84));
    value(row, event.occurred_at.map(timestamptz));
    value(row, Some(timestamptz(event.received_at)));
    value(row, Some(&event.origin));
    value(row, Some(event.payload.get()));
}

fn value(row: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) {
    let Some(value) = value else {
        return row.extend(NULL.to_be_bytes());
    };
    let bytes = value.as_ref();
    row.extend(
        i32::try_from(bytes.len())
            .expect("no frame is as long as 2 GiB")
            .to_be_bytes(),
    );
    row.extend(bytes);
}

fn timestamptz(time: Timestamp) -> [u8; 8] {
    (time.as_microsecond() - EPOCH_MICROSECONDS).to_be_bytes()
}
