//! Rows in the binary form of COPY, <https://www.postgresql.org/docs/current/sql-copy.html>,
//! section "Binary Format": nothing in it has to be parsed but the JSON. COPY knows no ON CONFLICT:
//! it fails at an event that is there already.

use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::postgres::PgConnection;

use super::tables::{Cell, Table};
use super::times::storable;
use crate::pipeline::portable;

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

/// 2000-01-01, which a date counts its days from.
const EPOCH_DAY: Date = jiff::civil::date(2000, 1, 1);

/// Stores the rows, in order.
pub(super) async fn copy<Row>(
    connection: &mut PgConnection,
    table: &Table<Row>,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let names = table.column_names();
    let statement = format!("COPY {} ({names}) FROM STDIN (FORMAT binary)", table.name);
    let mut copy = connection.copy_in_raw(&statement).await?;
    let mut piece = HEADER.to_vec();
    for row in rows {
        append(&mut piece, table, row);
        if piece.len() >= PIECE_BYTES {
            copy.send(piece.as_slice()).await?;
            piece.clear();
        }
    }
    piece.extend(TRAILER.to_be_bytes());
    copy.send(piece).await?;
    copy.finish().await.map(drop)
}

/// One row: its number of columns, and the value of each.
fn append<Row>(piece: &mut Vec<u8>, table: &Table<Row>, row: &Row) {
    piece.extend((table.columns.len() as i16).to_be_bytes());
    for (_, cell) in table.columns {
        match cell {
            Cell::Integer(read) => value(piece, read(row).map(i64::to_be_bytes)),
            Cell::Key(read) => value(piece, read(row).map(key_bytes)),
            Cell::Word(read) | Cell::Text(read) => value(piece, read(row)),
            Cell::Flag(read) => value(piece, Some([u8::from(read(row))])),
            Cell::Number(read) => value(piece, read(row).map(f64::to_be_bytes)),
            Cell::Time(read) => value(piece, storable(read(row)).map(timestamptz)),
            Cell::Day(read) => value(piece, Some(date(read(row)))),
            Cell::Bytes(read) => value(piece, Some(read(row))),
            Cell::Json(read) => {
                let text = read(row).map(|payload| portable(payload.get()));
                value(piece, text.as_deref().map(str::as_bytes));
            }
        }
    }
}

/// Keys are given one by one: two thousand million of them fill more than any history.
fn key_bytes(key: i64) -> [u8; 4] {
    i32::try_from(key).unwrap_or(i32::MAX).to_be_bytes()
}

/// A date as Postgres has it.
pub(super) fn date(day: Date) -> [u8; 4] {
    let days = EPOCH_DAY.until(day).map_or(0, |span| span.get_days());
    days.to_be_bytes()
}

fn value(piece: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) {
    let Some(value) = value else {
        return piece.extend(NULL.to_be_bytes());
    };
    let bytes = value.as_ref();
    piece.extend(
        i32::try_from(bytes.len())
            .expect("no frame is as long as 2 GiB")
            .to_be_bytes(),
    );
    piece.extend(bytes);
}

/// A time as Postgres has it.
pub(super) fn timestamptz(time: Timestamp) -> [u8; 8] {
    (time.as_microsecond() - EPOCH_MICROSECONDS).to_be_bytes()
}
