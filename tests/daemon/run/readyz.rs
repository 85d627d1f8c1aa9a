//! `/readyz` gives the reasons of now, in every state that the daemon passes.

use peers::{Configuration, Daemon, Receiver, port, wait};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::metric;

/// One connection, from the server's side.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Peer(BufReader::new(stream));
        assert!(peer.frame().await.contains("CONNECT\n"));
        // So seldom that the test is over before one is missed.
        peer.send("CONNECTED\nversion:1.2\nheart-beat:86400000,86400000\n\n\0")
            .await;
        peer
    }

    async fn frame(&mut self) -> String {
        let mut frame = Vec::new();
        self.0.read_until(0, &mut frame).await.unwrap();
        String::from_utf8(frame).unwrap()
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn confirm(&mut self, subscribe: &str) {
        let receipt = subscribe
            .lines()
            .find_map(|line| line.strip_prefix("receipt:"))
            .unwrap();
        self.send(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0"))
            .await;
    }

    async fn message(&mut self, topic: &str) {
        let body = r#"{"clientId":1,"deviceId":1,"sn":"s","oldState":"正常","newState":"故障"}"#;
        self.send(&format!(
            "MESSAGE\nsubscription:{topic}\ndestination:/x\nmessage-id:1\n\n{body}\0"
        ))
        .await;
    }
}

async fn reasons(daemon: &Daemon) -> Vec<String> {
    let (_, body) = daemon.get("/readyz").await.expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let reasons = answer["reasons"].as_array().expect("reasons");
    let reasons: Vec<String> = reasons
        .iter()
        .map(|reason| reason.as_str().expect("a line").to_owned())
        .collect();
    assert_eq!(answer["ready"], reasons.is_empty());
    reasons
}

/// These are the reasons, each by its beginning and something that it has.
async fn come_to(daemon: &Daemon, expected: &[(&str, &str)]) -> Vec<String> {
    let mut last = Vec::new();
    let found = wait::within(wait::LONG, async || {
        last = reasons(daemon).await;
        let fits = last
            .iter()
            .zip(expected)
            .all(|(line, (begins, has))| line.starts_with(begins) && line.contains(has));
        (fits && last.len() == expected.len()).then_some(())
    })
    .await;
    assert!(found.is_some(), "{expected:?}: {last:#?}");
    last
}

#[tokio::test]
async fn a_reason_is_of_now_and_never_a_former_one() {
    let (server, receiver) = (port::free(), port::free());
    let configuration = Configuration::new(&format!("stomp://127.0.0.1:{server}"))
        .source("silence = \"10s\"")
        .table("topics.a", "destination = \"/topic/a\"\n")
        .table("topics.b", "destination = \"/topic/b\"\n")
        .webhook(&format!("http://127.0.0.1:{receiver}/events"));
    let mut daemon = Daemon::start(&configuration).await;
    let (connecting, connected) = ("source connecting since", "source connected since");
    let sink = ("sink oncall not up since", "");
    come_to(&daemon, &[(connecting, "refused"), sink]).await;

    // The server is there; it has still to confirm a topic.
    let listener = TcpListener::bind(("127.0.0.1", server)).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    let (first, second) = (peer.frame().await, peer.frame().await);
    peer.confirm(&first).await;
    let lines = come_to(
        &daemon,
        &[(connected, "not every topic is subscribed yet"), sink],
    )
    .await;
    assert!(!lines[0].contains("refused"), "{lines:?}");
    peer.confirm(&second).await;
    come_to(&daemon, &[sink]).await;
    let _receiver = Receiver::start_on(receiver).await;
    // Without something to deliver it would be asked once a minute.
    peer.message("a").await;
    come_to(&daemon, &[]).await;
    let link = daemon.status().await["link"].clone();
    assert!(link["last_error"].as_str().unwrap().contains("refused"));
    assert!(link["last_error_at"].is_string());

    // One topic speaks, and the other does not.
    let silent = tokio::time::Instant::now() + wait::LONG;
    while reasons(&daemon).await.is_empty() {
        assert!(tokio::time::Instant::now() < silent, "b is never silent");
        peer.message("a").await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    come_to(&daemon, &[("topic b silent since", "none has come")]).await;
    let link = daemon.status().await["link"].clone();
    assert_eq!(link["state"], "receiving");
    assert!(link["topics"]["a"]["last_message"].is_string(), "{link}");
    assert!(link["topics"]["a"]["silent_since"].is_null(), "{link}");
    assert!(link["topics"]["b"]["silent_since"].is_string(), "{link}");
    let value = async |name: &str| {
        let name = format!("stomp_bridge_{name}");
        metric(&daemon, &name).await
    };
    assert_eq!(value("topics_silent").await, Some(1.0));
    assert_eq!(value("topic_silent{topic=\"b\"}").await, Some(1.0));
    assert_eq!(value("topic_silent{topic=\"a\"}").await, Some(0.0));
    let at = async |topic: &str| {
        value(&format!(
            "topic_last_message_timestamp_seconds{{topic=\"{topic}\"}}"
        ))
        .await
    };
    assert_eq!(at("b").await, Some(0.0));
    assert!(at("a").await > Some(1e9));
    let line = daemon.complains(&["topic silent"]).await;
    assert!(line.contains("b (none has come)"), "{line}");
    peer.message("b").await;
    come_to(&daemon, &[]).await;

    // The link breaks, and the next one has still to confirm its topics.
    peer.send("ERROR\nmessage:going down\n\n\0").await;
    drop((peer, listener));
    let lines = come_to(&daemon, &[(connecting, "")]).await;
    assert!(!lines[0].contains("silent"), "{lines:?}");
    let listener = TcpListener::bind(("127.0.0.1", server)).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    let subscribes = [peer.frame().await, peer.frame().await];
    let lines = come_to(&daemon, &[(connected, "not every topic")]).await;
    assert!(!lines[0].contains("going down"), "{lines:?}");
    for subscribe in subscribes {
        peer.confirm(&subscribe).await;
    }
    come_to(&daemon, &[]).await;
    assert!(daemon.stop().await.success());
}
