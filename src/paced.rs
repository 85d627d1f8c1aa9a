//! A TCP stream that is read at most once in an [`Interval`] while it always has something. What
//! came meanwhile is then read together. It knows nothing of the bytes.
//!
//! The first bytes after a quiet moment are read at once. If more come within the interval, the
//! stream leaves epoll for the rest of it, since epoll wakes the thread for each arrival. Two reads
//! in a row that find nothing end that. A flood is not paused: its reads are large without a pause.
//!
//! A stream that has left epoll hears nothing of a close or a reset; the read after the pause does.
//! It returns to epoll for a write that has to wait, and does not leave as long as that waits.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// A read of this many bytes is worth its cost: no pause is longer than they need to come.
const BURST_BYTES: usize = 32 * 1024;

/// Where a burst comes within this time, or within a shorter interval, it is a flood.
const FLOOD_SPAN: Duration = Duration::from_millis(5);

/// Reads in a row that find nothing before the stream waits in epoll again.
const EMPTY_READS_MAX: u32 = 2;

/// The shortest time between two reads of a stream that always has something. Clones share it: an
/// open stream goes by a new one from its next pause on. Zero: every arrival is read at once.
#[derive(Debug, Clone)]
pub struct Interval {
    micros: Arc<AtomicU64>,
    times: u32,
}

impl Interval {
    /// One of its own.
    pub fn new(interval: Duration) -> Interval {
        let shared = Interval {
            micros: Arc::default(),
            times: 1,
        };
        shared.set(interval);
        shared
    }

    /// Changes it for every clone.
    pub fn set(&self, interval: Duration) {
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        self.micros.store(micros, Ordering::Relaxed);
    }

    /// A multiple of it, which follows its changes.
    pub fn times(&self, times: u32) -> Interval {
        Interval {
            micros: Arc::clone(&self.micros),
            times: self.times.saturating_mul(times),
        }
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed)).saturating_mul(self.times)
    }
}

impl Default for Interval {
    /// Zero.
    fn default() -> Interval {
        Interval::new(Duration::ZERO)
    }
}

/// Begins a stream's pauses, and cuts them short. It may outlive the stream and serve the next one;
/// it serves one at a time.
#[derive(Debug, Clone, Default)]
pub struct Pacing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Reads are paced from now on.
    begun: AtomicBool,
    /// The next bytes are to be read at once.
    hurried: AtomicBool,
    /// The last read took all that there was, and a pause follows.
    resting: AtomicBool,
    reader: AtomicWaker,
}

impl Pacing {
    /// Paces the stream's reads from now on. A new stream's are not yet: in a handshake each read
    /// is waited for.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// Until it begins again, each arrival is read at once.
    pub fn suspend(&self) {
        self.0.begun.store(false, Ordering::Relaxed);
        self.hurry();
    }

    /// Has the stream read what is there now, else the next bytes as soon as they come.
    pub fn hurry(&self) {
        self.0.hurried.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    /// Whether the last read took all that there was: until the pause is over, more can come only
    /// from what is buffered above the stream.
    pub fn is_resting(&self) -> bool {
        self.0.resting.load(Ordering::Relaxed)
    }

    /// Whether the next bytes are read at once.
    pub fn is_hurried(&self) -> bool {
        self.0.hurried.load(Ordering::Acquire)
    }

    /// The same; if not, the reader is woken once it is.
    fn is_hurried_or_wakes(&self, reader: &Waker) -> bool {
        self.0.reader.register(reader);
        self.is_hurried()
    }

    /// For a new stream.
    fn reset(&self) {
        self.0.begun.store(false, Ordering::Relaxed);
        self.rests(false);
        self.calm();
    }

    fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn calm(&self) {
        self.0.hurried.store(false, Ordering::Release);
    }

    fn rests(&self, resting: bool) {
        self.0.resting.store(resting, Ordering::Relaxed);
    }
}

/// When our kernel tells the peer's what has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpAcks {
    /// As the kernel likes: with data that we send, or up to 40 ms later.
    Delayed,
    /// With each read. For a peer that holds data back until then, by Nagle's algorithm.
    AtOnce,
}

/// A TCP stream whose reads are paced.
pub struct PacedStream {
    side: Side,
    interval: Interval,
    pacing: Pacing,
    acks: TcpAcks,
    rate: Rate,
    /// Bytes that come before are not read before.
    until: Instant,
    /// The pause runs, to its end at `until`.
    pausing: bool,
    pause: Pin<Box<Sleep>>,
    empty_reads: u32,
    /// A write waits in epoll.
    write_waits: bool,
    /// For reads outside of epoll.
    scratch: Box<[u8]>,
}

/// Who tells of what happens to the socket.
enum Side {
    /// Epoll.
    Registered(TcpStream),
    /// Nobody.
    Alone(std::net::TcpStream),
    /// It could not be moved from one to the other.
    Gone,
}

impl PacedStream {
    /// Over a connected stream; its reads are paced once `pacing` begins.
    pub fn new(tcp: TcpStream, interval: Interval, pacing: Pacing, acks: TcpAcks) -> PacedStream {
        let now = Instant::now();
        pacing.reset();
        PacedStream {
            side: Side::Registered(tcp),
            interval,
            pacing,
            acks,
            rate: Rate::new(now),
            until: now,
            pausing: false,
            pause: Box::pin(sleep_until(now)),
            empty_reads: 0,
            write_waits: false,
            scratch: vec![0; BURST_BYTES].into(),
        }
    }

    /// What begins its pauses, and cuts them short.
    pub fn pacing(&self) -> Pacing {
        self.pacing.clone()
    }

    /// Another descriptor of the same socket: it stays where it is while this one leaves epoll.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        match &self.side {
            Side::Registered(tcp) => tcp.as_fd().try_clone_to_owned(),
            Side::Alone(tcp) => tcp.as_fd().try_clone_to_owned(),
            Side::Gone => Err(gone()),
        }
    }

    fn leave_epoll(&mut self) -> io::Result<()> {
        self.side = match std::mem::replace(&mut self.side, Side::Gone) {
            Side::Registered(tcp) => Side::Alone(tcp.into_std()?),
            side => side,
        };
        Ok(())
    }

    fn return_to_epoll(&mut self) -> io::Result<()> {
        self.side = match std::mem::replace(&mut self.side, Side::Gone) {
            Side::Alone(tcp) => Side::Registered(TcpStream::from_std(tcp)?),
            side => side,
        };
        Ok(())
    }

    fn pause_until(&mut self, until: Instant) {
        self.until = until;
        self.pausing = true;
        self.pause.as_mut().reset(until);
    }

    /// Bytes have come before their time.
    fn begin_pause(&mut self) -> io::Result<()> {
        self.pause_until(self.until);
        self.empty_reads = 0;
        match self.write_waits {
            true => Ok(()),
            false => self.leave_epoll(),
        }
    }

    /// Decides when the next read is, after one that could have taken `room` bytes. It must not
    /// fail: the bytes would be lost.
    fn has_read(&mut self, count: usize, room: usize) {
        self.pacing.calm();
        self.empty_reads = 0;
        self.acknowledge();
        let (now, interval) = (Instant::now(), self.interval());
        let pause = match interval.is_zero() {
            true => Duration::ZERO,
            false => self.rate.pause(count, now, interval),
        };
        // Where all the room was used, there may be more.
        let has_all = count > 0 && count < room;
        self.pacing.rests(has_all && !pause.is_zero());
        if pause.is_zero() {
            self.until = now;
            // If it is gone, the next read says so.
            let _ = self.return_to_epoll();
            return;
        }
        match self.side {
            _ if !has_all => self.until = now,
            Side::Alone(_) => self.pause_until(in_step(self.until, now, pause)),
            Side::Registered(_) | Side::Gone => self.until = now + pause,
        }
    }

    /// A read outside of epoll has found nothing.
    fn has_found_nothing(&mut self) -> io::Result<()> {
        self.empty_reads += 1;
        let interval = self.interval();
        let ends = interval.is_zero() || self.empty_reads >= EMPTY_READS_MAX;
        if ends || self.pacing.is_hurried() {
            return self.return_to_epoll();
        }
        self.pause_until(in_step(self.until, Instant::now(), interval));
        Ok(())
    }

    fn interval(&self) -> Duration {
        match self.pacing.has_begun() {
            true => self.interval.get(),
            false => Duration::ZERO,
        }
    }

    /// For what has arrived, not for what comes. Without it all is as right, and slower.
    fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if self.acks == TcpAcks::AtOnce {
            let _ = match &self.side {
                Side::Registered(tcp) => socket2::SockRef::from(tcp).set_tcp_quickack(true),
                Side::Alone(tcp) => socket2::SockRef::from(tcp).set_tcp_quickack(true),
                Side::Gone => Ok(()),
            };
        }
    }
}

/// The end of the next pause: late reads do not add up, and no pause is cut by more than half.
fn in_step(last: Instant, now: Instant, pause: Duration) -> Instant {
    (last + pause).clamp(now + pause / 2, now + pause)
}

fn gone() -> io::Error {
    io::Error::other("the socket could not be registered with epoll")
}

impl AsyncRead for PacedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.pausing && !this.pacing.is_hurried_or_wakes(cx.waker()) {
                ready!(this.pause.as_mut().poll(cx));
            }
            this.pausing = false;
            match &mut this.side {
                Side::Registered(tcp) => {
                    if Instant::now() < this.until && !this.pacing.is_hurried() {
                        ready!(tcp.poll_read_ready(cx))?;
                        this.begin_pause()?;
                        continue;
                    }
                    let (before, room) = (buf.filled().len(), buf.remaining());
                    ready!(Pin::new(tcp).poll_read(cx, buf))?;
                    this.has_read(buf.filled().len() - before, room);
                    return Poll::Ready(Ok(()));
                }
                Side::Alone(tcp) => {
                    let room = buf.remaining().min(this.scratch.len());
                    match tcp.read(&mut this.scratch[..room]) {
                        Ok(count) => {
                            buf.put_slice(&this.scratch[..count]);
                            this.has_read(count, room);
                            return Poll::Ready(Ok(()));
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            this.has_found_nothing()?;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Side::Gone => return Poll::Ready(Err(gone())),
            }
        }
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// TLS writes its records so: else each would be a call of its own.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match &mut this.side {
                Side::Registered(tcp) => {
                    let written = Pin::new(tcp).poll_write_vectored(cx, parts);
                    this.write_waits = written.is_pending();
                    return written;
                }
                Side::Alone(tcp) => match tcp.write_vectored(parts) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        this.return_to_epoll()?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    written => return Poll::Ready(written),
                },
                Side::Gone => return Poll::Ready(Err(gone())),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().side {
            Side::Registered(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Side::Alone(tcp) => Poll::Ready(tcp.shutdown(Shutdown::Write)),
            Side::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for PacedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedStream").finish_non_exhaustive()
    }
}

/// How fast bytes come, and so how long a pause is worth it.
#[derive(Debug)]
struct Rate {
    since: Instant,
    bytes: usize,
    floods: bool,
}

impl Rate {
    fn new(now: Instant) -> Rate {
        Rate {
            since: now,
            bytes: 0,
            floods: false,
        }
    }

    /// The pause after a read of so many bytes; zero in a flood.
    fn pause(&mut self, count: usize, now: Instant, interval: Duration) -> Duration {
        self.bytes += count;
        let (elapsed, span) = (now - self.since, interval.min(FLOOD_SPAN));
        if elapsed < span {
            // A flood is kept to the end of the next span.
            let floods = self.floods || self.bytes >= BURST_BYTES;
            return if floods { Duration::ZERO } else { interval };
        }
        let burst_in = elapsed.mul_f64(BURST_BYTES as f64 / self.bytes.max(1) as f64);
        self.floods = burst_in <= span;
        (self.since, self.bytes) = (now, 0);
        match self.floods {
            true => Duration::ZERO,
            false => burst_in.clamp(span, interval),
        }
    }
}

#[cfg(test)]
mod tests;
