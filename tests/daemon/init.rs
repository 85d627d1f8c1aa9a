//! `init` in the real binary: what it proposes from a platform's messages, and what it leaves alone.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use peers::process::{Process, tethered};
use peers::{Folder, port, wait};
use stomp_bridge::demo::{Broker, Message};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "/topic/state/1";
const PATIENCE: Duration = Duration::from_secs(60);

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.arg("init").args(args).current_dir(folder.path());
    command.env_remove("RUST_LOG").env_remove("STATE_DIRECTORY");
    command
}

fn start(folder: &Folder, args: &[&str]) -> Process {
    Process::start("init", command(folder, args), &folder.join("output"))
}

async fn output(mut process: Process) -> (String, i32) {
    let status = process.ended(PATIENCE).await;
    (process.log(), status.code().unwrap())
}

fn written(folder: &Folder) -> String {
    std::fs::read_to_string(folder.join("config.toml")).unwrap()
}

#[tokio::test]
async fn messages_become_a_configuration_that_check_accepts() {
    let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let (url, publisher) = (broker.url_sockjs().to_string(), broker.publisher());
    let stop = CancellationToken::new();
    let running = tokio::spawn(broker.run(stop.clone()));
    let folder = Folder::new("init");
    folder.write("pass", "hunter2\n");
    let args = ["--url", &url, "--topic", TOPIC, "--wait", "2"];
    let secret = ["--login", "bridge", "--passcode-file", "pass"];
    let init = start(&folder, &[&args[..], &secret].concat());
    wait::until("init subscribes", async || {
        (publisher.subscriptions(TOPIC) > 0).then_some(())
    })
    .await;
    for (old, new) in [("正常", "离线"), ("离线", "爆炸")] {
        let body = format!(r#"{{"devId":"a1","lastStatus":"{old}","status":"{new}"}}"#);
        publisher.publish(Message::json(TOPIC, body));
    }
    let (said, code) = output(init).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("config.toml: ok, 1 topic, 1 sink"), "{said}");
    assert!(said.contains("next: stomp-bridge run"), "{said}");
    let text = written(&folder);
    for expected in [
        "passcode_file = \"pass\"\n",
        "fields = { device = \"/devId\", old_state = \"/lastStatus\", new_state = \"/status\" }\n",
        "\"故障\" = { name = \"fault\", severity = \"critical\" }\n",
        "# \"爆炸\" = { severity = \"warning\" }\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("hunter2") && !said.contains("hunter2"));

    // It is there now, and stays.
    let (said, code) = output(start(&folder, &args)).await;
    assert_eq!((code, written(&folder)), (1, text.clone()), "{said}");
    assert!(said.contains("--force overwrites it"), "{said}");
    let forced = [&args[..4], &["--wait", "0", "--force"]].concat();
    let (said, code) = output(start(&folder, &forced)).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no message came"), "{said}");
    assert_ne!(written(&folder), text);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn without_a_server_nothing_is_written_unless_it_is_asked_for() {
    let folder = Folder::new("init");
    let url = format!("ws://127.0.0.1:{}/ws?token=s3cret", port::free());
    let args = ["--url", &url, "--topic", TOPIC];
    let (said, code) = output(start(&folder, &args)).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("nothing was written") && said.contains("--offline"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    assert!(!folder.join("config.toml").exists());

    let (said, code) = output(start(&folder, &[&args[..], &["--offline"]].concat())).await;
    assert_eq!(code, 0, "{said}");
    // The URL holds a secret.
    let mode = folder
        .join("config.toml")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_script_that_leaves_something_out_reads_what_is_missing() {
    let folder = Folder::new("init");
    for args in [&[][..], &["--url", "ws://h/ws"], &["--topic", TOPIC]] {
        let (said, code) = output(start(&folder, args)).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("give --url and --topic"), "{said}");
    }
    let (said, code) = output(start(&folder, &["--url", "h", "--topic", TOPIC])).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the server's URL begins with"), "{said}");
    assert!(!folder.join("config.toml").exists());
}
