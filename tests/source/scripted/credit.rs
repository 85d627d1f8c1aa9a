//! Credit: a server that keeps messages may send no more of them than the journal has room for.

use std::collections::BTreeSet;

use stomp_bridge::source::ConfigurationWarning;

use super::*;

const INDIVIDUAL: AckMode = AckMode::ClientIndividual;

/// The size of the journal.
const BYTES_MAX: u64 = 256 << 10;

/// The messages of 4 KiB that fit into 45 % of it.
const WINDOW: usize = 28;

impl Lab {
    /// A journal of a few pages, and a server that keeps messages.
    async fn small() -> Lab {
        Lab::with(INDIVIDUAL, Duration::from_millis(200), BYTES_MAX, None).await
    }

    /// Reads the SUBSCRIBE of the one topic, confirms it, and gives its window.
    async fn window(&self, server: &mut Server) -> usize {
        let subscribe = server.frame().await;
        let start = "SUBSCRIBE\nid:map-1\ndestination:/queue/a\n";
        assert!(subscribe.starts_with(start), "{subscribe}");
        server.receipt(&subscribe).await;
        prefetch(&subscribe).expect("a prefetch is asked for")
    }

    async fn paused(&self) {
        self.until(|status| status.link().state == LinkState::Paused)
            .await;
        assert_eq!(self.status.held_back(), 1);
    }

    /// The statuses that are on disk.
    fn stored(&self) -> usize {
        usize::try_from(self.journal.log.status().accepted).unwrap()
    }
}

fn prefetch(subscribe: &str) -> Option<usize> {
    let count = subscribe
        .lines()
        .find_map(|line| line.strip_prefix("prefetch-count:"))?;
    Some(count.parse().unwrap())
}

/// A status of about so many bytes.
fn body(bytes: usize) -> String {
    let pad = "x".repeat(bytes - BODY.len());
    BODY.replacen('{', &format!("{{\"pad\":\"{pad}\","), 1)
}

/// What RabbitMQ has in its queue and has sent.
struct Broker {
    sent: usize,
    unacknowledged: BTreeSet<String>,
    window: usize,
}

impl Broker {
    fn new(window: usize) -> Broker {
        Broker {
            sent: 0,
            unacknowledged: BTreeSet::new(),
            window,
        }
    }

    /// Sends what the window has room for.
    async fn fill(&mut self, server: &mut Server, body: &str) {
        while self.unacknowledged.len() < self.window {
            server.message(self.sent, body).await;
            self.unacknowledged.insert(format!("a{}", self.sent));
            self.sent += 1;
        }
    }

    fn acknowledge(&mut self, ack: &str) {
        let id = ack.lines().find_map(|line| line.strip_prefix("id:"));
        let known = self.unacknowledged.remove(id.expect("an ACK has an id"));
        assert!(known, "{ack}");
    }

    /// Sends without end until the topic is left: the ACKs of one transaction leave nothing behind.
    async fn until_left(&mut self, server: &mut Server, body: &str) {
        loop {
            self.fill(server, body).await;
            let frame = server.frame().await;
            if frame.starts_with("BEGIN") {
                break;
            }
            assert!(frame.starts_with("ACK\nid:"), "{frame}");
            assert!(!frame.contains("transaction"), "{frame}");
            self.acknowledge(&frame);
        }
        // It reads all of it before it sends anything.
        loop {
            let frame = server.frame().await;
            if frame.starts_with("UNSUBSCRIBE") {
                assert_eq!(self.unacknowledged.len(), 0, "left behind: {self:?}");
                let commit = server.frame().await;
                assert!(commit.starts_with("COMMIT\n"), "{commit}");
                server.receipt(&frame).await;
                server.receipt(&commit).await;
                return;
            }
            assert!(frame.contains("\ntransaction:leave-map-1\n"), "{frame}");
            self.acknowledge(&frame);
        }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} sent, {:?} not acknowledged",
            self.sent, self.unacknowledged
        )
    }
}

#[tokio::test]
async fn a_prefetch_is_always_asked_for_where_messages_are_acknowledged() {
    for (ack, configured, expected) in [
        (INDIVIDUAL, None, Some(256)),
        (AckMode::Client, Some("1000"), Some(1000)),
        (INDIVIDUAL, Some("0"), Some(256)),
        (AckMode::Auto, None, None),
    ] {
        let headers = configured.map(|count| ("prefetch-count".to_owned(), count.into()));
        let topic = Topic {
            name: "map-1".into(),
            destination: "/queue/a".into(),
            ack,
            headers: headers.into_iter().collect(),
        };
        let lab = Lab::of("stomp", vec![topic], Duration::ZERO, 1 << 30, None).await;
        let mut server = lab.accept_connection("0,0").await;
        let subscribe = server.frame().await;
        assert_eq!(prefetch(&subscribe), expected, "{subscribe}");
        assert!(
            subscribe.matches("prefetch-count").count() < 2,
            "{subscribe}"
        );
    }
}

#[tokio::test]
async fn a_queue_is_subscribed_only_once_the_journal_has_room_for_its_window() {
    let lab = Lab::small().await;
    lab.fill().await;
    let mut server = lab.accept_connection("200,200").await;
    lab.paused().await;
    server.exchange_heartbeats(5).await;
    lab.unstick();
    assert_eq!(lab.window(&mut server).await, WINDOW);
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
}

#[tokio::test]
async fn a_queue_whose_window_fits_no_longer_is_left_with_nothing_unacknowledged() {
    let lab = Lab::small().await;
    let mut server = lab.accept_connection("0,0").await;
    let mut broker = Broker::new(lab.window(&mut server).await);
    broker.until_left(&mut server, &body(4000)).await;
    assert!(broker.sent > WINDOW, "{broker:?}");
    assert_eq!(lab.stored(), broker.sent, "all of it is on disk");
    let bytes = lab.journal.log.status().bytes;
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    lab.paused().await;
    lab.covered(&["map-1+", "map-1-journal_full"]).await;

    // Another connection asks for nothing either.
    drop(server);
    let mut server = lab.accept_connection("200,200").await;
    lab.paused().await;
    server.exchange_heartbeats(5).await;
    lab.unstick();
    broker.window = lab.window(&mut server).await;
    lab.until(|status| status.link().state.is_ready()).await;
    // It goes on where it was, on the same connection, as often as it takes.
    for _ in 0..2 {
        broker.until_left(&mut server, &body(4000)).await;
        lab.paused().await;
        lab.unstick();
        broker.window = lab.window(&mut server).await;
    }
    assert_eq!(lab.stored(), broker.sent);
    assert_eq!(lab.status.counters.attempts.load(Relaxed), 2);
}

#[tokio::test]
async fn what_was_sent_is_journaled_however_large_it_is() {
    let lab = Lab::small().await;
    let mut server = lab.accept_connection("0,0").await;
    let mut broker = Broker::new(lab.window(&mut server).await);
    // Nobody could know that they are so large: one window is more than the journal may have.
    let large = body(64 << 10);
    broker.until_left(&mut server, &large).await;
    assert_eq!((broker.sent, lab.stored()), (WINDOW, WINDOW));
    lab.until(|_| lab.journal.log.status().bytes > BYTES_MAX)
        .await;
    lab.paused().await;
    lab.unstick();
    // Now it is known.
    assert_eq!(lab.window(&mut server).await, 1);
    drop(server);
    let _server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state.is_ready()).await;
    let warnings = lab.status.profile().warnings;
    let of_window = |warning: &ConfigurationWarning| {
        matches!(warning, ConfigurationWarning::SmallWindow { .. })
    };
    assert!(warnings.iter().any(of_window), "{warnings:?}");
}

#[tokio::test]
async fn what_was_read_is_journaled_though_its_connection_ends_while_the_journal_is_full() {
    let lab = Lab::small().await;
    let mut server = lab.accept_connection("0,0").await;
    let mut broker = Broker::new(lab.window(&mut server).await);
    broker.fill(&mut server, &body(64 << 10)).await;
    lab.until(|status| status.counters.messages.load(Relaxed) == WINDOW as u64)
        .await;
    drop(server);
    let _again = lab.accept_connection("0,0").await;
    lab.paused().await;
    assert_eq!(lab.stored(), WINDOW);
}

#[tokio::test]
async fn after_a_crash_a_queue_sends_one_message_until_one_is_on_disk() {
    let topic = |name: &str| Topic {
        name: name.into(),
        destination: "/queue/a".into(),
        ack: INDIVIDUAL,
        headers: Vec::new(),
    };
    let lab = Lab::after_a_crash(vec![topic("map-1"), topic("map-2")]).await;
    for expected in [1, 256] {
        let mut server = lab.accept_connection("0,0").await;
        assert_eq!(lab.window(&mut server).await, expected);
        let other = server.frame().await;
        assert_eq!(
            prefetch(&other),
            Some(1),
            "no message of it has come: {other}"
        );
        server.receipt(&other).await;
        lab.until(|status| status.link().state.is_ready()).await;
        let mut broker = Broker::new(expected);
        if expected == 1 {
            broker.until_left(&mut server, BODY).await;
            assert_eq!((broker.sent, lab.stored()), (1, 1));
            assert_eq!(lab.window(&mut server).await, 256);
            lab.until(|status| status.link().state.is_ready()).await;
        }
        server.message(7, BODY).await;
        assert_eq!(server.frame().await, "ACK\nid:a7\n\n");
    }
    let (one, two) = (
        ["map-1+", "map-2+"],
        ["map-1-connection_lost", "map-2-connection_lost"],
    );
    lab.covered(&[one, two, one, two].concat()).await;
}

#[tokio::test]
async fn other_topics_go_on_while_a_queue_waits() {
    let plain = Topic {
        name: "plain".into(),
        destination: "/topic/a".into(),
        ack: AckMode::Auto,
        headers: Vec::new(),
    };
    let queue = Topic {
        name: "queue".into(),
        destination: "/queue/a".into(),
        ack: INDIVIDUAL,
        headers: Vec::new(),
    };
    let topics = vec![plain, queue];
    let lab = Lab::of("stomp", topics, Duration::ZERO, 1 << 20, None).await;
    let mut server = lab.accept_connection("0,0").await;
    for name in ["plain", "queue"] {
        let subscribe = server.frame().await;
        assert!(subscribe.contains(&format!("\nid:{name}\n")), "{subscribe}");
        server.receipt(&subscribe).await;
    }
    // The queue is quiet. What fills the journal are the others' messages.
    let large = body(32 << 10);
    let message = format!("MESSAGE\nsubscription:plain\ndestination:a\nmessage-id:m\n\n{large}\0");
    let mut sent = 0;
    let unsubscribe = loop {
        server.send(&message).await;
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if lab.status.link().state == LinkState::Paused {
            break server.frame().await;
        }
        assert!(sent < 1000, "it never pauses");
    };
    assert!(
        unsubscribe.starts_with("UNSUBSCRIBE\nid:queue\n"),
        "{unsubscribe}"
    );
    server.receipt(&unsubscribe).await;
    server.send(&message).await;
    sent += 1;
    within(async {
        while lab.stored() < sent {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    lab.unstick();
    let subscribe = server.frame().await;
    assert!(
        subscribe.starts_with("SUBSCRIBE\nid:queue\n"),
        "{subscribe}"
    );
    server.receipt(&subscribe).await;
    lab.until(|status| status.link().state.is_ready()).await;
}

/// The topics of one connection cannot be read apart: what a plain one brings while a queue is being
/// left is bounded, too.
#[tokio::test]
async fn a_plain_topic_fills_no_disk_while_a_queue_is_being_left() {
    const SIZE: u64 = 1 << 20;
    const LEAVES: &[u8] = b"UNSUBSCRIBE\nid:queue";
    let topic = |name: &str, destination: &str, ack| Topic {
        name: name.into(),
        destination: destination.into(),
        ack,
        headers: Vec::new(),
    };
    let topics = vec![
        topic("plain", "/topic/a", AckMode::Auto),
        topic("queue", "/queue/a", INDIVIDUAL),
    ];
    let lab = Lab::of("stomp", topics, Duration::ZERO, SIZE, None).await;
    let mut server = lab.accept_connection("0,0").await;
    for _ in 0..2 {
        let subscribe = server.frame().await;
        server.receipt(&subscribe).await;
    }
    lab.until(|status| status.link().state.is_ready()).await;
    let large = body(32 << 10);
    let message = format!("MESSAGE\nsubscription:plain\ndestination:a\nmessage-id:m\n\n{large}\0");
    let (mut read, mut write) = server.stream.split();
    let flood = async {
        loop {
            write.write_all(message.as_bytes()).await.unwrap();
        }
    };
    let left = async {
        let mut received = Vec::new();
        while !received.windows(LEAVES.len()).any(|text| text == LEAVES) {
            assert_ne!(read.read_buf(&mut received).await.unwrap(), 0);
        }
    };
    within(async {
        tokio::select! {
            () = flood => {}
            () = left => {}
        }
    })
    .await;
    let bytes = lab.journal.log.status().bytes;
    assert!(bytes > SIZE, "{bytes} bytes");
    // The need is less than half, and 1 MiB may have been read already.
    assert!(bytes < 3 * SIZE, "{bytes} bytes");
    assert_eq!(lab.status.link().state, LinkState::Paused);
}
