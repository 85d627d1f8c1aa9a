//! The end of a connection that nobody reads, over every framing on a socket of ours: it is seen
//! behind unread bytes, and they stay.

use futures_util::SinkExt;
use stomp_bridge::paced::Interval;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::*;

/// How the server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The server's end of one connection.
struct Server {
    /// The socket below, for its end.
    socket: std::net::TcpStream,
    framing: Framing,
}

enum Framing {
    Plain(Box<dyn Stream>),
    WebSocket(Box<WebSocketStream<Box<dyn Stream>>>),
}

impl Server {
    async fn accept(listener: &TcpListener, scheme: &str) -> Server {
        let (tcp, _) = listener.accept().await.expect("a client");
        let tcp = tcp.into_std().expect("a socket");
        let socket = tcp.try_clone().expect("a socket");
        let tcp = TcpStream::from_std(tcp).expect("a socket");
        let stream: Box<dyn Stream> = match scheme {
            "stomps" | "wss" => {
                let acceptor = acceptor("server", ClientCertificate::Ignored);
                Box::new(acceptor.accept(tcp).await.expect("TLS"))
            }
            _ => Box::new(tcp),
        };
        let framing = match scheme {
            "ws" | "wss" => Framing::WebSocket(Box::new(
                tokio_tungstenite::accept_async(stream)
                    .await
                    .expect("a WebSocket"),
            )),
            _ => Framing::Plain(stream),
        };
        Server { socket, framing }
    }

    async fn send(&mut self, text: &str) {
        match &mut self.framing {
            Framing::Plain(stream) => {
                stream.write_all(text.as_bytes()).await.expect("sent");
                stream.flush().await.expect("sent");
            }
            Framing::WebSocket(socket) => socket.send(Message::text(text)).await.expect("sent"),
        }
    }

    /// Says no goodbye above TCP. Gives what keeps the socket open.
    fn end(self, end: End) -> Option<Server> {
        match end {
            End::Fin => {
                let shut = self.socket.shutdown(std::net::Shutdown::Write);
                shut.expect("a FIN");
                Some(self)
            }
            End::Reset => {
                let socket = socket2::SockRef::from(&self.socket);
                socket.set_linger(Some(Duration::ZERO)).expect("an option");
                None
            }
        }
    }
}

/// Whether it is pending after a while in which it could have been seen.
async fn goes_on(receiver: &mut Receiver) -> bool {
    timeout(Duration::from_millis(100), receiver.ended())
        .await
        .is_err()
}

async fn check(scheme: &str, end: End) {
    let (listener, address) = listen().await;
    let target = Target {
        read_interval: Interval::new(Duration::from_secs(3600)),
        ..target(&format!("{scheme}://{address}"))
    };
    let (mut server, (mut receiver, _sender)) =
        tokio::join!(Server::accept(&listener, scheme), dialled(&target));
    server.send("first").await;
    let mut first = Vec::new();
    while first.len() < 5 {
        // What TLS sends after its handshake has begun a pause.
        receiver.hurry();
        let read = timeout(Duration::from_millis(50), receiver.receive()).await;
        first.extend(read.into_iter().flat_map(|bytes| bytes.expect("bytes")));
    }
    assert_eq!(first, b"first");
    // Bytes before their time: the socket leaves epoll for the rest of the hour.
    server.send("second").await;
    let early = timeout(Duration::from_millis(100), receiver.receive()).await;
    assert!(early.is_err(), "{early:?}");
    assert!(goes_on(&mut receiver).await, "{scheme}: bytes are no end");
    server.send("third").await;
    assert!(goes_on(&mut receiver).await, "{scheme}: nor are more");

    let _open = server.end(end);
    // The next read is due in an hour: it is not that which sees it.
    timeout(PATIENCE, receiver.ended())
        .await
        .unwrap_or_else(|_| panic!("{scheme}: {end:?} is not seen"));
    // It stays so, and what came before is there.
    timeout(PATIENCE, receiver.ended()).await.expect("again");
    receiver.suspend_pacing();
    assert_eq!(received(&mut receiver, 11).await, "secondthird");
    ended(&mut receiver).await;
}

#[tokio::test]
async fn an_end_is_seen_behind_unread_bytes_over_every_framing() {
    for scheme in ["stomp", "stomps", "ws", "wss"] {
        for end in [End::Fin, End::Reset] {
            check(scheme, end).await;
        }
    }
}
