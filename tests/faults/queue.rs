//! A durable queue behind STOMP 1.2, as fast as its reader. It keeps every message until it is
//! acknowledged. It redelivers the others to the next connection, in their old order.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use peers::configuration::PREFETCH;

/// A running server with one queue.
pub(crate) struct Queue {
    port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    accounting: Mutex<Accounting>,
    news: Notify,
}

/// The published messages, and their outcomes.
#[derive(Default)]
struct Accounting {
    bodies: Vec<Arc<str>>,
    /// To be sent.
    ready: BTreeSet<usize>,
    /// Sent on the living connection.
    sent: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
    /// What the reader of the living connection says from now on is not heard.
    deaf: bool,
    /// How often each was sent.
    deliveries: Vec<u32>,
}

impl Queue {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Queue {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept a connection");
                // One at a time: the next waits until what the last has acknowledged is read to its
                // end.
                let _ended = serve(stream, &served).await;
                let mut accounting = served.lock();
                let unacknowledged = std::mem::take(&mut accounting.sent);
                accounting.ready.extend(unacknowledged);
                accounting.deaf = false;
            }
        });
        Queue {
            port,
            shared,
            server,
        }
    }

    /// As in a configuration.
    pub(crate) fn url(&self) -> String {
        peers::stomp::url(self.port)
    }

    /// Adds messages, whose bodies are made from their numbers.
    pub(crate) fn publish(&self, count: usize, body: impl Fn(usize) -> String) {
        let mut accounting = self.shared.lock();
        for _ in 0..count {
            let n = accounting.bodies.len();
            accounting.bodies.push(body(n).into());
            accounting.deliveries.push(0);
            accounting.ready.insert(n);
        }
        self.shared.news.notify_one();
    }

    /// How many messages were published.
    pub(crate) fn published(&self) -> usize {
        self.shared.lock().bodies.len()
    }

    /// The numbers of those that were acknowledged.
    pub(crate) fn acknowledged(&self) -> BTreeSet<usize> {
        self.shared.lock().acknowledged.clone()
    }

    /// Hears no more of the living connection's ACKs: the network has gone with the power.
    pub(crate) fn hear_no_more(&self) {
        self.shared.lock().deaf = true;
    }

    /// How often each message was sent.
    pub(crate) fn deliveries(&self) -> Vec<u32> {
        self.shared.lock().deliveries.clone()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Accounting> {
        self.accounting
            .lock()
            .expect("nobody panics while holding the accounting")
    }

    /// The next frames that the window has room for.
    fn next(&self, subscription: &str) -> Vec<u8> {
        let mut accounting = self.lock();
        let mut frames = Vec::new();
        while accounting.sent.len() < PREFETCH
            && let Some(n) = accounting.ready.pop_first()
        {
            accounting.sent.insert(n);
            accounting.deliveries[n] += 1;
            let body = Arc::clone(&accounting.bodies[n]);
            let head = format!(
                "MESSAGE\nsubscription:{subscription}\ndestination:/queue/q\nmessage-id:{n}\nack:{n}\n\
                 content-length:{}\n\n",
                body.len()
            );
            frames.extend_from_slice(head.as_bytes());
            frames.extend_from_slice(body.as_bytes());
            frames.extend_from_slice(b"\0\n");
        }
        frames
    }

    fn acknowledge(&self, n: usize) {
        let mut accounting = self.lock();
        if accounting.deaf {
            return;
        }
        assert!(
            accounting.sent.remove(&n),
            "message {n} was acknowledged, but it is not with the reader"
        );
        accounting.acknowledged.insert(n);
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut frame = Vec::new();
    let mut subscription: Option<String> = None;
    loop {
        let notified = shared.news.notified();
        if let Some(subscription) = &subscription {
            let frames = shared.next(subscription);
            // Where it cannot be written, what the reader has acknowledged is still there to be
            // read.
            let _ = writer.write_all(&frames).await;
        }
        tokio::select! {
            // What a cancelled call has read stays in `frame`.
            read = read_frame(&mut reader, &mut frame) => {
                read?;
                let text = String::from_utf8_lossy(&frame).into_owned();
                frame.clear();
                handle(&text, shared, &mut writer, &mut subscription).await?;
            }
            () = notified, if subscription.is_some() => {}
        }
    }
}

async fn read_frame(reader: &mut BufReader<OwnedReadHalf>, frame: &mut Vec<u8>) -> io::Result<()> {
    match reader.read_until(0, frame).await? {
        _ if frame.ends_with(&[0]) => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn handle(
    text: &str,
    shared: &Shared,
    writer: &mut OwnedWriteHalf,
    subscription: &mut Option<String>,
) -> io::Result<()> {
    let mut lines = text.trim_start_matches(['\n', '\r', '\0']).lines();
    let command = lines.next().unwrap_or_default();
    let header = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::to_owned)
    };
    match command {
        "CONNECT" | "STOMP" => {
            writer
                .write_all(b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0\n")
                .await?
        }
        "SUBSCRIBE" => *subscription = header("id"),
        "ACK" => {
            let id = header("id").expect("an ACK has an id");
            shared.acknowledge(id.parse().expect("the id of a message that was sent"));
        }
        "DISCONNECT" | "UNSUBSCRIBE" => *subscription = None,
        other => panic!("a reader sends no {other:?}"),
    }
    if let Some(receipt) = header("receipt") {
        // After DISCONNECT the reader may be gone.
        let _ = writer
            .write_all(format!("RECEIPT\nreceipt-id:{receipt}\n\n\0\n").as_bytes())
            .await;
    }
    Ok(())
}
