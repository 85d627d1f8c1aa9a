//! The questions of docs/sql.md and of both READMEs, asked of both databases over the same story.

use std::collections::HashMap;
use std::process::Command;

use sqlx::{
    AssertSqlSafe, Column, Connection, PgConnection, Row, SqliteConnection, TypeInfo, ValueRef,
};
use stomp_bridge::model::{CoverageCause, Event, Place, Severity, StatusEvent};
use stomp_bridge::sinks::Reason;

use crate::events::{JOURNAL, coverage, status};
use crate::history::Database;
use crate::intervals::{Step, Story, tell};

/// The documents with questions, and the least number of them in each.
const DOCUMENTS: [(&str, &str, usize); 3] = [
    ("docs/sql.md", include_str!("../../docs/sql.md"), 11),
    ("README.md", include_str!("../../README.md"), 3),
    ("README.zh-CN.md", include_str!("../../README.zh-CN.md"), 3),
];

/// A document's blocks of statements, as far as they are for this database.
fn blocks<'d>(document: &'d str, database: &Database) -> Vec<&'d str> {
    let other = match database {
        Database::Sqlite { .. } => "In Postgres:\n\n",
        Database::Postgres { .. } => "In SQLite:\n\n",
    };
    let pieces: Vec<&str> = document.split("```sql\n").collect();
    let pairs = pieces.windows(2).filter(|pair| !pair[0].ends_with(other));
    pairs
        .filter_map(|pair| Some(pair[1].split_once("```")?.0))
        .collect()
}

/// The statements in them.
fn statements(document: &str, database: &Database) -> Vec<String> {
    let blocks = blocks(document, database).into_iter();
    blocks
        .flat_map(|block| block.split(';'))
        .filter(|statement| statement.to_lowercase().contains("select"))
        .map(str::to_owned)
        .collect()
}

async fn rows(database: &Database, statement: &str) -> usize {
    let sql = AssertSqlSafe(statement);
    match database {
        Database::Sqlite { path, .. } => {
            let mut connection = SqliteConnection::connect(&path.display().to_string())
                .await
                .unwrap();
            let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await;
            rows.unwrap_or_else(|error| panic!("{statement}: {error}"))
                .len()
        }
        Database::Postgres { .. } => {
            let mut connection = PgConnection::connect(&database.url()).await.unwrap();
            let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await;
            rows.unwrap_or_else(|error| panic!("{statement}: {error}"))
                .len()
        }
    }
}

#[tokio::test]
async fn each_question_has_an_answer_in_both_databases() {
    let steps = Story::told(200);
    let mut counted = Vec::new();
    for database in Database::both().await {
        tell(&database, &steps).await;
        let mut counts = Vec::new();
        for (_, document, least) in DOCUMENTS {
            let statements = statements(document, &database);
            assert!(statements.len() >= least, "{statements:?}");
            for statement in statements {
                let count = rows(&database, &statement).await;
                assert!(count > 0, "no row: {statement}");
                counts.push(count);
            }
        }
        counted.push(counts);
    }
    assert_eq!(counted[0], counted[1]);
}

/// Three devices in three days, in UTC: device, when, what it says. One that says nothing is the
/// topic: it ceases to be heard, or is heard again.
const THREE_DAYS: [(&str, &str, &str); 18] = [
    ("", "2026-01-02T07:59:00Z", "heard"),
    ("1/1", "2026-01-02T08:00:00Z", "normal"),
    ("1/2", "2026-01-02T08:00:05Z", "normal"),
    ("2/7", "2026-01-02T08:00:10Z", "normal"),
    ("1/1", "2026-01-02T09:30:00Z", "fault"),
    ("1/1", "2026-01-02T11:00:00Z", "normal"),
    ("", "2026-01-02T12:00:00Z", "deaf"),
    ("", "2026-01-02T12:20:00Z", "heard"),
    ("1/2", "2026-01-02T12:25:00Z", "normal"),
    ("1/1", "2026-01-02T12:26:00Z", "normal"),
    ("2/7", "2026-01-02T12:27:00Z", "fault"),
    ("2/7", "2026-01-03T06:00:00Z", "normal"),
    ("2/7", "2026-01-03T06:10:00Z", "fault"),
    ("2/7", "2026-01-03T07:00:00Z", "normal"),
    ("1/2", "2026-01-03T20:00:00Z", "offline"),
    ("1/1", "2026-01-04T09:00:00Z", "offline"),
    ("1/2", "2026-01-04T09:30:00Z", "normal"),
    ("2/7", "2026-01-04T10:00:00Z", "fault"),
];

pub(crate) fn three_days() -> Vec<Step> {
    let told = (1..).zip(THREE_DAYS);
    let events = told.map(|(position, (device, at, says))| -> Event {
        let Some((client_id, device_id)) = device.split_once('/') else {
            let cause = (says == "deaf").then_some(CoverageCause::ConnectionLost);
            return coverage(JOURNAL, position, "map-1", at, cause).into();
        };
        let (severity, city) = match (says, client_id) {
            ("fault", "2") => (Severity::Critical, "南京市"),
            ("fault", _) => (Severity::Critical, "盐城市"),
            ("offline", _) => (Severity::Warning, "盐城市"),
            (_, "2") => (Severity::Ok, "南京市"),
            _ => (Severity::Ok, "盐城市"),
        };
        let status = status(JOURNAL, position, device_id, says);
        let place = Place {
            city: Some(city.to_owned()),
            ..status.place
        };
        StatusEvent {
            client_id: client_id.to_owned(),
            serial: Some(format!("sn-{client_id}-{device_id}")),
            new_state: says.to_owned(),
            received_at: at.parse().unwrap(),
            severity,
            place,
            ..status
        }
        .into()
    });
    vec![Step::Given(Reason::Log, events.collect())]
}

/// What `sqlite3` prints, in a box or, where the answer is one JSON, as it is.
fn printed(database: &Database, block: &str, written: &str) -> String {
    let mode = if is_json(written) { "-list" } else { "-box" };
    let output = Command::new("sqlite3")
        .args([mode, &database.url(), block])
        .output()
        .unwrap();
    assert!(output.status.success(), "{block}: {output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    match is_json(written) {
        true => compact(&printed),
        false => printed,
    }
}

fn is_json(written: &str) -> bool {
    written.starts_with('{')
}

fn compact(json: &str) -> String {
    json.split_whitespace().collect()
}

/// The names and the values in such a box.
fn cells(boxed: &str) -> Vec<Vec<String>> {
    let rows = boxed.lines().filter_map(|line| line.strip_prefix('│'));
    rows.map(|row| {
        let cells = row.trim_end_matches('│').split('│');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// The same of Postgres, in SQLite's spelling of truths, times and JSON.
async fn asked(database: &Database, block: &str) -> Vec<Vec<String>> {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let rows = sqlx::raw_sql(AssertSqlSafe(block.to_owned()))
        .fetch_all(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{block}: {error}"));
    let names = rows[0].columns().iter();
    let mut answer = vec![names.map(|column| column.name().to_owned()).collect()];
    for row in &rows {
        let cells = row.columns().iter().map(|column| {
            let value = row.try_get_raw(column.ordinal()).unwrap();
            if value.is_null() {
                return String::new();
            }
            let text = value.as_str().unwrap();
            match column.type_info().name() {
                "BOOL" => i32::from(text == "t").to_string(),
                "JSON" => text.replace(" ", ""),
                "FLOAT8" => format!("{:?}", text.parse::<f64>().unwrap()),
                "TIMESTAMPTZ" => {
                    let time: jiff::Timestamp = text.parse().unwrap();
                    format!("{time:.6}")
                }
                _ => text.to_owned(),
            }
        });
        answer.push(cells.collect());
    }
    answer
}

#[tokio::test]
async fn each_question_has_the_answer_that_stands_below_it() {
    for database in Database::both().await {
        tell(&database, &three_days()).await;
        let mut answers = HashMap::new();
        let asked_for = DOCUMENTS.iter().flat_map(|(name, document, _)| {
            let blocks = blocks(document, &database).into_iter();
            blocks.map(move |block| (*name, *document, block))
        });
        for (name, document, block) in asked_for {
            let written = document.split(block).nth(1).unwrap();
            let written = written
                .strip_prefix("```\n\n```text\n")
                .and_then(|written| Some(written.split_once("```")?.0));
            let written = written.unwrap_or_else(|| panic!("{name}: no answer below {block}"));
            match &database {
                Database::Sqlite { .. } => {
                    let said = printed(&database, block, written);
                    let written = match is_json(written) {
                        true => compact(written),
                        false => written.to_owned(),
                    };
                    if said != written {
                        answers.insert((name, block), said);
                    }
                }
                Database::Postgres { .. } => {
                    let written = match is_json(written) {
                        true => vec![vec!["map".to_owned()], vec![compact(written)]],
                        false => cells(written),
                    };
                    let said = asked(&database, block).await;
                    assert_eq!(said, written, "{name}: Postgres answers otherwise: {block}");
                }
            }
        }
        for ((name, block), said) in &answers {
            eprintln!("{name}: {block}\n{said}");
        }
        assert!(answers.is_empty(), "the answers above stand otherwise");
    }
}

/// A block that begins with a comment would be an option to it.
#[tokio::test]
async fn each_block_can_be_pasted_to_sqlite3() {
    let database = Database::sqlite();
    tell(&database, &Story::told(200)).await;
    let Database::Sqlite { path, .. } = &database else {
        panic!("SQLite")
    };
    let mut pasted = 0;
    for (_, document, _) in DOCUMENTS {
        for block in blocks(document, &database) {
            let output = Command::new("sqlite3")
                .arg(path)
                .arg(block)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let is_answered = output.status.success() && !output.stdout.is_empty();
            assert!(is_answered, "{block}: {said}");
            pasted += 1;
        }
    }
    assert!(pasted >= 17, "{pasted}");
}

#[tokio::test]
async fn each_block_can_be_pasted_to_psql() {
    let database = Database::postgres().await;
    tell(&database, &Story::told(200)).await;
    let mut pasted = 0;
    for (_, document, _) in DOCUMENTS {
        for block in blocks(document, &database) {
            let output = Command::new("psql")
                .args(["-X", "-v", "ON_ERROR_STOP=1", "-c", block, &database.url()])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let printed = String::from_utf8_lossy(&output.stdout);
            let is_answered = output.status.success() && !printed.contains("(0 rows)");
            assert!(
                is_answered && printed.contains("row"),
                "{block}: {said}{printed}"
            );
            pasted += 1;
        }
    }
    assert!(pasted >= 17, "{pasted}");
}

/// `\d+` shows them.
#[tokio::test]
async fn postgres_says_what_every_table_view_and_column_holds() {
    let database = Database::postgres().await;
    tell(&database, &[]).await;
    let silent = database
        .texts(
            "SELECT c.relname || '.' || a.attname FROM pg_class AS c \
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') \
             AND c.relname <> 'bridge_migration' \
             AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
        )
        .await;
    assert!(silent.is_empty(), "{silent:?}");
}
