//! From the settings to a sink and its HTTP client.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;

use super::address::{is_loopback, server};
use super::exchange::Exchange;
use super::reach::Reach;
use super::settings::Settings;
use super::signature::Signer;
use super::sink::Webhook;
use super::target::Target;
use crate::secret::Secret;
use crate::sinks::{BuildError, Built};

/// A connection that takes longer has failed, however patient `timeout` is.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Result<Built, BuildError> {
    let problem = |problem: String| BuildError::Settings {
        name: settings.name.clone(),
        problem,
    };
    let secrets = settings.secrets.iter().map(Secret::expose_secret);
    let signer = if settings.secrets.is_empty() {
        None
    } else {
        Some(Signer::new(secrets).map_err(problem)?)
    };
    let tls = crate::tls::client_config(&settings.tls)?;
    let connect_timeout = settings.timeout.min(CONNECT_TIMEOUT_MAX);
    let headers = headers(&settings).map_err(problem)?;
    let client = || {
        let client = Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .redirect(Policy::none())
            .connect_timeout(connect_timeout)
            .timeout(settings.timeout)
            .default_headers(headers.clone())
            .user_agent(concat!("stomp-bridge/", env!("CARGO_PKG_VERSION")));
        match is_loopback(&settings.url) {
            // The system's proxy would look for it on its own machine.
            true => client.no_proxy(),
            false => client,
        }
    };
    let exchange = Exchange::new(client, settings.concurrency).map_err(problem)?;
    let target = Arc::new(Target {
        reach: Reach::new(&settings.url, tls, connect_timeout),
        server: server(&settings.url),
        url: settings.url,
        posting: settings.posting,
        signer,
        answers: settings.answers,
        exchange,
    });
    Ok(Built {
        sink: Box::new(Webhook {
            target,
            concurrency: settings.concurrency,
        }),
        driver: None,
    })
}

/// The settings' headers, with what the body is where they do not say it.
fn headers(settings: &Settings) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // An answer's text is read as it comes.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in &settings.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("headers: {name:?} cannot be a header's name"))?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
            format!("headers: the value of {name:?} has characters that a header cannot have")
        })?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}
