//! A STOMP server that says what a script tells it, for what no real broker says on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::stomp;

/// What a server does with one connection once it has seen CONNECT and SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Life {
    /// Sent as it is.
    pub bytes: Vec<u8>,
    /// What comes after.
    pub then: Then,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The server closes it.
    Close,
    /// The server leaves it open and says nothing more.
    Stay,
}

/// A running server.
pub struct Scripted {
    port: u16,
    lives: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Scripted {
    /// Gives each connection the next life; the last is for all that follow.
    pub async fn start(script: Vec<Life>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let lives = Arc::new(AtomicUsize::new(0));
        let begun = Arc::clone(&lives);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept a connection");
                let number = begun.fetch_add(1, Ordering::Relaxed);
                let life = script[number.min(script.len() - 1)].clone();
                // A client that leaves early is no failure of the server's.
                tokio::spawn(async move { live(stream, life).await.ok() });
            }
        });
        Scripted {
            port,
            lives,
            server,
        }
    }

    /// As in a configuration.
    pub fn url(&self) -> String {
        stomp::url(self.port)
    }

    /// How many connections there have been.
    pub fn lives(&self) -> usize {
        self.lives.load(Ordering::Relaxed)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn live(stream: TcpStream, life: Life) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut frame = Vec::new();
    stream.read_until(0, &mut frame).await?;
    stream
        .write_all(b"CONNECTED\nversion:1.2\nheart-beat:0,0\nserver:Scripted/1\n\n\0\n")
        .await?;
    stream.read_until(0, &mut frame).await?;
    stream.write_all(&life.bytes).await?;
    if life.then == Then::Stay {
        // Until the client closes it.
        while stream.read(&mut [0; 4096]).await? > 0 {}
    }
    Ok(())
}

/// A MESSAGE of the topic `topic`, as RabbitMQ writes it.
pub fn message(topic: &str, number: usize, body: &[u8]) -> Vec<u8> {
    let mut frame = format!(
        "MESSAGE\nsubscription:{topic}\ndestination:/queue/{topic}\nmessage-id:T_{topic}@@x@@{number}\n\
         ack:T_{topic}@@x@@{number}\ncontent-length:{}\n\n",
        body.len()
    )
    .into_bytes();
    frame.extend_from_slice(body);
    frame.extend_from_slice(b"\0\n");
    frame
}
