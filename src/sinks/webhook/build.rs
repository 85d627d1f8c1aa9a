//! From the settings to a sink and its HTTP client.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;

use super::address::{is_loopback, server};
use super::reach::Reach;
use super::settings::Settings;
use super::signature::Signer;
use super::sink::Webhook;
use super::target::{Target, chain};
use crate::secret::{Lifetime, Secret, protect, protect_header, protect_url, protect_url_path};
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
    protect_all(&settings);
    let tls = crate::tls::client_config(&crate::tls::Settings::default())?;
    let connect_timeout = settings.timeout.min(CONNECT_TIMEOUT_MAX);
    let mut client = Client::builder()
        .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
        .redirect(Policy::none())
        .connect_timeout(connect_timeout)
        .timeout(settings.timeout)
        .pool_max_idle_per_host(settings.concurrency)
        .default_headers(headers(&settings).map_err(problem)?)
        .user_agent(concat!("stomp-bridge/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&settings.url) {
        // The system's proxy would look for it on its own machine.
        client = client.no_proxy();
    }
    let client = client
        .build()
        .map_err(|error| problem(format!("http client: {}", chain(&error))))?;
    let target = Arc::new(Target {
        reach: Reach::new(&settings.url, tls, connect_timeout),
        server: server(&settings.url),
        url: settings.url,
        posting: settings.posting,
        signer,
        client,
    });
    Ok(Built {
        sink: Box::new(Webhook {
            target,
            concurrency: settings.concurrency,
        }),
        driver: None,
    })
}

/// From now on nothing shows what the receiver is sent to be believed.
fn protect_all(settings: &Settings) {
    protect_url(&settings.url, Lifetime::Configured);
    protect_url_path(&settings.url, Lifetime::Configured);
    for secret in &settings.secrets {
        protect(secret.expose_secret(), Lifetime::Configured);
    }
    for (name, value) in &settings.headers {
        protect_header(name, value.expose_secret(), Lifetime::Configured);
    }
}

/// The settings' headers, with what the body is where they do not say it.
fn headers(settings: &Settings) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
