//! Whether the server has ended a connection that nobody reads. It reads nothing: what came before
//! the end stays in the socket, for when somebody reads again.
//!
//! It watches a duplicate of the TCP socket. So it sees the end below TLS and WebSocket, through a
//! proxy, and also where the socket itself has left epoll (see [`paced`](crate::paced)). It sees a
//! FIN, a reset and a socket that has failed. A FIN stands behind what was sent before it: where
//! that fills the socket, it does not come through.

use std::future::pending;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::stream::Stream;

/// What tokio calls the end: these two are woken by `EPOLLRDHUP`, `EPOLLHUP` and `EPOLLERR`, and
/// not by bytes that arrive.
const END: Interest = Interest::PRIORITY.add(Interest::ERROR);

/// The duplicate of one connection's socket. `None`: the process has no room for it, and the end is
/// noticed by a write that fails.
pub(super) struct Hangup(Option<std::net::TcpStream>);

impl Hangup {
    /// Of a connected stream.
    pub(super) fn of(stream: &Stream) -> Hangup {
        Hangup(stream.duplicate().ok().map(Into::into))
    }

    /// Waits until the server has ended the connection. Cancel-safe. It is in epoll only while it is
    /// waited for: each arrival wakes the thread then.
    pub(super) async fn happened(&self) {
        let socket = self.0.as_ref();
        let watched = socket
            .and_then(|socket| socket.try_clone().ok())
            .and_then(|socket| TcpStream::from_std(socket).ok());
        if let Some(watched) = watched
            && watched.ready(END).await.is_ok()
        {
            return;
        }
        pending().await
    }
}
