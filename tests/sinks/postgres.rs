//! What only Postgres does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::{Connection, PgConnection};
use stomp_bridge::model::{Event, Position};
use stomp_bridge::sinks::{BuildError, Health, Settings, Trouble, build, history};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::events::{JOURNAL, batch, event, events, raw, start};
use crate::history::Database;
use crate::servers::{PASSWORD, Postgres, free_port};

fn settings(url: String) -> Settings {
    let name = "history".to_owned();
    Settings::Postgres(history::postgres::Settings {
        name,
        url: SecretString::from(url),
        retention: None,
    })
}

async fn trouble_of_opening(url: String) -> String {
    let (mut sink, health) = start(settings(url));
    let Err(Trouble::Retry { error, after: None }) = sink.open(JOURNAL).await else {
        panic!("opened")
    };
    assert_eq!(health.report().last_error, Some(error.clone()));
    assert!(!error.contains(PASSWORD), "{error}");
    error
}

/// A few events are stored by INSERT, many by COPY: so many more, to have either.
const FEW_AND_MANY: [i64; 2] = [0, 600];

#[tokio::test]
async fn data_that_postgres_cannot_hold_is_refused_and_the_connection_stays() {
    let database = Database::postgres().await;
    let (mut sink, health) = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let too_long = (0..4000)
        .map(|_| fastrand::alphanumeric())
        .collect::<String>();
    let refused = [
        Event {
            new_state: "a\0b".to_owned(),
            ..event(2)
        },
        Event {
            device_id: too_long,
            ..event(2)
        },
        Event {
            occurred_at: Some(Timestamp::MIN),
            ..event(2)
        },
    ];
    for (refused, more) in refused
        .iter()
        .flat_map(|refused| FEW_AND_MANY.map(|more| (refused, more)))
    {
        let given: Vec<Event> = std::iter::once(event(1))
            .chain(events(3..=2 + more))
            .chain([refused.clone()])
            .collect();
        let failed = sink.deliver(batch(&given)).await.unwrap_err();
        assert_eq!(failed.confirmed, 0);
        assert!(
            matches!(failed.trouble, Trouble::Refused { index: None, .. }),
            "{:?}",
            failed.trouble
        );
        assert_eq!(health.report().last_error, None, "the server is well");
        assert_eq!(database.count("status_event").await, 0);
    }
    sink.deliver(batch(&[event(1)])).await.unwrap();
    assert_eq!(database.count("status_event").await, 1);
}

#[tokio::test]
async fn an_event_that_is_there_already_changes_nothing_of_how_others_are_stored() {
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let (mut sink, _) = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let full = Event {
            occurred_at: Some("1969-07-20T20:17:40.000001Z".parse().unwrap()),
            ..event(1)
        };
        let bare = Event {
            serial: None,
            old_state: None,
            place: Default::default(),
            changed: false,
            ..event(2)
        };
        let named = |event: &Event, name: &str| Event {
            event_id: name.to_owned(),
            ..event.clone()
        };
        let steps = [
            (vec![full.clone(), bare.clone()], 2),
            (vec![full.clone(), named(&full, "a"), named(&bare, "b")], 4),
            (vec![named(&full, "c"), named(&bare, "d")], 6),
            (
                vec![named(&full, "e"), named(&bare, "f"), named(&full, "e")],
                8,
            ),
        ];
        for (step, (mut events, rows)) in (1..).zip(steps) {
            events.extend((0..more).map(|number| named(&full, &format!("{step}-{number}"))));
            sink.deliver(batch(&events)).await.unwrap();
            assert_eq!(
                database.count("status_event").await,
                rows + step * more as usize
            );
        }
        let columns = Event::FIELDS.map(|column| {
            if column == "payload" {
                "payload::text"
            } else {
                column
            }
        });
        let alike = format!(
            "(SELECT DISTINCT {} FROM status_event) AS alike",
            columns[1..].join(", ")
        );
        assert_eq!(database.count(&alike).await, 2);
    }
}

#[tokio::test]
async fn an_event_that_another_session_stores_at_this_moment_is_passed_over() {
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let (mut sink, _) = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.deliver(batch(&[event(1)])).await.unwrap();
        let mut other = PgConnection::connect(&database.url()).await.unwrap();
        let copies = "BEGIN; CREATE TEMPORARY TABLE two AS SELECT * FROM status_event; \
                      UPDATE two SET event_id = left(event_id, -1) || '2'; INSERT INTO status_event SELECT * FROM two";
        sqlx::raw_sql(copies).execute(&mut other).await.unwrap();
        let delivery =
            tokio::spawn(async move { sink.deliver(batch(&events(2..=5 + more))).await });
        let waiting = "SELECT count(*)::text FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while database.text(waiting).await == "0" {}
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        assert_eq!(delivery.await.unwrap(), Ok(()));
        assert_eq!(database.count("status_event").await, 5 + more as usize);
    }
}

#[tokio::test]
async fn a_view_in_place_of_the_table_takes_events() {
    let database = Database::postgres().await;
    let (mut sink, _) = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let view =
        "ALTER TABLE status_event RENAME TO event; CREATE VIEW status_event AS SELECT * FROM event";
    database.execute(view).await;
    sink.deliver(batch(&events(1..=2))).await.unwrap();
    sink.deliver(batch(&events(2..=700))).await.unwrap();
    assert_eq!(database.count("event").await, 700);
}

#[tokio::test]
async fn what_a_trigger_says_holds_nothing_up() {
    let database = Database::postgres().await;
    let (mut sink, _) = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let says = "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE WARNING '%', new.payload; RETURN new; END $$; \
                CREATE TRIGGER say BEFORE INSERT ON status_event FOR EACH ROW EXECUTE FUNCTION say()";
    database.execute(says).await;
    // More than the buffers of a connection hold, in both directions.
    let long = format!("\"{}\"", "x".repeat(40_000));
    let events: Vec<Event> = (1..=1000)
        .map(|position| Event {
            payload: raw(&long),
            ..event(position)
        })
        .collect();
    sink.deliver(batch(&events)).await.unwrap();
    assert_eq!(database.count("status_event").await, 1000);
}

/// Passes everything on, until it sees COMMIT while `cut` is set: that goes to the server, whose
/// answer is lost with the connection.
async fn proxy(server: u16, cut: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let cut = cut.clone();
            tokio::spawn(async move {
                let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
                loop {
                    tokio::select! {
                        read = client.read(&mut asked) => {
                            let Ok(bytes @ 1..) = read else { return };
                            server.write_all(&asked[..bytes]).await.unwrap();
                            let commit = asked[..bytes].windows(6).any(|window| window == b"COMMIT");
                            if commit && cut.swap(false, Ordering::SeqCst) {
                                // Once it answers, it is done.
                                assert_ne!(server.read(&mut answered).await.unwrap(), 0);
                                return;
                            }
                        }
                        read = server.read(&mut answered) => {
                            let Ok(bytes @ 1..) = read else { return };
                            client.write_all(&answered[..bytes]).await.unwrap();
                        }
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_in_the_cursor() {
    let database = Database::postgres().await;
    let Database::Postgres { name, server } = &database else {
        panic!()
    };
    let cut = Arc::new(AtomicBool::new(false));
    let port = proxy(server.port(), cut.clone()).await;
    let (mut sink, _) = start(settings(Postgres::url_at(port, name)));
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    cut.store(true, Ordering::SeqCst);
    let failed = sink.deliver(batch(&events(1..=10))).await.unwrap_err();
    assert_eq!(failed.confirmed, 0);
    assert!(
        matches!(failed.trouble, Trouble::Retry { .. }),
        "{:?}",
        failed.trouble
    );
    assert!(!cut.load(Ordering::SeqCst), "the COMMIT was cut");

    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(10))));
    sink.deliver(batch(&events(1..=10))).await.unwrap();
    assert_eq!(database.count("status_event").await, 10);
}

#[tokio::test]
async fn trouble_with_the_server_is_retried_and_says_what_to_do() {
    let database = Database::postgres().await;
    let cases = [
        (
            database.url().replace(PASSWORD, "wrong"),
            "check user and password",
        ),
        (
            database.url().replace("/t", "/missing"),
            "create the database",
        ),
        (Postgres::url_at(free_port(), "devices"), "refused"),
    ];
    for (url, advice) in cases {
        let error = trouble_of_opening(url).await;
        assert!(
            error.starts_with("postgres://127.0.0.1:") && error.contains(advice),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_made_again() {
    let database = Database::postgres().await;
    let (mut sink, health) = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.deliver(batch(&events(1..=2))).await.unwrap();
    database
        .texts(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    let failed = sink.deliver(batch(&events(3..=4))).await.unwrap_err();
    assert!(
        matches!(failed.trouble, Trouble::Retry { .. }),
        "{:?}",
        failed.trouble
    );
    assert!(!health.report().able);
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(2))));
    sink.deliver(batch(&events(3..=4))).await.unwrap();
    assert_eq!(database.count("status_event").await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = trouble_of_opening(Postgres::url_at(port, "devices")).await;
    assert!(error.contains("no answer within 10 s"), "{error}");
}

#[test]
fn a_url_that_is_none_is_refused_without_being_shown() {
    for url in [
        "postgres://bridge:s3cret@db:port/x",
        "mysql://bridge:s3cret@db/x",
        "s3cret",
    ] {
        let Err(error @ BuildError::Settings { .. }) =
            build(settings(url.to_owned()), Health::default())
        else {
            panic!("{url}")
        };
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
