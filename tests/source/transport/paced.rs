//! A socket whose next read is due in an hour: what has come is there for who asks.

use futures_util::SinkExt;
use stomp_bridge::paced::Interval;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::*;

/// The server's side: each step is what it sends at once.
const STEPS: [&[&str]; 3] = [&["a"], &["b", "c"], &["d"]];

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn serve(listener: TcpListener, scheme: &str, mut steps: tokio::sync::mpsc::Receiver<()>) {
    let (tcp, _) = listener.accept().await.expect("a client");
    let stream: Box<dyn Stream> = match scheme {
        "stomps" | "wss" => {
            let acceptor = acceptor("server", ClientCertificate::Ignored);
            Box::new(acceptor.accept(tcp).await.expect("TLS"))
        }
        _ => Box::new(tcp),
    };
    match scheme {
        "ws" | "wss" => {
            let mut socket = tokio_tungstenite::accept_async(stream)
                .await
                .expect("a WebSocket");
            for step in STEPS {
                steps.recv().await.expect("a step");
                for text in step {
                    socket.feed(Message::text(*text)).await.expect("room");
                }
                socket.flush().await.expect("sent");
            }
            steps.recv().await;
        }
        _ => {
            let mut stream = stream;
            for step in STEPS {
                steps.recv().await.expect("a step");
                for text in step {
                    stream.write_all(text.as_bytes()).await.expect("sent");
                }
                stream.flush().await.expect("sent");
            }
            steps.recv().await;
        }
    }
}

async fn check(scheme: &str) {
    let (listener, address) = listen().await;
    let target = Target {
        read_interval: Interval::new(Duration::from_secs(3600)),
        ..target(&format!("{scheme}://{address}"))
    };
    let (step, steps) = tokio::sync::mpsc::channel(1);
    let client = async {
        // The handshakes are not paced: they would take hours.
        let (mut receiver, sender) = dialled(&target).await;
        for expected in ["a", "bc", "d"] {
            step.send(()).await.expect("the server");
            let mut text = Vec::new();
            while text.len() < expected.len() {
                let first = receiver.receive_now();
                let rest = std::iter::from_fn(|| receiver.receive_rest());
                for bytes in first.into_iter().chain(rest) {
                    text.extend_from_slice(&bytes.expect("bytes"));
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(text, expected.as_bytes(), "{scheme}");
        }
        step.send(()).await.expect("the server");
        let end = async {
            loop {
                match receiver.receive_now() {
                    Some(Err(error)) => break error,
                    Some(Ok(bytes)) => assert!(bytes.is_empty(), "{bytes:?}"),
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let error = end.await;
        assert!(
            matches!(error, TransportError::Closed { .. }),
            "{scheme}: {error:?}"
        );
        drop(sender);
    };
    let both = async { tokio::join!(client, serve(listener, scheme, steps)) };
    timeout(PATIENCE, both).await.expect("in time");
}

#[tokio::test]
async fn who_asks_gets_what_has_come_over_every_framing() {
    for scheme in ["stomp", "stomps", "ws", "wss"] {
        check(scheme).await;
    }
}
