//! From the settings to a sink and its HTTP client.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use tokio_util::sync::CancellationToken;

use super::denial::Denials;
use super::exchange::Exchange;
use super::headers::{HeaderText, headers};
use super::reach::Reach;
use super::settings::Settings;
use super::signature::{HeaderSigner, Signer};
use super::sink::Webhook;
use super::target::Target;
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
    let signer = match settings.secrets.is_empty() {
        true => None,
        false => Some(Signer::new(secrets).map_err(problem)?),
    };
    protect_all(&settings);
    let hmac = settings.hmac.as_ref().map(HeaderSigner::new);
    let hmac = hmac.transpose().map_err(problem)?;
    let tls = crate::tls::client_config(&settings.tls)?;
    let connect_timeout = settings.timeout.min(CONNECT_TIMEOUT_MAX);
    let (headers, rendered) = headers(&settings.headers).map_err(problem)?;
    let client = || {
        let client = Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .redirect(Policy::none())
            .connect_timeout(connect_timeout)
            .timeout(settings.timeout)
            .default_headers(headers.clone())
            .user_agent(concat!("stomp-bridge/", env!("CARGO_PKG_VERSION")));
        match settings.url.is_loopback() {
            // The system's proxy would look for it on its own machine.
            true => client.no_proxy(),
            false => client,
        }
    };
    // A kept connection may close just when it is used again, and the request be sent twice: that
    // would be one more than the rate allows.
    let kept = match settings.rate {
        Some(_) => 0,
        None => settings.concurrency,
    };
    let exchange = Exchange::new(client, kept).map_err(problem)?;
    let target = Arc::new(Target {
        name: settings.name.clone(),
        reach: Reach::new(settings.url.url(), tls, connect_timeout),
        server: settings.url.server(),
        url: settings.url,
        method: settings.method,
        headers: rendered,
        posting: settings.posting,
        signer,
        hmac,
        answers: settings.answers,
        exchange,
        denials: Denials::default(),
    });
    Ok(Built {
        sink: Box::new(Webhook {
            target,
            concurrency: settings.concurrency,
            rate: settings.rate,
            answer: None,
        }),
        driver: None,
        ending: CancellationToken::new(),
    })
}

/// From now on nothing shows what the receiver is sent to be believed.
fn protect_all(settings: &Settings) {
    protect_url(settings.url.url(), Lifetime::Configured);
    protect_url_path(settings.url.url(), Lifetime::Configured);
    let of_hmac = settings.hmac.iter().map(|hmac| &hmac.secret);
    for secret in settings.secrets.iter().chain(of_hmac) {
        protect(secret.expose_secret(), Lifetime::Configured);
    }
    for (name, value) in &settings.headers {
        if let HeaderText::Fixed(value) = value {
            protect_header(name, value.expose_secret(), Lifetime::Configured);
        }
    }
}
