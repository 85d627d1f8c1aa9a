//! A TCP proxy on loopback that changes the client's CONNECT to one that the client never sends by
//! itself, such as an older version alone.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::stomp;

/// A running proxy; it and all its connections end when it is dropped.
pub struct RewritingProxy {
    port: u16,
    server: JoinHandle<()>,
}

impl RewritingProxy {
    /// Starts one in front of a port on loopback. In what each client says first, up to a NUL,
    /// `from` becomes `to`.
    pub async fn start(server: u16, from: &str, to: &str) -> RewritingProxy {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let (from, to) = (from.to_owned(), to.to_owned());
        let server = tokio::spawn(async move {
            // A set's tasks end with it, and it ends with this one.
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("accept a connection");
                let (from, to) = (from.clone(), to.clone());
                // Either end may go when it likes.
                connections.spawn(async move { carry(client, server, &from, &to).await.ok() });
            }
        });
        RewritingProxy { port, server }
    }

    /// As in a configuration.
    pub fn url(&self) -> String {
        stomp::url(self.port)
    }
}

impl Drop for RewritingProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn carry(client: TcpStream, server: u16, from: &str, to: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let mut client = BufReader::new(client);
    let mut first = Vec::new();
    client.read_until(0, &mut first).await?;
    let first = String::from_utf8_lossy(&first).into_owned();
    assert!(first.contains(from), "{from:?} is not in {first:?}");
    server
        .write_all(first.replacen(from, to, 1).as_bytes())
        .await?;
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        done = copy(&mut from_client, &mut to_server) => done?,
        done = copy(&mut from_server, &mut to_client) => done?,
    };
    Ok(())
}
