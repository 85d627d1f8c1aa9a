//! What is not as it should be is said by `status`, the page in both languages, the API and `doctor`,
//! for as long as it is so: a full journal, a snapshot that fails, a history and a sink that lag.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use peers::{Clock, Configuration, Daemon, Receiver, port, wait};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use stomp_bridge::demo::Message;

use super::operator::verb;
use super::page::{json, known, page};
use super::{Served, TOPIC, configuration, serve};

async fn subscribed(served: &Served) {
    wait::until("the topic is subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
}

/// Waits until `/status` begins so; gives the whole verdict.
async fn says(daemon: &Daemon, begin: &str) -> Value {
    wait::until(begin, async || {
        let verdict = daemon.status().await["verdict"].clone();
        let sentence = verdict["sentence"].as_str()?;
        sentence.starts_with(begin).then_some(verdict)
    })
    .await
}

/// What a verdict has to do first.
fn first_todo(verdict: &Value) -> [&str; 4] {
    let todo = &verdict["todo"][0];
    ["key", "subject", "what", "advice"].map(|name| todo[name].as_str().unwrap())
}

/// The page's heading and its title, in English and in Chinese.
async fn headed(daemon: &Daemon, en: [&str; 2], zh: [&str; 2]) {
    for (lang, [heading, title]) in [("en", en), ("zh", zh)] {
        let text = page(daemon, &format!("/?lang={lang}")).await;
        let heading = format!("aria-live=\"polite\">{heading}");
        let title = format!("<title>{title}");
        assert!(text.contains(&heading), "{heading}: {text}");
        assert!(text.contains(&title), "{title}: {text}");
    }
}

#[tokio::test]
async fn a_full_journal_is_said_everywhere_until_there_is_room_again() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    receiver.answer(503);
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("journal", "max_bytes = \"1MiB\"\n")
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    subscribed(&served).await;
    let pad = "x".repeat(16 << 10);
    let mut sent = 0;
    wait::until("the link pauses", async || {
        let body = format!(r#"{{"deviceId":1,"newState":"故障","pad":"{pad}"}}"#);
        sent += served.publisher.publish(Message::json(TOPIC, body));
        (daemon.status().await["link"]["state"] == "paused: journal full").then_some(())
    })
    .await;
    let verdict = says(&daemon, "The journal is full; reception is paused, and ").await;
    assert_eq!(verdict["state"], "crit", "{verdict}");
    let [key, _, what, advice] = first_todo(&verdict);
    assert_eq!(
        (key, what),
        ("journal_full", "The journal is full; reception is paused.")
    );
    assert!(
        advice.contains("the sink oncall has caught up")
            && advice.contains("raise journal.max_bytes"),
        "{advice}"
    );
    headed(
        &daemon,
        [
            "The journal is full; reception is paused, and 1 sink is retrying. Nothing that was \
             received is lost.",
            "the journal is full; reception is paused, and 1 sink is retrying",
        ],
        [
            "持久日志已满，接收已暂停，1 个输出端正在重试。已收到的数据没有丢失。",
            "持久日志已满，接收已暂停，1 个输出端正在重试",
        ],
    )
    .await;
    assert_eq!(json(&daemon, "/api/v1/state").await["state"], "crit");
    // It was heard before, and is not now.
    let now = json(&daemon, "/api/v1/now").await;
    let topic = &now["topics"][0];
    assert_eq!(
        (&topic["state"], &topic["gaps"][0][1]),
        (&"unheard".into(), &Value::Null)
    );
    let heard = topic["heard_percent"].as_f64().unwrap();
    assert!(heard > 0.0 && heard < 100.0, "{topic}");
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("The journal is full"), "{said}");
    assert!(said.contains(", FULL: "), "{said}");

    receiver.answer(204);
    wait::until("all that was sent is delivered", async || {
        (receiver.count() == sent).then_some(())
    })
    .await;
    let well = "All is well. Every status is received and delivered.";
    let verdict = says(&daemon, well).await;
    assert_eq!(verdict["todo"], serde_json::json!([]), "{verdict}");
    headed(
        &daemon,
        [well, "all is well"],
        ["一切正常。每条状态都已收到并送达。", "一切正常"],
    )
    .await;
    assert_eq!(json(&daemon, "/api/v1/state").await["state"], "ok");
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(well) && !said.contains("FULL"), "{said}");
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_topic_that_was_never_heard_is_not_said_to_be_and_doctor_has_a_cross() {
    let (platform, signin) = platform().await;
    signin.store(403, Relaxed);
    let configuration = configuration(&format!("stomp://127.0.0.1:{}", port::free()))
        .table("source.signin", &format!("url = \"{platform}\"\n"));
    let mut daemon = Daemon::start(&configuration).await;
    let verdict = says(&daemon, "Not connected to ").await;
    let sentence = verdict["sentence"].as_str().unwrap();
    assert!(sentence.contains(": the sign-in is refused."), "{sentence}");
    let now = json(&daemon, "/api/v1/now").await;
    let topic = &now["topics"][0];
    assert_eq!(topic["state"], "unheard", "{topic}");
    assert_eq!(
        (&topic["heard_since"], &topic["heard_percent"]),
        (&Value::Null, &0.0.into()),
        "{topic}"
    );
    let text = page(&daemon, "/").await;
    assert!(
        text.contains("<td class=\"num\" data-l=\"Heard\">0.0 %</td>"),
        "{text}"
    );
    // A sign-in of its own could lock the account.
    let (code, said) = verb(&daemon, &["doctor", "--json"]).await;
    assert_eq!(code, Some(1), "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let source = checks
        .iter()
        .find(|check| check["part"] == "source")
        .unwrap();
    assert_eq!(
        (&source["step"], &source["outcome"]),
        (&"connection".into(), &"failed".into())
    );
    let found = source["found"].as_str().unwrap();
    assert!(
        found.contains("the daemon has none: sign-in refused") && found.contains("answered 403"),
        "{found}"
    );
    assert!(
        source["advice"].to_string().contains("--own-connection"),
        "{source}"
    );
    assert!(daemon.stop().await.success());
}

/// A platform's REST interface with one device; gives its URL and what it answers.
async fn platform() -> (String, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answers = Arc::clone(&status);
    let devices = any(async move || {
        let status = StatusCode::from_u16(answers.load(Relaxed)).unwrap();
        let body = match status {
            StatusCode::OK => r#"[{"clientId":1,"deviceId":7,"newState":"正常"}]"#,
            _ => "the database is away",
        };
        (status, body)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/devices", listener.local_addr().unwrap());
    let router = Router::new().route("/devices", devices);
    tokio::spawn(async { axum::serve(listener, router).await });
    (url, status)
}

#[tokio::test]
async fn a_snapshot_that_fails_is_said_with_its_advice_until_one_is_good() {
    let served = serve(0).await;
    let (devices, platform) = platform().await;
    platform.store(500, Relaxed);
    let configuration =
        configuration(&served.url).table("topics.map-1.resync", &format!("url = \"{devices}\"\n"));
    let mut daemon = Daemon::start(&configuration).await;
    let verdict = says(&daemon, "The snapshot of 1 topic fails").await;
    assert_eq!(verdict["state"], "warn", "{verdict}");
    let [key, subject, what, advice] = first_todo(&verdict);
    assert_eq!((key, subject), ("snapshots_failing", "map-1"));
    let answered = format!(
        "\"{devices} answered 500 (the database is away)\". None was taken since the start."
    );
    assert_eq!(what, answered);
    assert!(
        advice.starts_with("The server or a proxy before it is in trouble: see its log."),
        "{advice}"
    );
    headed(
        &daemon,
        [
            "The snapshot of 1 topic fails. Nothing that was received is lost.",
            "the snapshot of 1 topic fails",
        ],
        [
            "1 个主题的快照失败。已收到的数据没有丢失。",
            "1 个主题的快照失败",
        ],
    )
    .await;
    let chinese = page(&daemon, "/?lang=zh").await;
    let answered =
        format!("“{devices} 回答 500（the database is away）”。启动以来没有成功的快照。");
    assert!(chinese.contains(&answered), "{answered}: {chinese}");

    // All that comes is received and delivered: it is ready.
    daemon.ready().await;
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    let lines = [
        "The snapshot of 1 topic fails.",
        "topic map-1: not resynced yet; failed ",
        "answered 500",
    ];
    for line in lines {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (code, said) = verb(&daemon, &["doctor", "--wait", "0", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let check = &report["checks"][0];
    assert_eq!(
        (&check["part"], &check["outcome"]),
        (&"daemon".into(), &"warning".into())
    );
    let advice = check["advice"].to_string();
    assert!(
        advice.contains("map-1: ")
            && advice.contains("answered 500")
            && advice.contains("see its log"),
        "{report}"
    );

    platform.store(200, Relaxed);
    wait::until("a good snapshot ends it", async || {
        let verdict = daemon.status().await["verdict"].clone();
        let todo = verdict["todo"].as_array()?;
        let fails = todo.iter().any(|todo| todo["key"] == "snapshots_failing");
        (!fails).then_some(())
    })
    .await;
    let (_, said) = verb(&daemon, &["status"]).await;
    let line = "topic map-1: resynced ";
    assert!(
        said.contains(line) && !said.contains("snapshot of"),
        "{said}"
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_sink_with_a_warning_is_not_well_though_it_delivers() {
    let served = serve(0).await;
    let denies = any(async || r#"{"errcode":310000,"errmsg":"no keyword"}"#);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(denies)).await });
    let mut daemon = Daemon::start(&configuration(&served.url).webhook(&url)).await;
    daemon.ready().await;
    served.publish(7);
    let verdict = says(&daemon, "The sink oncall has a warning.").await;
    assert_eq!(verdict["state"], "warn", "{verdict}");
    let [key, subject, what, advice] = first_todo(&verdict);
    assert_eq!((key, subject), ("sinks_warned", "oncall"));
    let denied = "with \"errcode\": 310000 inside, and such events count as delivered\".";
    assert!(what.ends_with(denied), "{what}");
    assert!(advice.ends_with("The sink goes on delivering."), "{advice}");
    headed(
        &daemon,
        [
            "The sink oncall has a warning.",
            "the sink oncall has a warning",
        ],
        ["输出端 oncall 有警告。", "输出端 oncall 有警告"],
    )
    .await;
    // All that comes is received and delivered: it is ready.
    daemon.ready().await;
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("The sink oncall has a warning."), "{said}");
    assert!(!said.contains("All is well"), "{said}");
    assert!(daemon.stop().await.success());
    served.end().await;
}

/// How far the daemon's clock goes ahead while entries wait.
const FIVE_HOURS: i64 = 5 * 3600;

async fn with_clock(clock: &Clock, configuration: &Configuration) -> Daemon {
    let environment = clock.environment();
    let environment = environment.each_ref();
    let environment = environment.map(|(name, value)| (*name, value.as_path()));
    Daemon::start_with(configuration, &environment).await
}

#[tokio::test]
async fn a_history_that_lags_says_what_its_pages_do_not_have() {
    let (served, clock) = (serve(0).await, Clock::right());
    let mut daemon = with_clock(&clock, &configuration(&served.url)).await;
    daemon.ready().await;
    served.publish(7);
    let devices = async |daemon: &Daemon| {
        let found = json(daemon, "/api/v1/devices?state=all").await;
        let devices = found["devices"].as_array().unwrap().len();
        (found, devices)
    };
    wait::until("the history has the first device", async || {
        let (found, devices) = devices(&daemon).await;
        (found["history"] == "history" && devices == 1).then_some(())
    })
    .await;
    let history = daemon.folder().join("history.db");
    let options = SqliteConnectOptions::new().filename(history);
    let mut other = options.connect().await.unwrap();
    let does = async |connection: &mut SqliteConnection, text: &'static str| {
        sqlx::raw_sql(text).execute(connection).await.unwrap();
    };
    does(&mut other, "BEGIN IMMEDIATE").await;
    served.publish(8);
    known(&daemon, 2).await;
    clock.set(FIVE_HOURS);
    // On a slow machine it lags by a minute before the clock is ahead.
    wait::until("the history lags by hours", async || {
        let text = page(&daemon, "/devices?lang=en").await;
        text.contains(", the oldest for 5 h ").then_some(())
    })
    .await;

    let (found, count) = devices(&daemon).await;
    assert_eq!(count, 1, "{found}");
    assert_eq!(found["behind"]["name"], "history", "{found}");
    for (lang, words) in [
        (
            "en",
            [
                "The history is behind: ",
                ", the oldest for 5 h ",
                "Newer statuses are not on this page yet.",
            ],
        ),
        (
            "zh",
            [
                "历史库落后：",
                " 条在等待，最早的已等 5 小时 ",
                "本页尚不含更新的状态。",
            ],
        ),
    ] {
        for path in ["/devices", "/devices/map-1/1/7"] {
            let text = page(&daemon, &format!("{path}?lang={lang}")).await;
            for words in words {
                assert!(text.contains(words), "{path} {words}: {text}");
            }
        }
    }
    let verdict = says(&daemon, "1 sink is retrying").await;
    let [_, subject, what, _] = first_todo(&verdict);
    assert!(
        subject == "history" && what.contains("database is locked"),
        "{verdict}"
    );

    does(&mut other, "COMMIT").await;
    wait::until("the history has the second device", async || {
        (devices(&daemon).await.1 == 2).then_some(())
    })
    .await;
    wait::until("nothing waits", async || {
        let text = page(&daemon, "/devices").await;
        (!text.contains("The history is behind")).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_sink_that_is_up_and_lags_is_said_and_the_daemon_is_ready() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let clock = Clock::right();
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .webhook_with(&receiver.url(), "timeout = \"1h\"\n");
    let mut daemon = with_clock(&clock, &configuration).await;
    subscribed(&served).await;
    // It answers for one device, and never for the other.
    receiver.silent_for(Some("8"));
    served.publish(7);
    served.publish(8);
    wait::until("the other device's event is delivered", async || {
        (receiver.count() == 1).then_some(())
    })
    .await;
    clock.set(FIVE_HOURS);
    let verdict = says(&daemon, "The sink oncall is 5 h ").await;
    assert_eq!(verdict["state"], "warn", "{verdict}");
    let [key, subject, what, advice] = first_todo(&verdict);
    assert_eq!((key, subject), ("sinks_behind", "oncall"));
    assert!(what.contains(", the oldest for 5 h "), "{what}");
    assert!(advice.contains("one device holds it"), "{advice}");
    daemon.ready().await;
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("The sink oncall is 5 h "), "{said}");
    let chinese = page(&daemon, "/?lang=zh").await;
    assert!(
        chinese.contains("aria-live=\"polite\">输出端 oncall 落后 5 小时"),
        "{chinese}"
    );

    daemon.kill();
    receiver.silent_for(None);
    daemon.restart().await;
    says(&daemon, "Subscribed to 1 topic; nothing has come").await;
    let bodies = receiver.bodies();
    let last: Value = serde_json::from_slice(bodies.last().unwrap()).unwrap();
    assert_eq!(last["device_id"], "8", "{last}");
    assert!(daemon.stop().await.success());
    served.end().await;
}
