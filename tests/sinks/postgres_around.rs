//! What may stand around Postgres: poolers, standbys, roles with few rights, other encodings.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use stomp_bridge::model::{Position, StatusEvent};
use stomp_bridge::sinks::history::question::{Filter, Question};
use stomp_bridge::sinks::history::reader::Reader;
use stomp_bridge::sinks::{By, Settings, Trouble, history};

use crate::events::{JOURNAL, batch, event, events, start};
use crate::history::Database;
use crate::operators::store;
use crate::postgres::{FEW_AND_MANY, create, number, settings, trouble_of, within_a_minute};
use crate::servers::{PASSWORD, Pgbouncer, Postgres, free_port};

/// A sink's settings with other ones.
pub(crate) fn with(url: String, change: impl FnOnce(&mut history::postgres::Settings)) -> Settings {
    let Settings::Postgres(mut settings) = settings(url) else {
        unreachable!("it is one of Postgres");
    };
    change(&mut settings);
    Settings::Postgres(settings)
}

fn in_schema(url: String, schema: &str) -> Settings {
    with(url, |settings| settings.schema = Some(schema.to_owned()))
}

/// Another program.
pub(crate) async fn other(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.extra_float_digits(None);
    options.connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap();
}

pub(crate) async fn text(connection: &mut PgConnection, sql: &str) -> String {
    use sqlx::Row;
    let row = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .unwrap();
    row.get(0)
}

/// What a session of another program may notice of ours.
const TRACES: &str = "SELECT (SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) \
       FROM pg_settings WHERE source = 'session' AND name NOT IN ('application_name', \
       'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')) \
     || ' ' || (SELECT count(*) FROM pg_prepared_statements) || ' statements ' \
     || (SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
       WHERE locktype = 'advisory' AND datname = current_database()) || ' locks'";

#[tokio::test]
async fn nothing_of_ours_stays_on_the_connections_of_a_pooler() {
    let database = Database::postgres().await;
    let (server, name) = database.of_postgres();
    // The one connection is everybody's.
    let pooler = Pgbouncer::start(server, "transaction", 1);
    let mut other = other(&pooler.url(name)).await;
    run(&mut other, "SET work_mem = '7MB'").await;
    for number in 1..=30 {
        let sql = format!("PREPARE sqlx_s_{number} AS SELECT {number}::text");
        run(&mut other, &sql).await;
    }
    let before = text(&mut other, TRACES).await;
    assert_eq!(before, "work_mem=7168 30 statements 0 locks");

    let hour = std::time::Duration::from_secs(3600);
    let url = pooler.url(name);
    for (more, settings) in FEW_AND_MANY.into_iter().zip([
        settings(url.clone()),
        with(url, |settings| {
            settings.schema = Some("other".to_owned());
            settings.retention = Some(hour);
        }),
    ]) {
        let mut sink = start(settings);
        assert_eq!(sink.open(JOURNAL).await, Ok(None));
        sink.attempt(batch(&events(1..=5 + more))).await.unwrap();
        // Some are there already.
        sink.attempt(batch(&events(3..=7 + more))).await.unwrap();
        assert_eq!(sink.idle().await, Ok(()));
        let refused = StatusEvent {
            new_state: "a\0b".to_owned(),
            ..event(9999)
        };
        let refused = sink.attempt(batch(&[refused])).await;
        assert!(refused.is_err());
        // What failed has given the connection back at once.
        assert_eq!(text(&mut other, TRACES).await, before);
        assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(7 + more))));
        sink.close().await;
        assert_eq!(text(&mut other, TRACES).await, before);
    }
    assert_eq!(text(&mut other, "EXECUTE sqlx_s_3").await, "3");
    assert_eq!(database.count("status_event").await, 7);
}

#[tokio::test]
async fn several_sinks_and_other_programs_share_a_pool() {
    let database = Database::postgres().await;
    let (server, name) = database.of_postgres();
    let pooler = Pgbouncer::start(server, "transaction", 2);
    let url = pooler.url(name);
    // It names its statements, and so disturbs itself, but nobody else.
    let others = tokio::spawn({
        let url = url.clone();
        async move {
            let mut connection = other(&url).await;
            loop {
                for number in 0..50 {
                    let sql = format!("SELECT $1 + {number}");
                    let query = sqlx::query(AssertSqlSafe(sql)).bind(1_i32);
                    if query.execute(&mut connection).await.is_err() {
                        connection = other(&url).await;
                    }
                }
            }
        }
    });
    let sinks = ["a", "b", "c"].map(|name| {
        let url = url.clone();
        tokio::spawn(async move {
            let mut sink = start(with(url, |settings| settings.name = name.to_owned()));
            sink.open(JOURNAL).await.unwrap();
            for piece in 0..10 {
                let events = events(20 * piece + 1..=20 * piece + 20);
                sink.attempt(batch(&events)).await.unwrap();
            }
            assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(200))));
        })
    });
    for sink in sinks {
        sink.await.unwrap();
    }
    assert!(!others.is_finished());
    others.abort();
    assert_eq!(database.count("status_event").await, 200);
}

#[tokio::test]
async fn several_daemons_make_the_tables_at_once() {
    for _ in 0..3 {
        let database = Database::postgres().await;
        let openings = (0..6).map(|_| {
            let settings = database.settings(None);
            tokio::spawn(async move { start(settings).open(JOURNAL).await })
        });
        for opening in openings.collect::<Vec<_>>() {
            assert_eq!(opening.await.unwrap(), Ok(None));
        }
    }
}

#[tokio::test]
async fn a_pooler_that_cannot_work_is_named() {
    let database = Database::postgres().await;
    let (server, name) = database.of_postgres();
    let by_statement = Pgbouncer::start(server, "statement", 2);
    let error = trouble_of(settings(by_statement.url(name))).await;
    assert!(
        error.contains("it has to pool by transaction or session"),
        "{error}"
    );
    let pooler = Pgbouncer::start(server, "transaction", 2);
    let url = format!("{}&options[search_path]=x", pooler.url(name));
    let error = trouble_of(settings(url)).await;
    assert!(
        error.contains("`schema` replaces options[search_path]"),
        "{error}"
    );
}

/// A role of this server that may sign in and nothing else, and its URL.
pub(crate) async fn role(database: &Database) -> (String, String) {
    let (_, name) = database.of_postgres();
    let role = format!("r{name}");
    database
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"))
        .await;
    let url = database.url().replace("bridge:", &format!("{role}:"));
    (role, url)
}

#[tokio::test]
async fn a_role_that_may_make_nothing_uses_tables_that_are_complete() {
    let database = Database::postgres().await;
    let (role, url) = role(&database).await;
    let day = std::time::Duration::from_secs(86_400);
    let settings = || with(url.clone(), |settings| settings.retention = Some(day));
    let wanted = format!("run GRANT CREATE ON SCHEMA public TO {role}");
    let error = trouble_of(settings()).await;
    assert!(
        error.contains("the schema public has no tables, and the user") && error.contains(&wanted),
        "{error}"
    );

    start(database.settings(None)).open(JOURNAL).await.unwrap();
    let error = trouble_of(settings()).await;
    assert!(
        error.contains("grant the user SELECT, INSERT, UPDATE and DELETE"),
        "{error}"
    );

    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT EXECUTE ON FUNCTION bridge_make_partition, bridge_drop_before TO {role}"
    );
    database.execute(&grant).await;
    let mut sink = start(settings());
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    let mut through = 0;
    for more in FEW_AND_MANY {
        let given = events(through + 1..=through + 5 + more);
        through += 5 + more;
        sink.attempt(batch(&given)).await.unwrap();
    }
    // It deletes what the retention does not keep.
    assert_eq!(sink.idle().await, Ok(()));
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(through))));
    assert_eq!(database.count("device_row").await, through as usize);
}

#[tokio::test]
async fn settings_of_a_database_change_nothing_of_what_is_stored() {
    let database = Database::postgres().await;
    let (_, name) = database.of_postgres();
    for setting in [
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "timezone = 'America/St_Johns'",
        "datestyle = 'German'",
        "bytea_output = escape",
        "quote_all_identifiers = on",
        "transform_null_equals = on",
        "default_transaction_isolation = serializable",
    ] {
        database
            .execute(&format!("ALTER DATABASE {name} SET {setting}"))
            .await;
    }
    let mut through = 0;
    for more in FEW_AND_MANY {
        // The partitions that are there are found again.
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let given = events(through + 1..=through + 5 + more);
        through += 5 + more;
        sink.attempt(batch(&given)).await.unwrap();
        sink.close().await;
    }
    assert_eq!(database.count("status_event").await, through as usize);
    let store = store(&database, database.url());
    let mut reader = Reader::open(&store).await.unwrap();
    let filter = Filter {
        text: Some("no_such%place\\".to_owned()),
        ..Filter::default()
    };
    let found = reader.rows(&Question::Devices, &filter, None).await;
    assert!(found.unwrap().is_empty());
}

#[tokio::test]
async fn each_schema_has_a_history_of_its_own() {
    let database = Database::postgres().await;
    for (count, schema) in (1..).zip(["bridge", "a \"b\"; 故障"]) {
        let mut sink = start(in_schema(database.url(), schema));
        assert_eq!(sink.open(JOURNAL).await, Ok(None), "{schema}");
        sink.attempt(batch(&events(1..=count))).await.unwrap();
        assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(count))));
        let table = format!("\"{}\".status_event", schema.replace('"', "\"\""));
        assert_eq!(database.count(&table).await, count as usize);
    }
    // An extension's schemas are its own.
    let tables = "SELECT DISTINCT schemaname::text FROM pg_tables \
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema') \
                  AND schemaname NOT IN (SELECT n.nspname FROM pg_namespace AS n \
                      JOIN pg_depend AS d ON d.objid = n.oid AND d.deptype = 'e')";
    let schemas: BTreeSet<_> = database.texts(tables).await.into_iter().flatten().collect();
    assert_eq!(
        schemas,
        BTreeSet::from(["bridge".to_owned(), "a \"b\"; 故障".to_owned()])
    );
}

/// A URL of these ports on this machine.
fn at(ports: &[u16], options: &str) -> String {
    let hosts: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!(
        "postgres://bridge:{PASSWORD}@{}/devices?sslmode=disable{options}",
        hosts.join(",")
    )
}

#[tokio::test]
async fn of_several_hosts_the_one_that_stores_rows_is_found_also_after_a_failover() {
    let primary = Postgres::alone().await;
    create(&primary, "devices").await;
    let standby = primary.standby();
    let (first, second, nobody) = (standby.port(), primary.port(), free_port());

    let mut sink = start(settings(at(&[nobody, first, second], "")));
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    sink.attempt(batch(&events(1..=5))).await.unwrap();
    let rows = "SELECT count(*) FROM status_event";
    assert_eq!(number(&primary, "devices", rows).await, 5);

    for (ports, options, expected) in [
        (
            &[first][..],
            "&target_session_attrs=read-write",
            "the server is a standby; name the primary",
        ),
        (
            &[first, second],
            "&target_session_attrs=any",
            "this server is read-only: name the primary",
        ),
        (&[first, nobody], "", "no host stores rows"),
        (
            &[first, nobody],
            "&target_session_attrs=primary",
            "the server is a standby",
        ),
    ] {
        let error = trouble_of(settings(at(ports, options))).await;
        assert!(error.contains(expected), "{ports:?}{options}: {error}");
        if ports.contains(&nobody) {
            assert!(error.contains(&format!("127.0.0.1:{nobody}: ")), "{error}");
        }
    }

    // The standby has everything before it takes over.
    within_a_minute(async || {
        let state =
            "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()";
        number(&primary, "devices", state).await == 1
    })
    .await;
    drop(primary);
    let failed = sink.attempt(batch(&events(6..=7))).await.unwrap_err();
    assert!(
        matches!(failed.trouble, Trouble::Retry { .. }),
        "{:?}",
        failed.trouble
    );
    let mut admin = PgConnection::connect(&standby.url("postgres"))
        .await
        .unwrap();
    run(&mut admin, "SELECT pg_promote()").await;
    within_a_minute(async || sink.open(JOURNAL).await == Ok(Some(Position(5)))).await;
    sink.attempt(batch(&events(6..=7))).await.unwrap();
    assert_eq!(number(&standby, "devices", rows).await, 7);

    // A primary may be told to accept no writes.
    run(
        &mut admin,
        "ALTER DATABASE devices SET default_transaction_read_only = on",
    )
    .await;
    let error = trouble_of(settings(at(&[first], "&target_session_attrs=read-write"))).await;
    assert!(
        error.contains("the server is read-only; name the primary"),
        "{error}"
    );
}

async fn encoded(encoding: &str) -> Database {
    let database = Database::postgres().await;
    let Database::Postgres { name, server } = database else {
        unreachable!("it is one of Postgres");
    };
    let mut admin = PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();
    let name = format!("{name}{}", encoding.to_lowercase());
    let sql = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
    run(&mut admin, &sql).await;
    Database::Postgres { name, server }
}

#[tokio::test]
async fn an_encoding_that_lacks_most_characters_is_known_before_any_row() {
    let database = encoded("LATIN1").await;
    let error = trouble_of(database.settings(None)).await;
    assert!(
        error.contains("the database has the encoding LATIN1") && error.contains("ENCODING 'UTF8'"),
        "{error}"
    );
    let tables = "pg_tables WHERE tablename = 'status_event'";
    assert_eq!(database.count(tables).await, 0);
}

#[tokio::test]
async fn an_encoding_of_chinese_holds_what_it_can_and_the_rest_is_the_events_fault() {
    let database = encoded("EUC_CN").await;
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=700))).await.unwrap();
    for position in 701..=760 {
        let refused = StatusEvent {
            new_state: "故障😀".to_owned(),
            ..event(position)
        };
        let failed = sink.attempt(batch(&[refused])).await.unwrap_err();
        let Trouble::Refused {
            by: By::Us, error, ..
        } = failed.trouble
        else {
            panic!("{:?}", failed.trouble)
        };
        assert!(
            error.contains("has no equivalent in encoding \"EUC_CN\""),
            "{error}"
        );
    }
    sink.attempt(batch(&[event(761)])).await.unwrap();
    let states = "status_event WHERE new_state = '故障'";
    assert_eq!(database.count(states).await, 701);
}
