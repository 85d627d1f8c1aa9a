//! The platform's REST interface after a gap: Spring's simple broker keeps nothing, and its pages
//! ask for the state of every device when they are opened. Both histories have the same of it.

use std::time::Duration;

use crate::accounting::bridge::{asked, cli, text};
use peers::spring::Endpoint;
use peers::{Configuration, Daemon, PASSWORD, Postgres, Spring, wait};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

/// `device state via changed` of each status, in the order of storing.
const STATUSES: &str = "SELECT device_id || ' ' || state || ' ' || via || \
    CASE WHEN changed THEN ' changed' ELSE '' END || \
    CASE WHEN missed_transition THEN ' missed' ELSE '' END FROM status_event ORDER BY sequence";

/// `device state cause` of each piece that is uncertain or lasts.
const PIECES: &str = "SELECT device_id || ' ' || state || ' ' || \
    CASE WHEN certain THEN 'certain' ELSE coalesce(cause, 'uncertain') END \
    FROM state_interval WHERE NOT certain OR until IS NULL ORDER BY device_id, since";

struct Histories {
    daemon: Daemon,
    postgres: PgConnection,
}

impl Histories {
    /// What both say, once they say this.
    async fn say(&mut self, query: &'static str, expected: &[&str]) {
        let mut told = Vec::new();
        let waited = wait::within(Duration::from_secs(60), async || {
            told = [self.sqlite(query).await, self.postgres(query).await].to_vec();
            told.iter().all(|told| told == expected).then_some(())
        });
        let waited = waited.await;
        assert!(
            waited.is_some(),
            "{told:#?}, not {expected:#?}\n{}",
            self.daemon.log()
        );
    }

    async fn sqlite(&self, query: &'static str) -> Vec<String> {
        let options = SqliteConnectOptions::new()
            .filename(self.daemon.folder().join("history.db"))
            .read_only(true);
        let Ok(mut connection) = options.connect().await else {
            return Vec::new();
        };
        let rows = sqlx::query_scalar(query).fetch_all(&mut connection).await;
        rows.unwrap_or_default()
    }

    async fn postgres(&mut self, query: &'static str) -> Vec<String> {
        let rows = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_all(&mut self.postgres)
            .await;
        rows.unwrap_or_default()
    }
}

fn live(device: u32, from: &str, to: &str) -> String {
    let (client, sn) = (1, "s");
    format!(
        r#"{{"clientId":{client},"deviceId":{device},"sn":"{sn}","oldState":"{from}","newState":"{to}"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_gap_the_platforms_snapshot_says_what_became_of_the_devices() {
    let Some(spring) = Spring::start(&["lab.auth=token", "lab.heartbeat=1000"]).await else {
        return;
    };
    let postgres = Postgres::start().await;
    let url = postgres.create("resync").await;
    let bearer = "{ Authorization = \"Bearer {{ signin.token }}\" }";
    let signin = format!(
        "url = \"{}\"\njson = {{ username = \"page\", password = \"{PASSWORD}\" }}\n\
         extract = {{ token = \"/data/token\" }}\n",
        spring.sign_in_url()
    );
    let resync = format!(
        "url = \"{}\"\nheaders = {bearer}\nitems = \"/data/list\"\nexpect = {{ \"/code\" = 0 }}\n\
         fields = {{ client = \"/owner\", device = \"/id\", new_state = \"/state\" }}\nevery = \"10s\"\n",
        spring.devices_url()
    );
    let configuration = Configuration::new(&spring.url(Endpoint::SockJs))
        .source(&format!("headers = {bearer}"))
        .table("source.signin", &signin)
        .table("topics.map-1", "destination = \"/topic/state/1\"\n")
        .table("topics.map-1.resync", &resync)
        .sqlite()
        .postgres(&url);
    spring
        .devices_are(&[(1, "正常"), (2, "正常"), (3, "正常")])
        .await;
    let mut histories = Histories {
        daemon: Daemon::start(&configuration).await,
        postgres: postgres.connect("resync").await,
    };
    histories.daemon.ready().await;
    let first = ["1 normal resync", "2 normal resync", "3 normal resync"];
    histories.say(STATUSES, &first).await;
    let status = histories.daemon.status().await;
    let resync = &status["link"]["topics"]["map-1"]["resync"];
    assert_eq!(resync["devices"], 3, "{status}");

    spring
        .publish("/topic/state/1", [live(1, "正常", "故障")])
        .await;
    // It may be lost with its connection.
    let heard = [&first[..], &["1 fault live changed"]].concat();
    histories.say(STATUSES, &heard).await;
    // Nobody publishes that: the snapshot has it, and lacks the third.
    spring.devices_are(&[(1, "故障"), (2, "离线")]).await;
    spring.close_all(4321, "because").await;
    let second = [
        "1 fault live changed",
        "1 fault resync",
        "2 offline resync changed",
    ];
    histories
        .say(STATUSES, &[&first[..], &second[..]].concat())
        .await;
    let pieces = [
        "1 fault connection_lost",
        "1 fault certain",
        "2 normal connection_lost",
        "2 offline certain",
        "3 normal connection_lost",
    ];
    histories.say(PIECES, &pieces).await;

    // A snapshot is read by its own mapping, and a device is known by it alone.
    let way = asked(&histories.daemon, &["why", "1/2"]).await;
    let event = &way["event"];
    assert_eq!(
        (&event["state"], &event["via"]),
        (&json!("offline"), &json!("resync")),
        "{way}"
    );
    assert_eq!(event["changed"], true, "{way}");
    let said = cli(&histories.daemon, &["history", "forget", "--device", "1/3"]).await;
    let said = text(&said.stdout);
    assert!(said.contains("what stays: 1 of its statuses"), "{said}");

    // Between gaps, with a token that has ended meanwhile: only what differs.
    spring.expire_tokens().await;
    spring.devices_are(&[(1, "正常"), (2, "离线")]).await;
    let third = ["1 normal resync changed"];
    let all = [&first[..], &second[..], &third[..]].concat();
    histories.say(STATUSES, &all).await;
    assert!(histories.daemon.log().contains("signing in again"));
    assert!(!histories.daemon.log().contains(PASSWORD));
    assert_eq!(histories.daemon.stop().await.code(), Some(0));
}
