//! The dashboards for Grafana: docs/grafana/history.json, whose every query a real Postgres is
//! asked as Grafana would ask it, by a role that may read the promised views alone; and both of them
//! against the types that Grafana publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Column, Connection, PgConnection, Row, TypeInfo, ValueRef};
use stomp_bridge::sinks::{Batch, Settings};
use uuid::Uuid;

use crate::events::{JOURNAL, batch, start};
use crate::history::Database;
use crate::intervals::Step;
use crate::questions::three_days;

/// What a reader needs SELECT on.
const VIEWS: [&str; 6] = [
    "status_event",
    "device_current",
    "state_interval",
    "fault_episode",
    "state_daily",
    "coverage_gap",
];

/// What each panel needs: its columns, with what Grafana takes them for.
const PANELS: [(&str, &str); 10] = [
    (
        "Devices now",
        "devices number, ok number, warning number, critical number, unknown number, \
         not certain number, topics not heard number",
    ),
    (
        "Faults now",
        "device text, serial text, city text, state text, since time, lasts number, certain truth",
    ),
    (
        "Where the devices are",
        "device text, serial text, state text, severity text, certain truth, state_since time, \
         wgs84_latitude number, wgs84_longitude number",
    ),
    (
        "Current states",
        "device text, serial text, city text, state text, severity text, state_since time, \
         last_seen time, certain truth",
    ),
    (
        "States of the devices",
        "time time, device text, state text",
    ),
    (
        "Longest faults",
        "device text, state text, since time, until time, lasted number, not certain number, \
         certain truth",
    ),
    ("Gaps by topic", "time time, topic text, cause text"),
    (
        "Gaps",
        "topic text, since time, until time, lasted number, cause text",
    ),
    (
        "Availability by day",
        "day text, available number, not certain number",
    ),
    (
        "Availability by device",
        "device text, available number, not certain number, faults number",
    ),
];

/// A history in a schema, as its dashboard sees it.
struct Dashboard {
    json: Value,
    /// What is chosen of each variable.
    chosen: BTreeMap<&'static str, Chosen>,
    from: &'static str,
    to: &'static str,
    role: String,
    connection: PgConnection,
}

#[derive(Clone)]
enum Chosen {
    /// What stands for all of them, as it is.
    All,
    These(Vec<&'static str>),
    Own(String),
}

/// The names of an answer's columns with their kinds, and its rows as texts.
struct Answer {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Dashboard {
    async fn of(database: &Database, schema: Option<&str>, steps: &[Step]) -> Dashboard {
        let Settings::Postgres(mut settings) = database.settings(None) else {
            panic!("a dashboard of Postgres")
        };
        settings.schema = schema.map(str::to_owned);
        let mut sink = start(Settings::Postgres(settings));
        sink.open(JOURNAL).await.unwrap();
        for step in steps {
            let Step::Given(reason, events) = step else {
                continue;
            };
            let given = Batch {
                reason: *reason,
                ..batch(events)
            };
            sink.attempt(given).await.unwrap();
        }
        sink.close().await;

        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        let role = format!("reader_{}", Uuid::new_v4().simple());
        let quoted = format!("\"{}\"", schema.unwrap_or("public").replace('"', "\"\""));
        let views = VIEWS.map(|view| format!("{quoted}.{view}")).join(", ");
        let grants = format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {quoted} TO {role}; \
             GRANT SELECT ON {views} TO {role}; SET ROLE {role}; SET timezone = 'UTC'; SET default_transaction_read_only = on"
        );
        sqlx::raw_sql(AssertSqlSafe(grants))
            .execute(&mut connection)
            .await
            .unwrap();
        let json = include_str!("../../docs/grafana/history.json");
        let mut dashboard = Dashboard {
            json: serde_json::from_str(json).unwrap(),
            chosen: ["stream", "client", "device"]
                .map(|name| (name, Chosen::All))
                .into(),
            from: "2026-01-02T09:00:00Z",
            to: "2026-01-04T12:00:00Z",
            role,
            connection,
        };
        let zone = Chosen::Own("UTC".to_owned());
        dashboard.chosen.insert("zone", zone);
        // The list of schemas is the first one that Grafana asks for.
        let schemas = dashboard.asked(&dashboard.variable("schema")).await;
        let wanted = schema.unwrap_or("public");
        let chosen = schemas
            .rows
            .iter()
            .find(|row| row[1].as_deref() == Some(wanted))
            .unwrap_or_else(|| panic!("no schema {wanted} in {:?}", schemas.rows));
        let chosen = Chosen::Own(chosen[0].clone().unwrap());
        dashboard.chosen.insert("schema", chosen);
        dashboard
    }

    /// The query of a variable.
    fn variable(&self, name: &str) -> String {
        let listed = self.json["templating"]["list"].as_array().unwrap();
        let found = listed.iter().find(|it| it["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no variable {name}"));
        found["query"].as_str().unwrap().to_owned()
    }

    /// Every panel but the rows that part them.
    fn panels(&self) -> Vec<Value> {
        let panels = self.json["panels"].as_array().unwrap().iter();
        panels.filter(|it| it["type"] != "row").cloned().collect()
    }

    fn panel(&self, title: &str) -> Value {
        let mut panels = self.panels().into_iter();
        let found = panels.find(|panel| panel["title"] == title);
        found.unwrap_or_else(|| panic!("no panel {title}"))
    }

    async fn shown(&mut self, title: &str) -> Answer {
        let sql = query(&self.panel(title));
        self.asked(&sql).await
    }

    /// A query as Grafana's front end and its data source make it.
    async fn asked(&mut self, sql: &str) -> Answer {
        let sql = self.with_macros(&self.with_variables(sql));
        assert!(!sql.contains('$'), "something is not replaced: {sql}");
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .fetch_all(&mut self.connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        // Also where there is no row.
        let described = format!("SELECT * FROM ({sql}) AS answer LIMIT 0");
        let described = sqlx::Executor::describe(
            &mut self.connection,
            sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(described)),
        )
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let columns = described.columns().iter();
        let columns = columns.map(|it| format!("{} {}", it.name(), kind(it.type_info().name())));
        let texts = |row: &sqlx::postgres::PgRow| {
            let cells = (0..row.len()).map(|index| {
                let value = row.try_get_raw(index).unwrap();
                (!value.is_null()).then(|| value.as_str().unwrap().to_owned())
            });
            cells.collect()
        };
        Answer {
            columns: columns.collect(),
            rows: rows.iter().map(texts).collect(),
        }
    }

    /// Grafana's documentation, "Variable syntax": `raw` is the value as it is, `sqlstring` has it
    /// quoted, several with commas between them. A custom value for all is written as it is.
    fn with_variables(&self, sql: &str) -> String {
        let listed = self.json["templating"]["list"].as_array().unwrap();
        let mut pieces = sql.split("${");
        let mut written = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let (variable, rest) = piece.split_once('}').unwrap();
            let (name, format) = variable.split_once(':').unwrap();
            let declared = listed.iter().find(|it| it["name"] == name);
            let declared = declared.unwrap_or_else(|| panic!("no variable {name}"));
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let value = match (&self.chosen[name], format) {
                (Chosen::All, _) => declared["allValue"].as_str().unwrap().to_owned(),
                (Chosen::Own(value), "raw") => value.clone(),
                (Chosen::Own(value), "sqlstring") => quoted(value),
                (Chosen::These(values), "sqlstring") => {
                    let values = values.iter().map(|value| quoted(value));
                    values.collect::<Vec<_>>().join(",")
                }
                (_, other) => panic!("the format {other} of {name}"),
            };
            written += &value;
            written += rest;
        }
        written
    }

    /// Grafana's documentation, "PostgreSQL query editor", Macros: `$__timeFilter(column)` is
    /// `column BETWEEN 'from' AND 'to'`, `$__timeFrom()` and `$__timeTo()` are the ends.
    fn with_macros(&self, sql: &str) -> String {
        let mut pieces = sql.split("$__");
        let mut written = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let (name, rest) = piece.split_once('(').unwrap();
            let (argument, rest) = rest.split_once(')').unwrap();
            let (from, to) = (self.from, self.to);
            written += &match name {
                "timeFilter" => format!("{argument} BETWEEN '{from}' AND '{to}'"),
                "timeFrom" => format!("'{from}'"),
                "timeTo" => format!("'{to}'"),
                other => panic!("Grafana has no macro $__{other} that this test knows"),
            };
            written += rest;
        }
        written
    }

    async fn close(mut self) {
        let role = &self.role;
        // Statements that are sent together are one transaction, which would begin read-only.
        let may_write = "RESET ROLE; RESET default_transaction_read_only".to_owned();
        let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        for sql in [may_write, drop] {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut self.connection)
                .await
                .unwrap();
        }
    }
}

impl Answer {
    fn column(&self, name: &str) -> Vec<Option<&str>> {
        let mut names = self.columns.iter().map(|it| it.rsplit_once(' ').unwrap().0);
        let index = names.position(|it| it == name).unwrap();
        self.rows.iter().map(|row| row[index].as_deref()).collect()
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        self.column(name).into_iter().map(Option::unwrap).collect()
    }

    /// Rounded to one digit.
    fn numbers(&self, name: &str) -> Vec<f64> {
        let numbers = self.texts(name).into_iter();
        let numbers = numbers.map(|text| text.parse::<f64>().unwrap());
        numbers
            .map(|number| (number * 10.0).round() / 10.0)
            .collect()
    }
}

fn query(panel: &Value) -> String {
    let targets = panel["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 1, "{panel}");
    assert_eq!(targets[0]["format"], "table", "{panel}");
    targets[0]["rawSql"].as_str().unwrap().to_owned()
}

/// What Grafana makes of a type.
fn kind(postgres: &str) -> &'static str {
    match postgres {
        "TIMESTAMPTZ" => "time",
        "TEXT" => "text",
        "BOOL" => "truth",
        "FLOAT8" | "INT8" => "number",
        other => panic!("what does Grafana make of {other}?"),
    }
}

/// Every name of a column in a panel's settings.
fn named(panel: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |name: &Value| {
        names.extend(name.as_str().map(str::to_owned));
    };
    for one in panel["fieldConfig"]["overrides"].as_array().unwrap() {
        let matcher = &one["matcher"];
        if *matcher == json!({ "id": "byRegexp", "options": ".*" }) {
            continue;
        }
        assert_eq!(matcher["id"], "byName", "{one}");
        add(&matcher["options"]);
    }
    add(&panel["options"]["xField"]);
    for layer in panel["options"]["layers"].as_array().into_iter().flatten() {
        add(&layer["location"]["latitude"]);
        add(&layer["location"]["longitude"]);
        add(&layer["config"]["style"]["color"]["field"]);
    }
    for step in panel["transformations"].as_array().into_iter().flatten() {
        assert_eq!(step["id"], "partitionByValues", "{step}");
        step["options"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(&mut add);
    }
    names
}

#[tokio::test]
async fn each_query_of_the_dashboard_gives_what_its_panel_shows() {
    for schema in [None, Some("Odd \"name\"")] {
        let database = Database::postgres().await;
        let mut dashboard = Dashboard::of(&database, schema, &three_days()).await;
        let titles: BTreeSet<String> = dashboard
            .panels()
            .iter()
            .map(|panel| panel["title"].as_str().unwrap().to_owned())
            .collect();
        let known = BTreeSet::from(PANELS.map(|(title, _)| title.to_owned()));
        assert_eq!(titles, known);
        for (title, columns) in PANELS {
            let answer = dashboard.shown(title).await;
            assert_eq!(answer.columns.join(", "), columns, "{title}");
            assert!(!answer.rows.is_empty(), "{title}");
            let panel = dashboard.panel(title);
            for name in named(&panel) {
                let is_there = answer
                    .columns
                    .iter()
                    .any(|it| it.starts_with(&format!("{name} ")));
                assert!(is_there, "{title} has no column {name}: {columns}");
            }
        }
        for (variable, expected) in [
            ("stream", &["sample"][..]),
            ("client", &["1", "2"]),
            ("device", &["1/1", "1/2", "2/7"]),
        ] {
            let query = dashboard.variable(variable);
            let answer = dashboard.asked(&query).await;
            let values: Vec<&str> = answer
                .rows
                .iter()
                .map(|it| it[0].as_deref().unwrap())
                .collect();
            assert_eq!(values, expected, "{variable}");
        }
        dashboard.close().await;
    }
}

#[tokio::test]
async fn the_dashboard_shows_the_story_of_three_days() {
    let database = Database::postgres().await;
    let mut dashboard = Dashboard::of(&database, None, &three_days()).await;
    let now = dashboard.shown("Devices now").await;
    let expected = ["3", "1", "1", "1", "0", "0", "0"].map(|it| Some(it.to_owned()));
    assert_eq!(now.rows, [expected]);
    let faults = dashboard.shown("Faults now").await;
    assert_eq!(
        (faults.texts("device"), faults.texts("city")),
        (vec!["2/7"], vec!["南京市"])
    );
    let longest = dashboard.shown("Longest faults").await;
    assert_eq!(longest.texts("device"), ["2/7", "2/7", "1/1", "2/7"]);
    assert_eq!(longest.column("until")[0], None, "the one that lasts");
    let states = dashboard.shown("Current states").await;
    assert_eq!(states.texts("severity"), ["critical", "warning", "ok"]);
    // Markers that are drawn last lie on top.
    let map = dashboard.shown("Where the devices are").await;
    assert_eq!(map.texts("severity"), ["ok", "warning", "critical"]);

    let timeline = dashboard.shown("States of the devices").await;
    let rows = timeline
        .rows
        .iter()
        .filter(|row| row[1].as_deref() == Some("1/1"));
    let rows: Vec<[&str; 2]> = rows
        .map(|row| [row[0].as_deref().unwrap(), row[2].as_deref().unwrap()])
        .collect();
    assert_eq!(
        rows,
        [
            // It lasts since before the time that is shown.
            ["2026-01-02 09:00:00+00", "ok: normal"],
            ["2026-01-02 09:30:00+00", "critical: fault"],
            ["2026-01-02 11:00:00+00", "ok: normal"],
            ["2026-01-02 12:00:00+00", "not certain: normal"],
            ["2026-01-02 12:26:00+00", "ok: normal"],
            ["2026-01-04 09:00:00+00", "warning: offline"],
        ]
    );
    let gaps = dashboard.shown("Gaps by topic").await;
    assert_eq!(gaps.column("cause"), [Some("connection_lost"), None]);
    let table = dashboard.shown("Gaps").await;
    assert_eq!(
        (table.texts("topic"), table.numbers("lasted")),
        (vec!["map-1"], vec![1200.0])
    );
    // As `history availability` has them, and docs/sql.md.
    let days = dashboard.shown("Availability by day").await;
    assert_eq!(
        days.texts("day"),
        ["2026-01-02", "2026-01-03", "2026-01-04"]
    );
    assert_eq!(days.numbers("available"), [72.1, 85.0, 66.7]);
    assert_eq!(days.numbers("not certain"), [2.7, 0.0, 0.0]);
    let devices = dashboard.shown("Availability by device").await;
    assert_eq!(devices.texts("device"), ["2/7", "1/2", "1/1"]);
    assert_eq!(devices.numbers("available"), [62.9, 72.5, 96.9]);

    let choices: [(&str, &[&str], &[&str]); 4] = [
        ("stream", &["sample"], &["2/7", "1/1", "1/2"]),
        ("client", &["1"], &["1/1", "1/2"]),
        ("device", &["1/2", "2/7"], &["2/7", "1/2"]),
        ("device", &["it's '; DROP TABLE event; --"], &[]),
    ];
    for (variable, values, expected) in choices {
        let chosen = Chosen::These(values.to_vec());
        let before = dashboard.chosen.insert(variable, chosen).unwrap();
        let states = dashboard.shown("Current states").await;
        assert_eq!(states.texts("device"), expected, "{variable} {values:?}");
        for (title, _) in PANELS {
            let answer = dashboard.shown(title).await;
            if answer.columns[0] == "device text" {
                let devices = answer.texts("device");
                let others = devices.iter().find(|device| !expected.contains(device));
                assert_eq!(others, None, "{title} of {variable} {values:?}");
            }
        }
        dashboard.chosen.insert(variable, before);
    }
    dashboard.close().await;
}

#[tokio::test]
async fn the_dashboard_of_an_empty_history_shows_no_error() {
    let database = Database::postgres().await;
    let mut dashboard = Dashboard::of(&database, Some("bridge"), &[]).await;
    for (title, columns) in PANELS {
        let answer = dashboard.shown(title).await;
        assert_eq!(answer.columns.join(", "), columns, "{title}");
        let rows = usize::from(title == "Devices now");
        assert_eq!(answer.rows.len(), rows, "{title}: {:?}", answer.rows);
        let panel = dashboard.panel(title);
        let says = panel["fieldConfig"]["defaults"]["noValue"].as_str();
        assert!(says.is_some() || ["stat", "geomap"].contains(&panel["type"].as_str().unwrap()));
    }
    dashboard.close().await;
}

/// An import fails, or a panel shows nothing, where a name is another one than Grafana's.
#[test]
fn both_dashboards_have_the_types_that_grafana_publishes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grafana");
    assert!(
        folder.join("node_modules/typescript").is_dir(),
        "Grafana's types are not installed: tests/run does it, or `npm ci` in tests/grafana"
    );
    let check = |files: &[&str]| {
        let output = Command::new("node")
            .current_dir(&folder)
            .arg("check.mjs")
            .args(files)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.success(),
            said + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (is_fit, said) = check(&[
        "../../docs/grafana/history.json",
        "../../docs/grafana/stomp-bridge.json",
    ]);
    assert!(is_fit && said.matches("ok ").count() == 2, "{said}");
    // It would notice.
    let broken = tempfile::tempdir().unwrap();
    let file = broken.path().join("broken.json");
    let dashboard = include_str!("../../docs/grafana/history.json");
    let cases = [
        (
            "\"alignValue\": \"left\"",
            "\"alignValue\": \"lefft\"",
            "lefft",
        ),
        ("\"perPage\"", "\"perPages\"", "perPages"),
        ("\"type\": \"textbox\"", "\"type\": \"box\"", "box"),
    ];
    for (right, wrong, named) in cases {
        std::fs::write(&file, dashboard.replacen(right, wrong, 1)).unwrap();
        let (is_fit, said) = check(&[file.to_str().unwrap()]);
        assert!(!is_fit && said.contains(named), "{wrong}: {said}");
    }
}
