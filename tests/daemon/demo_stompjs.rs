//! The demo broker as the JavaScript clients of web platforms see it: stompjs 2.3.3 and
//! @stomp/stompjs 7, over sockjs-client and over plain WebSocket.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use stomp_bridge::demo::{Broker, Devices};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Six conversations, each of them bounded by itself.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn javascript_clients_converse_with_the_demo_broker() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stompjs");
    assert!(
        folder.join("node_modules/stompjs").is_dir(),
        "the clients are not installed: tests/run does it, or `npm ci` in tests/stompjs"
    );
    let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into())
        .await
        .expect("a free port on loopback");
    let (sockjs, websocket) = (broker.url_sockjs(), broker.url_ws());
    let stop = CancellationToken::new();
    tokio::spawn(Devices::new(1).run(broker.publisher(), stop.clone()));
    tokio::spawn(broker.run(stop));

    let clients = Command::new("node")
        .current_dir(&folder)
        .args(["clients.mjs", sockjs.as_str(), websocket.as_str()])
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, clients)
        .await
        .expect("the clients end")
        .expect("node runs");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert_eq!(
        stdout
            .lines()
            .filter(|line| line.starts_with("ok "))
            .count(),
        6,
        "{stdout}\n{stderr}"
    );
}
