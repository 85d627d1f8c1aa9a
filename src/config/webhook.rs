//! The tables of webhooks.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json};

use super::context::Context;
use super::path::Path;
use super::schema;
use super::secret::Within;
use crate::model::EventKind;
use crate::pipeline::{ListTemplate, Template};
use crate::secret::Secret;
use crate::sinks::webhook::{Answers, Posting, Settings};
use crate::tls;

/// Requests of one webhook at once: more connections than a receiver is likely to grant.
const CONCURRENCY_MAX: u32 = 256;
/// Events in one request, and how long they may wait for each other: beyond it a status is old
/// news.
const BATCH_EVENTS_MAX: u32 = 1000;
const BATCH_WAIT_MAX: Duration = Duration::from_secs(3600);

/// Keys of a webhook: the old one and the new one.
const SIGNING_SECRETS_MAX: usize = 2;

/// The settings of the webhook of that path and name.
pub(super) fn check(
    check: &mut Context<'_>,
    (path, name): (&Path, &str),
    written: schema::Webhook,
    kinds: &BTreeSet<EventKind>,
) -> Option<Settings> {
    let answers = answers(check, path, &written);
    if written.timeout.0.is_zero() {
        check
            .report
            .error(&path.join("timeout"), "expected a duration above 0");
    }
    let headers = check.headers(&path.join("headers"), written.headers);
    let concurrency = written.concurrency.0;
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        let message =
            format!("expected 1 to {CONCURRENCY_MAX} requests at once, found {concurrency}");
        check.report.error(&path.join("concurrency"), message);
    }
    let posting = posting(check, path, written.body, written.batch, kinds);
    if written.secret.0.len() > SIGNING_SECRETS_MAX {
        let message = format!(
            "expected one secret, or two during a rotation, found {}",
            written.secret.0.len()
        );
        check.report.error(&path.join("secret"), message);
    }
    let secrets = written
        .secret
        .0
        .iter()
        .filter_map(|secret| signing_secret(check, &path.join("secret"), secret))
        .collect();
    let tls = check.tls(&path.join("tls"), written.tls);
    let url_path = path.join("url");
    let Some(url) = written.url else {
        let help = "such as url = \"https://hooks.example.com/devices\"";
        check
            .report
            .key_error(&url_path, format!("webhook `{}` has no url", name), help);
        return None;
    };
    let url = check.url(&url_path, url.expose_secret(), &["http", "https"])?;
    if url.scheme() == "http" && tls != tls::Settings::default() {
        let message = "`tls` does nothing where the URL is http";
        check.report.warning(&path.join("tls"), message);
    }
    Some(Settings {
        name: name.to_owned(),
        url,
        headers,
        posting: posting?,
        concurrency: concurrency as usize,
        secrets,
        answers,
        tls,
        timeout: written.timeout.0,
    })
}

/// What its answers mean.
fn answers(check: &mut Context<'_>, path: &Path, written: &schema::Webhook) -> Answers {
    let mut conditions = |name: &str, written: &Option<Map<String, Json>>| {
        let help = format!("such as {name} = {{ \"/errcode\" = 0 }}, or {{ status = 200 }}");
        check.conditions(&path.join(name), written.as_ref()?, help)
    };
    Answers {
        success: conditions("success", &written.success),
        retry_when: conditions("retry_when", &written.retry_when),
        reject_when: conditions("reject_when", &written.reject_when),
    }
}

/// The body of a request.
fn posting(
    check: &mut Context<'_>,
    path: &Path,
    body: Option<String>,
    batch: Option<schema::Together>,
    kinds: &BTreeSet<EventKind>,
) -> Option<Posting> {
    let body_path = path.join("body");
    let Some(batch) = batch else {
        let body = body.map(|body| check.report.take(&body_path, Template::parse(&body, kinds)));
        return Some(Posting::Single {
            body: body.map_or(Some(None), |body| body.map(Some))?,
        });
    };
    let (max, wait) = (batch.max.0, batch.wait.0);
    let path = path.join("batch");
    if !(1..=BATCH_EVENTS_MAX).contains(&max) {
        let message = format!("expected 1 to {BATCH_EVENTS_MAX} events in a request, found {max}");
        check.report.error(&path.join("max"), message);
    }
    if wait > BATCH_WAIT_MAX {
        check
            .report
            .error(&path.join("wait"), "expected an hour at most");
    }
    let body = body.map(|body| {
        let parsed = ListTemplate::parse(&body, kinds);
        check.report.take(&body_path, parsed)
    });
    let body = body.map_or(Some(None), |body| body.map(Some))?;
    Some(Posting::Batch {
        body,
        max: max as usize,
        wait,
    })
}

/// A secret by Standard Webhooks: base64, mostly with `whsec_` in front.
fn signing_secret(check: &mut Context<'_>, path: &Path, written: &Secret) -> Option<Secret> {
    let secret = check.secret(path, written.expose_secret(), Within::Text)?;
    let text = secret.expose_secret();
    let key = BASE64.decode(text.strip_prefix("whsec_").unwrap_or(text));
    if !key.is_ok_and(|key| !key.is_empty()) {
        let help = "expected whsec_ and base64, as the receiver shows it (Standard Webhooks)";
        check.report.error_with(path, "not a signing secret", help);
    }
    Some(secret)
}
