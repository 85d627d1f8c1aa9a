//! The HTTP listener: `/healthz`, `/readyz`, `/metrics` and `/status` answer on what the parts say;
//! `/control` alone changes something, for who has the token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::control::{Access, Command, Refusal, execute};
use super::status::Report;
use super::{Settings, View, metrics};

/// The longest command: some 500,000 positions, or the parts of the largest body.
const COMMAND_BYTES_MAX: usize = 8 * 1024 * 1024;

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
    pub async fn serve(
        self,
        view: View,
        access: Access,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let controlled = (view.clone(), Arc::new(access));
        let control = Router::new()
            .route("/control", post(control))
            .layer(DefaultBodyLimit::max(COMMAND_BYTES_MAX))
            .with_state(controlled);
        let router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .route("/status", get(status))
            .with_state(view)
            .merge(control)
            .into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }
}

/// The process runs; whether it delivers is `/readyz`'s.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(view): State<View>) -> impl IntoResponse {
    let unready = view.unready();
    let status = if unready.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({ "ready": unready.is_empty(), "reasons": unready })),
    )
}

async fn scrape(State(view): State<View>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        metrics::encode(view),
    )
}

async fn status(State(view): State<View>) -> Response {
    match Report::of(&view).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn control(
    State((view, access)): State<(View, Arc<Access>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if !peer.ip().to_canonical().is_loopback() || !access.allows(authorization) {
        return problem(
            StatusCode::FORBIDDEN,
            "only for who can read the token beside the journal, on this machine",
        );
    }
    let command: Command = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("not a command: {error}")),
    };
    tracing::info!(command = %summary(&command), "an operator asks");
    match execute(&view.journal, command).await {
        Ok(reply) => Json(reply).into_response(),
        Err(refusal @ Refusal::Senseless(_)) => problem(StatusCode::CONFLICT, &refusal.to_string()),
        Err(refusal @ Refusal::Journal(_)) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, &refusal.to_string())
        }
    }
}

/// For the log: a thousand positions are none of its business.
fn summary(command: &Command) -> String {
    let text = serde_json::to_string(command).unwrap_or_default();
    text.chars().take(200).collect()
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
