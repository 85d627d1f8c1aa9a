//! Dead letters and undecodable entries: listed, shown, redriven and dropped, while the daemon runs
//! and while it does not.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bridge::{Source, asked, cli, done, observed, passed, positions, stop, text};
use peers::{Daemon, Receiver, wait};

fn listed(listed: &Value) -> Vec<i64> {
    listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["position"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn redriven_events_arrive_with_their_ids_and_dropped_ones_never() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let mut daemon = Daemon::start(&source.configuration().sqlite().webhook(&receiver.url())).await;
    daemon.ready().await;
    receiver.answer(422);
    source.messages(0..4);
    passed(&daemon, "oncall", 4, 4).await;
    let at = positions(&daemon).await;
    assert_eq!(
        listed(&asked(&daemon, &["dlq", "list", "oncall"]).await),
        at
    );
    let [first, second, third, _] = &at.iter().map(i64::to_string).collect::<Vec<_>>()[..] else {
        panic!("{at:?}")
    };
    assert_eq!(
        listed(&asked(&daemon, &["dlq", "list", "history"]).await),
        [0; 0]
    );
    // A page of it, and how many there are.
    let page = &["dlq", "list", "oncall", "--limit", "2", "--offset", "1"];
    let part = asked(&daemon, page).await;
    assert_eq!(listed(&part), at[1..3]);
    assert_eq!(part["dead_letters"]["entries"], 4, "{part}");
    assert!(
        part["dead_letters"]["bytes"].as_u64().unwrap() > 1024,
        "{part}"
    );
    let said = done(&daemon, page).await;
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("2 to 3 of 4: 4 dead letters, ")
            && last.ends_with("; the next: --offset 3"),
        "{said}"
    );
    for asked in [
        &["dlq", "list", "oncal"][..],
        &["dlq", "show", "oncal", second],
    ] {
        let mistyped = text(&cli(&daemon, asked).await.stderr);
        assert!(
            mistyped.contains("no sink oncal: it knows history, oncall"),
            "{mistyped}"
        );
    }
    let shown = asked(&daemon, &["dlq", "show", "oncall", second]).await;
    assert!(
        shown[0]["error"].as_str().unwrap().contains("answered 422"),
        "{shown}"
    );
    assert!(
        shown[0]["body"]
            .as_str()
            .unwrap()
            .contains("\"eventId\":\"run-1\""),
        "{shown}"
    );
    assert!(
        done(&daemon, &["dlq", "list"])
            .await
            .contains(&format!("oncall  {first}"))
    );

    // Refused again: it stays.
    let refused_at = async || {
        let listed = asked(&daemon, &["dlq", "list", "oncall"]).await;
        listed["entries"][0]["at"].as_str().unwrap().to_owned()
    };
    let before = refused_at().await;
    done(&daemon, &["dlq", "redrive", "oncall", first]).await;
    let refused = async || (refused_at().await != before).then_some(());
    wait::until("the redriven event is refused once more", refused).await;
    done(&daemon, &["dlq", "drop", "oncall", third]).await;
    passed(&daemon, "oncall", 4, 3).await;
    receiver.answer(204);
    done(&daemon, &["dlq", "redrive", "oncall", first, second]).await;
    passed(&daemon, "oncall", 4, 1).await;
    // One that is not listed is said to be none.
    assert!(
        !cli(&daemon, &["dlq", "redrive", "oncall", third])
            .await
            .status
            .success()
    );
    assert!(
        !cli(&daemon, &["dlq", "redrive", "nobody", "3"])
            .await
            .status
            .success()
    );
    stop(&mut daemon).await;

    // The daemon is stopped: the order waits in the journal.
    let ordered = cli(&daemon, &["dlq", "redrive", "oncall", "--all"]).await;
    assert!(
        ordered.status.success() && text(&ordered.stderr).contains("after the next start"),
        "{ordered:?}"
    );
    daemon.restart().await;
    daemon.ready().await;
    let account = passed(&daemon, "oncall", 4, 0).await;
    assert_eq!(
        (&account["redriven"], &account["discarded"]),
        (&3.into(), &1.into())
    );
    // In the order of their arrival at the journal: different devices' go side by side.
    let mut delivered = receiver.delivered();
    delivered.sort_by_key(|event| event.position);
    assert_eq!(
        delivered.iter().map(|event| event.n).collect::<Vec<_>>(),
        [0, 1, 3]
    );
    assert_eq!(
        delivered
            .iter()
            .map(|event| event.position)
            .collect::<Vec<_>>(),
        [at[0], at[1], at[3]]
    );
    assert!(
        delivered
            .iter()
            .all(|event| event.event_id.ends_with(&format!("-{}", event.position)))
    );
    stop(&mut daemon).await;
}

#[tokio::test]
async fn undecodable_messages_reach_every_sink_once_their_encoding_is_named() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let mut daemon = Daemon::start(&source.configuration().sqlite().webhook(&receiver.url())).await;
    daemon.ready().await;
    let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let status = |n: usize| peers::platform::message("run", n, 3);
    source.publish(gbk(&status(0)));
    source.publish(gbk(&format!("[{},{}]", status(1), status(2))));
    source.publish(status(3));
    passed(&daemon, "oncall", 3, 0).await;
    let listed = asked(&daemon, &["dlq", "list", "--undecodable"]).await;
    let reason = listed["entries"][0]["error"].as_str().unwrap_or_default();
    let advice = "set the topic's encoding = \"gb18030\"";
    assert!(reason.contains(advice), "{listed}");
    stop(&mut daemon).await;

    let corrected = source
        .configuration_with("encoding = \"gb18030\"\n")
        .sqlite()
        .webhook(&receiver.url());
    corrected.write(daemon.folder());
    daemon.restart().await;
    daemon.ready().await;
    done(&daemon, &["dlq", "redrive", "--undecodable", "--all"]).await;
    wait::until("all statuses have arrived", async || {
        (receiver.count() == 4).then_some(())
    })
    .await;
    let mut delivered: Vec<usize> = receiver.delivered().iter().map(|event| event.n).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, [0, 1, 2, 3]);
    let history = SqliteConnectOptions::new().filename(daemon.folder().join("history.db"));
    let states: Vec<String> = wait::until("all rows are there", async || {
        let mut history = history.clone().connect().await.ok()?;
        let states = "SELECT state FROM status_event";
        let states = sqlx::query_scalar(states).fetch_all(&mut history).await;
        states.ok().filter(|states: &Vec<String>| states.len() == 4)
    })
    .await;
    assert!(
        states
            .iter()
            .all(|state| ["normal", "fault", "offline"].contains(&&**state)),
        "{states:?}"
    );
}

/// More than go in one request.
const MANY: usize = 300;

#[tokio::test]
async fn many_undecodable_entries_go_in_few_requests_and_the_journal_is_opened_once() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let configuration = |keys: &str| {
        let configuration = source.configuration_with(keys).sqlite();
        configuration.webhook(&receiver.url())
    };
    let mut daemon = Daemon::start(&configuration("")).await;
    daemon.ready().await;
    let status = |n: usize| peers::platform::message("run", n, 3);
    let undecodable = async |daemon: &Daemon, count: usize| {
        wait::until(&format!("{count} are undecodable"), async || {
            let listed = asked(daemon, &["dlq", "list", "--undecodable", "--limit", "1"]).await;
            (listed["undecodable"]["entries"] == count).then_some(())
        })
        .await;
    };
    let arrived = async |count: usize| {
        wait::until(&format!("{count} statuses have arrived"), async || {
            (receiver.count() == count).then_some(())
        })
        .await;
    };
    let redrive = &["dlq", "redrive", "--undecodable", "--all"];
    for n in 0..MANY {
        let (one, two) = (status(2 * n), status(2 * n + 1));
        source.publish(format!(r#"{{"data":{{"list":[{one},{two}]}}}}"#));
    }
    undecodable(&daemon, MANY).await;
    stop(&mut daemon).await;
    configuration("items = \"/data/list\"\n").write(daemon.folder());
    daemon.restart().await;
    daemon.ready().await;
    let said = done(&daemon, redrive).await;
    assert!(
        said.starts_with(&format!("{MANY} entries queued")),
        "{said}"
    );
    arrived(2 * MANY).await;
    undecodable(&daemon, 0).await;
    let log = daemon.log();
    assert_eq!(log.matches("redrive_undecodable").count(), 2, "{log}");

    for n in 0..MANY {
        source.publish(status(2 * MANY + n));
    }
    undecodable(&daemon, MANY).await;
    stop(&mut daemon).await;
    configuration("").write(daemon.folder());
    let alone = cli(&daemon, redrive).await;
    let (said, told) = (text(&alone.stdout), text(&alone.stderr));
    assert!(
        said.starts_with(&format!("{MANY} entries queued")),
        "{said}"
    );
    let openings = told.matches("no stomp-bridge runs on this journal").count();
    assert_eq!(openings, 1, "{told}");
    daemon.restart().await;
    daemon.ready().await;
    arrived(3 * MANY).await;
    undecodable(&daemon, 0).await;
    let mut delivered: Vec<usize> = receiver.delivered().iter().map(|event| event.n).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, (0..3 * MANY).collect::<Vec<_>>());
    stop(&mut daemon).await;
}

#[tokio::test]
async fn undecodable_messages_reach_every_sink_once_the_mapping_is_right() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let mut daemon = Daemon::start(&source.configuration().sqlite().webhook(&receiver.url())).await;
    daemon.ready().await;
    let status = |n: usize| peers::platform::message("run", n, 3);
    source.publish(status(0));
    source.publish(format!(
        r#"{{"code":0,"data":{{"list":[{},{}]}}}}"#,
        status(1),
        status(2)
    ));
    // Newer than what waits above.
    source.publish(status(4));
    source.publish("not JSON at all");
    passed(&daemon, "oncall", 4, 0).await;
    let at = positions(&daemon).await;
    let (wrapped, broken) = (at[1].to_string(), at[3].to_string());
    assert_eq!(
        listed(&asked(&daemon, &["dlq", "list", "--undecodable"]).await),
        [at[1], at[3]]
    );
    let of_sink = cli(&daemon, &["dlq", "list", "oncall"]).await;
    assert_eq!(text(&of_sink.stdout), "no dead letters of oncall\n");
    let all = asked(&daemon, &["dlq", "list", "--limit", "1", "--offset", "1"]).await;
    assert_eq!(
        (listed(&all), &all["undecodable"]["entries"]),
        (vec![at[3]], &2.into())
    );
    let said = done(&daemon, &["dlq", "list"]).await;
    assert!(
        said.contains("\n\n0 dead letters, 0 B; 2 undecodable, "),
        "{said}"
    );
    assert!(
        text(&of_sink.stderr).contains("2 undecodable entries belong to no sink: see"),
        "{}",
        text(&of_sink.stderr)
    );
    let refused = cli(&daemon, &["dlq", "redrive", "--undecodable", "--all"]).await;
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).contains(&format!("entry {wrapped} cannot be decoded")),
        "{}",
        text(&refused.stderr)
    );
    assert_eq!(
        listed(&asked(&daemon, &["dlq", "list"]).await),
        [at[1], at[3]],
        "they stay"
    );
    stop(&mut daemon).await;

    let corrected = source
        .configuration_with("items = \"/data/list\"\n")
        .sqlite()
        .webhook(&receiver.url());
    corrected.write(daemon.folder());
    daemon.restart().await;
    daemon.ready().await;
    done(&daemon, &["dlq", "redrive", "--undecodable", &wrapped]).await;
    done(&daemon, &["dlq", "drop", "--undecodable", &broken]).await;
    wait::until("both statuses have arrived", async || {
        (receiver.count() == 4).then_some(())
    })
    .await;
    wait::until("nothing is left", async || {
        listed(&asked(&daemon, &["dlq", "list"]).await)
            .is_empty()
            .then_some(())
    })
    .await;
    let mut delivered: Vec<usize> = receiver.delivered().iter().map(|event| event.n).collect();
    delivered[..2].sort_unstable();
    delivered[2..].sort_unstable();
    assert_eq!(
        delivered,
        [0, 4, 1, 2],
        "of different devices, first those that came as they should"
    );
    let account = passed(&daemon, "history", 6, 0).await;
    assert_eq!(
        (&account["delivered"], &account["undecodable"]),
        (&(2 + observed(&daemon).await).into(), &4.into())
    );
    stop(&mut daemon).await;
    // Late as they are, they are no device's newest status.
    let mut history = SqliteConnectOptions::new()
        .filename(daemon.folder().join("history.db"))
        .connect()
        .await
        .unwrap();
    let newest =
        "SELECT device_id, json_extract(payload, '$.n') FROM device_current ORDER BY device_id";
    let newest: Vec<(String, i64)> = sqlx::query_as(newest)
        .fetch_all(&mut history)
        .await
        .unwrap();
    assert_eq!(
        newest,
        [
            ("1".to_owned(), 0),
            ("2".to_owned(), 4),
            ("3".to_owned(), 2)
        ]
    );
}

#[tokio::test]
async fn only_who_can_read_the_token_may_change_anything() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    let file = daemon.folder().join("journal.db-control");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let access: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let (http, token) = (
        access["http"].as_str().unwrap(),
        access["token"].as_str().unwrap(),
    );
    let drop_all = r#"{"command":"drop_undecodable","which":"all"}"#;
    for (header, body, expected) in [
        (String::new(), drop_all, 403),
        ("Authorization: Bearer 0\r\n".to_owned(), drop_all, 403),
        (
            format!("Authorization: Bearer {}\r\n", &token[1..]),
            drop_all,
            403,
        ),
        (format!("Authorization: Bearer {token}\r\n"), "{}", 400),
        (format!("Authorization: Bearer {token}\r\n"), drop_all, 200),
    ] {
        assert_eq!(post(http, &header, body).await, expected, "{header}{body}");
    }
    stop(&mut daemon).await;
    assert!(!file.exists(), "nothing is granted after the stop");
}

async fn post(http: &str, header: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(http).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /control HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
