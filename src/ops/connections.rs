//! The connections of the HTTP listener. There is a bound, some are kept for probes, and no client
//! holds one that another needs. They live inside the one future of [`Connections::run`].

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Admission, Connection, Handle, Site};
use crate::log_throttle::LogThrottle;

/// Connections at once: enough for a few dozen scrapers, probes and operators. It is below the
/// usual limit of 1,024 open files, since the journal and the sinks need files too.
const CONNECTIONS_MAX: usize = 256;
/// The last of them, which answer probes alone: a handful look at the same time.
const CONNECTIONS_RESERVED: usize = 8;
/// What goes wrong in `accept` (too many open files) is not mended sooner by trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A request that is being answered when the daemon stops has this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub(super) connections_max: usize,
    /// The last of them, which answer probes alone.
    pub(super) reserved: usize,
    /// How long requests may take to end once the daemon stops.
    pub(super) stop: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: CONNECTIONS_MAX,
            reserved: CONNECTIONS_RESERVED,
            stop: STOP_TIMEOUT,
        }
    }
}

/// Everybody who is connected.
///
/// Where there is no room for another connection but the reserved ones, the one whose client has
/// been waited for longest is closed. So clients that only hold connections cost nobody else
/// anything. The reserve is for the time in which all requests wait for us, such as for a journal
/// on a disk that hangs.
pub(super) struct Connections {
    site: Site,
    limits: Limits,
    open: HashMap<u64, Handle>,
    serving: FuturesUnordered<BoxFuture<'static, u64>>,
    /// The next connection's number.
    next: u64,
    accept_from: Instant,
    accept_throttle: LogThrottle,
    room_throttle: LogThrottle,
}

impl Connections {
    /// None yet.
    pub(super) fn new(site: Site, limits: Limits) -> Connections {
        Connections {
            site,
            limits,
            open: HashMap::new(),
            serving: FuturesUnordered::new(),
            next: 0,
            accept_from: Instant::now(),
            accept_throttle: LogThrottle::default(),
            room_throttle: LogThrottle::default(),
        }
    }

    /// Serves until stopped: idle connections end then, and requests are answered for a moment.
    pub(super) async fn run(mut self, listener: TcpListener) {
        let stop = self.site.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // First, so that who was accepted is heard before somebody else is; and without
                // the task's budget, so that busy connections leave some for `accept`.
                Some(id) = unconstrained(self.serving.next()) => self.ended(id),
                accepted = accept(&listener, self.accept_from),
                    if self.serving.len() < self.limits.connections_max => self.accepted(accepted),
            }
        }
        drop(listener);
        let rest = async { while self.serving.next().await.is_some() {} };
        if timeout(self.limits.stop, rest).await.is_err() {
            tracing::debug!("http requests cut at the stop");
        }
    }

    fn accepted(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => self.admit(stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => self.accept_failed(&error),
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let full = self.limits.connections_max - self.limits.reserved;
        if self.open.len() >= full {
            if let Some(times) = self.room_throttle.should_log(Instant::now().into_std()) {
                tracing::warn!(
                    times,
                    connections = self.open.len(),
                    "http connections used up: idle ones are closed, or only probes are answered"
                );
            }
            // A probe on a reserved place is cut only where the last such place is taken.
            let all_taken = self.open.len() + 1 >= self.limits.connections_max;
            if self.evict(Some(Admission::Full)).is_none() && all_taken {
                self.evict(None);
            }
        }
        let admission = if self.open.len() < full {
            Admission::Full
        } else {
            Admission::Reserved
        };
        let id = self.next;
        self.next += 1;
        let connection = Connection::new(stream, peer, admission);
        self.open.insert(id, connection.handle());
        let served = connection.serve(self.site.clone());
        self.serving.push(Box::pin(async move {
            served.await;
            id
        }));
    }

    /// Closes the connection whose client has been waited for longest, if any is waited for: of
    /// this admission, or of any.
    fn evict(&mut self, admission: Option<Admission>) -> Option<Handle> {
        let waiting = self
            .open
            .iter()
            .filter(|(_, handle)| admission.is_none_or(|only| handle.admission() == only))
            .filter_map(|(id, handle)| Some((handle.waiting_since()?, *id)));
        let (_, longest) = waiting.min()?;
        self.open.remove(&longest).inspect(Handle::cut)
    }

    /// Where descriptors are short, one that an idle client holds is had back at once; else only a
    /// pause helps.
    fn accept_failed(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.evict(None).is_none() {
            self.accept_from = now + ACCEPT_PAUSE;
        }
        if let Some(times) = self.accept_throttle.should_log(now.into_std()) {
            tracing::warn!(
                %error,
                times,
                "accepting an http connection failed: retrying; raise the limit of open files"
            );
        }
    }

    fn ended(&mut self, id: u64) {
        self.open.remove(&id);
    }
}

/// Not before `from`. Safe to cancel.
async fn accept(listener: &TcpListener, from: Instant) -> io::Result<(TcpStream, SocketAddr)> {
    sleep_until(from).await;
    listener.accept().await
}

/// The client was gone before it was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
