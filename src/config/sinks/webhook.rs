//! The tables of webhooks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use url::Url;

use crate::config::context::{Context, is_header_name};
use crate::config::events::Events;
use crate::config::path::Path;
use crate::config::schema;
use crate::config::secret::Within;
use crate::config::units;
use crate::model::{CoverageEvent, Event, EventKind, StatusEvent};
use crate::pipeline::Template;
use crate::secret::{Lifetime, PLACEHOLDER, Secret, protect_header, protect_url, protect_url_path};
use crate::sinks::Rate;
use crate::sinks::webhook::{
    Address, Algorithm, Answers, Digits, HeaderSignature, HeaderText, Method, Posting, Settings,
    is_signing_secret,
};
use crate::tls;

/// Requests of one webhook at once: more connections than a receiver is likely to grant.
const CONCURRENCY_MAX: u32 = 256;
/// Events in one request, and how long they may wait for each other: beyond it a status is old
/// news.
const BATCH_EVENTS_MAX: u32 = 1000;
const BATCH_WAIT_MAX: Duration = Duration::from_secs(3600);

/// Requests in the time of a `rate`: each is remembered for that time.
const RATE_MAX: u32 = 10_000;
/// The time of a `rate`: in a shorter one chance decides, and nobody waits for a longer one.
const RATE_TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Keys of a webhook: the old one and the new one.
const SIGNING_SECRETS_MAX: usize = 2;

/// The settings of the webhook of that path and name.
pub(super) fn check(
    check: &mut Context<'_>,
    (path, name): (&Path, &str),
    written: schema::Webhook,
    events: Events<'_>,
) -> Option<Settings> {
    bounds(check, path, &written);
    let answers = answers(check, path, &written);
    let method = method(written.method);
    let parts = Parts {
        path,
        events,
        is_batch: written.batch.is_some(),
    };
    let headers = headers(check, &parts, written.headers);
    let rate = written.rate.and_then(|rate| limit(check, path, rate));
    let hmac = written.hmac.and_then(|hmac| signature(check, path, hmac));
    if !method.has_body() && (written.body.is_some() || written.batch.is_some()) {
        let message = "GET has no body: it would be lost";
        let help = "write method = \"POST\", or templates in `url` in place of `body` and `batch`";
        check.report.error_with(&path.join("method"), message, help);
    }
    let posting = posting(check, path, written.body, written.batch, events);
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
        let message = format!("webhook `{name}` has no url");
        check.report.key_error(&url_path, message, help);
        return None;
    };
    let url = address(check, &parts, &url)?;
    if !url.is_https() && tls != tls::Settings::default() {
        let message = "`tls` does nothing where the URL is http";
        check.report.warning(&path.join("tls"), message);
    }
    Some(Settings {
        name: name.to_owned(),
        url,
        method,
        headers,
        posting: posting?,
        concurrency: written.concurrency.0 as usize,
        secrets,
        hmac,
        rate,
        answers,
        tls,
        timeout: written.timeout.0,
    })
}

/// Numbers that have bounds.
fn bounds(check: &mut Context<'_>, path: &Path, written: &schema::Webhook) {
    if written.timeout.0.is_zero() {
        let message = "expected a duration above 0";
        check.report.error(&path.join("timeout"), message);
    }
    let concurrency = written.concurrency.0;
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        let message =
            format!("expected 1 to {CONCURRENCY_MAX} requests at once, found {concurrency}");
        check.report.error(&path.join("concurrency"), message);
    }
    let secrets = written.secret.0.len();
    if secrets > SIGNING_SECRETS_MAX {
        let message = format!("expected one secret, or two during a rotation, found {secrets}");
        check.report.error(&path.join("secret"), message);
    }
}

/// What templates in `url` and `headers` depend on.
struct Parts<'a> {
    path: &'a Path,
    events: Events<'a>,
    is_batch: bool,
}

impl Parts<'_> {
    /// A template of one event.
    fn template(&self, check: &mut Context<'_>, path: &Path, source: &Secret) -> Option<Template> {
        if self.is_batch {
            let help = "without `batch` each request has one event";
            let message = "with `batch` a request has several events: only `body` can name them";
            check.report.error_with(path, message, help);
            return None;
        }
        self.events.template(check, path, source.expose_secret())
    }
}

/// Where requests go: a URL, or a server with a template of what stands behind it.
fn address(check: &mut Context<'_>, parts: &Parts<'_>, written: &Secret) -> Option<Address> {
    let (path, schemes) = (parts.path.join("url"), &["http", "https"]);
    let Some(text) = check.of_events(&path, written.expose_secret(), Within::Url) else {
        let url = check.url(&path, written.expose_secret(), schemes)?;
        return Some(Address::from(url));
    };
    let text = text.expose_secret();
    let server = text.find("://").map_or(0, |at| at + "://".len());
    let behind = text[server..].find(['/', '?', '#', '{']);
    let behind = server + behind.unwrap_or_default();
    if server == 0 || !text[behind..].starts_with(['/', '?']) {
        let message = "the server is the configuration's: no event may name it";
        let help = "placeholders may stand in the path and in the query";
        check.report.error_with(&path, message, help);
        return None;
    }
    let url = check.checked_url(&path, &text[..behind], schemes)?;
    // A token that is written beside the placeholders.
    let plain = without_placeholders(text).replace(PLACEHOLDER, "%00");
    if let Ok(whole) = Url::parse(&plain) {
        protect_url(&whole, Lifetime::Configured);
        protect_url_path(&whole, Lifetime::Configured);
    }
    let template = parts.template(check, &path, &text[behind..].into())?;
    let address = Address::new(url, template);
    let samples = parts.events.kinds.iter().map(|kind| sample(*kind));
    let mut mistakes = samples.filter_map(|sample| address.of(&sample).err());
    match mistakes.next() {
        None => Some(address),
        Some(mistake) => {
            check.report.error(&path, mistake);
            None
        }
    }
}

/// A template's own text, with [`PLACEHOLDER`] in place of what is made of the event.
fn without_placeholders(mut text: &str) -> String {
    let mut plain = String::new();
    while let Some((before, rest)) = text.split_once('{') {
        plain.push_str(before);
        plain.push(PLACEHOLDER);
        let end = match rest.as_bytes().first() {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => "",
        };
        text = rest.split_once(end).map_or("", |(_, behind)| behind);
    }
    plain + text
}

fn sample(kind: EventKind) -> Event {
    match kind {
        EventKind::Status => StatusEvent::sample().into(),
        EventKind::Coverage => CoverageEvent::sample().into(),
    }
}

/// The headers, some of which are made of the event.
fn headers(
    check: &mut Context<'_>,
    parts: &Parts<'_>,
    written: BTreeMap<String, Secret>,
) -> Vec<(String, HeaderText)> {
    let path = parts.path.join("headers");
    let (mut fixed, mut headers) = (BTreeMap::new(), Vec::new());
    for (name, value) in written {
        let path = path.join(&name);
        match check.of_events(&path, value.expose_secret(), Within::Text) {
            Some(text) if is_header_name(&name) => {
                let plain = without_placeholders(text.expose_secret());
                protect_header(&name, &plain, Lifetime::Configured);
                let template = parts.template(check, &path, &text);
                headers.extend(template.map(|text| (name, HeaderText::Template(text))));
            }
            _ => {
                fixed.insert(name, value);
            }
        }
    }
    let fixed = check.headers(&path, fixed).into_iter();
    headers.extend(fixed.map(|(name, value)| (name, HeaderText::Fixed(value))));
    headers
}

fn method(written: schema::WebhookMethod) -> Method {
    match written {
        schema::WebhookMethod::Get => Method::Get,
        schema::WebhookMethod::Post => Method::Post,
        schema::WebhookMethod::Put => Method::Put,
        schema::WebhookMethod::Patch => Method::Patch,
    }
}

/// The most requests in a time.
fn limit(check: &mut Context<'_>, path: &Path, written: units::Rate) -> Option<Rate> {
    let units::Rate { most, per } = written;
    if !(1..=RATE_MAX).contains(&most) || !RATE_TIMES.contains(&per) {
        let message = format!("expected 1 to {RATE_MAX} requests, and a time from 1s to 1d");
        check.report.error(&path.join("rate"), message);
        return None;
    }
    Some(Rate {
        attempts: most,
        per,
    })
}

/// A signature in a header of its own.
fn signature(
    check: &mut Context<'_>,
    path: &Path,
    written: schema::HeaderSignature,
) -> Option<HeaderSignature> {
    let path = path.join("hmac");
    let header = written.header.unwrap_or_default();
    if !is_header_name(&header) {
        let (message, help) = (
            format!("`{header}` cannot name a header"),
            "such as hmac = { header = \"X-Hub-Signature-256\", secret = \"…\", prefix = \"sha256=\" }",
        );
        check.report.key_error(&path.join("header"), message, help);
    }
    let printable = |c: char| c == ' ' || c.is_ascii_graphic();
    if !written.prefix.chars().all(printable) {
        let message = "expected characters of ASCII that can be printed";
        check.report.error(&path.join("prefix"), message);
    }
    let secret_path = path.join("secret");
    let secret = written.secret.unwrap_or_default();
    let secret = check.secret(&secret_path, secret.expose_secret(), Within::Text)?;
    if secret.expose_secret().is_empty() {
        let help = "the key that the receiver has, too, such as secret = \"{{ secret('hook') }}\"";
        check
            .report
            .key_error(&secret_path, "a signature needs a key", help);
    }
    Some(HeaderSignature {
        header,
        secret,
        prefix: written.prefix,
        algorithm: match written.algorithm {
            schema::Algorithm::Sha256 => Algorithm::Sha256,
            schema::Algorithm::Sha512 => Algorithm::Sha512,
        },
        digits: match written.encoding {
            schema::Digits::Hex => Digits::Hex,
            schema::Digits::Base64 => Digits::Base64,
        },
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
    events: Events<'_>,
) -> Option<Posting> {
    let body_path = path.join("body");
    let Some(batch) = batch else {
        let body = body.map(|body| events.template(check, &body_path, &body));
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
    let body = body.map(|body| events.list_template(check, &body_path, &body));
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
    if !is_signing_secret(secret.expose_secret()) {
        let help = "expected whsec_ and base64, as the receiver shows it (Standard Webhooks)";
        check.report.error_with(path, "not a signing secret", help);
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::without_placeholders;

    #[test]
    fn what_stands_beside_placeholders_is_found() {
        for (source, expected) in [
            (
                "https://h/a?token=t&d={{ device_id }}",
                "https://h/a?token=t&d=\0",
            ),
            ("Bearer abc{% if changed %}d{% endif %}", "Bearer abc\0d\0"),
            ("a{# what #}b", "a\0b"),
            ("a{b}", "a\0b}"),
            ("a{{ b", "a\0"),
            ("故障", "故障"),
        ] {
            assert_eq!(without_placeholders(source), expected, "{source}");
        }
    }
}
