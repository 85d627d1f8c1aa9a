//! The data of the pages as JSON, under `/api/v1`, and what it is as OpenAPI.

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::asker::Asker;
use super::dead_letters::List;
use super::device::{OneDevice, begin, days, find_one};
use super::devices::{Found, find};
use super::event::{Way, evicted, follow};
use super::frame;
use crate::model::Position;
use crate::ops::links::device_named;
use crate::ops::snapshot::Snapshot;
use crate::ops::verdict::Said;
use crate::ops::view::View;

/// The document, and all that it names.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "stomp-bridge",
        description = "What the status page shows, as JSON. Nothing here changes anything. Where \
             http.token is set, each request needs `Authorization: Bearer` with that token."
    ),
    paths(state, now, dead_letters, devices, device, event)
)]
struct Document;

/// Everything of one moment, and what it comes to.
#[derive(Debug, Serialize, ToSchema)]
struct Now {
    verdict: Said,
    #[serde(flatten)]
    now: Snapshot,
}

/// Why there is no answer.
#[derive(Debug, Serialize, ToSchema)]
struct Failure {
    error: String,
}

/// The routes.
pub(super) fn routes() -> Router<View> {
    Router::new()
        .route("/api/v1/state", get(state))
        .route("/api/v1/now", get(now))
        .route("/api/v1/dead-letters", get(dead_letters))
        .route("/api/v1/devices", get(devices))
        .route("/api/v1/devices/{stream}/{client}/{device}", get(device))
        .route("/api/v1/events/{position}", get(event))
        .route("/api/v1/openapi.json", get(document))
}

/// The verdict in a few words, by `Accept-Language` or `?lang=`.
#[utoipa::path(get, path = "/api/v1/state", responses((status = 200, body = frame::State)))]
async fn state(State(view): State<View>, asker: Asker) -> Json<frame::State> {
    let said = view.verdict().said(asker.lang);
    Json(frame::State::of(&view, &said))
}

/// All that the first page shows.
#[utoipa::path(get, path = "/api/v1/now", responses((status = 200, body = Now)))]
async fn now(State(view): State<View>, asker: Asker) -> Json<Now> {
    Json(Now {
        verdict: view.verdict().said(asker.lang),
        now: Snapshot::of(&view),
    })
}

/// The first fifty dead letters of each sink, and the undecodable entries; or the rest of one list.
#[utoipa::path(
    get,
    path = "/api/v1/dead-letters",
    params(
        ("list" = Option<String>, Query, description = "a sink, or `undecodable`"),
        ("after" = Option<i64>, Query, description = "only entries after this position"),
    ),
    responses((status = 200, body = Vec<List>), (status = 503, body = Failure)),
)]
async fn dead_letters(State(view): State<View>, asker: Asker) -> Response {
    let sinks = Snapshot::of(&view).sinks;
    match super::dead_letters::lists(&view, &asker, &sinks).await {
        Ok(lists) => Json(lists).into_response(),
        Err(error) => failure(error),
    }
}

/// Fifty devices, the worst first, and the counts of all; from the first history, else what the
/// journal knows. Without a filter those in trouble.
#[utoipa::path(
    get,
    path = "/api/v1/devices",
    params(
        ("state" = Option<String>, Query, description = "a state, `trouble`, `unknown` or `all`"),
        ("certain" = Option<String>, Query, description = "`0`: only those that are uncertain"),
        ("client" = Option<String>, Query, description = "only those of this client"),
        ("province" = Option<String>, Query, description = "only those of this province"),
        ("q" = Option<String>, Query, description = "a device, a serial or a place"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = Found)),
)]
async fn devices(State(view): State<View>, asker: Asker) -> Json<Found> {
    Json(find(&view, &asker).await)
}

/// One device with its timeline of `d` days. A segment of the path that is empty, or that begins
/// with `-` or `.`, has one `-` more.
#[utoipa::path(
    get,
    path = "/api/v1/devices/{stream}/{client}/{device}",
    params(
        ("stream" = String, Path, description = "its stream: its topic, as a rule"),
        ("client" = String, Path, description = "its client; `-`: none"),
        ("device" = String, Path, description = "its id"),
        ("d" = Option<u16>, Query, description = "1, 7 or 90 days; 7 by default"),
    ),
    responses((status = 200, body = OneDevice), (status = 404, body = Failure)),
)]
async fn device(
    State(view): State<View>,
    asker: Asker,
    Path((stream, client, device)): Path<(String, String, String)>,
) -> Response {
    let key = device_named([&stream, &client, &device]);
    let found = find_one(&view, &key, begin(days(&asker)), asker.lang).await;
    if found.device.is_none() && found.failure.is_none() {
        let error = "no such device is known".to_owned();
        return (StatusCode::NOT_FOUND, Json(Failure { error })).into_response();
    }
    Json(found).into_response()
}

/// One entry of the journal, and what became of it at each sink.
#[utoipa::path(
    get,
    path = "/api/v1/events/{position}",
    params(("position" = i64, Path, description = "its place in the journal")),
    responses(
        (status = 200, body = Way),
        (status = 404, body = Failure),
        (status = 503, body = Failure),
    ),
)]
async fn event(State(view): State<View>, asker: Asker, Path(position): Path<i64>) -> Response {
    match follow(&view, Position(position), asker.lang).await {
        Ok(Some(way)) => Json(way).into_response(),
        Ok(None) => {
            let evicted = evicted(&view, Position(position), asker.lang).await;
            let error = match evicted {
                Ok(Some(_)) => "the journal was full and has evicted this entry",
                _ => "the journal has no such entry",
            };
            let error = error.to_owned();
            (StatusCode::NOT_FOUND, Json(Failure { error })).into_response()
        }
        Err(error) => failure(error),
    }
}

fn failure(error: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(Failure { error })).into_response()
}

async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
