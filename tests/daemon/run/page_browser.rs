//! The status page in a headless Chromium, by playwright-core: a fault is on the screen within a
//! second, an end of the daemon is seen, and each screen fits in both languages, at the width of a
//! desk and of a hand. With STOMP_BRIDGE_TEST_SHOTS=FOLDER it takes their pictures.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use peers::Receiver;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::page::with_devices;
use super::{configuration, serve};

/// A browser that starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Browser {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Several at once starve each other on a small machine. The process goes before it.
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    async fn start() -> Browser {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
        assert!(
            folder.join("node_modules/playwright-core").is_dir(),
            "playwright-core is not installed: tests/run does it, or `npm ci` in tests/page"
        );
        let mut process = Command::new("node")
            .current_dir(&folder)
            .arg("page.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let input = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        Browser {
            _turn: turn,
            _process: process,
            input,
            output: BufReader::new(output).lines(),
        }
    }

    /// A command of `tests/page/page.mjs` and its arguments.
    async fn ask(&mut self, command: &[&str]) -> Value {
        let line = format!("{}\n", command.join("\t"));
        self.input
            .write_all(line.as_bytes())
            .await
            .expect("it reads");
        let answer = timeout(PATIENCE, self.output.next_line()).await;
        let answer = answer
            .expect("an answer in time")
            .expect("it writes")
            .expect("it runs");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer.get("error").is_none(), "{command:?}: {answer}");
        answer["ok"].take()
    }
}

#[tokio::test]
async fn a_fault_is_on_the_screen_within_a_second_and_an_end_of_the_daemon_is_seen() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let mut daemon = with_devices(&served, 20).await;
    let mut browser = Browser::start().await;
    let url = format!("http://{}/", daemon.http());
    assert_eq!(browser.ask(&["open", &url]).await, 200);
    browser.ask(&["until", "#changes", "since"]).await;
    let waits = browser.ask(&["until", "#changes", "Pause"]).await;
    assert!(waits.as_u64() < Some(1000));
    served.publish(7);
    let milliseconds = browser
        .ask(&["until", "#changes", "1/7"])
        .await
        .as_u64()
        .unwrap();
    assert!(milliseconds < 1000, "{milliseconds} ms");
    assert_eq!(browser.ask(&["violations"]).await, serde_json::json!([]));

    daemon.freeze();
    browser.ask(&["gone"]).await;
    let title = browser.ask(&["title"]).await;
    assert!(
        title.as_str().unwrap().starts_with("○ no answer"),
        "{title}"
    );
    daemon.thaw();
    browser.ask(&["back"]).await;
    let title = browser.ask(&["title"]).await;
    assert!(!title.as_str().unwrap().contains("no answer"), "{title}");
    drop(receiver);
    assert!(daemon.stop().await.success());
    browser.ask(&["gone"]).await;
    let band = browser.ask(&["text", "#gone"]).await;
    assert!(
        band.as_str().unwrap().contains("has not answered since"),
        "{band}"
    );
    served.end().await;
}

#[tokio::test]
async fn a_dead_letter_is_redriven_from_the_page_with_the_token() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let configuration = configuration(&served.url).webhook(&receiver.url());
    let mut daemon = peers::Daemon::start(&configuration).await;
    daemon.ready().await;
    receiver.answer(422);
    served.publish(7);
    let mut browser = Browser::start().await;
    let url = format!("http://{}/dead-letters", daemon.http());
    peers::wait::until("the dead letter is shown", async || {
        let text = daemon.get("/dead-letters").await?.1;
        text.contains("answered 422").then_some(())
    })
    .await;
    browser.ask(&["open", &url]).await;
    receiver.answer(204);
    browser.ask(&["click", "#oncall .main"]).await;
    let same = browser.ask(&["text", "#act code"]).await;
    assert_eq!(same, "stomp-bridge dlq redrive oncall --all");
    let file = daemon.folder().path().join("journal.db-control");
    let access: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    browser.ask(&["click", "#act [type=password]"]).await;
    browser.ask(&["press", "x"]).await;
    browser.ask(&["click", "#act .acts .main"]).await;
    browser.ask(&["until", "#act .err", "token"]).await;
    browser.ask(&["click", "#act [type=password]"]).await;
    for character in access["token"].as_str().unwrap().chars() {
        browser.ask(&["press", &character.to_string()]).await;
    }
    browser.ask(&["click", "#act .acts .main"]).await;
    peers::wait::until("the dead letter is gone", async || {
        let text = daemon.get("/dead-letters").await?.1;
        text.contains("No dead letter").then_some(())
    })
    .await;
    browser.ask(&["open", &url]).await;
    browser.ask(&["until", "h1", "No dead letter"]).await;
    assert_eq!(browser.ask(&["violations"]).await, serde_json::json!([]));
    served.end().await;
}

#[tokio::test]
async fn each_screen_fits_in_both_languages_wide_and_narrow_light_and_dark() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let daemon = with_devices(&served, 2_000).await;
    drop(receiver);
    let mut browser = Browser::start().await;
    let shots = std::env::var_os("STOMP_BRIDGE_TEST_SHOTS").map(PathBuf::from);
    let all = shots.is_some();
    let screens = [
        ("now", "/"),
        ("devices", "/devices"),
        ("device", "/devices/map-1/3/50"),
        ("dead-letters", "/dead-letters"),
        ("topics", "/topics"),
        ("event", "/event/2"),
        ("sign-in", "/sign-in"),
    ];
    let mut seen = 0;
    for (name, path) in screens {
        for (lang, theme, width) in [
            ("en", "light", "1440"),
            ("zh", "dark", "360"),
            ("en", "dark", "360"),
            ("zh", "light", "1440"),
            ("en", "dark", "1440"),
            ("zh", "dark", "1440"),
            ("en", "light", "360"),
            ("zh", "light", "360"),
        ]
        .into_iter()
        .take(if all { 8 } else { 2 })
        {
            let url = format!("http://{}{path}", daemon.http());
            let opened = browser.ask(&["open", &url, lang, theme, width]).await;
            assert_eq!(opened, 200, "{path}");
            let what = format!("{name} {lang} {theme} {width}");
            assert_eq!(
                browser.ask(&["wide"]).await,
                0,
                "{what} is wider than its window"
            );
            assert_eq!(
                browser.ask(&["violations"]).await,
                serde_json::json!([]),
                "{what}"
            );
            let contrast = browser.ask(&["contrast"]).await;
            assert_eq!(contrast["low"], serde_json::json!([]), "{what}");
            assert!(contrast["count"].as_u64() > Some(3), "{what}: {contrast}");
            if lang == "zh" {
                let english = browser.ask(&["english"]).await;
                assert_eq!(english, serde_json::json!([]), "{what} is not translated");
            }
            if let Some(folder) = &shots {
                let file = folder.join(format!("{name}-{lang}-{theme}-{width}.png"));
                browser.ask(&["shot", &file.display().to_string()]).await;
            }
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen} screens");
    served.end().await;
}

#[tokio::test]
async fn an_open_page_goes_on_with_the_daemon_that_is_started_again() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let mut daemon = with_devices(&served, 20).await;
    let mut browser = Browser::start().await;
    let url = format!("http://{}/", daemon.http());
    browser.ask(&["open", &url]).await;
    let file = daemon.folder().path().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("127.0.0.1:0", daemon.http())).unwrap();
    drop(receiver);
    assert!(daemon.stop().await.success());
    browser.ask(&["gone"]).await;
    daemon.restart().await;
    daemon.ready().await;
    browser.ask(&["back"]).await;
    served.publish(7);
    browser.ask(&["until", "#changes", "1/7"]).await;
    assert_eq!(browser.ask(&["violations"]).await, serde_json::json!([]));
    served.end().await;
}

#[tokio::test]
async fn every_stop_of_the_tab_key_is_seen() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    receiver.answer(422);
    let configuration = configuration(&served.url).webhook(&receiver.url());
    let mut daemon = peers::Daemon::start(&configuration).await;
    daemon.ready().await;
    served.publish(7);
    peers::wait::until("the dead letter is shown", async || {
        let text = daemon.get("/dead-letters").await?.1;
        text.contains("answered 422").then_some(())
    })
    .await;
    let mut browser = Browser::start().await;
    for (path, stops) in [
        ("/", 12),
        ("/devices", 15),
        ("/dead-letters", 11),
        ("/event/2", 10),
    ] {
        for width in ["1440", "360"] {
            let url = format!("http://{}{path}", daemon.http());
            browser.ask(&["open", &url, "en", "light", width]).await;
            let tabs = browser.ask(&["tabs"]).await;
            assert_eq!(tabs["bare"], serde_json::json!([]), "{path} {width}");
            assert!(
                tabs["count"].as_u64() >= Some(stops - 3),
                "{path} {width}: {tabs}"
            );
        }
    }
    served.end().await;
}

#[tokio::test]
async fn a_page_that_slept_or_whose_clock_is_wrong_says_nothing_false() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let daemon = with_devices(&served, 20).await;
    let mut browser = Browser::start().await;
    let url = format!("http://{}/", daemon.http());
    browser
        .ask(&["open", &url, "en", "light", "1440", "86400"])
        .await;
    served.publish(7);
    browser.ask(&["until", "#changes", "1/7"]).await;
    // A day and more would stand there.
    let age = browser.ask(&["text", "#path time.age"]).await;
    let age = age.as_str().unwrap();
    assert!(age.ends_with(" s") || age.ends_with(" min"), "{age}");
    let gone = browser.ask(&["sleeps", "8"]).await;
    assert_eq!(gone, false, "it says that the daemon is gone");
    drop(receiver);
    served.end().await;
}
