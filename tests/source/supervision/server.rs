//! The other end: a server that gives each connection to the test, or treats them all alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const CONNECTED: &str = "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";

/// A listener on loopback.
pub(crate) struct Server {
    listener: TcpListener,
}

/// One accepted connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Server {
    pub(crate) async fn bind() -> Server {
        Server {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/x", self.listener.local_addr().unwrap())
    }

    /// On the port of a URL that no server has now.
    pub(crate) async fn bind_at(url: &str) -> Server {
        let port = url::Url::parse(url).unwrap().port().unwrap();
        Server {
            listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap(),
        }
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer {
            stream,
            received: Vec::new(),
        }
    }

    /// Whether somebody has come, without waiting for it.
    pub(crate) async fn next(&self) -> Option<Peer> {
        tokio::select! {
            biased;
            peer = self.accept() => Some(peer),
            () = super::lab::turns() => None,
        }
    }

    /// Answers CONNECT and SUBSCRIBE.
    pub(crate) async fn accept_session(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.frame().await;
        peer.send(CONNECTED).await;
        peer.confirm_subscribe().await;
        peer
    }

    /// Treats everybody alike, by the number of the connection, and counts.
    pub(crate) fn serve<F>(
        self,
        treat: impl Fn(usize, Peer) -> F + Send + 'static,
    ) -> Arc<AtomicUsize>
    where
        F: Future<Output = Option<()>> + Send + 'static,
    {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let peer = self.accept().await;
                let number = counted.fetch_add(1, Relaxed);
                tokio::spawn(treat(number, peer));
            }
        });
        count
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next frame, without heart-beats before it.
    pub(crate) async fn frame(&mut self) -> String {
        self.next_frame()
            .await
            .expect("closed, a frame was expected")
    }

    /// `None`: the other side has closed.
    pub(crate) async fn next_frame(&mut self) -> Option<String> {
        loop {
            let start = self
                .received
                .iter()
                .take_while(|byte| **byte == b'\n')
                .count();
            self.received.drain(..start);
            if let Some(end) = self.received.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.received.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&frame[..end]).into_owned());
            }
            if self.stream.read_buf(&mut self.received).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// All that has come so far, after at least one byte more.
    pub(crate) async fn read_some(&mut self) -> &[u8] {
        let length = self.stream.read_buf(&mut self.received).await.unwrap();
        assert_ne!(
            length,
            0,
            "closed, after {:?}",
            String::from_utf8_lossy(&self.received)
        );
        &self.received
    }

    pub(crate) fn has_read(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.received).contains(text)
    }

    pub(crate) async fn confirm_subscribe(&mut self) {
        let subscribe = self.frame().await;
        let receipt = subscribe
            .lines()
            .find_map(|line| line.strip_prefix("receipt:"))
            .unwrap();
        self.send(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0"))
            .await;
    }

    /// Reads until the other side has gone.
    pub(crate) async fn gone(mut self) -> Option<()> {
        let mut sink = [0; 4096];
        while self.stream.read(&mut sink).await.ok()? > 0 {}
        None
    }
}
