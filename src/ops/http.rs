//! The HTTP listener: `/healthz`, `/readyz` and `/metrics`. It answers on what the parts say and changes nothing.

use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Settings, View, metrics};

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("http.listen = \"{listen}\": {error}; choose another address, or port 0 for a free one")]
pub struct ListenError {
    listen: SocketAddr,
    error: std::io::Error,
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens the port, so that one in use is known before anything starts.
    ///
    /// # Errors
    /// The address is in use or not ours.
    pub async fn bind(settings: &Settings) -> Result<Listener, ListenError> {
        let listen = settings.listen;
        let refused = |error| ListenError { listen, error };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Listener { listener, address })
    }

    /// Where it listens: never port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until stopped.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn serve(self, view: View, stop: CancellationToken) -> std::io::Result<()> {
        let router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .with_state(view);
        axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

/// The process runs; whether it delivers is `/readyz`'s.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(view): State<View>) -> impl IntoResponse {
    let unready = view.unready();
    let status = if unready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": unready.is_empty(), "reasons": unready })))
}

async fn scrape(State(view): State<View>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::encode(view))
}
