//! The status page over HTTP: headers, languages, streams, many topics, many devices, dead letters and
//! the sign-in. `page_browser` looks at it in a browser.

use std::collections::HashSet;
use std::path::Path;

use peers::{Configuration, Daemon, Receiver, wait};
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use stomp_bridge::demo::{Message, Publisher};

use super::operator::verb;
use super::{Served, TOPIC, configuration, serve};

const TOKEN: &str = "a-token-of-enough-length";

/// Streams at once, as the listener allows them.
const STREAMS_MAX: usize = 64;

fn client() -> Client {
    // The client wants one, though nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(wait::LONG)
        .build()
        .unwrap()
}

fn url(daemon: &Daemon, path: &str) -> String {
    format!("http://{}{path}", daemon.http())
}

async fn get(daemon: &Daemon, path: &str) -> Response {
    client().get(url(daemon, path)).send().await.unwrap()
}

/// A page, which a history that is not in time does not have: it is asked for again then.
pub(super) async fn page(daemon: &Daemon, path: &str) -> String {
    wait::until(path, async || {
        let answer = get(daemon, path).await;
        if answer.status() == 503 {
            return None;
        }
        assert_eq!(answer.status(), 200, "{path}");
        Some(answer.text().await.unwrap())
    })
    .await
}

pub(super) async fn json(daemon: &Daemon, path: &str) -> Value {
    serde_json::from_str(&page(daemon, path).await).unwrap()
}

/// Waits until so many devices are known.
pub(super) async fn known(daemon: &Daemon, devices: u64) {
    wait::until("the devices are known", async || {
        let now = json(daemon, "/api/v1/now").await;
        (now["devices"]["known"] == devices).then_some(())
    })
    .await;
}

/// Statuses of devices in arrays: every 50th is in fault, every 40th offline.
fn publish_devices(publisher: &Publisher, count: usize) {
    let place = |device: usize| {
        let province = ["江苏省", "广东省", "山东省"][device % 3];
        let (latitude, longitude) = (
            22.0 + (device % 130) as f64 / 10.0,
            105.0 + (device % 170) as f64 / 10.0,
        );
        format!(
            "{{\"province\":\"{province}\",\"city\":\"市\",\"coordinateSysm\":\"wgs84\",\
             \"latitude\":{latitude},\"longitude\":{longitude}}}"
        )
    };
    let status = |device: usize| {
        let state = match device {
            device if device.is_multiple_of(50) => "故障",
            device if device.is_multiple_of(40) => "离线",
            _ => "正常",
        };
        format!(
            "{{\"clientId\":{},\"deviceId\":{device},\"sn\":\"s{device}\",\"address\":{},\
             \"oldState\":\"正常\",\"newState\":\"{state}\"}}",
            device / 20 + 1,
            place(device)
        )
    };
    let devices: Vec<usize> = (1..=count).collect();
    for some in devices.chunks(500) {
        let body: Vec<String> = some.iter().map(|device| status(*device)).collect();
        publisher.publish(Message::json(TOPIC, format!("[{}]", body.join(","))));
    }
}

async fn started(configuration: &Configuration) -> Daemon {
    let mut daemon = Daemon::start(configuration).await;
    daemon.ready().await;
    daemon
}

#[tokio::test]
async fn every_answer_is_safe_to_show_and_in_the_language_of_the_browser() {
    let served = serve(0).await;
    let daemon = started(&configuration(&served.url)).await;
    for path in [
        "/",
        "/devices",
        "/dead-letters",
        "/topics",
        "/devices/s/-/7",
        "/api/v1/now",
    ] {
        let answer = get(&daemon, path).await;
        let headers = answer.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
        let text = answer.text().await.unwrap();
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("onclick"));
        assert!(!text.contains("<script>"), "{path}");
        let foreign = client()
            .get(url(&daemon, path))
            .header("host", "evil.example");
        assert_eq!(foreign.send().await.unwrap().status(), 421, "{path}");
    }
    let chinese = client()
        .get(url(&daemon, "/"))
        .header("accept-language", "zh-CN,zh;q=0.9");
    let text = chinese.send().await.unwrap().text().await.unwrap();
    assert!(
        text.contains("lang=\"zh-CN\"") && text.contains("持久日志"),
        "{text}"
    );
    let english = page(&daemon, "/").await;
    assert!(
        english.contains("lang=\"en\"") && english.contains("Journal"),
        "{english}"
    );
    let chosen = get(&daemon, "/?lang=zh").await;
    let kept = chosen.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        kept.contains("lang=zh") && kept.contains("SameSite=Strict"),
        "{kept}"
    );

    let name = english
        .split("/assets/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let style = get(&daemon, &format!("/assets/{name}")).await;
    assert_eq!(style.status(), 200);
    assert!(
        style.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert_eq!(get(&daemon, "/assets/style-0.css").await.status(), 404);

    let document = json(&daemon, "/api/v1/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths.keys().filter(|path| !path.contains('{')) {
        json(&daemon, path).await;
    }
    served.end().await;
}

#[tokio::test]
async fn one_verdict_is_said_by_the_status_the_page_the_title_and_the_api() {
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let served = serve(0).await;
    let daemon = Daemon::start(&configuration(&served.url).webhook(&receiver.url())).await;
    wait::until("the topic is subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
    served.publish(1);
    let verdict = wait::until("the sink is retrying", async || {
        let status: Value = serde_json::from_str(&daemon.get("/status").await?.1).ok()?;
        let is_said = status["verdict"]["title"] == "1 sink is retrying";
        is_said.then(|| status["verdict"].clone())
    })
    .await;
    assert_eq!(verdict["state"], "warn");
    let sentence = verdict["sentence"].as_str().unwrap();
    assert_eq!(
        sentence,
        "1 sink is retrying. Nothing that was received is lost."
    );
    let text = page(&daemon, "/").await;
    assert!(
        text.contains(sentence) && text.contains("answered 503"),
        "{text}"
    );
    assert!(text.contains("data-title=\"1 sink is retrying\""), "{text}");
    let now = json(&daemon, "/api/v1/now").await;
    assert_eq!(now["verdict"]["sentence"], sentence);
    let (status, reasons) = daemon.get("/readyz").await.unwrap();
    assert!(
        status == 503 && reasons.contains("sink oncall not up"),
        "{reasons}"
    );
    served.end().await;
}

/// The next part of a stream.
async fn part(stream: &mut Response) -> String {
    let part = tokio::time::timeout(wait::LONG, stream.chunk()).await;
    let part = part.expect("a part within its time").unwrap();
    String::from_utf8(part.expect("the stream goes on").to_vec()).unwrap()
}

#[tokio::test]
async fn a_hundred_browsers_get_64_streams_and_the_others_ask() {
    let served = serve(0).await;
    let log = [("RUST_LOG", Path::new("info,stomp_bridge::ops=debug"))];
    let mut daemon = Daemon::start_with(&configuration(&served.url), &log).await;
    daemon.ready().await;
    let mut streams = Vec::new();
    for number in 0..100 {
        let answer = get(&daemon, "/events").await;
        match number < STREAMS_MAX {
            true => {
                assert_eq!(answer.headers()["content-type"], "text/event-stream");
                streams.push(answer);
            }
            false => assert_eq!(answer.status(), 503),
        }
    }
    let whole = json(&daemon, "/regions").await;
    assert_eq!(whole["state"]["state"], "unk", "nothing has come yet");
    for probe in ["/healthz", "/metrics", "/"] {
        assert_eq!(daemon.get(probe).await.unwrap().0, 200, "{probe}");
    }
    let mut last = streams.pop().unwrap();
    drop(streams);
    let first = part(&mut last).await;
    assert!(
        first.contains("event: state") && first.contains("id=\\\"verdict\\\""),
        "{first}"
    );
    // The first message changes what is said of the gaps, too.
    let mut change = String::new();
    for device in [7, 8] {
        served.publish(device);
        change = wait::until("the change comes by the stream", async || {
            let part = part(&mut last).await;
            part.contains(&format!("1/{device}")).then_some(part)
        })
        .await;
    }
    assert!(
        !change.contains("id=\\\"gaps\\\""),
        "only what has changed: {change}"
    );
    wait::until("there is room again", async || {
        (get(&daemon, "/events").await.status() == 200).then_some(())
    })
    .await;
    // A stream is no reason to wait at the stop.
    assert!(daemon.stop().await.success());
    let log = daemon.log();
    assert!(!log.contains("cut at the stop"), "{log}");
    served.end().await;
}

#[tokio::test]
async fn of_500_topics_the_page_is_small_and_all_of_them_are_listed() {
    let served = serve(0).await;
    let table = "destination = \"/topic/state/{{ client }}\"\nfor = { client = \"1..500\" }\n";
    let configuration = Configuration::new(&served.url)
        .table("topics.map", table)
        .sqlite();
    // The demo's server accepts 128 subscriptions: the others are refused, one by one.
    let daemon = Daemon::start(&configuration).await;
    let mut stream = get(&daemon, "/events").await;
    part(&mut stream).await;
    let change = wait::until("what the matrix says changes", async || {
        let part = part(&mut stream).await;
        part.contains("event: cells").then_some(part)
    })
    .await;
    let cells = change.split("event: cells\ndata: ").nth(1).unwrap();
    let cells: Value = serde_json::from_str(cells.lines().next().unwrap()).unwrap();
    assert!(cells["label"].as_str().unwrap().contains("500"), "{cells}");
    assert!(cells["cells"].is_array(), "{cells}");
    assert!(!change.contains("id=\\\"matrix\\\""), "{change}");
    drop(stream);
    wait::until("some topics are refused", async || {
        let now = json(&daemon, "/api/v1/now").await;
        let refused = now["topics"]
            .as_array()?
            .iter()
            .filter(|topic| topic["state"] == "refused");
        (refused.count() > 20).then_some(())
    })
    .await;
    let text = page(&daemon, "/").await;
    let rows = text.split("id=\"topics-rows\"").nth(1).unwrap();
    let rows = rows.split("</table>").next().unwrap();
    assert!(rows.matches("<tr").count() < 15, "{rows}");
    let matrix = text
        .split("id=\"matrix\"")
        .nth(1)
        .unwrap()
        .split("</div>")
        .next()
        .unwrap();
    assert_eq!(matrix.matches("<i").count(), 500, "{matrix}");
    assert!(text.len() < 100_000, "{} bytes", text.len());
    let mut names = HashSet::new();
    let mut next = Some("/topics".to_owned());
    while let Some(path) = next {
        let text = page(&daemon, &path).await;
        for part in text.split("<span class=\"b\">").skip(1) {
            names.insert(part.split('<').next().unwrap().to_owned());
        }
        let link = text.split("<a href=\"/topics?").nth(1);
        next = link.map(|rest| format!("/topics?{}", rest.split('"').next().unwrap()));
    }
    assert_eq!(names.len(), 500);
    let found = page(&daemon, "/topics?q=map-499").await;
    assert!(found.contains("/topic/state/499") && !found.contains("/topic/state/498"));
    served.end().await;
}

#[tokio::test]
async fn of_10_000_devices_a_page_has_fifty_and_pages_have_each_once() {
    let served = serve(0).await;
    let daemon = started(&configuration(&served.url)).await;
    publish_devices(&served.publisher, 10_000);
    known(&daemon, 10_000).await;
    let history = async || {
        let found = json(&daemon, "/api/v1/devices").await;
        let all: u64 = found["states"]
            .as_array()?
            .iter()
            .filter_map(|it| it["devices"].as_u64())
            .sum();
        // Each of them is a query of its own.
        let cells = found["cells"].as_array()?;
        let placed: u64 = cells
            .iter()
            .filter_map(|cell| cell["devices"].as_u64())
            .sum();
        let is_all = (all, placed) == (10_000, 10_000);
        (found["history"] == "history" && is_all).then_some(found)
    };
    let found = wait::until("the history has all of them", history).await;
    let counts: Vec<(&str, u64)> = found["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["state"].as_str().unwrap(),
                it["devices"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        counts,
        [("fault", 200), ("offline", 200), ("normal", 9_600)]
    );
    // A history that is not in time is not waited for.
    let text = wait::until("the page has the history's devices", async || {
        let text = page(&daemon, "/devices").await;
        let words = "400 of 10,000 devices are in trouble";
        text.contains(words).then_some(text)
    })
    .await;
    assert_eq!(text.matches("<td><a href=\"/devices/").count(), 50);
    assert!(
        text.contains("class=\"map\"") && text.len() < 200_000,
        "{} bytes",
        text.len()
    );

    let (mut seen, mut severities, mut path) =
        (HashSet::new(), Vec::new(), "/api/v1/devices".to_owned());
    loop {
        let found = json(&daemon, &path).await;
        for device in found["devices"].as_array().unwrap() {
            severities.push(device["severity"].as_str().unwrap().to_owned());
            assert!(seen.insert(device["device_id"].as_str().unwrap().to_owned()));
        }
        let Some(next) = found["next"].as_str() else {
            break;
        };
        let after: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        path = format!("/api/v1/devices?after={after}");
    }
    assert_eq!(seen.len(), 400);
    assert!(
        severities[..200]
            .iter()
            .all(|severity| severity == "critical")
    );
    for (filter, expected) in [
        ("?q=s9999", 1),
        ("?q=500/9999", 1),
        ("?client=3", 20),
        ("?q=%25", 0),
        ("?state=offline&province=江苏省", 50),
        ("?after=nonsense", 50),
    ] {
        let found = json(&daemon, &format!("/api/v1/devices{filter}")).await;
        assert_eq!(
            found["devices"].as_array().unwrap().len(),
            expected,
            "{filter}"
        );
    }
    let device = page(&daemon, "/devices/map-1/3/50").await;
    for words in ["3/50", "class=\"tl\"", "f-crit", "s50", "WGS-84"] {
        assert!(device.contains(words), "{words}: {device}");
    }
    let download = get(&daemon, "/devices.csv?state=fault").await;
    let name = download.headers()["content-disposition"].to_str().unwrap();
    assert!(name.contains("devices.csv"), "{name}");
    let csv = download.text().await.unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("\u{feff}stream,client_id,device_id,serial,state"));
    assert_eq!(lines.len(), 201, "the head and each device in fault");
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.contains(",fault,critical,"))
    );
    let all = page(&daemon, "/devices.csv?state=all").await;
    assert_eq!(all.lines().count(), 10_001);
    assert_eq!(get(&daemon, "/devices/map-1/3/none").await.status(), 404);
    served.end().await;
}

/// No device is in the state now, and none of the newest events has it.
#[tokio::test]
async fn a_state_of_long_ago_has_its_word_on_the_chinese_page() {
    let served = serve(0).await;
    let daemon = started(&configuration(&served.url)).await;
    let path = "/devices/map-1/1/7?lang=zh";
    let publish = |word: &str| {
        let body = format!(r#"{{"clientId":1,"deviceId":7,"newState":"{word}"}}"#);
        served.publisher.publish(Message::json(TOPIC, body));
    };
    let stored = async |count: f64| {
        wait::until("the history has it", async || {
            let delivered = "stomp_bridge_sink_delivered_total{sink=\"history\"}";
            (super::metric(&daemon, delivered).await? == count).then_some(())
        })
        .await;
    };
    publish("离线");
    stored(1.0).await;
    for _ in 0..15 {
        publish("故障");
        publish("正常");
    }
    stored(31.0).await;
    let text = page(&daemon, path).await;
    assert!(text.contains("<i class=\"m warn\"></i>离线"), "{text}");
    assert!(!text.contains("offline"), "{text}");
    served.end().await;
}

#[tokio::test]
async fn without_a_history_the_page_has_what_the_journal_knows_and_says_what_to_add() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .webhook(&receiver.url());
    let daemon = started(&configuration).await;
    publish_devices(&served.publisher, 200);
    known(&daemon, 200).await;
    let text = wait::until("the last states are saved", async || {
        let text = page(&daemon, "/devices?state=fault").await;
        (text.matches("<td><a href=\"/devices/").count() == 4).then_some(text)
    })
    .await;
    assert!(
        text.contains("[sinks.history]") && text.contains("8 of 200"),
        "{text}"
    );
    let all = json(&daemon, "/api/v1/devices?state=all").await;
    assert_eq!(all["devices"].as_array().unwrap().len(), 50);
    assert_eq!(get(&daemon, "/devices.csv").await.status(), 404);
    let device = page(&daemon, "/devices/map-1/3/50").await;
    assert!(
        device.contains("fault") && device.contains("[sinks.history]"),
        "{device}"
    );
    served.end().await;
}

#[tokio::test]
async fn a_history_that_does_not_answer_holds_no_page_up() {
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!(
        "postgres://u@{}/d?sslmode=disable",
        silent.local_addr().unwrap()
    );
    let served = serve(0).await;
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table(
            "sinks.far",
            &format!("type = \"postgres\"\nurl = \"{place}\"\n"),
        );
    let daemon = Daemon::start(&configuration).await;
    publish_when_subscribed(&served, 200).await;
    known(&daemon, 200).await;
    for (lang, words) in [
        ("en", "far: no answer within 2 s"),
        ("zh", "far: 2 秒内没有应答"),
    ] {
        for path in ["/devices", "/devices/map-1/3/50"] {
            let text = page(&daemon, &format!("{path}?lang={lang}")).await;
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    let text = page(&daemon, "/devices?state=fault").await;
    assert_eq!(text.matches("<td><a href=\"/devices/").count(), 4, "{text}");
    let download = get(&daemon, "/devices.csv").await;
    assert_eq!(download.status(), 503);
    served.end().await;
}

/// A page that closed a file of the history had the daemon lose its locks: the next command
/// truncated what the daemon had mapped, and SIGBUS ended it.
#[tokio::test]
async fn a_page_and_commands_read_one_history_and_the_daemon_goes_on() {
    let served = serve(0).await;
    let mut daemon = started(&configuration(&served.url)).await;
    for device in 1..=3 {
        served.publish(device);
        wait::until("the page has the device", async || {
            let found = json(&daemon, "/api/v1/devices?state=all").await;
            let devices = found["devices"].as_array()?.len();
            (found["history"] == "history" && devices == device).then_some(())
        })
        .await;
        page(&daemon, &format!("/devices/map-1/1/{device}")).await;
        let (code, said) = verb(&daemon, &["history", "devices"]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("1/{device} ")), "{said}");
        assert!(daemon.runs(), "the daemon has ended");
    }
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn the_connection_says_what_was_agreed_and_promises_it_in_both_languages() {
    let served = serve(0).await;
    let daemon = started(&configuration(&served.url)).await;
    served.publish(7);
    known(&daemon, 1).await;
    let now = wait::until("the latencies are sampled", async || {
        let now = json(&daemon, "/api/v1/now").await;
        let confirmed = &now["sinks"][0]["latency"]["p99_seconds"];
        confirmed.is_number().then_some(now)
    })
    .await;
    let (link, session) = (&now["link"], &now["link"]["session"]);
    assert_eq!(session["version"], "1.2", "{link}");
    assert_eq!(session["transport"], "SockJS (websocket)", "{link}");
    assert_eq!(session["address"], served.url.as_str());
    assert_eq!(session["heartbeat_sent_seconds"], 10.0, "{link}");
    assert!(
        link["last_byte"].is_string() && link["signed_in"].is_null(),
        "{link}"
    );
    let p50 = now["journal"]["latency"]["p50_seconds"].as_f64();
    assert!(p50 > Some(0.0) && p50 < Some(10.0), "{}", now["journal"]);
    let says = &link["guarantees"][0];
    let (en, zh) = (says["en"].as_str().unwrap(), says["zh"].as_str().unwrap());
    assert!(
        en.starts_with("at most once: ") && zh.starts_with("至多一次："),
        "{says}"
    );
    for (lang, words) in [("en", en), ("zh", zh)] {
        let text = page(&daemon, &format!("/?lang={lang}")).await;
        let escaped = words.replace('\'', "&#39;").replace('"', "&#34;");
        assert!(text.contains(&escaped), "{words}: {text}");
        assert!(
            text.contains("STOMP 1.2") && text.contains("p50 "),
            "{text}"
        );
    }
    served.end().await;
}

#[tokio::test]
async fn devices_have_their_names_on_every_page() {
    let served = serve(0).await;
    let folder = peers::Folder::new("daemon");
    folder.write("names.csv", "device,name,group\n1/7,东门泵站,江苏\n");
    let configuration = configuration(&served.url).table("names", "file = \"names.csv\"\n");
    let config = configuration.write(&folder);
    let mut daemon = Daemon::start_in(folder, &config, &[]).await;
    daemon.ready().await;
    served.publish(7);
    served.publish(7);
    known(&daemon, 1).await;
    wait::until("the history has the device", async || {
        let found = json(&daemon, "/api/v1/devices?state=all").await;
        (found["devices"][0]["name"] == "东门泵站").then_some(())
    })
    .await;
    for path in ["/devices?state=all", "/devices/map-1/1/7", "/event/2"] {
        let text = page(&daemon, path).await;
        assert!(text.contains("东门泵站"), "{path}: {text}");
    }
    let csv = page(&daemon, "/devices.csv?state=all").await;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(",name,group"), "{csv}");
    assert!(lines[1].ends_with(",东门泵站,江苏"), "{csv}");
    served.end().await;
}

async fn publish_when_subscribed(served: &Served, devices: usize) {
    wait::until("the topic is subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
    publish_devices(&served.publisher, devices);
}

#[tokio::test]
async fn dead_letters_are_shown_and_redriven_with_the_token_alone() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let daemon = started(&configuration(&served.url).webhook(&receiver.url())).await;
    receiver.answer(422);
    served.publish(7);
    let text = wait::until("the dead letter is shown", async || {
        let text = page(&daemon, "/dead-letters").await;
        text.contains("answered 422").then_some(text)
    })
    .await;
    for words in [
        "1/7",
        "故障",
        "stomp-bridge dlq redrive oncall --all",
        "dlq drop oncall ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let lists = json(&daemon, "/api/v1/dead-letters").await;
    assert_eq!(
        (&lists[0]["sink"], &lists[0]["entries"]),
        (&"oncall".into(), &1.into())
    );
    let position = lists[0]["groups"][0]["entries"][0]["position"].clone();
    let way = json(&daemon, &format!("/api/v1/events/{position}")).await;
    let fates: Vec<(&str, &str)> = way["sinks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| (at["sink"].as_str().unwrap(), at["fate"].as_str().unwrap()))
        .collect();
    assert!(fates.contains(&("oncall", "dead_letter")), "{fates:?}");
    let trace = page(&daemon, &format!("/event/{position}")).await;
    for words in ["1/7", "answered 422", "Received and journaled", "history"] {
        assert!(trace.contains(words), "{words}: {trace}");
    }
    assert_eq!(get(&daemon, "/event/999999").await.status(), 404);
    receiver.answer(204);
    let command = r#"{"command":"redrive","sink":"oncall","which":"all"}"#;
    let control = || client().post(url(&daemon, "/control")).body(command);
    let cookie = control().header("cookie", "stomp_bridge=0a; lang=en");
    assert_eq!(cookie.send().await.unwrap().status(), 403);
    let file = daemon.folder().path().join("journal.db-control");
    let access: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let token = access["token"].as_str().unwrap();
    wait::until("the cursor has passed it, so it is redriven", async || {
        let answer = control().bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.ok()?;
        text.contains("\"entries\":1").then_some(())
    })
    .await;
    wait::until("the dead letter is gone", async || {
        let text = page(&daemon, "/dead-letters").await;
        text.contains("No dead letter").then_some(())
    })
    .await;
    served.end().await;
}

#[tokio::test]
async fn undecodable_entries_are_decoded_again_as_the_daemon_is_configured_now() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let configuration = configuration(&served.url).webhook(&receiver.url());
    let mut daemon = started(&configuration).await;
    let status =
        |device: u32| format!("{{\"clientId\":1,\"deviceId\":{device},\"newState\":\"故障\"}}");
    let wrapped = format!("{{\"data\":{{\"list\":[{},{}]}}}}", status(1), status(2));
    served.publisher.publish(Message::json(TOPIC, wrapped));
    served.publisher.publish(Message::json(TOPIC, "not JSON"));
    let text = wait::until("both are shown", async || {
        let text = page(&daemon, "/dead-letters").await;
        text.contains("Decode all 2 again").then_some(text)
    })
    .await;
    for words in [
        "Decode again …",
        "&#34;command&#34;:&#34;decode_again&#34;",
        "stomp-bridge dlq redrive --undecodable --all",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let chinese = client()
        .get(url(&daemon, "/dead-letters"))
        .header("accept-language", "zh");
    let chinese = chinese.send().await.unwrap().text().await.unwrap();
    for words in ["全部重新解析 2 条…", "应为 JSON，在第 1 行", "not JSON"] {
        assert!(chinese.contains(words), "{words}: {chinese}");
    }
    let file = daemon.folder().path().join("journal.db-control");
    let access: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let token = access["token"].as_str().unwrap().to_owned();
    let command = || {
        let command = r#"{"command":"decode_again","which":"all"}"#;
        client().post(url(&daemon, "/control")).body(command)
    };
    assert_eq!(command().send().await.unwrap().status(), 403);
    let refused = command().bearer_auth(&token).send().await.unwrap();
    assert_eq!(refused.status(), 409);
    let said = refused.text().await.unwrap();
    assert!(
        said.contains("entry 1: ") || said.contains("entry 2: "),
        "{said}"
    );

    let destination = format!("destination = \"{TOPIC}\"");
    let text = configuration.text();
    assert!(text.contains(&destination), "{text}");
    let text = text.replace(
        &destination,
        &format!("{destination}\nitems = \"/data/list\""),
    );
    daemon.folder().write("config.toml", &text);
    daemon.hang_up();
    daemon
        .logged("the reload", |line| line.contains("configuration applied"))
        .await;
    let command = r#"{"command":"decode_again","which":"all"}"#;
    let command = client().post(url(&daemon, "/control")).body(command);
    let reply = command.bearer_auth(&token).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let reply: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    assert_eq!((&reply["entries"], &reply["left"]), (&1.into(), &1.into()));
    assert!(
        reply["why"].as_str().unwrap().contains("not JSON"),
        "{reply}"
    );
    wait::until("both statuses have arrived", async || {
        (receiver.count() == 2).then_some(())
    })
    .await;
    wait::until("the other stays", async || {
        let text = page(&daemon, "/dead-letters").await;
        text.contains("Decode all 1 again").then_some(())
    })
    .await;
    served.end().await;
}

#[tokio::test]
async fn a_browser_from_elsewhere_signs_in_to_read_and_never_to_change() {
    let served = serve(0).await;
    let token = [("STOMP_BRIDGE_HTTP__TOKEN", Path::new(TOKEN))];
    let daemon = Daemon::start_with(&configuration(&served.url), &token).await;
    let html = |path: &str| {
        client()
            .get(url(&daemon, path))
            .header("accept", "text/html")
    };
    let answer = html("/").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &"/sign-in".parse().unwrap())
    );
    assert_eq!(get(&daemon, "/api/v1/state").await.status(), 401);
    assert_eq!(get(&daemon, "/events").await.status(), 401);
    assert!(page(&daemon, "/sign-in").await.contains("http.token"));
    let sign_in = |token: &str| {
        let form = format!("token={token}");
        client().post(url(&daemon, "/sign-in")).body(form).send()
    };
    assert_eq!(sign_in("another").await.unwrap().status(), 403);
    let answer = sign_in(TOKEN).await.unwrap();
    assert_eq!(answer.status(), 303);
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        set.contains("SameSite=Strict") && set.contains("HttpOnly"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap();
    for path in ["/", "/api/v1/now", "/devices"] {
        let answer = html(path).header("cookie", cookie).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let control = client()
        .post(url(&daemon, "/control"))
        .header("cookie", cookie)
        .body("{}");
    assert_eq!(control.send().await.unwrap().status(), 403);
    served.end().await;
}

/// What a test of the browser needs.
pub(super) async fn with_devices(served: &Served, count: usize) -> Daemon {
    let daemon = started(&configuration(&served.url)).await;
    publish_devices(&served.publisher, count);
    known(&daemon, count as u64).await;
    daemon
}
