//! What a daemon's SQLite history says when it is asked beside the daemon that writes it.

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use super::folder::Folder;
use super::platform::Delivered;

/// A row of `status_event` as far as tests look at it: `event_id`, `device_id`, `origin` and
/// `payload`.
pub type Row = (String, String, String, String);

/// How many different messages the history of a daemon in this folder has; 0 before it has its
/// tables.
pub async fn count(folder: &Folder) -> usize {
    let Ok(mut connection) = open(folder).await else {
        return 0;
    };
    let count =
        sqlx::query_scalar("select count(distinct json_extract(payload, '$.n')) from status_event");
    let count: i64 = count.fetch_one(&mut connection).await.unwrap_or(0);
    count as usize
}

/// All that it has, in the journal's order.
pub async fn rows(folder: &Folder) -> Vec<Delivered> {
    let select = sqlx::query_as("select event_id, device_id, origin, payload from status_event");
    let mut connection = open(folder).await.expect("open the SQLite history");
    delivered(
        select
            .fetch_all(&mut connection)
            .await
            .expect("select from the SQLite history"),
    )
}

async fn open(folder: &Folder) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("history.db"))
        .read_only(true);
    options.connect().await
}

/// Rows of either history as events, in the journal's order.
pub fn delivered(rows: Vec<Row>) -> Vec<Delivered> {
    let mut delivered: Vec<Delivered> = rows
        .into_iter()
        .map(|(event_id, device_id, origin, payload)| {
            let payload: Value =
                serde_json::from_str(&payload).unwrap_or_else(|e| panic!("payload {payload}: {e}"));
            Delivered::from_parts(&event_id, &device_id, &origin, &payload)
                .unwrap_or_else(|| panic!("no event: {origin} {payload}"))
        })
        .collect();
    delivered.sort_by_key(|d| d.position);
    delivered
}
