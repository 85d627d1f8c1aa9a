//! Which path is which page, and what every answer of the pages says of itself.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::stream::{Streams, events, regions};
use super::{api, assets, dead_letters, device, devices, download, event, now, sign_in, topics};
use crate::ops::guard::Guard;
use crate::ops::view::View;

/// Nothing from another host, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer says. There is no header for other origins: none may read it.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The pages, and what sends their changes.
pub(in crate::ops) struct PageRoutes {
    pub(in crate::ops) router: Router,
    streams: Streams,
}

impl PageRoutes {
    /// Sends the changes without end.
    pub(in crate::ops) fn broadcast(&self) -> impl Future<Output = ()> + Send + use<> {
        self.streams.clone().broadcast()
    }
}

/// The pages of a daemon; streams end with `stop`.
pub(in crate::ops) fn routes(view: &View, guard: &Guard, stop: CancellationToken) -> PageRoutes {
    let streams = Streams::new(view.clone(), stop);
    let pages = Router::new()
        .route("/", get(now::now))
        .route("/topics", get(topics::topics))
        .route("/devices", get(devices::devices))
        .route("/devices.csv", get(download::devices))
        .route("/devices/{stream}/{client}/{device}", get(device::device))
        .route("/dead-letters", get(dead_letters::dead_letters))
        .route("/event/{position}", get(event::event))
        .merge(api::routes())
        .with_state(view.clone());
    let changes = Router::new()
        .route("/events", get(events))
        .route("/regions", get(regions))
        .with_state(streams.clone());
    let sign_in = Router::new()
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .with_state(guard.clone());
    let router = Router::new()
        .route("/assets/{name}", get(assets::asset))
        .merge(pages)
        .merge(changes)
        .merge(sign_in)
        .layer(middleware::from_fn(say_of_itself));
    PageRoutes { router, streams }
}

async fn say_of_itself(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    answer
}
