//! The journal's coverage entries: every change of a topic once, in its place among the messages,
//! with its time.

use std::sync::atomic::Ordering::Relaxed;

use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::{Coverage, CoverageCause};

use super::*;

impl Lab {
    /// The log in words: `map-1+` began, `map-1-silent` ceased, `map-1` is something received.
    async fn words(&self) -> Vec<String> {
        self.log().await.iter().map(word).collect()
    }

    /// Waits until the journal says so of when topics were heard.
    pub(super) async fn covered(&self, expected: &[&str]) {
        let mut words = Vec::new();
        let covered = async {
            while words != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
                words = self.words().await;
                words.retain(|word| word != "map-1");
            }
        };
        let covered = tokio::time::timeout(PATIENCE, covered).await;
        assert!(covered.is_ok(), "{words:?}, not {expected:?}");
    }

    /// The newest coverage entry: what it says, and when it was made.
    async fn newest(&self) -> (Coverage, Timestamp) {
        let log = self.log().await;
        let newest = log
            .iter()
            .rfind(|entry| entry.content == EntryContent::Coverage)
            .expect("an entry");
        (coverage(newest), newest.received_at)
    }

    /// Reads SUBSCRIBE and answers nothing.
    async fn accept_unconfirmed(&self) -> Server {
        let mut server = self.accept().await;
        server.frame().await;
        server
            .send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0")
            .await;
        server.frame().await;
        server
    }

    async fn reload_topics(&self, topics: &[Topic]) {
        let settings = Settings {
            topics: topics.to_vec(),
            ..self.settings.clone()
        };
        let decoders = decoders(topics);
        self.handle.reload(settings, decoders);
    }

    fn topic(&self, name: &str) -> Topic {
        Topic {
            name: name.into(),
            destination: format!("/queue/{name}").into(),
            ..self.settings.topics[0].clone()
        }
    }
}

pub(super) fn coverage(entry: &Entry) -> Coverage {
    serde_json::from_slice(&entry.body).unwrap()
}

pub(super) fn word(entry: &Entry) -> String {
    if entry.content != EntryContent::Coverage {
        return entry.topic.to_string();
    }
    match coverage(entry) {
        Coverage {
            heard: true,
            cause: None,
            ..
        } => format!("{}+", entry.topic),
        Coverage {
            heard: false,
            cause: Some(cause),
            ..
        } => format!("{}-{}", entry.topic, cause.as_str()),
        odd => panic!("{odd:?}"),
    }
}

#[tokio::test]
async fn a_topic_is_heard_from_the_receipt_to_the_last_byte() {
    let lab = Lab::with(
        AckMode::ClientIndividual,
        Duration::from_secs(1),
        1 << 30,
        None,
    )
    .await;
    let start = Timestamp::now();
    let mut server = lab.accept_session("1000,1000").await;
    lab.covered(&["map-1+"]).await;
    let (began, _) = lab.newest().await;
    assert!(began.at >= start - SignedDuration::from_micros(1));
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    let acknowledged = Timestamp::now();
    // From here on it says nothing, and is given up two intervals later.
    server.rest().await;
    let _again = lab.accept_session("1000,1000").await;
    lab.covered(&["map-1+", "map-1-connection_lost", "map-1+"])
        .await;
    assert_eq!(
        lab.words().await,
        ["map-1+", "map-1", "map-1-connection_lost", "map-1+"]
    );
    let lost = &lab.log().await[2];
    let at = coverage(lost).at;
    assert!(began.at <= at && at <= acknowledged, "{at}");
    let noticed = lost.received_at.duration_since(at);
    assert!(noticed >= SignedDuration::from_secs(2), "{noticed:?}");
    let counters = &lab.status.counters;
    assert_eq!(
        (
            counters.accepted.load(Relaxed),
            counters.undecodable.load(Relaxed),
            lab.journal.log.status().accepted
        ),
        (1, 0, 1),
        "what the daemon observed was not received"
    );
}

#[tokio::test]
async fn without_a_receipt_the_first_message_says_that_a_topic_is_heard() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_unconfirmed().await;
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    assert_eq!(lab.words().await, ["map-1+", "map-1"]);
}

#[tokio::test]
async fn without_a_receipt_and_a_message_a_topic_is_heard_after_two_seconds() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let before = Timestamp::now();
    let _server = lab.accept_unconfirmed().await;
    lab.covered(&["map-1+"]).await;
    let (covered, made_at) = lab.newest().await;
    let (at, two) = (covered.at, SignedDuration::from_secs(2));
    assert!(at >= before + two, "{at}, asked after {before}");
    assert!(at <= made_at, "{at}, and said at {made_at}");
}

#[tokio::test]
async fn a_stop_stands_behind_the_last_message() {
    let mut lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    lab.covered(&["map-1+"]).await;
    lab.stop.cancel();
    let disconnect = server.frame().await;
    assert!(disconnect.starts_with("DISCONNECT\n"), "{disconnect}");
    // The journal counts microseconds.
    let still_heard = Timestamp::now() - SignedDuration::from_micros(1);
    server.message(0, BODY).await;
    server.receipt(&disconnect).await;
    within(&mut lab.source).await.unwrap().unwrap();
    lab.covered(&["map-1+", "map-1-daemon_stopped"]).await;
    assert_eq!(
        lab.words().await,
        ["map-1+", "map-1", "map-1-daemon_stopped"]
    );
    let (stopped, made_at) = lab.newest().await;
    assert!((still_heard..=made_at).contains(&stopped.at), "{stopped:?}");
    assert_eq!(lab.journal.log.heard().await.unwrap().topics, []);
}

#[tokio::test]
async fn a_stop_without_a_connection_says_nothing_again() {
    let mut lab = Lab::new(AckMode::Auto).await;
    let server = lab.accept_session("0,0").await;
    lab.covered(&["map-1+"]).await;
    drop(server);
    let _unanswered = lab.accept().await;
    lab.covered(&["map-1+", "map-1-connection_lost"]).await;
    lab.stop.cancel();
    within(&mut lab.source).await.unwrap().unwrap();
    lab.covered(&["map-1+", "map-1-connection_lost"]).await;
}

#[tokio::test]
async fn a_reload_says_what_is_left_and_what_is_heard_besides() {
    let lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    lab.covered(&["map-1+"]).await;
    let (one, two) = (lab.settings.topics[0].clone(), lab.topic("map-2"));
    lab.reload_topics(std::slice::from_ref(&two)).await;
    let (subscribe, unsubscribe) = (server.frame().await, server.frame().await);
    assert!(unsubscribe.starts_with("UNSUBSCRIBE\n"), "{unsubscribe}");
    server.receipt(&unsubscribe).await;
    lab.covered(&["map-1+", "map-1-unsubscribed"]).await;
    server.receipt(&subscribe).await;
    let mut said = vec!["map-1+", "map-1-unsubscribed", "map-2+"];
    lab.covered(&said).await;

    // Another destination under the same name.
    let other = Topic {
        destination: "/queue/other".into(),
        ..two.clone()
    };
    lab.reload_topics(&[other]).await;
    let unsubscribe = server.frame().await;
    server.receipt(&unsubscribe).await;
    let subscribe = server.frame().await;
    assert!(subscribe.contains("/queue/other"), "{subscribe}");
    said.push("map-2-unsubscribed");
    lab.covered(&said).await;
    server.receipt(&subscribe).await;
    said.push("map-2+");
    lab.covered(&said).await;

    // Another login is another connection.
    let settings = Settings {
        host: "other".to_owned(),
        topics: vec![one],
        ..lab.settings.clone()
    };
    let decoders = decoders(&settings.topics);
    lab.handle.reload(settings, decoders);
    assert!(server.frame().await.starts_with("DISCONNECT\n"));
    drop(server);
    let _server = lab.accept_session("0,0").await;
    said.extend(["map-2-unsubscribed", "map-1+"]);
    lab.covered(&said).await;
}

#[tokio::test]
async fn a_refused_topic_has_its_own_gap_and_the_others_are_heard_again() {
    let lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    lab.covered(&["map-1+"]).await;
    let both = [lab.settings.topics[0].clone(), lab.topic("map-2")];
    lab.reload_topics(&both).await;
    let subscribe = server.frame().await;
    assert!(subscribe.starts_with("SUBSCRIBE\nid:map-2\n"));
    server.send("ERROR\nmessage:access_refused\n\n\0\n").await;
    let _server = lab.accept_session("0,0").await;
    let lost = ["map-1+", "map-2-refused", "map-1-connection_lost", "map-1+"];
    lab.covered(&lost).await;
}

#[tokio::test]
async fn a_silent_server_was_heard_until_its_last_byte() {
    let lab = Lab::new(AckMode::Auto).await;
    drop(lab.accept_session("0,0").await);
    let settings = Settings {
        silence: Some(Duration::from_millis(500)),
        ..lab.settings.clone()
    };
    let decoders = decoders(&settings.topics);
    lab.handle.reload(settings, decoders);
    loop {
        let mut server = lab.accept_session("0,0").await;
        server.rest().await;
        let _next = lab.accept().await;
        let (ceased, noticed) = lab.newest().await;
        if ceased.cause == Some(CoverageCause::Silent) {
            let silence = noticed.duration_since(ceased.at);
            assert!(silence >= SignedDuration::from_millis(500), "{silence:?}");
            break;
        }
    }
}

#[tokio::test]
async fn after_a_crash_the_next_start_says_until_when_topics_were_heard() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    let both = [lab.settings.topics[0].clone(), lab.topic("map-2")];
    lab.reload_topics(&both).await;
    let subscribe = server.frame().await;
    server.receipt(&subscribe).await;
    lab.covered(&["map-1+", "map-2+"]).await;
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    lab.source.abort();
    lab.until(|_| lab.source.is_finished()).await;

    // Of the two topics one has left the configuration meanwhile.
    let next = async || {
        let (status, decoders) = (Status::new(), decoders(&lab.settings.topics));
        let settings = lab.settings.clone();
        Source::new(
            settings,
            decoders,
            lab.journal.log.clone(),
            status,
            Interval::default(),
        )
        .await
        .unwrap()
    };
    drop(next().await);
    let said = ["map-1+", "map-2+", "map-1-daemon_down", "map-2-daemon_down"];
    lab.covered(&said).await;
    let log = lab.log().await;
    let received_at = log
        .iter()
        .find(|entry| entry.content != EntryContent::Coverage)
        .map(|entry| entry.received_at);
    for down in &log[3..] {
        assert_eq!(Some(coverage(down).at), received_at, "the last proof");
    }
    // And no start after it says so again.
    drop(next().await);
    assert!(lab.journal.log.heard().await.unwrap().topics.is_empty());
    lab.covered(&said).await;
}

#[tokio::test]
async fn a_full_journal_gets_every_change_later_and_no_link_waits_for_it() {
    let lab = Lab::with_full_journal().await;
    let server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state.is_ready()).await;
    drop(server);
    // The server keeps nothing, so that another connection waits for room.
    lab.until(|status| status.link().state == LinkState::Paused)
        .await;
    lab.unstick();
    let _again = lab.accept_session("0,0").await;
    lab.covered(&["map-1+", "map-1-journal_full", "map-1+"])
        .await;
}
