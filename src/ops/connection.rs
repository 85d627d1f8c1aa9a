//! One HTTP connection, from its accept to its close. It cuts a client that takes too long, and
//! never decides what a request means.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Patience};
use crate::tls;

/// The head of a request in bytes: ours need some hundred, a browser's with cookies some thousand.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request: a browser sends some twenty.
const HEADERS_MAX: usize = 64;
/// The buffer of one connection, in each direction: one head. A body passes through in pieces of
/// this size, so that a connection whose body nobody reads costs no more.
const BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// Bytes that are read and dropped after our side is closed: the body of a small refused request.
/// Its client then gets the answer and no reset.
const CLOSE_BYTES_MAX: usize = 64 * 1024;

/// Which requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// All.
    Full,
    /// Those that tell how the daemon does, one for each connection.
    Reserved,
}

/// An extension of an answer whose body has no end: its client is not cut while it has read all that
/// there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endless;

/// What a listener's connections have in common.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// Answers them.
    pub(super) router: Router,
    /// The paths that [`Admission::Reserved`] has answers for.
    pub(super) reserved_paths: &'static [&'static str],
    /// Answers the others.
    pub(super) refuse: fn() -> Response,
    /// How long a client may take.
    pub(super) patience: Patience,
    /// Where clients speak TLS.
    pub(super) tls: Option<Arc<tls::Server>>,
    /// Ends the connections once their requests are answered.
    pub(super) stop: CancellationToken,
}

/// The listener's end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    activity: Shared,
    cut: CancellationToken,
    admission: Admission,
}

impl Handle {
    /// What it may ask for.
    pub(super) fn admission(&self) -> Admission {
        self.admission
    }

    /// Since when the client is waited for; `None`: it waits for us.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.activity.lock().waiting_since()
    }

    /// Ends the connection now.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    handle: Handle,
}

impl Connection {
    /// Just accepted.
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, admission: Admission) -> Connection {
        let activity = Activity::accepted(Instant::now());
        Connection {
            stream,
            peer,
            handle: Handle {
                activity: Shared(Arc::new(Mutex::new(activity))),
                cut: CancellationToken::new(),
                admission,
            },
        }
    }

    /// For the listener.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Answers requests until either side closes, the client is too slow, or it is cut.
    pub(super) async fn serve(self, site: Site) {
        let Handle {
            activity,
            cut,
            admission,
        } = self.handle;
        let mut stream = self.stream;
        let watched = Watched {
            stream: &mut stream,
            activity: activity.clone(),
        };
        let requests = Requests {
            router: TowerToHyperService::new(site.router.clone()),
            peer: self.peer,
            admission,
            reserved_paths: site.reserved_paths,
            refuse: site.refuse,
            activity: activity.clone(),
        };
        let end = match &site.tls {
            None => requests.exchange(watched, &site, &cut).await,
            Some(server) => match requests.handshake(server, watched, &site, &cut).await {
                Ok(tls) => requests.exchange(tls, &site, &cut).await,
                Err(end) => end,
            },
        };
        match end {
            End::Closed => {
                activity.lock().closed(Instant::now());
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = linger(&mut stream, Instant::now() + site.patience.close) => {}
                }
            }
            End::Late => tracing::debug!(peer = %self.peer, "http client too slow: cut"),
            End::Broken(error) => {
                tracing::debug!(peer = %self.peer, %error, "http connection broken");
            }
            End::NoTls(error) => {
                tracing::debug!(peer = %self.peer, %error, "http client speaks no TLS of ours");
            }
            End::Gone => {}
            End::Cut => {}
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// Our side is closed in order.
    Closed,
    /// The client took too long.
    Late,
    /// The client broke it off.
    Broken(hyper::Error),
    /// The TLS handshake failed.
    NoTls(io::Error),
    /// It was idle at the stop.
    Gone,
    /// The listener needed the room.
    Cut,
}

/// Runs a step of a connection until it ends, or its client's time is up.
async fn in_time<T>(
    mut step: Pin<&mut impl Future<Output = T>>,
    activity: &Shared,
    patience: &Patience,
    mut timer: Pin<&mut Sleep>,
) -> Result<T, End> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = step.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        // Whatever changes the deadline happens in the poll above.
        let Some(deadline) = activity.lock().deadline(patience) else {
            return Poll::Pending;
        };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| Err(End::Late))
    })
    .await
}

/// Reads and drops the client's remaining bytes, so that it can read its answer (RFC 9112, section
/// 9.6). A socket that is closed with unread bytes resets the connection.
async fn linger(stream: &mut TcpStream, until: Instant) {
    let mut dropped = [0; 1024];
    let mut left = CLOSE_BYTES_MAX;
    while left > 0 {
        match timeout_at(until, stream.read(&mut dropped)).await {
            Ok(Ok(bytes @ 1..)) => left = left.saturating_sub(bytes),
            Ok(Ok(0) | Err(_)) | Err(_) => return,
        }
    }
}

/// The requests of one connection.
struct Requests {
    router: TowerToHyperService<Router>,
    peer: SocketAddr,
    admission: Admission,
    reserved_paths: &'static [&'static str],
    refuse: fn() -> Response,
    activity: Shared,
}

impl Requests {
    /// The client's TLS handshake, within the time of a request's head.
    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        server: &Arc<tls::Server>,
        stream: S,
        site: &Site,
        cut: &CancellationToken,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<S>, End> {
        let accept = pin!(server.accept(stream));
        let timer = pin!(sleep_until(Instant::now()));
        tokio::select! {
            biased;
            () = cut.cancelled() => Err(End::Cut),
            () = site.stop.cancelled() => Err(End::Gone),
            accepted = in_time(accept, &self.activity, &site.patience, timer) => {
                accepted?.map_err(End::NoTls)
            }
        }
    }

    /// Answers requests until the connection ends.
    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        site: &Site,
        cut: &CancellationToken,
    ) -> End {
        let mut http = pin!(
            http1::Builder::new()
                .keep_alive(self.admission == Admission::Full)
                // A client that has said all it wants still reads the answer.
                .half_close(true)
                // `activity` has a deadline for it, and one for what hyper has none.
                .header_read_timeout(None)
                .max_header_size(HEAD_BYTES_MAX)
                .max_headers(HEADERS_MAX)
                .max_buf_size(BUFFER_BYTES_MAX)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(|request| self.answer(request)),
                )
        );
        let mut timer = pin!(sleep_until(Instant::now()));
        let ended = tokio::select! {
            biased;
            () = cut.cancelled() => return End::Cut,
            () = site.stop.cancelled() => {
                if self.activity.lock().is_idle() {
                    return End::Gone;
                }
                http.as_mut().graceful_shutdown();
                in_time(http, &self.activity, &site.patience, timer).await
            }
            ended = in_time(http.as_mut(), &self.activity, &site.patience, timer.as_mut()) => ended,
        };
        match ended {
            Ok(Ok(())) => End::Closed,
            Ok(Err(error)) => End::Broken(error),
            Err(end) => end,
        }
    }

    /// The body is not read before something asks for it.
    async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response, std::convert::Infallible> {
        self.activity.lock().requested(Instant::now());
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let admitted = match self.admission {
            Admission::Full => true,
            Admission::Reserved => self.reserved_paths.contains(&request.uri().path()),
        };
        let request = request.map(|body| Awaited {
            body,
            activity: self.activity.clone(),
        });
        let response = if admitted {
            self.router.call(request).await
        } else {
            Ok((self.refuse)())
        };
        let is_stream = |answer: &Response| answer.extensions().get::<Endless>().is_some();
        let (mut activity, now) = (self.activity.lock(), Instant::now());
        match &response {
            Ok(answer) if is_stream(answer) => activity.streams(now),
            _ => activity.answered(now),
        }
        drop(activity);
        response
    }
}

/// A request's body that says when it is waited for, so that the one who reads it needs no deadline.
struct Awaited {
    body: Incoming,
    activity: Shared,
}

impl Body for Awaited {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() {
            self.activity.lock().wants_body(Instant::now());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Who has all of it, or has had enough, lets it go.
impl Drop for Awaited {
    fn drop(&mut self) {
        self.activity.lock().has_body(Instant::now());
    }
}

/// The connection and its listener look at the same.
#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Activity>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that says what passes through it.
struct Watched<'a> {
    stream: &'a mut TcpStream,
    activity: Shared,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.lock().read(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.activity.lock().writing(Instant::now());
        Pin::new(&mut *self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity.lock().writing(Instant::now());
        Pin::new(&mut *self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.activity.lock().flushed(Instant::now());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}
