//! Why a page, or a part of it, has nothing to show.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::journal;
use crate::ops::lang::Lang;
use crate::ops::trouble::said;
use crate::secret::redact;

/// The journal's file is read within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The answer in place of a page that could not be made.
pub(super) fn failure(error: &str) -> Response {
    let words = format!("the page could not be made: {}\n", redact(error));
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}

/// What is read of the journal's file.
///
/// # Errors
/// Why there is nothing, in words for a person.
pub(super) async fn read<T>(
    lang: Lang,
    read: impl Future<Output = Result<T, journal::Error>>,
) -> Result<T, String> {
    let why = match timeout(READ_TIMEOUT, read).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => {
            // What SQLite has said, too.
            let error = format!("{:#}", anyhow::Error::from(error));
            said(&redact(&error), lang).into_owned()
        }
        Err(_) => slow(READ_TIMEOUT, lang),
    };
    Err(format!("{}{why}", lang.t("journal: ", "持久日志：")))
}

/// Nothing has answered in time.
pub(super) fn slow(limit: Duration, lang: Lang) -> String {
    let seconds = limit.as_secs();
    let en = format!("no answer within {seconds} s");
    lang.t(&en, &format!("{seconds} 秒内没有应答")).to_owned()
}
