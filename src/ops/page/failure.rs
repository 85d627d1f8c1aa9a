//! The answer in place of a page that could not be made.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::secret::redact;

/// Says why.
pub(super) fn failure(error: &str) -> Response {
    let words = format!("the page could not be made: {}\n", redact(error));
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}
