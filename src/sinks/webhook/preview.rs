//! What may be shown of a request before it is made.

use super::headers;
use super::settings::Settings;
use crate::model::Event;

/// A request as people are shown it: without what may be a secret, and without what is new in each
/// (time and signatures).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPreview {
    /// Such as `POST`.
    pub method: &'static str,
    /// The server; path and query only where they name the event.
    pub url: String,
    /// The headers of the configuration.
    pub headers: Vec<(String, String)>,
    /// `None`: the method has none.
    pub body: Option<Vec<u8>>,
}

impl RequestPreview {
    /// That of an event.
    ///
    /// # Errors
    /// Why the event would become a dead letter.
    pub(in crate::sinks) fn of(
        settings: &Settings,
        event: &Event,
    ) -> Result<RequestPreview, String> {
        let body = settings.posting.body(std::slice::from_ref(event))?.bytes;
        Ok(RequestPreview {
            method: settings.method.name(),
            url: settings.url.shown(event)?,
            headers: headers::shown(&settings.headers, event)?,
            body: settings.method.has_body().then_some(body),
        })
    }
}
