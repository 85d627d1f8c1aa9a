//! What is said of rights that a role lacks on a Postgres history, and of tables that it does not see
//! or that are not the daemon's.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::{Event, StatusEvent};
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::history::operator::Operator;
use stomp_bridge::sinks::history::question::{Filter, Question};
use stomp_bridge::sinks::history::reader::{Reader, Store};
use stomp_bridge::sinks::{Settings, Trouble, probe, trial};

use crate::events::{JOURNAL, batch, event, events, start, status};
use crate::history::Database;
use crate::operators::rights;
use crate::postgres::{FEW_AND_MANY, trouble_of};
use crate::postgres_around::{role, with};

const DAY: Duration = Duration::from_secs(86_400);

fn settings(url: &str, schema: Option<&str>) -> Settings {
    with(url.to_owned(), |settings| {
        settings.schema = schema.map(str::to_owned);
        settings.retention = Some(30 * DAY);
        settings.intervals = Some(30 * DAY);
    })
}

fn store(url: &str, schema: Option<&str>) -> Store {
    Store::Postgres {
        url: Secret::from(url.to_owned()),
        schema: schema.map(str::to_owned),
        folder: PathBuf::new(),
    }
}

/// What all verbs and the daemon say of a history that cannot be used: doctor, `sinks test`, the
/// log.
async fn said_by_all(url: &str, schema: Option<&str>) -> Vec<String> {
    let settings = || settings(url, schema);
    vec![
        probe(settings()).await.unwrap_err(),
        trial(settings(), Event::from(event(1))).await.unwrap_err(),
        trouble_of(settings()).await,
    ]
}

/// What the verb `history` says.
async fn said_by_a_reader(url: &str, schema: Option<&str>) -> String {
    Reader::open(&store(url, schema))
        .await
        .unwrap_err()
        .to_string()
}

/// Makes the tables in a schema, with one status.
async fn made(database: &Database, schema: Option<&str>) {
    let mut sink = start(settings(&database.url(), schema));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&[now(1)])).await.unwrap();
    sink.close().await;
}

fn now(position: i64) -> StatusEvent {
    StatusEvent {
        received_at: Timestamp::now(),
        ..status(JOURNAL, position, "1", "normal")
    }
}

fn error_of(trouble: Trouble) -> String {
    match trouble {
        Trouble::Retry { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_schema_without_usage_is_named_with_its_grant_whatever_else_is_granted() {
    for schema in [Some("bridge"), None] {
        let database = Database::postgres().await;
        made(&database, Some("bridge")).await;
        let (role, url) = role(&database).await;
        let (_, name) = database.of_postgres();
        for grant in rights(&role) {
            let grant = grant.replace("SCHEMA public", "SCHEMA bridge");
            let grant = format!("SET search_path = bridge; {grant}");
            database.execute(&grant).await;
        }
        database
            .execute(&format!("REVOKE USAGE ON SCHEMA bridge FROM {role}"))
            .await;
        if schema.is_none() {
            let path = format!("ALTER ROLE {role} SET search_path = \"$user\", bridge, public");
            database.execute(&path).await;
        }
        let wanted = format!("run GRANT USAGE ON SCHEMA bridge TO {role}");
        let check = |said: &str| {
            assert!(
                said.ends_with(&wanted)
                    && said.contains("the tables are in the schema bridge, on which"),
                "{said}"
            );
        };
        for more in [
            "SELECT 1".to_owned(),
            format!("GRANT CREATE ON SCHEMA bridge TO {role}"),
            format!("GRANT CREATE ON DATABASE {name} TO {role}"),
            format!("GRANT CREATE ON SCHEMA public TO {role}"),
        ] {
            database.execute(&more).await;
            for said in said_by_all(&url, schema).await {
                check(&said);
            }
            check(&said_by_a_reader(&url, schema).await);
        }
        let mut operator = Operator::open(&store(&url, schema)).await.unwrap();
        check(&operator.devices("1").await.unwrap_err().to_string());

        // The same where it goes while the daemon runs.
        let usage = format!("GRANT USAGE ON SCHEMA bridge TO {role}");
        database.execute(&usage).await;
        let found = probe(settings(&url, schema)).await.unwrap();
        assert_eq!(found.advice, None);
        let mut delivers = start(settings(&url, schema));
        let mut waits = start(settings(&url, schema));
        let mut reader = Reader::open(&store(&url, schema)).await.unwrap();
        for sink in [&mut delivers, &mut waits] {
            sink.open(JOURNAL).await.unwrap();
        }
        database
            .execute(&format!("REVOKE USAGE ON SCHEMA bridge FROM {role}"))
            .await;
        let refused = delivers.attempt(batch(&[now(2)])).await.unwrap_err();
        check(&error_of(refused.trouble));
        check(&error_of(waits.idle().await.unwrap_err()));
        let filter = Filter::default();
        let asked = reader.rows(&Question::Devices, &filter, None);
        check(&asked.await.unwrap_err().to_string());
        database.execute(&usage).await;
        delivers.open(JOURNAL).await.unwrap();
        delivers.attempt(batch(&[now(2)])).await.unwrap();
    }
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_named() {
    let database = Database::postgres().await;
    let (role, url) = role(&database).await;
    let (_, name) = database.of_postgres();
    let wanted = format!("the database {name} has no schema bridg");
    let grant = format!("correct `schema`, or run GRANT CREATE ON DATABASE {name} TO {role}");
    for said in said_by_all(&url, Some("bridg")).await {
        assert!(
            said.contains(&format!("{wanted}, and the user {role}")) && said.ends_with(&grant),
            "{said}"
        );
    }
    let said = said_by_a_reader(&url, Some("bridg")).await;
    assert!(
        said.contains(&wanted) && said.ends_with("; correct `schema`"),
        "{said}"
    );
    // One that has a name which SQL has to quote, and lets nobody in.
    database.execute("CREATE SCHEMA \"设备 1\"").await;
    for said in said_by_all(&url, Some("设备 1")).await {
        assert!(
            said.contains("the schema \"设备 1\" has no tables, and the user")
                && said.contains(&format!(
                    "run GRANT USAGE, CREATE ON SCHEMA \"设备 1\" TO {role}"
                )),
            "{said}"
        );
    }
    database
        .execute(&format!(
            "GRANT USAGE, CREATE ON SCHEMA \"设备 1\" TO {role}; \
             GRANT CREATE ON DATABASE {name} TO {role}"
        ))
        .await;
    for schema in ["bridg", "设备 1"] {
        let found = probe(settings(&url, Some(schema))).await.unwrap();
        assert!(found.text.ends_with("the daemon can make its tables"));
        let mut sink = start(settings(&url, Some(schema)));
        assert_eq!(sink.open(JOURNAL).await, Ok(None), "{schema}");
    }
}

#[tokio::test]
async fn tables_that_were_made_by_hand_are_known() {
    let database = Database::postgres().await;
    let migration = include_str!("../../migrations/history_postgres/0001_history.sql");
    database
        .execute(&format!(
            "CREATE SCHEMA bridge; SET search_path = bridge; {migration}"
        ))
        .await;
    for said in said_by_all(&database.url(), Some("bridge")).await {
        assert!(
            said.contains("the schema bridge has bridge_clock, bridge_cursor, ")
                && said.contains(", topic, and no bridge_migration: the daemon has not made them")
                && said.contains("; drop them and let the daemon make its own"),
            "{said}"
        );
    }
    // What it advises is enough.
    database.execute("DROP SCHEMA bridge CASCADE").await;
    made(&database, Some("bridge")).await;
    // Nor is another program's table taken for one of ours.
    let database = Database::postgres().await;
    database.execute("CREATE TABLE topic (x integer)").await;
    for said in said_by_all(&database.url(), None).await {
        assert!(
            said.contains("the schema public has topic, and no"),
            "{said}"
        );
    }
}

/// The GRANTs that an advice ends with.
fn grants(advice: &str) -> &str {
    let (_, grants) = advice
        .split_once("; as the owner of the tables, run ")
        .unwrap();
    grants
}

#[tokio::test]
async fn each_missing_right_is_named_with_the_grant_that_mends_it() {
    let database = Database::postgres().await;
    made(&database, None).await;
    let (role, url) = role(&database).await;
    let [daemon, _] = rights(&role);
    database.execute(&daemon).await;
    let found = probe(settings(&url, None)).await.unwrap();
    assert_eq!(found.advice, None, "the document grants all of them");

    // Nothing is stored without these.
    for (revoked, granted) in [
        ("INSERT ON event", "GRANT INSERT ON public.event"),
        (
            "SELECT, UPDATE ON bridge_writer",
            "GRANT SELECT, UPDATE ON public.bridge_writer",
        ),
        (
            "SELECT ON bridge_migration",
            "GRANT SELECT ON public.bridge_migration",
        ),
        (
            "SELECT ON device_current",
            "GRANT SELECT ON public.device_current",
        ),
        (
            "INSERT ON coverage, topic",
            "GRANT INSERT ON public.coverage, public.topic",
        ),
    ] {
        database
            .execute(&format!("REVOKE {revoked} FROM {role}"))
            .await;
        let said = probe(settings(&url, None)).await.unwrap_err();
        let lacks = format!("the user {role} lacks rights: nothing is stored; ");
        assert!(said.contains(&lacks), "{said}");
        assert_eq!(grants(&said), format!("{granted} TO {role}"));
        database.execute(grants(&said)).await;
        assert_eq!(probe(settings(&url, None)).await.unwrap().advice, None);
    }

    // What is stored stays without these, or nothing new is made.
    for (revoked, what, granted) in [
        (
            "DELETE ON coverage, history_setting, profile",
            "rows past their retention stay, and a late status waits",
            "GRANT DELETE ON public.coverage, public.history_setting, public.profile",
        ),
        (
            "EXECUTE ON FUNCTION bridge_drop_before",
            "rows past their retention stay",
            "GRANT EXECUTE ON FUNCTION public.bridge_drop_before",
        ),
        (
            "EXECUTE ON FUNCTION bridge_make_partition",
            "no partition is made, and a status without one is not stored",
            "GRANT EXECUTE ON FUNCTION public.bridge_make_partition",
        ),
    ] {
        database
            .execute(&format!("REVOKE {revoked} FROM {role}"))
            .await;
        let found = probe(settings(&url, None)).await.unwrap();
        let advice = found.advice.unwrap();
        assert!(advice.contains(what), "{advice}");
        assert_eq!(grants(&advice), format!("{granted} TO {role}"));
        database.execute(grants(&advice)).await;
        assert_eq!(probe(settings(&url, None)).await.unwrap().advice, None);
    }

    // Where the partition of now is not there, nothing is stored now.
    database
        .execute(&format!(
            "REVOKE EXECUTE ON FUNCTION bridge_make_partition FROM {role}; \
             DO $$ DECLARE part text; BEGIN FOR part IN SELECT name FROM bridge_partitions() \
             LOOP EXECUTE format('DROP TABLE %I', part); END LOOP; END $$"
        ))
        .await;
    let said = probe(settings(&url, None)).await.unwrap_err();
    assert!(said.contains("no partition is made"), "{said}");

    database.execute("DROP TABLE event_key_seen").await;
    let said = probe(settings(&url, None)).await.unwrap_err();
    assert!(
        said.contains("the history has no event_key_seen; the tables are not as stomp-bridge"),
        "{said}"
    );
}

#[tokio::test]
async fn the_rights_that_the_probe_asks_for_are_enough() {
    let database = Database::postgres().await;
    made(&database, None).await;
    let old = StatusEvent {
        received_at: Timestamp::now() - SignedDuration::from_hours(24 * 90),
        ..status(JOURNAL, 2, "2", "normal")
    };
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&[old])).await.unwrap();
    sink.close().await;
    // Not even what everybody has by default.
    let (_, url) = role(&database).await;
    database
        .execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
        .await;
    let said = probe(settings(&url, None)).await.unwrap_err();
    database.execute(grants(&said)).await;
    assert_eq!(probe(settings(&url, None)).await.unwrap().advice, None);
    let mut sink = start(settings(&url, None));
    sink.open(JOURNAL).await.unwrap();
    let mut through = 2;
    for more in FEW_AND_MANY {
        let given = events(through + 1..=through + 5 + more);
        through += 5 + more;
        let given: Vec<StatusEvent> = given
            .into_iter()
            .map(|status| StatusEvent {
                received_at: Timestamp::now(),
                ..status
            })
            .collect();
        sink.attempt(batch(&given)).await.unwrap();
        // Those of the same devices that come late rewrite the timeline.
        let late = given.iter().take(3).map(|status| StatusEvent {
            received_at: status.received_at - SignedDuration::from_secs(5),
            event_id: format!("late-{}", status.event_id),
            ..status.clone()
        });
        let late: Vec<StatusEvent> = late.collect();
        sink.attempt(batch(&late)).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(sink.idle().await, Ok(()));
    }
    assert_eq!(sink.warning(), None);
    let old = "event WHERE received_at < now() - interval '80 days'";
    assert_eq!(database.count(old).await, 0);
    // A change of the zone ends, too.
    let Settings::Postgres(mut other) = settings(&url, None) else {
        unreachable!("it is one of Postgres");
    };
    other.zone = jiff::tz::TimeZone::get("America/St_Johns").unwrap();
    let mut sink = start(Settings::Postgres(other));
    sink.open(JOURNAL).await.unwrap();
    for _ in 0..5 {
        assert_eq!(sink.idle().await, Ok(()));
    }
    assert_eq!(sink.warning(), None);
    let left = "history_setting WHERE name = 'recounted_below'";
    assert_eq!(database.count(left).await, 0);
}
