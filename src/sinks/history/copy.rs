//! Rows in the binary form of COPY, <https://www.postgresql.org/docs/current/sql-copy.html>,
//! section "Binary Format": nothing in it has to be parsed but the JSON. COPY knows no ON CONFLICT:
//! it fails at an event that is there already.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::sql::column_names;
use super::times::storable;
use crate::model::{Column, ColumnKind};
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

/// Stores the rows in `table`, in order; gives the number of rows that are new.
pub(super) async fn copy<Row>(
    connection: &mut PgConnection,
    table: &str,
    columns: &[Column<Row>],
    rows: &[&Row],
) -> Result<u64, sqlx::Error> {
    let names = column_names(columns);
    let statement = format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&statement).await?;
    let mut piece = HEADER.to_vec();
    for row in rows {
        append(&mut piece, columns, row);
        if piece.len() >= PIECE_BYTES {
            copy.send(piece.as_slice()).await?;
            piece.clear();
        }
    }
    piece.extend(TRAILER.to_be_bytes());
    copy.send(piece).await?;
    copy.finish().await
}

/// One row: its number of columns, and the value of each.
fn append<Row>(piece: &mut Vec<u8>, columns: &[Column<Row>], row: &Row) {
    piece.extend((columns.len() as i16).to_be_bytes());
    for column in columns {
        match column.kind {
            ColumnKind::Word(read) | ColumnKind::Text(read) => value(piece, read(row)),
            ColumnKind::Boolean(read) => value(piece, Some([u8::from(read(row))])),
            ColumnKind::Number(read) => value(piece, read(row).map(f64::to_be_bytes)),
            ColumnKind::Time(read) => value(piece, storable(read(row)).map(timestamptz)),
            ColumnKind::Json(read) => value(piece, Some(portable(read(row).get()).as_bytes())),
        }
    }
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

fn timestamptz(time: Timestamp) -> [u8; 8] {
    (time.as_microsecond() - EPOCH_MICROSECONDS).to_be_bytes()
}
