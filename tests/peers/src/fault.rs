//! A TCP proxy on loopback that does to connections what networks do to them. What it does can be
//! changed while connections live.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// All is well.
    None,
    /// They arrive so much later, in chunks of up to 64 KiB, in both directions.
    Delay(Duration),
    /// They arrive one at a time.
    OneByte,
    /// They are kept back in one direction, and arrive once this has passed.
    Pause(Direction),
    /// They are swallowed in both directions, and neither end hears of the other's end: somebody
    /// has pulled a plug far away. A connection whose bytes were swallowed stays so whatever comes
    /// after.
    HalfOpen,
    /// After this many more of them from the server, the connection ends for both sides.
    CutAfter(usize, Cut),
    /// The same after this many more of them from the client.
    CutAfterSent(usize, Cut),
}

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In order: FIN.
    Close,
    /// At once: RST.
    Reset,
}

/// A running proxy; it and all its connections end when it is dropped.
pub struct FaultProxy {
    port: u16,
    plan: watch::Sender<Plan>,
    accepted: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts one, without a fault, in front of a port on loopback.
    pub async fn start(server: u16) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let (plan, orders) = watch::channel(Plan {
            fault: Fault::None,
            struck: None,
        });
        let accepted = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn(serve(listener, server, Arc::clone(&accepted), orders));
        FaultProxy {
            port,
            plan,
            accepted,
            server,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// From now on, for connections that live and for those that come.
    pub fn set(&self, fault: Fault) {
        self.plan.send_replace(Plan {
            fault,
            struck: None,
        });
    }

    /// From now on, for connections that live; those that come are as they were.
    pub fn strike(&self, fault: Fault) {
        let struck = Some((self.connections(), fault));
        self.plan.send_modify(|plan| plan.struck = struck);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The fault, and the connections that it hits.
#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    /// The connections before this number have a fault of their own.
    struck: Option<(usize, Fault)>,
}

impl Plan {
    fn of(&self, connection: usize) -> Fault {
        match self.struck {
            Some((before, fault)) if connection < before => fault,
            _ => self.fault,
        }
    }
}

async fn serve(
    listener: TcpListener,
    server: u16,
    accepted: Arc<AtomicUsize>,
    orders: watch::Receiver<Plan>,
) {
    // A set's tasks end with it, and it ends with this one.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("accept a connection");
        let number = accepted.fetch_add(1, Ordering::SeqCst);
        let orders = Orders {
            number,
            plan: orders.clone(),
        };
        connections.spawn(connection(client, server, orders));
    }
}

async fn connection(mut client: TcpStream, server: u16, orders: Orders) {
    // A server that is down ends the connection, which is all that a proxy can tell.
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    for stream in [&client, &server] {
        stream
            .set_nodelay(true)
            .expect("a connected socket takes the option");
    }
    // Halves that are borrowed send no FIN of their own when they are dropped.
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let both = async {
        let upward = carry(from_client, to_server, Direction::ToServer, orders.clone());
        let downward = carry(from_server, to_client, Direction::ToClient, orders.clone());
        tokio::try_join!(upward, downward)
    };
    let outcome = tokio::select! {
        cut = orders.clone().cut_at_once() => Err(cut),
        outcome = both => outcome,
    };
    if outcome == Err(Cut::Reset) {
        for stream in [&client, &server] {
            // Closing then discards unsent bytes and sends RST.
            SockRef::from(stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket takes the option");
        }
    }
}

/// The plan as one connection sees it.
#[derive(Debug, Clone)]
struct Orders {
    number: usize,
    plan: watch::Receiver<Plan>,
}

impl Orders {
    fn fault(&mut self) -> Fault {
        self.plan.borrow_and_update().of(self.number)
    }

    /// Waits for another plan; never returns if there will be none.
    async fn changed(&mut self) {
        if self.plan.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// What does not wait for a next byte.
    async fn cut_at_once(mut self) -> Cut {
        loop {
            if let Fault::CutAfter(0, cut) | Fault::CutAfterSent(0, cut) = self.fault() {
                return cut;
            }
            self.changed().await;
        }
    }
}

/// Carries one direction to its end; an error is the end of the whole connection.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut orders: Orders,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 64 * 1024];
    let mut counted = Counted {
        limit: None,
        bytes: 0,
    };
    loop {
        let read = from.read(&mut buffer).await;
        // The plan in force now counts, not the one when this began to wait.
        while orders.fault() == Fault::Pause(direction) {
            orders.changed().await;
        }
        let mut chunk = match read {
            _ if orders.fault() == Fault::HalfOpen => return swallow(from).await,
            Ok(0) => break,
            Ok(length) => &buffer[..length],
            // The peer's own RST is passed on like one of ours.
            Err(_) => return Err(Cut::Reset),
        };
        let mut cut_here = None;
        match orders.fault() {
            Fault::Delay(by) => tokio::time::sleep(by).await,
            Fault::OneByte => {
                while let [byte, rest @ ..] = chunk {
                    to.write_all(&[*byte]).await.map_err(|_| Cut::Reset)?;
                    chunk = rest;
                    tokio::task::yield_now().await;
                }
            }
            Fault::CutAfter(limit, cut) if direction == Direction::ToClient => {
                cut_here = counted.cut(limit, cut, &mut chunk);
            }
            Fault::CutAfterSent(limit, cut) if direction == Direction::ToServer => {
                cut_here = counted.cut(limit, cut, &mut chunk);
            }
            Fault::CutAfter(..) | Fault::CutAfterSent(..) => {}
            Fault::Pause(_) | Fault::HalfOpen | Fault::None => {}
        }
        to.write_all(chunk).await.map_err(|_| Cut::Reset)?;
        if let Some(cut) = cut_here {
            return Err(cut);
        }
    }
    // The other side may have closed already.
    let _ = to.shutdown().await;
    Ok(())
}

/// Takes what comes until nothing more comes, and tells nobody.
async fn swallow(mut from: ReadHalf<'_>) -> Result<(), Cut> {
    let mut nowhere = [0; 4096];
    while from.read(&mut nowhere).await.is_ok_and(|length| length > 0) {}
    Ok(())
}

/// Bytes that have gone by under one `CutAfter`.
struct Counted {
    limit: Option<usize>,
    bytes: usize,
}

impl Counted {
    /// Counts a chunk; where it reaches the limit, it is cut there.
    fn cut(&mut self, limit: usize, cut: Cut, chunk: &mut &[u8]) -> Option<Cut> {
        let room = self.room(limit);
        let reached = room <= chunk.len();
        if reached {
            *chunk = &chunk[..room];
        }
        self.bytes += chunk.len();
        reached.then_some(cut)
    }

    /// How many may still go by; a new limit counts from here.
    fn room(&mut self, limit: usize) -> usize {
        if self.limit != Some(limit) {
            *self = Counted {
                limit: Some(limit),
                bytes: 0,
            };
        }
        limit.saturating_sub(self.bytes)
    }
}
