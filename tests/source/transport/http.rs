//! A small HTTP server whose every answer the test writes itself.

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

/// Clear text or TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Requests in the order in which they came.
pub(super) struct Server {
    pub(super) address: String,
    requests: mpsc::Receiver<Request>,
}

pub(super) struct Request {
    /// `POST /base/000/x/xhr`, without the query.
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: String,
    stream: Box<dyn Wire>,
}

impl Server {
    pub(super) async fn start() -> Server {
        Server::start_over(None).await
    }

    pub(super) async fn start_tls() -> Server {
        Server::start_over(Some(acceptor("server", ClientCertificate::Ignored))).await
    }

    async fn start_over(tls: Option<TlsAcceptor>) -> Server {
        let (listener, address) = listen().await;
        let (sender, requests) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("a client");
                let stream: Box<dyn Wire> = match &tls {
                    Some(tls) => Box::new(tls.accept(tcp).await.expect("TLS")),
                    None => Box::new(tcp),
                };
                // A client may open a connection and use another one.
                tokio::spawn(read(stream, sender.clone()));
            }
        });
        Server { address, requests }
    }

    /// The next request, which must be for a path that ends so.
    pub(super) async fn next(&mut self, end: &str) -> Request {
        let request = timeout(PATIENCE, self.requests.recv())
            .await
            .expect("in time")
            .expect("a request");
        assert!(request.line.ends_with(end), "{} is not {end}", request.line);
        request
    }
}

async fn read(mut stream: Box<dyn Wire>, requests: mpsc::Sender<Request>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let length =
        header(&head, "Content-Length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    let line = head.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
    let body = String::from_utf8(body).expect("text");
    // The test is over.
    let _ = requests
        .send(Request {
            line,
            head,
            body,
            stream,
        })
        .await;
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// One whole answer; `status` may bring headers with it.
    pub(super) async fn answer(mut self, status: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        self.stream
            .write_all(answer.as_bytes())
            .await
            .expect("an answer");
        self.stream.flush().await.expect("an answer");
    }

    /// An answer that goes on.
    pub(super) async fn begin(mut self) -> Answer {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        self.stream
            .write_all(head.as_bytes())
            .await
            .expect("a head");
        Answer {
            stream: self.stream,
        }
    }

    pub(super) async fn upgrade(mut self) -> WebSocketStream<Box<dyn Wire>> {
        let accept = derive_accept_key(self.header("Sec-WebSocket-Key").expect("a key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.stream
            .write_all(head.as_bytes())
            .await
            .expect("an answer");
        WebSocketStream::from_raw_socket(self.stream, Role::Server, None).await
    }
}

pub(super) struct Answer {
    stream: Box<dyn Wire>,
}

impl Answer {
    pub(super) async fn write(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.stream
            .write_all(chunk.as_bytes())
            .await
            .expect("a chunk");
        self.stream.flush().await.expect("a chunk");
    }

    pub(super) async fn end(mut self) {
        self.stream.write_all(b"0\r\n\r\n").await.expect("an end");
        self.stream.flush().await.expect("an end");
    }
}
