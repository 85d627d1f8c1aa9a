//! An HTTP server that keeps the bodies that are POSTed to it: the far side of a webhook.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::platform::Delivered;

/// A running receiver.
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Kept>,
    server: JoinHandle<()>,
}

struct Kept {
    bodies: Mutex<Vec<Bytes>>,
    /// The status of the answer; a body is kept only if this is 2xx.
    answer: AtomicU16,
    /// Requests are read, and neither kept nor answered while it is so.
    stalled: watch::Sender<bool>,
    /// The last `webhook-timestamp`.
    timestamp: AtomicI64,
    /// A device whose requests are not answered at all.
    silent_for: Mutex<Option<String>>,
}

impl Receiver {
    /// Starts one that answers 204.
    pub async fn start() -> Receiver {
        Receiver::start_on(0).await
    }

    /// The same on a given port.
    pub async fn start_on(port: u16) -> Receiver {
        let stalled = watch::Sender::new(false);
        let (bodies, answer, timestamp) =
            (Mutex::default(), AtomicU16::new(204), AtomicI64::new(0));
        let kept = Arc::new(Kept {
            bodies,
            answer,
            stalled,
            timestamp,
            silent_for: Mutex::default(),
        });
        let app = Router::new()
            .route("/events", post(keep))
            .with_state(Arc::clone(&kept));
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("bind a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let server =
            tokio::spawn(async move { axum::serve(listener, app).await.expect("serve HTTP") });
        Receiver {
            address,
            kept,
            server,
        }
    }

    /// As in the configuration of a webhook sink.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// While it holds `true`, requests are read, and neither kept nor answered.
    pub fn stalled(&self) -> watch::Sender<bool> {
        self.kept.stalled.clone()
    }

    /// From now on this status is answered.
    pub fn answer(&self, status: u16) {
        self.kept.answer.store(status, Ordering::Relaxed);
    }

    /// When the last request was made, by the clock of who made it: seconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.kept.timestamp.load(Ordering::Relaxed)
    }

    /// From now on requests of this device are not answered, and those of the one before are, the
    /// next time.
    pub fn silent_for(&self, device_id: Option<&str>) {
        *self
            .kept
            .silent_for
            .lock()
            .expect("no test panics while it holds this") = device_id.map(str::to_owned);
    }

    /// How many requests were answered with 2xx.
    pub fn count(&self) -> usize {
        self.kept
            .bodies
            .lock()
            .expect("no test panics while it holds this")
            .len()
    }

    /// The bodies that were answered with 2xx, in the order of arrival.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.kept
            .bodies
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    /// The same as events; panics on a body that is none.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.delivered_since(0)
    }

    /// Without the first `first` deliveries.
    pub fn delivered_since(&self, first: usize) -> Vec<Delivered> {
        let event = |body: &Bytes| {
            Delivered::from_json(body)
                .unwrap_or_else(|| panic!("no event: {}", String::from_utf8_lossy(body)))
        };
        let bodies = self
            .kept
            .bodies
            .lock()
            .expect("no test panics while it holds this")[first..]
            .to_vec();
        bodies.iter().map(event).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn keep(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let timestamp = headers
        .get("webhook-timestamp")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    kept.timestamp
        .store(timestamp.unwrap_or(0), Ordering::Relaxed);
    let mut stalled = kept.stalled.subscribe();
    stalled
        .wait_for(|stalled| !stalled)
        .await
        .expect("its sender is kept");
    let silent_for = kept
        .silent_for
        .lock()
        .expect("no test panics while it holds this")
        .clone();
    if silent_for.is_some_and(|device| {
        String::from_utf8_lossy(&body).contains(&format!("\"device_id\":\"{device}\""))
    }) {
        // Until the client gives up.
        std::future::pending::<()>().await;
    }
    let answer = StatusCode::from_u16(kept.answer.load(Ordering::Relaxed))
        .expect("tests answer real statuses");
    if answer.is_success() {
        kept.bodies
            .lock()
            .expect("no test panics while it holds this")
            .push(body);
    }
    answer
}
