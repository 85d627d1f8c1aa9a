//! A STOMP 1.2 server for one client, made to cost little. Frames go out in large writes as the
//! prefetch window allows; ACKs are counted by their NUL. Two plain threads, no runtime.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::message::{self, DIGITS, Ring};

/// Messages that may be unacknowledged, as `prefetch-count` asks for.
pub const PREFETCH: usize = 1_000;
/// A client that does not get on within this time has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions whether more may be sent.
const PAUSE: Duration = Duration::from_millis(10);
/// One read of ACKs, about a thousand of them.
const READ_BYTES: usize = 64 * 1024;
/// Holds an ACK or two.
const TAIL_BYTES: usize = 256;

/// Waits for its client.
pub struct Source {
    listener: TcpListener,
}

/// A client that has subscribed.
pub struct Subscribed {
    stream: TcpStream,
    subscription: String,
    destination: String,
    acknowledged: Arc<Acknowledged>,
    sent: usize,
    ring: Ring,
}

/// What the reading thread tells the writing one.
struct Acknowledged {
    count: AtomicUsize,
    gone: AtomicBool,
    /// The end of what came, for [`Subscribed::check_acknowledged`].
    tail: Mutex<Vec<u8>>,
    /// Told of each of these, with `tail` locked: whichever thread writes.
    news: Condvar,
}

impl Acknowledged {
    /// Counts the ACKs of what has been read.
    fn add(&self, bytes: &[u8]) {
        let mut tail = self.lock_tail();
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        let surplus = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..surplus);
        self.count
            .fetch_add(memchr::memchr_iter(0, bytes).count(), Ordering::Release);
        self.news.notify_all();
    }

    /// Nothing more will come.
    fn end(&self) {
        let _tail = self.lock_tail();
        self.gone.store(true, Ordering::Release);
        self.news.notify_all();
    }

    /// Until there are more than `known`.
    fn wait(&self, known: usize) -> io::Result<()> {
        let same = |_: &mut Vec<u8>| {
            self.count.load(Ordering::Acquire) == known && !self.gone.load(Ordering::Acquire)
        };
        let waited = self
            .news
            .wait_timeout_while(self.lock_tail(), PATIENCE, same);
        let (_tail, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(io::Error::other(format!(
                "no ACK within {PATIENCE:?}, after {known} of them"
            )));
        }
        if self.count.load(Ordering::Acquire) == known {
            return Err(io::Error::other(
                "the client went away before it had acknowledged everything",
            ));
        }
        Ok(())
    }

    fn lock_tail(&self) -> MutexGuard<'_, Vec<u8>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// On a free port of loopback.
    pub fn bind() -> Source {
        Source {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback"),
        }
    }

    /// Where.
    pub fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a bound listener has an address")
    }

    /// Takes the client's connection and nothing more.
    pub fn accept_within(&self, patience: Duration) -> io::Result<TcpStream> {
        accept_within(&self.listener, patience)
    }

    /// Takes the client's connection, CONNECT and SUBSCRIBE.
    pub fn accept(&self) -> io::Result<Subscribed> {
        let mut stream = self.accept_within(PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let connect = read_frame(&mut stream)?;
        expect_command(&connect, &["CONNECT", "STOMP"])?;
        stream.write_all(b"CONNECTED\nversion:1.2\nheart-beat:0,0\nserver:bench\n\n\0\n")?;
        let subscribe = read_frame(&mut stream)?;
        expect_command(&subscribe, &["SUBSCRIBE"])?;
        if let Some(receipt) = header(&subscribe, "receipt") {
            write!(stream, "RECEIPT\nreceipt-id:{receipt}\n\n\0\n")?;
        }
        let missing = || io::Error::other("SUBSCRIBE without id or destination");
        let subscription = header(&subscribe, "id").ok_or_else(missing)?;
        let destination = header(&subscribe, "destination").ok_or_else(missing)?;
        if header(&subscribe, "ack").as_deref() != Some("client-individual") {
            return Err(io::Error::other(
                "the subscription must be client-individual, or nothing is counted",
            ));
        }

        let acknowledged = Arc::new(Acknowledged {
            count: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            tail: Mutex::default(),
            news: Condvar::new(),
        });
        // From now on who waits for ACKs has the patience.
        stream.set_read_timeout(None)?;
        let (reading, counted) = (stream.try_clone()?, acknowledged.clone());
        thread::spawn(move || count(reading, &counted));
        let ring = Ring::new(&subscription, &destination, PREFETCH);
        Ok(Subscribed {
            stream,
            subscription,
            destination,
            acknowledged,
            sent: 0,
            ring,
        })
    }
}

impl Subscribed {
    /// What the client's subscription is called and for what it is.
    pub fn subscription(&self) -> (&str, &str) {
        (&self.subscription, &self.destination)
    }

    /// Sends as fast as the window allows, for `duration` or until `count_max` messages are sent,
    /// and waits for the last ACK. Gives the number of messages, each of them acknowledged, and the
    /// time from the first write to the last ACK.
    pub fn flood(&mut self, duration: Duration, count_max: usize) -> io::Result<(usize, Duration)> {
        let first = self.sent;
        let start = Instant::now();
        while start.elapsed() < duration && self.sent - first < count_max {
            let acknowledged = self.acknowledged.count.load(Ordering::Acquire);
            let room = (acknowledged + PREFETCH).min(first.saturating_add(count_max));
            if self.sent < room {
                self.send_until(room)?
            } else {
                self.acknowledged.wait(acknowledged)?
            }
        }
        self.settle()?;
        Ok((self.sent - first, start.elapsed()))
    }

    /// Sends a number of messages as fast as the window allows, and waits for the last ACK. All
    /// messages ever sent are never more than `may` gives.
    pub fn send(&mut self, count: usize, mut may: impl FnMut() -> usize) -> io::Result<()> {
        let end = self.sent + count;
        let mut allowed = 0;
        while self.sent < end {
            if self.sent >= allowed {
                allowed = may().min(end);
            }
            let acknowledged = self.acknowledged.count.load(Ordering::Acquire);
            let room = (acknowledged + PREFETCH).min(allowed);
            match self.sent < room {
                true => self.send_until(room)?,
                false if self.sent < allowed => self.acknowledged.wait(acknowledged)?,
                false => thread::sleep(PAUSE),
            }
        }
        self.settle()
    }

    /// Sends one message at each multiple of `interval`, `count` of them. Gives when each was
    /// written, by its sequence number from the start of the connection.
    pub fn pace(&mut self, interval: Duration, count: usize) -> io::Result<Vec<Instant>> {
        let start = Instant::now();
        let mut written = Vec::with_capacity(count);
        for sequence in 0..count {
            let due = start + interval * u32::try_from(sequence).expect("a bounded count");
            thread::sleep(due.saturating_duration_since(Instant::now()));
            written.push(Instant::now());
            self.send_until(self.sent + 1)?;
        }
        self.settle()?;
        Ok(written)
    }

    /// Fails unless the last ACK was for the last message: counting alone would take any frame for
    /// an ACK.
    pub fn check_acknowledged(&self) -> io::Result<()> {
        let mut last = [0; DIGITS];
        message::write_number(&mut last, self.sent - 1);
        let tail = self.acknowledged.lock_tail();
        match memchr::memmem::rfind(&tail, &last) {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the last ACK is not for the last message")),
        }
    }

    fn send_until(&mut self, end: usize) -> io::Result<()> {
        while self.sent < end {
            let (frames, count) = self.ring.render(self.sent, end);
            self.stream.write_all(frames)?;
            self.sent += count;
        }
        Ok(())
    }

    /// Until every message is acknowledged.
    fn settle(&self) -> io::Result<()> {
        loop {
            let acknowledged = self.acknowledged.count.load(Ordering::Acquire);
            if acknowledged >= self.sent {
                return Ok(());
            }
            self.acknowledged.wait(acknowledged)?;
        }
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        // Lets the reading thread end; a client that has gone already is no trouble.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// Counts frames until the connection ends. Every frame is an ACK here, but for the DISCONNECT of a
/// client that stops, when nothing more is counted.
fn count(mut stream: TcpStream, acknowledged: &Acknowledged) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        acknowledged.add(&buffer[..length]);
    }
    acknowledged.end();
}

fn accept_within(listener: &TcpListener, patience: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + patience;
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}

/// One frame without a body, up to its NUL; nothing follows it before it is answered, so byte for
/// byte is fast enough.
pub fn read_frame(stream: &mut TcpStream) -> io::Result<String> {
    let mut frame = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        match byte[0] {
            0 => return String::from_utf8(frame).map_err(io::Error::other),
            b'\n' if frame.is_empty() => {}
            byte => frame.push(byte),
        }
    }
}

/// Fails unless a frame has one of these commands.
pub fn expect_command(frame: &str, commands: &[&str]) -> io::Result<()> {
    match frame.lines().next() {
        Some(command) if commands.contains(&command) => Ok(()),
        other => Err(io::Error::other(format!(
            "expected {}, got {other:?}",
            commands.join(" or ")
        ))),
    }
}

/// The first header of a frame with this name.
pub fn header(frame: &str, name: &str) -> Option<String> {
    frame
        .lines()
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned()))
}
