//! A journal is backed up while messages come, its daemon goes on and stops, and another one goes on
//! elsewhere with the backup and the same histories.

use super::operator::verb;
use super::*;
use peers::Postgres;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};

/// Messages between two looks, and the devices that they are of.
const CHUNK: usize = 100;
const DEVICES: usize = 40;

/// Both histories, which outlive the first daemon.
struct Histories {
    sqlite: SqliteConnection,
    postgres: PgConnection,
}

impl Histories {
    /// The same question to both; each gives one number.
    async fn asked(&mut self, sqlite: &str, postgres: &str) -> [i64; 2] {
        let sqlite = sqlx::query_scalar(AssertSqlSafe(sqlite)).fetch_one(&mut self.sqlite);
        let postgres = sqlx::query_scalar(AssertSqlSafe(postgres)).fetch_one(&mut self.postgres);
        [sqlite.await.unwrap(), postgres.await.unwrap()]
    }

    /// Until each has every message, once.
    async fn have(&mut self, count: usize) {
        const ROWS: &str = "SELECT count(*) FROM status_event";
        wait::until("every message in both histories", async || {
            let rows = self.asked(ROWS, ROWS).await;
            rows.iter().all(|rows| *rows >= count as i64).then_some(())
        })
        .await;
        let different = self
            .asked(
                "SELECT count(DISTINCT json_extract(payload, '$.n')) FROM status_event",
                "SELECT count(DISTINCT payload ->> 'n') FROM status_event",
            )
            .await;
        let rows = self.asked(ROWS, ROWS).await;
        assert_eq!((different, rows), ([count as i64; 2], [count as i64; 2]));
    }
}

/// A part of the load: the states of each device alternate.
fn publish(served: &Served, from: usize) {
    for n in from..from + CHUNK {
        let (before, now) = match n / DEVICES % 2 {
            0 => ("故障", "正常"),
            _ => ("正常", "故障"),
        };
        let body = format!(
            r#"{{"clientId":1,"deviceId":{},"oldState":"{before}","newState":"{now}","n":{n}}}"#,
            n % DEVICES
        );
        let subscribed = served.publisher.publish(Message::json(TOPIC, body));
        assert_eq!(subscribed, 1, "nobody is subscribed");
    }
}

async fn head(daemon: &Daemon) -> i64 {
    let status: Value = daemon.status().await;
    status["journal"]["head"].as_i64().unwrap()
}

/// Messages that are on disk: each has one entry, besides those of the coverage.
async fn until_journaled(daemon: &Daemon, count: usize) {
    wait::until("the messages in the journal", async || {
        let messages = metric(daemon, "stomp_bridge_messages_total").await?;
        (messages >= count as f64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_elsewhere_and_both_histories_have_everything_once() {
    let (served, postgres) = (serve(0).await, Postgres::start().await);
    let kept = Folder::new("kept");
    let history = kept.join("history.db");
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table(
            "sinks.history",
            &format!("type = \"sqlite\"\npath = \"{}\"\n", history.display()),
        )
        .postgres(&postgres.create("kept").await);
    let mut first = Daemon::start(&configuration).await;
    first.ready().await;
    let mut histories = Histories {
        sqlite: SqliteConnectOptions::new()
            .filename(&history)
            .connect()
            .await
            .unwrap(),
        postgres: postgres.connect("kept").await,
    };

    // Messages come before, during and after the backup.
    let mut published = 0;
    while published < 20 * CHUNK {
        publish(&served, published);
        published += CHUNK;
        until_journaled(&first, published).await;
    }
    let acknowledged = head(&first).await;
    let backup = kept.join("journal.backup");
    let path = backup.to_str().unwrap();
    let said = {
        let arguments = ["journal", "backup", path];
        let backing_up = verb(&first, &arguments);
        tokio::pin!(backing_up);
        loop {
            publish(&served, published);
            published += CHUNK;
            tokio::select! {
                said = &mut backing_up => break said,
                () = until_journaled(&first, published) => {}
            }
        }
    };
    assert_eq!(said.0, Some(0), "{}", said.1);
    let copied = said.1.split("up to position ").nth(1).unwrap();
    let copied: i64 = copied.split(',').next().unwrap().parse().unwrap();
    assert!(
        copied >= acknowledged,
        "{copied} of {acknowledged}: {}",
        said.1
    );
    for _ in 0..10 {
        publish(&served, published);
        published += CHUNK;
        until_journaled(&first, published).await;
    }
    assert!(head(&first).await > copied);
    histories.have(published).await;
    assert!(first.stop().await.success());

    // The file itself is no journal for a daemon.
    let by_hand = Folder::new("by-hand");
    let config = configuration.write(&by_hand);
    std::fs::copy(&backup, by_hand.join("journal.db")).unwrap();
    let output = bridge(&["run", "--config", config.to_str().unwrap()]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{log}");
    assert!(
        log.contains("is a backup of a journal") && log.contains("journal restore"),
        "{log}"
    );

    let elsewhere = Folder::new("elsewhere");
    let config = configuration.write(&elsewhere);
    let restore = [
        "journal",
        "restore",
        path,
        "--config",
        config.to_str().unwrap(),
    ];
    let output = bridge(&restore);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains(&format!("up to position {copied}")), "{said}");
    let again = bridge(&restore);
    let refused = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && refused.contains("is there already"),
        "{refused}"
    );

    let mut second = Daemon::start_in(elsewhere, &config, &[]).await;
    second.ready().await;
    let before = published;
    for _ in 0..5 {
        publish(&served, published);
        published += CHUNK;
        until_journaled(&second, published - before).await;
    }
    histories.have(published).await;
    wait::until("no lag", async || {
        let sinks = second.status().await["sinks"].clone();
        let mut sinks = sinks.as_array().unwrap().iter();
        sinks.all(|sink| sink["pending"] == 0).then_some(())
    })
    .await;
    for (question, expected) in [
        // It is heard now, and was not while nobody ran.
        ("SELECT count(*) FROM coverage_gap WHERE until IS NULL", 0),
        ("SELECT count(*) FROM device_current", DEVICES as i64),
        (
            "SELECT count(*) FROM state_interval AS a JOIN state_interval AS b USING (device_id) \
             WHERE a.since < b.since AND (a.until IS NULL OR a.until > b.since)",
            0,
        ),
    ] {
        let answers = histories.asked(question, question).await;
        assert_eq!(answers, [expected; 2], "{question}");
    }
    let log = second.log();
    assert!(!log.contains("stale copy"), "{log}");
    assert!(second.stop().await.success());
    served.end().await;
    histories.postgres.close().await.unwrap();
}
