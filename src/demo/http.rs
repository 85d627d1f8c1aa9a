//! The broker's HTTP side: SockJS's base and `/info`, and the requests that become WebSockets. It
//! opens no socket: an upgraded one is handed on through a channel.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, SEC_WEBSOCKET_PROTOCOL,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::upgrade::OnUpgrade;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::framing::Framing;

/// The path of the SockJS endpoint; a raw WebSocket endpoint lies below it at `/websocket`.
pub(super) const SOCKJS_PATH: &str = "/webSocketServer";
/// The path of the raw WebSocket endpoint.
pub(super) const WEBSOCKET_PATH: &str = "/wxServer";

/// The WebSocket subprotocols of STOMP, the best first (registered with IANA by STOMP 1.0 to 1.2).
const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// A request that was answered with 101: the socket comes when the answer is written.
pub(super) struct Upgrade {
    pub(super) socket: OnUpgrade,
    pub(super) framing: Framing,
}

/// All routes; upgrades go to `upgrades`.
pub(super) fn router(upgrades: mpsc::Sender<Upgrade>) -> Router {
    let sockjs = Router::new()
        .route("/", get(welcome))
        .route("/info", get(info).options(preflight))
        .route("/websocket", any(raw_websocket))
        .route("/{server}/{session}/websocket", any(sockjs_websocket));
    Router::new()
        .route("/", get(index))
        .route(&format!("{SOCKJS_PATH}/"), get(welcome))
        .route(WEBSOCKET_PATH, any(raw_websocket))
        .nest(SOCKJS_PATH, sockjs)
        .with_state(upgrades)
}

async fn index() -> String {
    format!(
        "A small STOMP broker. SockJS: {SOCKJS_PATH}, WebSocket: {WEBSOCKET_PATH}, plain STOMP: this very port.\n"
    )
}

/// SockJS protocol 0.3.3, "Base URL greeting".
async fn welcome() -> &'static str {
    "Welcome to SockJS!\n"
}

/// SockJS protocol 0.3.3, "Info".
#[derive(Serialize)]
struct Info {
    websocket: bool,
    cookie_needed: bool,
    origins: [&'static str; 1],
    entropy: u32,
}

async fn info() -> Response {
    let info = Info {
        websocket: true,
        cookie_needed: false,
        origins: ["*:*"],
        entropy: fastrand::u32(..),
    };
    (
        cors(),
        [(
            CACHE_CONTROL,
            "no-store, no-cache, no-transform, must-revalidate, max-age=0",
        )],
        axum::Json(info),
    )
        .into_response()
}

async fn preflight() -> Response {
    (StatusCode::NO_CONTENT, cors(), [(ALLOW, "OPTIONS, GET")]).into_response()
}

/// Any page may use the demo: it listens on loopback and holds nothing.
fn cors() -> [(axum::http::HeaderName, &'static str); 1] {
    [(ACCESS_CONTROL_ALLOW_ORIGIN, "*")]
}

async fn raw_websocket(
    State(upgrades): State<mpsc::Sender<Upgrade>>,
    request: Request,
) -> Response {
    upgrade(&upgrades, request, Framing::Raw).await
}

async fn sockjs_websocket(
    State(upgrades): State<mpsc::Sender<Upgrade>>,
    Path((server, session)): Path<(String, String)>,
    request: Request,
) -> Response {
    // SockJS protocol 0.3.3, "Transport URLs": no part may hold a dot.
    if server.contains('.') || session.contains('.') {
        return StatusCode::NOT_FOUND.into_response();
    }
    upgrade(&upgrades, request, Framing::SockJs).await
}

/// RFC 6455, section 4.2.2.
async fn upgrade(
    upgrades: &mpsc::Sender<Upgrade>,
    mut request: Request,
    framing: Framing,
) -> Response {
    let socket = hyper::upgrade::on(&mut request);
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            return (
                StatusCode::BAD_REQUEST,
                format!("not a WebSocket request: {error}\n"),
            )
                .into_response();
        }
    };
    if let Some(protocol) = subprotocol(request.headers()) {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    match upgrades.send(Upgrade { socket, framing }).await {
        Ok(()) => response,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The best of those that the client asked for; `None` where it asked for none of ours.
fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let asked: Vec<&str> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    SUBPROTOCOLS.into_iter().find(|ours| asked.contains(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_subprotocol_that_was_asked_for_is_taken() {
        let check = |asked: &[&'static str], expected: Option<&str>| {
            let headers = asked
                .iter()
                .map(|value| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value)))
                .collect();
            assert_eq!(subprotocol(&headers), expected, "{asked:?}");
        };
        check(&[], None);
        check(&["mqtt"], None);
        check(&["v10.stomp, v11.stomp"], Some("v11.stomp"));
        check(&["v10.stomp,v11.stomp,v12.stomp"], Some("v12.stomp"));
        check(&["v10.stomp", "v12.stomp"], Some("v12.stomp"));
    }
}
