//! What an operator sees and does: a status that says when the next attempt is, retries on demand,
//! a rejected reload, commands that look in spite of a wrong configuration, and a log that keeps its
//! bounds.

use super::*;
use peers::Receiver;
use peers::port;
use serde_json::Value;

/// Runs a verb against a daemon's configuration: its exit code and all that it printed.
pub(super) async fn verb(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.args(arguments).arg("--config");
    command.arg(daemon.folder().join("config.toml"));
    command.env_remove("RUST_LOG").env_remove("STATE_DIRECTORY");
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

async fn link(daemon: &Daemon) -> Value {
    daemon.status().await["link"].clone()
}

async fn sink(daemon: &Daemon) -> Value {
    daemon.status().await["sinks"][0].clone()
}

/// Another program may have its port by then.
#[tokio::test]
async fn the_token_of_a_daemon_that_was_killed_goes_to_nobody() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let configuration = configuration(&served.url).webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    daemon.kill();
    let left = daemon.folder().join("journal.db-control");
    assert!(left.exists(), "a killed daemon leaves its token");
    let stranger = std::net::TcpListener::bind(daemon.http()).unwrap();
    stranger.set_nonblocking(true).unwrap();
    for asked in [
        &["status"][..],
        &["sinks", "retry", "oncall"],
        &["tap", "oncall"],
    ] {
        let (code, said) = verb(&daemon, asked).await;
        assert!(
            code == Some(1) && said.contains("no stomp-bridge runs on th"),
            "{said}"
        );
    }
    let asked = stranger.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock), "nobody came");
    drop(stranger);
    daemon.restart().await;
    daemon.ready().await;
    assert_eq!(verb(&daemon, &["status"]).await.0, Some(0));
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn what_waits_says_when_it_is_tried_and_a_retry_tries_it_now() {
    let (server, receiver) = (port::free(), Receiver::start().await);
    receiver.answer(410);
    let url = format!("stomp://127.0.0.1:{server}");
    let configuration = Configuration::new(&url)
        .waits("initial = \"1000s\"\nmax = \"1000s\"")
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("an attempt that waits", async || {
        link(&daemon).await["next_attempt"].as_str().map(drop)
    })
    .await;
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("next attempt in ") && said.contains("stomp-bridge source retry"),
        "{said}"
    );
    let listener = TcpListener::bind(("127.0.0.1", server)).await.unwrap();
    let (code, said) = verb(&daemon, &["source", "retry"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (stream, _) = listener.accept().await.unwrap();
    drop((stream, listener));
    let served = serve(server).await;
    wait::until("another wait", async || {
        link(&daemon).await["next_attempt"].as_str().map(drop)
    })
    .await;
    assert_eq!(verb(&daemon, &["source", "retry"]).await.0, Some(0));
    wait::until("a connection", async || {
        (link(&daemon).await["state"] == "subscribed").then_some(())
    })
    .await;
    let (code, said) = verb(&daemon, &["source", "retry"]).await;
    // What was asked for is there.
    assert!(
        code == Some(0) && said.contains("is connected already (subscribed): nothing to do"),
        "{said}"
    );

    // The receiver wants nothing more, until it is mended.
    served.publish(1);
    wait::until("a disabled sink", async || {
        (sink(&daemon).await["state"] == "disabled").then_some(())
    })
    .await;
    let (code, said) = verb(&daemon, &["status"]).await;
    assert!(code == Some(1) && said.contains("disabled"), "{said}");
    receiver.answer(204);
    let (code, said) = verb(&daemon, &["sinks", "retry", "nobody"]).await;
    assert!(code == Some(1) && said.contains("it has oncall"), "{said}");
    assert_eq!(
        verb(&daemon, &["sinks", "retry", "oncall"]).await.0,
        Some(0)
    );
    daemon.ready().await;
    wait::until("the event is delivered", async || {
        (sink(&daemon).await["since_start"]["delivered"] == 1).then_some(())
    })
    .await;
    assert_eq!(verb(&daemon, &["status"]).await.0, Some(0));
    assert!(daemon.stop().await.success());
    let (code, said) = verb(&daemon, &["sinks", "retry", "oncall"]).await;
    assert!(code == Some(1) && said.contains("nothing waits"), "{said}");
    served.end().await;
}

#[tokio::test]
async fn what_waits_for_a_rate_says_so_and_a_retry_does_not_say_now() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .webhook_with(&receiver.url(), "rate = \"1/1h\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    served.publish(1);
    wait::until("the first event is delivered", async || {
        (sink(&daemon).await["since_start"]["delivered"] == 1).then_some(())
    })
    .await;
    let (_, said) = verb(&daemon, &["status"]).await;
    assert!(!said.contains("rate:"), "nothing waits: {said}");
    served.publish(2);
    wait::until("an event that waits for the rate", async || {
        (sink(&daemon).await["waits_for_rate"] == true).then_some(())
    })
    .await;
    let (code, said) = verb(&daemon, &["status"]).await;
    assert!(
        code == Some(0) && said.contains(", rate: next in 6"),
        "{said}"
    );
    let (code, said) = verb(&daemon, &["sinks", "retry", "oncall"]).await;
    assert!(
        code == Some(0) && said.contains("oncall is tried in 6") && !said.contains("now"),
        "{said}"
    );
    assert_eq!(receiver.count(), 1);
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_topic_whose_encoding_may_be_wrong_is_told_of_once_and_a_repeat_is_not_counted() {
    let served = serve(0).await;
    let topic =
        format!("destination = \"{TOPIC}\"\nencoding = \"gbk\"\nevent_key = [\"/eventId\"]\n");
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &topic)
        .table("sinks.history", "type = \"sqlite\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    for event in [1, 2, 2, 1, 3] {
        let body = format!(r#"{{"deviceId":7,"newState":"故障","eventId":{event}}}"#);
        assert_eq!(served.publisher.publish(Message::json(TOPIC, body)), 1);
    }
    wait::until("five statuses", async || {
        (metric(&daemon, "stomp_bridge_messages_total").await == Some(5.0)).then_some(())
    })
    .await;
    let topic = link(&daemon).await["topics"]["map-1"].clone();
    assert_eq!(topic["utf8"], 3, "{topic}");
    let words = topic["unmapped"].as_object().unwrap();
    assert_eq!(words.values().collect::<Vec<_>>(), [3], "{topic}");
    let log = daemon.log();
    assert_eq!(log.matches("this body is valid UTF-8").count(), 1, "{log}");
    let (_, said) = verb(&daemon, &["status"]).await;
    assert!(said.contains("map-1: 3 statuses are in UTF-8"), "{said}");
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn dead_letters_are_counted_in_the_log_and_the_last_one_is_the_last_error() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    receiver.answer(422);
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .webhook(&receiver.url())
        .table(
            "sinks.later",
            "type = \"sqlite\"\npath = \"later.db\"\nmode = \"0640\"\n",
        );
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let log = daemon.log();
    assert!(
        log.contains("history created: there was none at this path"),
        "{log}"
    );
    assert!(!log.contains("history file has another mode"), "{log}");
    (1..=13).for_each(|device| served.publish(device));
    // One line names the first; others count the rest.
    wait::until("a count of all others", async || {
        let log = daemon.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let lines = lines.filter(|line: &Value| line["sink"] == "oncall");
        let counted: u64 = lines
            .filter(|line| {
                line["message"]
                    .as_str()
                    .unwrap_or_default()
                    .starts_with("more events")
            })
            .filter_map(|line| line["events"].as_u64())
            .sum();
        (counted == 12).then_some(())
    })
    .await;
    let log = daemon.log();
    assert_eq!(log.matches("\"event dead-lettered for").count(), 1, "{log}");
    let (_, said) = verb(&daemon, &["status"]).await;
    let row = said
        .lines()
        .find(|line| line.starts_with("oncall"))
        .unwrap();
    assert!(
        row.contains(" s ago: ") && row.contains("answered 422"),
        "{said}"
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_rejected_reload_is_shown_until_the_next_good_one_and_looking_goes_on() {
    let served = serve(0).await;
    let good = configuration(&served.url);
    let mut daemon = Daemon::start(&good).await;
    daemon.ready().await;
    let successful = "stomp_bridge_config_last_reload_successful";
    assert_eq!(metric(&daemon, successful).await, Some(1.0));
    let file = daemon.folder().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = format!("{text}\n[sinc.a]\ntype = \"sqlite\"\n");
    std::fs::write(&file, wrong).unwrap();
    daemon.hang_up();
    let rejected = wait::until("a rejected reload", async || {
        let rejected = daemon.status().await["rejected_reload"].clone();
        rejected["problems"][0].as_str().map(str::to_owned)
    })
    .await;
    assert!(rejected.contains("sinc"), "{rejected}");
    assert_eq!(metric(&daemon, successful).await, Some(0.0));
    let (code, said) = verb(&daemon, &["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("reload rejected") && said.contains("sinc"),
        "{said}"
    );
    let (code, said) = verb(&daemon, &["dlq", "list"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = verb(&daemon, &["replay", "history", "--since", "1h"]).await;
    assert_eq!(code, Some(0), "{said}");

    good.write(daemon.folder());
    let text = std::fs::read_to_string(&file).unwrap();
    daemon.hang_up();
    wait::until("a good reload", async || {
        daemon.status().await["rejected_reload"]
            .is_null()
            .then_some(())
    })
    .await;
    assert_eq!(metric(&daemon, successful).await, Some(1.0));

    // Without the daemon, and with a secret that is not there.
    let wrong =
        format!("{text}\n[sinks.b]\ntype = \"webhook\"\nurl = \"{{{{ secret('no') }}}}\"\n");
    std::fs::write(&file, wrong).unwrap();
    assert!(daemon.stop().await.success());
    let (code, said) = verb(&daemon, &["dlq", "list"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = verb(&daemon, &["replay", "history", "--since", "1h"]).await;
    assert_eq!(code, Some(0), "{said}");
    for looks in [
        &["replay", "history", "--since", "1h", "--dry-run"][..],
        &["dlq", "redrive", "--undecodable", "--all"],
    ] {
        let (code, said) = verb(&daemon, looks).await;
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = verb(&daemon, &["sinks", "forget", "history"]).await;
    assert!(code == Some(1) && said.contains("secret `no`"), "{said}");
    served.end().await;
}

#[tokio::test]
async fn a_replay_that_lacks_what_is_gone_says_so() {
    let served = serve(0).await;
    let configuration = configuration(&served.url).table("journal", "keep = \"1s\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    for device in 0..5 {
        served.publish(device);
    }
    wait::within(wait::LONG, async || {
        let journal = daemon.status().await["journal"].clone();
        let head = journal["head"].as_i64()?;
        let oldest = journal["oldest"].as_i64().unwrap_or(head + 1);
        (head >= 5 && oldest > 5).then_some(())
    })
    .await
    .expect("delivered entries go");
    let (code, said) = verb(&daemon, &["replay", "history"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("journal has no entry now"), "{said}");
    let all = ["replay", "history", "--since", "1h", "--dry-run"];
    // An entry goes within a second, perhaps before the verb asks.
    wait::until("a replay that is shortened", async || {
        served.publish(6);
        let (code, said) = verb(&daemon, &all).await;
        assert_eq!(code, Some(0), "{said}");
        let words = "the replay is shortened: the journal begins at";
        said.contains(words).then_some(())
    })
    .await;
    let tomorrow = ["replay", "history", "--since", "2999-01-01T00:00:00Z"];
    let (code, said) = verb(&daemon, &tomorrow).await;
    assert!(
        code == Some(1) && said.contains("lies in the future"),
        "{said}"
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_flood_of_undecodable_messages_is_a_few_lines_and_a_count() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    const MESSAGES: usize = 20_000;
    for _ in 0..MESSAGES / 100 {
        let body = format!("[{}]", ["7"; 100].join(","));
        assert_eq!(served.publisher.publish(Message::json(TOPIC, body)), 1);
    }
    wait::until("all are in the journal", async || {
        let name = "stomp_bridge_statuses_undecodable_total";
        (metric(&daemon, name).await? == MESSAGES as f64).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    let log = daemon.log();
    assert!(log.len() < 100 << 10, "{} bytes", log.len());
    let lines = log
        .lines()
        .filter(|line| line.contains("status undecodable"));
    let lines: Vec<&str> = lines.collect();
    let (count, told) = lines.split_last().expect("some lines");
    assert!((1..=10).contains(&told.len()), "{lines:#?}");
    assert!(
        count.contains("more of these in the last minute"),
        "{count}"
    );
    let held = MESSAGES - told.len();
    assert!(count.contains(&format!("\"times\":{held}")), "{count}");
    served.end().await;
}

#[tokio::test]
async fn a_failure_to_start_is_said_whatever_the_filter() {
    let served = serve(0).await;
    let folder = Folder::new("filter");
    let text = std::fs::read_to_string(configuration(&served.url).write(&folder)).unwrap();
    let address = served.address.to_string();
    let config = folder.write("config.toml", &text.replace("127.0.0.1:0", &address));
    let verb = |verb: &str, option: &[&str], variable: Option<&str>| {
        let mut command = peers::process::tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
        command.args(option).arg(verb).arg("--config").arg(&config);
        match variable {
            Some(filter) => command.env("RUST_LOG", filter),
            None => command.env_remove("RUST_LOG"),
        };
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let run = |option: &[&str], variable: Option<&str>| verb("run", option, variable);
    // `check` and `status` log nothing: the mistake is one there, too.
    let wrong = ["inof", "verbose", "stomp_bridge"].map(|option| ("run", option));
    for (name, option) in wrong
        .into_iter()
        .chain([("check", "inof"), ("status", "inof")])
    {
        let (code, said) = verb(name, &["--log", option], None);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("error, warn, info, debug, trace"), "{said}");
    }
    for variable in ["foo", "hyper=debug", "inof"] {
        let (code, said) = run(&[], Some(variable));
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("http.listen") && said.contains("starting"),
            "{said}"
        );
    }
    let (code, said) = run(&["--log", "off"], None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("http.listen"), "{said}");
    served.end().await;
}
