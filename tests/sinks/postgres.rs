//! What only Postgres does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Connection, PgConnection};
use stomp_bridge::model::{EventKind, Position, StatusEvent};
use stomp_bridge::paced::Interval;
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::{BuildError, By, Settings, Trouble, build, history};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::events::{JOURNAL, batch, event, events, raw, start};
use crate::history::Database;
use crate::postgres_around::role;
use crate::servers::{PASSWORD, Postgres, fixture_path, free_port};

pub(crate) fn settings(url: String) -> Settings {
    let name = "history".to_owned();
    Settings::Postgres(history::postgres::Settings {
        name,
        url: Secret::from(url),
        schema: None,
        folder: PathBuf::new(),
        retention: None,
        intervals: None,
        event_keys: std::time::Duration::from_secs(7 * 86_400),
        zone: jiff::tz::TimeZone::UTC,
    })
}

async fn trouble_of_opening(url: String) -> String {
    trouble_of(settings(url)).await
}

/// What keeps a sink from being opened.
pub(crate) async fn trouble_of(settings: Settings) -> String {
    let mut sink = start(settings);
    let Err(Trouble::Retry { error, after: None }) = sink.open(JOURNAL).await else {
        panic!("opened")
    };
    assert!(!error.contains(PASSWORD), "{error}");
    error
}

/// A few events are stored by INSERT, many by COPY: this many more events make it a COPY.
pub(crate) const FEW_AND_MANY: [i64; 2] = [0, 600];

#[tokio::test]
async fn data_that_postgres_cannot_hold_is_refused_and_the_connection_stays() {
    let database = Database::postgres().await;
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let too_long = (0..4000)
        .map(|_| fastrand::alphanumeric())
        .collect::<String>();
    let refused = [
        StatusEvent {
            new_state: "a\0b".to_owned(),
            ..event(2)
        },
        StatusEvent {
            device_id: too_long,
            ..event(2)
        },
    ];
    for (refused, more) in refused
        .iter()
        .flat_map(|refused| FEW_AND_MANY.map(|more| (refused, more)))
    {
        let given: Vec<StatusEvent> = std::iter::once(event(1))
            .chain(events(3..=2 + more))
            .chain([refused.clone()])
            .collect();
        let failed = sink.attempt(batch(&given)).await.unwrap_err();
        assert_eq!(failed.confirmed, 0);
        assert!(
            matches!(
                failed.trouble,
                Trouble::Refused {
                    index: None,
                    // However many there are, it is the events' fault and not the sink's.
                    by: By::Us,
                    ..
                }
            ),
            "{:?}",
            failed.trouble
        );
        // PostgreSQL adds the line of its own source, which reads like one of a statement.
        let Trouble::Refused { error, .. } = failed.trouble else {
            unreachable!("it was refused");
        };
        assert!(!error.contains("at line"), "{error}");
        assert_eq!(sink.idle().await, Ok(()), "the server is well");
        assert_eq!(database.count("status_event").await, 0);
    }
    sink.attempt(batch(&[event(1)])).await.unwrap();
    assert_eq!(database.count("status_event").await, 1);
}

#[tokio::test]
async fn an_event_that_is_there_already_changes_nothing_of_how_others_are_stored() {
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let full = StatusEvent {
            occurred_at: Some("1969-07-20T20:17:40.000001Z".parse().unwrap()),
            ..event(1)
        };
        let bare = StatusEvent {
            serial: None,
            old_state: None,
            place: Default::default(),
            changed: false,
            ..event(2)
        };
        let position = std::cell::Cell::new(2);
        let named = |event: &StatusEvent, name: &str| {
            position.set(position.get() + 1);
            StatusEvent {
                event_id: name.to_owned(),
                position: Position(position.get()),
                origin: format!("{}-{}", JOURNAL.simple(), position.get()),
                ..event.clone()
            }
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
            sink.attempt(batch(&events)).await.unwrap();
            assert_eq!(
                database.count("status_event").await,
                rows + step * more as usize
            );
        }
        let columns = EventKind::Status.columns().iter();
        let columns: Vec<&str> = columns
            .filter(|column| !["event_id", "origin"].contains(column))
            .map(|column| match *column {
                "payload" => "payload::text",
                column => column,
            })
            .collect();
        let alike = format!(
            "(SELECT DISTINCT {} FROM status_event) AS alike",
            columns.join(", ")
        );
        assert_eq!(database.count(&alike).await, 2);
    }
}

#[tokio::test]
async fn a_transaction_waits_for_that_of_another_daemon_and_sees_what_it_stored() {
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&[event(1)])).await.unwrap();
        let mut other = PgConnection::connect(&database.url()).await.unwrap();
        let turn = "BEGIN; UPDATE bridge_writer SET turn = turn + 1";
        sqlx::raw_sql(turn).execute(&mut other).await.unwrap();
        let copy = "INSERT INTO event (sequence, position, received_at, journal_key, device_key, \
                    topic_key, state_key, profile_key, changed, missed_transition) \
                    SELECT 2, 2, received_at + interval '1 millisecond', journal_key, device_key, topic_key, state_key, \
                    profile_key, changed, missed_transition FROM event";
        sqlx::raw_sql(copy).execute(&mut other).await.unwrap();
        let delivery =
            tokio::spawn(async move { sink.attempt(batch(&events(2..=5 + more))).await });
        let waiting = "SELECT count(*)::text FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while database.text(waiting).await == "0" {}
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        assert_eq!(delivery.await.unwrap(), Ok(()));
        assert_eq!(database.count("status_event").await, 5 + more as usize);
    }
}

#[tokio::test]
async fn a_table_with_row_level_security_takes_events() {
    let database = Database::postgres().await;
    start(database.settings(None)).open(JOURNAL).await.unwrap();
    let (role, url) = role(&database).await;
    let secure = format!(
        "ALTER TABLE event ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON event USING (true); \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT EXECUTE ON FUNCTION bridge_make_partition, bridge_drop_before TO {role}"
    );
    database.execute(&secure).await;
    let mut sink = start(settings(url));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=2))).await.unwrap();
    sink.attempt(batch(&events(2..=700))).await.unwrap();
    assert_eq!(database.count("status_event").await, 700);
}

#[tokio::test]
async fn what_a_trigger_says_holds_nothing_up() {
    let database = Database::postgres().await;
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let says = "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE WARNING '%', new.payload; RETURN new; END $$; \
                CREATE TRIGGER say BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION say()";
    database.execute(says).await;
    // More than the buffers of a connection hold, in both directions.
    let long = format!("\"{}\"", "x".repeat(40_000));
    let events: Vec<StatusEvent> = (1..=1000)
        .map(|position| StatusEvent {
            payload: raw(&long),
            ..event(position)
        })
        .collect();
    sink.attempt(batch(&events)).await.unwrap();
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
    let mut sink = start(settings(Postgres::url_at(port, name)));
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    // Its partition is there.
    sink.attempt(batch(&events(1..=1))).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    let failed = sink.attempt(batch(&events(1..=10))).await.unwrap_err();
    assert_eq!(failed.confirmed, 0);
    assert!(
        matches!(failed.trouble, Trouble::Retry { .. }),
        "{:?}",
        failed.trouble
    );
    assert!(!cut.load(Ordering::SeqCst), "the COMMIT was cut");

    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(10))));
    sink.attempt(batch(&events(1..=10))).await.unwrap();
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
        (
            database.url().replace("disable", "require"),
            "the server offers no TLS",
        ),
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
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=2))).await.unwrap();
    database
        .texts(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    let failed = sink.attempt(batch(&events(3..=4))).await.unwrap_err();
    assert!(
        matches!(failed.trouble, Trouble::Retry { .. }),
        "{:?}",
        failed.trouble
    );
    assert!(sink.idle().await.is_err());
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(2))));
    sink.attempt(batch(&events(3..=4))).await.unwrap();
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
        let built = build(settings(url.to_owned()), &Interval::default());
        let Err(error @ BuildError::Settings { .. }) = built else {
            panic!("{url}")
        };
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

/// A server without TLS that asks for the password in clear text. Gives its port, and what each
/// client sent until it hung up.
async fn without_tls() -> (u16, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, sent) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut sent = vec![0; 4096];
            let mut bytes = 0;
            loop {
                let read = client.read(&mut sent[bytes..]).await.unwrap_or(0);
                // AuthenticationCleartextPassword
                // (https://www.postgresql.org/docs/current/protocol-message-formats.html), unless
                // TLS is asked for.
                let answer: &[u8] = match &sent[bytes..bytes + read] {
                    [] => break,
                    request if request == SSL_REQUEST => b"N",
                    [b'p', ..] => break,
                    _ => b"R\0\0\0\x08\0\0\0\x03",
                };
                client.write_all(answer).await.unwrap();
                bytes += read;
            }
            sent.truncate(bytes);
            sender.send(sent).unwrap();
        }
    });
    (port, sent)
}

/// Length 8, and the code 80877103.
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];

#[tokio::test]
async fn a_server_without_tls_gets_no_password_of_those_who_want_tls() {
    let (port, mut sent) = without_tls().await;
    // 0.0.0.0 leads to this machine, but does not say so: it stands for another one.
    for (host, mode) in [
        ("0.0.0.0", ""),
        ("0.0.0.0", "?sslmode=require"),
        ("127.0.0.1", "?sslmode=require"),
        ("127.0.0.1", "?sslmode=verify-ca"),
        ("127.0.0.1", "?sslmode=verify-full"),
        ("localhost", "?sslmode=verify-full"),
    ] {
        let url = format!("postgres://bridge:{PASSWORD}@{host}:{port}/devices{mode}");
        let error = trouble_of_opening(url).await;
        assert!(
            error.starts_with(&format!(
                "postgres://{host}:{port}/devices: the server offers no TLS"
            )) && error.contains("set sslmode=disable in `url`"),
            "{error}"
        );
        assert_eq!(sent.recv().await.unwrap(), SSL_REQUEST, "{host}{mode}");
    }
}

#[tokio::test]
async fn a_real_server_with_ssl_off_is_told_from_one_that_is_down() {
    let server = Postgres::shared().await;
    assert_eq!(
        text(&server, "SHOW ssl").await,
        "off",
        "what the test is about"
    );
    for mode in ["require", "verify-ca", "verify-full"] {
        let port = server.port();
        let url =
            format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode={mode}");
        let error = trouble_of_opening(url).await;
        assert!(
            error.contains("the server offers no TLS")
                && error.contains("set sslmode=disable in `url`"),
            "{mode}: {error}"
        );
    }
}

async fn text(server: &Postgres, sql: &'static str) -> String {
    let url = server.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let text = sqlx::query_scalar(sql).fetch_one(&mut connection);
    text.await.unwrap()
}

#[tokio::test]
async fn a_server_without_tls_gets_the_password_on_this_machine_and_where_the_url_says_so() {
    let (port, mut sent) = without_tls().await;
    for (host, mode, asks) in [
        ("127.0.0.1", "", SSL_REQUEST),
        ("0.0.0.0", "?sslmode=prefer", SSL_REQUEST),
        ("0.0.0.0", "?sslmode=allow", b""),
        ("0.0.0.0", "?sslmode=disable", b""),
    ] {
        trouble_of_opening(format!(
            "postgres://bridge:{PASSWORD}@{host}:{port}/devices{mode}"
        ))
        .await;
        let sent = sent.recv().await.unwrap();
        assert!(
            sent.starts_with(asks) && sent.len() > 50,
            "{host}{mode}: {sent:?}"
        );
    }
}

/// The URL of a database on another server than the shared one, at the host that it is known by.
fn at(server: &Postgres, host: &str, database: &str, options: &str) -> String {
    let port = server.port();
    format!("postgres://bridge:{PASSWORD}@{host}:{port}/{database}?{options}")
}

pub(crate) async fn create(server: &Postgres, database: &str) {
    let mut admin = PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}")))
        .execute(&mut admin)
        .await
        .unwrap();
}

pub(crate) async fn number(server: &Postgres, database: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(&server.url(database)).await.unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn only_a_server_with_the_right_certificate_gets_rows() {
    let server = Postgres::over_tls("elsewhere").await;
    create(&server, "devices").await;
    let ca = format!("sslrootcert={}", fixture_path("ca.pem"));
    let stranger = format!("sslrootcert={}", fixture_path("stranger.pem"));
    let key = format!("sslrootcert={}", fixture_path("server.key"));
    let right = at(
        &server,
        "localhost",
        "devices",
        &format!("sslmode=verify-full&{ca}"),
    );
    let unknown = "set sslrootcert to the certificate of the authority";
    for (host, options, expected) in [
        ("127.0.0.1", "sslmode=verify-full", unknown),
        ("127.0.0.1", "sslmode=verify-ca", unknown),
        (
            "127.0.0.1",
            &format!("sslmode=verify-full&{stranger}"),
            unknown,
        ),
        ("127.0.0.1", &format!("sslmode=require&{stranger}"), unknown),
        (
            "127.0.0.1",
            &format!("sslmode=verify-full&{key}"),
            "server.key: holds no certificate",
        ),
        (
            "127.0.0.1",
            "sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
            "sslrootcert /nowhere/ca.pem: No such file",
        ),
        (
            "127.0.0.1",
            &format!("sslmode=verify-full&{ca}"),
            "use the name that it has in the URL",
        ),
        // Another machine, by its spelling, is verified by default.
        ("0.0.0.0", &ca, "use the name that it has in the URL"),
        ("0.0.0.0", "", unknown),
    ] {
        let error = trouble_of_opening(at(&server, host, "devices", options)).await;
        assert!(error.contains(expected), "{host} {options}: {error}");
    }

    // A file is relative to the configuration's folder.
    let Settings::Postgres(beside) = settings(right) else {
        unreachable!("it is one of Postgres");
    };
    let ca = fixture_path("ca.pem");
    let mut sink = start(Settings::Postgres(history::postgres::Settings {
        url: beside.url.expose_secret().replace(&ca, "ca.pem").into(),
        folder: PathBuf::from(ca.trim_end_matches("ca.pem")),
        ..beside
    }));
    server.shows("expired");
    // It reads the file when it gets to it.
    within_a_minute(async || match sink.open(JOURNAL).await {
        Err(Trouble::Retry { error, .. }) => error.contains("renew it on the server"),
        outcome => panic!("{outcome:?}"),
    })
    .await;
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'event'";
    assert_eq!(number(&server, "devices", tables).await, 0);

    server.shows("server");
    within_a_minute(async || sink.open(JOURNAL).await.is_ok()).await;
    sink.attempt(batch(&events(1..=3))).await.unwrap();
    let rows = "SELECT count(*) FROM status_event";
    assert_eq!(number(&server, "devices", rows).await, 3);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'stomp-bridge' AND ssl";
    assert_eq!(number(&server, "devices", encrypted).await, 1);
}

pub(crate) async fn within_a_minute(mut done: impl AsyncFnMut() -> bool) {
    let waiting = async { while !done().await {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .expect("within a minute");
}

#[tokio::test]
async fn a_certificate_of_ours_is_shown_to_a_server_that_wants_one() {
    let server = Postgres::over_tls("server").await;
    create(&server, "known").await;
    let verified = format!("sslmode=verify-full&sslrootcert={}", fixture_path("ca.pem"));
    let ours = |name: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        format!(
            "sslcert={}&sslkey={}",
            fixture_path(&certificate),
            fixture_path(&key)
        )
    };
    let wanted = "pg_hba.conf: it may want TLS (sslmode) or a client certificate (sslcert, sslkey)";
    for (options, expected) in [
        ("sslmode=disable", wanted),
        (&format!("sslmode=disable&{}", ours("client")), wanted),
        (&verified, wanted),
        (
            &format!("{verified}&{}", ours("expired")),
            "it may want a client certificate (sslcert, sslkey) that it knows",
        ),
        (
            &format!(
                "{verified}&sslcert={0}&sslkey={0}",
                fixture_path("client.key")
            ),
            "client.key: holds no certificate",
        ),
    ] {
        let error = trouble_of_opening(at(&server, "127.0.0.1", "known", options)).await;
        assert!(error.contains(expected), "{options}: {error}");
    }
    // `allow` as in libpq: without TLS first, and with it where that is refused.
    for (position, mode) in (1..).zip([verified.as_str(), "sslmode=allow"]) {
        let url = at(
            &server,
            "127.0.0.1",
            "known",
            &format!("{mode}&{}", ours("client")),
        );
        let mut sink = start(settings(url));
        sink.open(JOURNAL).await.expect(mode);
        sink.attempt(batch(&[event(position)])).await.expect(mode);
    }
}
