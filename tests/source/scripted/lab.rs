//! A source with a journal of its own, and the scripted server that it connects to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stomp_bridge::journal::{
    self, Entry, EntryContent, Journal, NewBatch, NewContent, NewEntry, Passed, Start,
};
use stomp_bridge::model::Position;
use stomp_bridge::paced::Interval;
use stomp_bridge::pipeline::{Decoder, Ignore, Mapping, States};
use stomp_bridge::source::{Handle, Reconnect, Settings, Source, SourceError, Status, Topic};
use stomp_bridge::stomp::AckMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// It keeps the messages of its queues, also while nobody is subscribed.
const KEEPS: &str = "server:RabbitMQ/3.10.8\n";

/// It keeps nothing: the journal's room is its clients' own business.
const KEEPS_NOTHING: &str = "";

/// A journal and a source that connects to `server`.
pub(super) struct Lab {
    pub(super) server: TcpListener,
    pub(super) journal: Journal,
    pub(super) settings: Settings,
    pub(super) handle: Handle,
    pub(super) writer: JoinHandle<Result<(), journal::Error>>,
    pub(super) status: Arc<Status>,
    pub(super) read_interval: Interval,
    /// The header of CONNECTED that says what kind of server it is.
    kind: &'static str,
    pub(super) stop: CancellationToken,
    pub(super) source: JoinHandle<Result<(), SourceError>>,
    /// A source that lived on would knock at the port, which may be another test's by then.
    _end: DropGuard,
    _folder: tempfile::TempDir,
}

impl Lab {
    pub(super) async fn new(ack: AckMode) -> Lab {
        Lab::with(ack, Duration::ZERO, 1 << 30, None).await
    }

    pub(super) async fn with(
        ack: AckMode,
        heartbeat: Duration,
        journal_bytes_max: u64,
        attempts: Option<u32>,
    ) -> Lab {
        Lab::over("stomp", ack, heartbeat, journal_bytes_max, attempts).await
    }

    pub(super) async fn over(
        scheme: &str,
        ack: AckMode,
        heartbeat: Duration,
        journal_bytes_max: u64,
        attempts: Option<u32>,
    ) -> Lab {
        let topic = Topic {
            name: "map-1".into(),
            destination: "/queue/a".into(),
            ack,
            headers: Vec::new(),
        };
        Lab::of(scheme, vec![topic], heartbeat, journal_bytes_max, attempts).await
    }

    pub(super) async fn of(
        scheme: &str,
        topics: Vec<Topic>,
        heartbeat: Duration,
        journal_bytes_max: u64,
        attempts: Option<u32>,
    ) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        Lab::in_folder(
            folder,
            scheme,
            topics,
            heartbeat,
            journal_bytes_max,
            attempts,
        )
        .await
    }

    /// One whose journal was left open by a process that has ended.
    pub(super) async fn after_a_crash(topics: Vec<Topic>) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let settings = journal_settings(folder.path(), 1 << 30);
        drop(Journal::open(&settings).await.unwrap());
        Lab::in_folder(folder, "stomp", topics, Duration::ZERO, 1 << 30, None).await
    }

    async fn in_folder(
        folder: tempfile::TempDir,
        scheme: &str,
        topics: Vec<Topic>,
        heartbeat: Duration,
        journal_bytes_max: u64,
        attempts: Option<u32>,
    ) -> Lab {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (journal, writer) = Journal::open(&journal_settings(folder.path(), journal_bytes_max))
            .await
            .unwrap();
        let writer = tokio::spawn(writer.run(CancellationToken::new()));
        journal
            .cursors
            .register_sinks(&[("stuck".into(), Start::Oldest)])
            .await
            .unwrap();
        let settings = Settings {
            urls: vec![
                format!("{scheme}://{}", server.local_addr().unwrap())
                    .parse()
                    .unwrap(),
            ],
            signin: None,
            login: None,
            passcode: None,
            host: "/".to_owned(),
            headers: Vec::new(),
            heartbeat,
            silence: None,
            silences: Default::default(),
            resyncs: Default::default(),
            backslashes: Default::default(),
            websocket_split: None,
            tls: Default::default(),
            reconnect: Reconnect {
                initial: Duration::ZERO,
                max: Some(Duration::ZERO),
                attempts,
            },
            topics,
            body_bytes_max: 1 << 20,
        };
        let decoders = decoders(&settings.topics);
        let (status, stop) = (Status::new(), CancellationToken::new());
        let read_interval = Interval::new(Duration::from_millis(5));
        let (source, handle) = Source::new(
            settings.clone(),
            decoders,
            journal.log.clone(),
            status.clone(),
            read_interval.clone(),
        )
        .await
        .unwrap();
        let source = tokio::spawn(source.run(stop.clone()));
        Lab {
            server,
            journal,
            settings,
            handle,
            writer,
            status,
            read_interval,
            kind: KEEPS,
            _end: stop.clone().drop_guard(),
            stop,
            source,
            _folder: folder,
        }
    }

    /// The one sink is done with all that is in the journal.
    pub(super) fn unstick(&self) {
        let head = *self.journal.log.head().borrow();
        self.journal.cursors.pass("stuck", head, Passed::default());
    }

    /// A journal of a few pages, which is full, and whose one sink does not move until the test
    /// says so. The server keeps nothing, so that it is asked for messages in spite of that.
    pub(super) async fn with_full_journal() -> Lab {
        Lab::with_full_journal_and(AckMode::ClientIndividual).await
    }

    pub(super) async fn with_full_journal_and(ack: AckMode) -> Lab {
        let lab = Lab::with(ack, Duration::from_millis(200), 256 << 10, None).await;
        lab.fill().await;
        Lab {
            kind: KEEPS_NOTHING,
            ..lab
        }
    }

    /// Fills the journal, whose one sink does not move.
    pub(super) async fn fill(&self) {
        let mut filled = 0;
        while !self.journal.log.status().full {
            let entry = NewEntry {
                topic: "map-1".into(),
                received_at: jiff::Timestamp::UNIX_EPOCH,
                body: vec![b'x'; 16 << 10].into(),
                content: NewContent::sample(),
            };
            let append = self.journal.log.append(NewBatch {
                entries: vec![entry],
            });
            filled += usize::from(
                tokio::time::timeout(Duration::from_secs(5), append)
                    .await
                    .is_ok(),
            );
            assert!(filled < 1000, "it never gets full");
        }
    }

    /// Why a connection or an attempt ended, once one has.
    pub(super) async fn error(&self) -> String {
        self.until(|status| status.link().last_error.is_some())
            .await;
        self.status.link().last_error.unwrap()
    }

    /// The backoff of this lab is zero: any other failure would be tried again within the
    /// millisecond.
    pub(super) async fn waits_with_the_next_attempt(&self) {
        let again = tokio::time::timeout(Duration::from_millis(300), self.server.accept()).await;
        assert!(again.is_err(), "tried again at once");
    }

    pub(super) async fn accept(&self) -> Server {
        let (stream, _) = within(self.server.accept()).await.unwrap();
        Server {
            stream,
            received: Vec::new(),
        }
    }

    /// Accepts, and answers CONNECT.
    pub(super) async fn accept_connection(&self, heartbeat: &str) -> Server {
        let mut server = self.accept().await;
        assert!(server.frame().await.starts_with("CONNECT\n"));
        let kind = self.kind;
        server
            .send(&format!(
                "CONNECTED\nversion:1.2\n{kind}heart-beat:{heartbeat}\n\n\0\n"
            ))
            .await;
        server
    }

    /// The same, and reads SUBSCRIBE.
    pub(super) async fn accept_session(&self, heartbeat: &str) -> Server {
        let mut server = self.accept_connection(heartbeat).await;
        let subscribe = server.frame().await;
        assert!(
            subscribe.starts_with("SUBSCRIBE\nid:map-1\ndestination:/queue/a\n"),
            "{subscribe}"
        );
        server.receipt(&subscribe).await;
        server
    }

    /// The whole log.
    pub(super) async fn log(&self) -> Vec<Entry> {
        let mut reader = self.journal.log.reader().await.unwrap();
        reader
            .read_after(Position::START, 1000, 1 << 20)
            .await
            .unwrap()
    }

    /// What came from the server.
    pub(super) async fn entries(&self) -> Vec<(Position, String, EntryContent)> {
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        self.log()
            .await
            .into_iter()
            .filter(|entry| entry.content != EntryContent::Coverage)
            .map(|entry| (entry.position, text(&entry.body), entry.content))
            .collect()
    }

    pub(super) async fn until(&self, wanted: impl Fn(&Status) -> bool) {
        within(async {
            while !wanted(&self.status) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

pub(super) fn decoders(topics: &[Topic]) -> Arc<HashMap<Arc<str>, Decoder>> {
    let decoder = |topic: &Topic| {
        let mut mapping = Mapping::default();
        mapping.ignore = Some(Ignore::parse("type == 'heartbeat'").unwrap());
        let decoder = Decoder::new(topic.name.clone(), mapping, Arc::new(States::default()));
        (topic.name.clone(), decoder)
    };
    Arc::new(topics.iter().map(decoder).collect())
}

fn journal_settings(folder: &Path, bytes_max: u64) -> journal::Settings {
    journal::Settings {
        bytes_max,
        keep: Duration::from_secs(3600),
        ..journal::Settings::new(folder.join("journal.db"))
    }
}

/// The other end of one connection.
pub(super) struct Server {
    pub(super) stream: TcpStream,
    pub(super) received: Vec<u8>,
}

impl Server {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn message(&mut self, id: usize, body: &str) {
        self.message_of("map-1", id, body).await;
    }

    pub(super) async fn message_of(&mut self, topic: &str, id: usize, body: &str) {
        let head = format!(
            "MESSAGE\nsubscription:{topic}\ndestination:/queue/a\nmessage-id:m{id}\nack:a{id}\n"
        );
        self.send(&format!(
            "{head}content-length:{}\n\n{body}\0\n",
            body.len()
        ))
        .await;
    }

    /// A message of `map-1` whose body is no text in UTF-8, with one more header.
    pub(super) async fn message_with(&mut self, id: usize, header: &str, body: &[u8]) {
        let head = format!(
            "MESSAGE\nsubscription:map-1\ndestination:/queue/a\nmessage-id:m{id}\nack:a{id}\n\
             {header}\ncontent-length:{}\n\n",
            body.len()
        );
        let frame = [head.as_bytes(), body, b"\0\n"].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Answers a frame's receipt header.
    pub(super) async fn receipt(&mut self, frame: &str) {
        let receipt = frame
            .lines()
            .find_map(|line| line.strip_prefix("receipt:"))
            .expect("a receipt is wanted");
        self.send(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0\n"))
            .await;
    }

    /// Reads a number of heart-beats and nothing else, and answers each: else it would be taken for
    /// dead.
    pub(super) async fn exchange_heartbeats(&mut self, count: usize) {
        within(async {
            for _ in 0..count {
                let mut byte = [0];
                self.stream.read_exact(&mut byte).await.unwrap();
                assert_eq!(byte, *b"\n", "only heart-beats may come");
                self.send("\n").await;
            }
        })
        .await;
    }

    /// The next frame, without heart-beats before it.
    pub(super) async fn frame(&mut self) -> String {
        within(async {
            loop {
                let start = self
                    .received
                    .iter()
                    .take_while(|byte| **byte == b'\n')
                    .count();
                self.received.drain(..start);
                if let Some(end) = self.received.iter().position(|byte| *byte == 0) {
                    let frame: Vec<u8> = self.received.drain(..=end).collect();
                    return String::from_utf8_lossy(&frame[..end]).into_owned();
                }
                assert_ne!(
                    self.stream.read_buf(&mut self.received).await.unwrap(),
                    0,
                    "closed, a frame was expected"
                );
            }
        })
        .await
    }

    /// Reads until the other side closes, and gives what came before.
    pub(super) async fn rest(&mut self) -> String {
        within(self.stream.read_to_end(&mut self.received))
            .await
            .unwrap();
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// What takes longer never comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it comes within a minute")
}
