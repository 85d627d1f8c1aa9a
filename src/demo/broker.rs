//! The broker itself: one port for STOMP over TCP and for HTTP (WebSocket and SockJS). All its
//! connections live inside the one future of [`Broker::run`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use super::connection;
use super::framing;
use super::http::{self, SOCKJS_PATH, Upgrade, WEBSOCKET_PATH};
use super::hub::{Hub, Publisher};

/// Connections at once. A demo has a handful; a test a few dozen.
const CONNECTIONS_MAX: usize = 256;
/// How long a client has for its first byte and for each HTTP request's head.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);
/// Sockets that wait to be taken over from HTTP; more would only wait at another place.
const UPGRADES_MAX: usize = 16;
/// What goes wrong in `accept` (too many open files) is not mended sooner by trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A STOMP 1.0, 1.1 and 1.2 broker in memory, for topics alone: what nobody is subscribed to is
/// gone.
pub struct Broker {
    listener: TcpListener,
    address: SocketAddr,
    heartbeat: Duration,
    hub: Arc<Hub>,
}

impl Broker {
    /// Takes the port (0: a free one), so that clients may connect from now on; they are served by
    /// [`Broker::run`].
    pub async fn bind(address: SocketAddr) -> io::Result<Broker> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Broker {
            listener,
            address,
            heartbeat: Duration::from_secs(1),
            hub: Arc::default(),
        })
    }

    /// The shortest heart-beat that is offered, both ways (1 s unless told): a client that asks for
    /// longer ones gets these. Zero: none.
    pub fn with_heartbeat(self, heartbeat: Duration) -> Broker {
        Broker { heartbeat, ..self }
    }

    /// The SockJS endpoint.
    pub fn url_sockjs(&self) -> Url {
        self.url("http", SOCKJS_PATH)
    }

    /// The raw WebSocket endpoint.
    pub fn url_ws(&self) -> Url {
        self.url("ws", WEBSOCKET_PATH)
    }

    /// STOMP over plain TCP.
    pub fn url_stomp(&self) -> Url {
        self.url("stomp", "")
    }

    fn url(&self, scheme: &str, path: &str) -> Url {
        Url::parse(&format!("{scheme}://{}{path}", self.address))
            .expect("a socket's address is a URL's authority")
    }

    /// Publishes without a connection, before and while the broker runs.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.hub.clone())
    }

    /// Serves until `stop`; then every connection is cut.
    pub async fn run(self, stop: CancellationToken) {
        let (upgrades_sender, mut upgrades) = mpsc::channel(UPGRADES_MAX);
        let router = http::router(upgrades_sender);
        let mut clients = Clients {
            hub: self.hub,
            heartbeat: self.heartbeat,
            next: 1,
            serving: FuturesUnordered::new(),
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept(), if clients.serving.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => clients.accept(stream, router.clone()),
                    Err(error) => {
                        warn!(%error, "accepting a connection failed");
                        clients.serving.push(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                    }
                },
                Some(upgrade) = upgrades.recv() => clients.upgrade(upgrade),
                Some(()) = clients.serving.next() => {}
            }
        }
    }
}

/// Everybody who is connected.
struct Clients {
    hub: Arc<Hub>,
    heartbeat: Duration,
    /// The next client's number.
    next: u64,
    serving: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Clients {
    fn accept(&mut self, stream: TcpStream, router: Router) {
        let client = self.client();
        self.serving.push(Box::pin(async move {
            let protocol = async {
                // Small frames one by one: none is to wait for the one before to be acknowledged.
                stream.set_nodelay(true)?;
                protocol(&stream).await
            };
            match protocol.await {
                Ok(Protocol::Http) => serve_http(stream, router).await,
                Ok(Protocol::Stomp) => {
                    let (receiver, sender) = framing::plain(stream);
                    connection::serve(client, receiver, sender).await;
                }
                Err(error) => debug!(%error, "a connection ended before it said anything"),
            }
        }));
    }

    fn upgrade(&mut self, upgrade: Upgrade) {
        let client = self.client();
        self.serving.push(Box::pin(async move {
            let framed = async {
                let socket = upgrade.socket.await.map_err(io::Error::other)?;
                framing::websocket(socket, upgrade.framing).await
            };
            match framed.await {
                Ok((receiver, sender)) => connection::serve(client, receiver, sender).await,
                Err(error) => debug!(%error, "a WebSocket did not open"),
            }
        }));
    }

    fn client(&mut self) -> connection::Client {
        let id = self.next;
        self.next += 1;
        connection::Client {
            id,
            heartbeat: self.heartbeat,
            hub: self.hub.clone(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Stomp,
}

/// The first byte tells: GET, HEAD, POST, PUT, PATCH, OPTIONS and DELETE on one side, CONNECT,
/// STOMP and an idle LF on the other. HTTP's own CONNECT is nothing that we serve.
async fn protocol(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0];
    match tokio::time::timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first)).await?? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if b"GHPOD".contains(&first[0]) => Ok(Protocol::Http),
        _ => Ok(Protocol::Stomp),
    }
}

async fn serve_http(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_BYTE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "an HTTP connection ended badly");
    }
}
