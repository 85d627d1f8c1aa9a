//! Every body of `tests/golden` in both databases.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use stomp_bridge::model::columns::STATUS;
use stomp_bridge::model::{Column, ColumnKind, Origin, Position, Severity, StatusEvent};
use stomp_bridge::pipeline::{
    Body, Charset, Constants, Decoder, Field, Mapping, State, States, portable,
};

use crate::events::{JOURNAL, batch, start};
use crate::history::Database;

/// Every status that a golden body holds, as it would be delivered.
fn statuses() -> Vec<StatusEvent> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut statuses: Vec<StatusEvent> = Vec::new();
    for case in names.iter().filter_map(|name| name.strip_suffix(".json")) {
        if case.contains('.') {
            continue;
        }
        let body = fs::read(folder.join(format!("{case}.json"))).unwrap();
        let written = fs::read_to_string(folder.join(format!("{case}.mapping.json")));
        let written = written.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let header = |name: &str| written["headers"][name].as_str().unwrap_or_default().into();
        let body = Body {
            bytes: &body,
            content_type: header("content-type"),
            content_encoding: header("content-encoding"),
        };
        let decoder = decoder(&written);
        let received_at = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        for element in decoder.split_message(&body, received_at) {
            let position = Position(statuses.len() as i64 + 1);
            let origin = Origin {
                journal: JOURNAL,
                position,
            };
            let event = decoder.event(&element.raw, origin, received_at, None);
            statuses.extend(event.map(|event| StatusEvent {
                // Two bodies may have one key.
                event_id: origin.to_string(),
                ..event
            }));
        }
    }
    statuses
}

fn decoder(written: &Value) -> Decoder {
    let (mut mapping, mut constants) = (Mapping::default(), Constants::default());
    let pointer = |value: &Value| value.as_str().unwrap().parse().unwrap();
    mapping.items = written.get("items").map(pointer);
    mapping.charset = written["encoding"].as_str().and_then(Charset::named);
    for field in Field::ALL {
        if let Some(value) = written["fields"].get(field.name()) {
            mapping.set(field, Some(pointer(value)));
        }
        if let Some(constant) = written["constants"][field.name()].as_str() {
            constants.set_text(field, constant);
        }
    }
    let fault = State {
        name: "fault".to_owned(),
        severity: Severity::Critical,
    };
    let words = HashMap::from([("故障".to_owned(), fault)]);
    Decoder::new("map-1".into(), mapping, Arc::new(States { words })).with_constants(constants)
}

/// A column of the rows in the log's order, as texts.
async fn column(database: &Database, column: &Column<StatusEvent>) -> Vec<Option<String>> {
    let name = column.name;
    let value = match (&column.kind, database) {
        (ColumnKind::Boolean(_), _) => format!("CAST(CAST({name} AS integer) AS text)"),
        (ColumnKind::Time(_), Database::Postgres { .. }) => {
            format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        _ => format!("CAST({name} AS text)"),
    };
    let sql = format!("SELECT {value} FROM status_event ORDER BY sequence");
    database.texts(&sql).await
}

/// The same value is written in several ways.
fn is_same(kind: &ColumnKind<StatusEvent>, [a, b]: [&str; 2]) -> bool {
    match kind {
        ColumnKind::Number(_) => {
            let [a, b] = [a, b].map(|number| number.parse::<f64>().unwrap());
            (a - b).abs() <= a.abs() * 1e-12
        }
        ColumnKind::Time(_) => {
            let time = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond();
            time(a) == time(b)
        }
        ColumnKind::Json(_) => portable(a) == portable(b),
        _ => a == b,
    }
}

#[tokio::test]
async fn every_body_is_the_same_row_in_both_databases() {
    let statuses = statuses();
    assert!(statuses.len() >= 40, "only {} statuses", statuses.len());
    let databases = Database::both().await;
    for database in &databases {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&statuses)).await.unwrap();
        sink.close().await;
    }
    for of in &STATUS {
        let [sqlite, postgres] = [
            column(&databases[0], of).await,
            column(&databases[1], of).await,
        ];
        assert_eq!(
            (sqlite.len(), postgres.len()),
            (statuses.len(), statuses.len())
        );
        for ((a, b), status) in sqlite.iter().zip(&postgres).zip(&statuses) {
            let same = match (a, b) {
                (Some(a), Some(b)) => is_same(&of.kind, [a, b]),
                (a, b) => a == b,
            };
            let payload = status.payload.get();
            assert!(same, "{}: {a:?} and {b:?} of {payload:.300}", of.name);
        }
    }
    // What PostgreSQL could not read back is a character there.
    let notes = "SELECT payload ->> 'note' FROM status_event WHERE payload ->> 'note' IS NOT NULL";
    let notes = databases[1].texts(notes).await;
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    assert_eq!(notes, ["\u{fffd}", "a\u{fffd}b"]);
}
