//! One request for a snapshot. Where the server wants somebody who is signed in, it signs in once
//! and asks again. Nothing of what it sends is in an error.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::info;

use super::error::ResyncError;
use super::snapshot::Snapshot;
use crate::pipeline::{Body as Text, Decoder, Denial};
use crate::secret::{Lifetime, protect_header, protect_url};
use crate::source::clock;
use crate::source::masked::without_secrets;
use crate::source::resync_settings::Resync;
use crate::source::signin::{Credentials, Signin, SigninError, SigninLimit, excerpt};
use crate::tls;
use crate::transport::{Answer, Body, Proxies, Request, Stage, exchange, is_login_page};

/// What a sign-in has given.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    /// How many sign-ins of requests there were before, with it, on this connection.
    count: u64,
    credentials: Credentials,
}

impl SignedIn {
    /// What the connection's own sign-in has given.
    pub(super) fn with_connection(credentials: Credentials) -> SignedIn {
        let count = 0;
        SignedIn { count, credentials }
    }
}

/// One request of a connection signs in at a time, and the next one takes what that gave.
#[derive(Debug, Clone, Default)]
pub(super) struct SigninTurn(Arc<Mutex<Option<SignedIn>>>);

/// What one request needs.
pub(super) struct Question {
    pub(super) resync: Resync,
    /// Of the topic's snapshots.
    pub(super) decoder: Decoder,
    pub(super) signed_in: SignedIn,
    pub(super) turn: SigninTurn,
    /// The source's.
    pub(super) signin: Option<Signin>,
    pub(super) signins: SigninLimit,
    pub(super) tls: tls::Settings,
}

impl Question {
    /// Asks; also gives the credentials that another sign-in gave.
    pub(super) async fn ask(mut self) -> (Result<Snapshot, ResyncError>, Option<SignedIn>) {
        let refused = match self.ask_once().await {
            Err(ResyncError::Unauthorized(refused)) => refused,
            outcome => return (outcome, None),
        };
        match self.sign_in(&refused).await {
            Ok(signed_in) => self.signed_in = signed_in,
            Err(error) => return (Err(error), None),
        }
        (self.ask_once().await, Some(self.signed_in))
    }

    async fn ask_once(&self) -> Result<Snapshot, ResyncError> {
        let asked = self.answer().await;
        asked.map_err(|error| match error {
            ResyncError::Unauthorized(text) => ResyncError::Unauthorized(self.redacted(&text)),
            ResyncError::Failed { text, after } => ResyncError::Failed {
                text: self.redacted(&text),
                after,
            },
        })
    }

    async fn answer(&self) -> Result<Snapshot, ResyncError> {
        let request = self
            .request(&self.signed_in.credentials)
            .map_err(of_signin)?;
        let answer = exchange(&request)
            .await
            .map_err(|error| ResyncError::failed(error.to_string()))?;
        let (resync, decoder) = (self.resync.clone(), self.decoder.clone());
        // A large one takes longer than the link may wait.
        let read = spawn_blocking(move || read(&resync, &decoder, &answer)).await;
        read.unwrap_or_else(|error| Err(ResyncError::failed(error.to_string())))
    }

    fn request(&self, credentials: &Credentials) -> Result<Request, SigninError> {
        let resync = &self.resync;
        let mut headers = Vec::new();
        for (name, value) in &resync.headers {
            let value = value.render(credentials)?;
            protect_header(name, value.expose_secret(), Lifetime::Given);
            headers.push((name.clone(), value));
        }
        let url = resync.url.render(credentials)?;
        protect_url(&url, Lifetime::Given);
        Ok(Request {
            url,
            method: resync.method.render(credentials)?,
            headers,
            cookies: credentials.cookies().clone(),
            tls: resync.tls.clone().unwrap_or_else(|| self.tls.clone()),
            proxies: Proxies::of_environment(),
            stage: Stage::Snapshot,
            timeout: resync.timeout,
            body_bytes_max: resync.body_bytes_max,
        })
    }

    /// Whether the request has anything of a sign-in: else another one changes nothing.
    fn uses_signin(&self) -> bool {
        let cookies = self.signed_in.credentials.cookies();
        cookies.values().next().is_some() || self.request(&Credentials::default()).is_err()
    }

    /// As before a connection: a refused sign-in counts against the same limit. One at a time, so
    /// that no other is refused between the look at the limit and the answer.
    async fn sign_in(&self, refused: &str) -> Result<SignedIn, ResyncError> {
        let Some(signin) = &self.signin else {
            return Err(ResyncError::failed(format!(
                "{refused}; check headers, or add [source.signin]"
            )));
        };
        if !self.uses_signin() {
            return Err(ResyncError::failed(format!(
                "{refused}; check headers: nothing in the request comes from [source.signin]"
            )));
        }
        let mut newest = self.turn.0.lock().await;
        let newer = newest.as_ref();
        if let Some(newer) = newer.filter(|newer| newer.count > self.signed_in.count) {
            return Ok(newer.clone());
        }
        if let Some(wait) = self.signins.wait(Some(signin), clock::now()) {
            return Err(ResyncError::Failed {
                text: format!("{refused}; {wait}"),
                after: Some(wait.0),
            });
        }
        info!(url = %self.resync.url, "signing in again: the snapshot's request was not accepted");
        match signin.ask(&self.tls).await {
            Ok(credentials) => {
                let count = self.signed_in.count + 1;
                let signed_in = SignedIn { count, credentials };
                *newest = Some(signed_in.clone());
                Ok(signed_in)
            }
            Err(error) => {
                if let SigninError::Refused(_) = error {
                    self.signins.refused(signin, clock::now());
                }
                Err(of_signin(error))
            }
        }
    }

    /// A text fit for a log.
    fn redacted(&self, text: &str) -> String {
        let text = without_secrets(text, &self.resync.redacted);
        self.signed_in.credentials.redact(&text)
    }
}

fn of_signin(error: SigninError) -> ResyncError {
    let after = match &error {
        SigninError::Busy { after, .. } => Some(*after),
        _ => None,
    };
    ResyncError::Failed {
        text: error.to_string(),
        after,
    }
}

/// The statuses of the answer, if it is a good one.
fn read(resync: &Resync, decoder: &Decoder, answer: &Answer) -> Result<Snapshot, ResyncError> {
    judge(resync, answer)?;
    let url = &resync.url;
    let Body::Whole(bytes) = &answer.body else {
        let max = resync.body_bytes_max;
        return Err(ResyncError::failed(format!(
            "{url} answered with more than {max} bytes; raise source.max_body, or ask for less"
        )));
    };
    let header = |name| answer.header(name).unwrap_or_default().to_owned().into();
    let body = Text {
        bytes,
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
    };
    let snapshot = Snapshot::read(&body, decoder, Timestamp::now());
    if snapshot.as_ref().is_ok_and(|snapshot| !snapshot.is_empty()) {
        return snapshot;
    }
    let text = answer.text();
    if says_401(&text) {
        return Err(ResyncError::Unauthorized(refusal(resync, answer, "")));
    }
    let snapshot = snapshot.map_err(|error| ResyncError::failed(format!("{url}: {error}")))?;
    // A platform that answers 200 to everything has no devices in what it refuses.
    match Denial::in_body(&text).filter(|_| resync.expect.is_none()) {
        None => Ok(snapshot),
        Some(denial) => Err(ResyncError::failed(format!(
            "{}, and {denial} looks like a refusal; where it is none, set expect = {{ \"/{}\" = {} }}",
            refusal(resync, answer, ""),
            denial.key,
            denial.found
        ))),
    }
}

/// Whether the answer is a good one.
fn judge(resync: &Resync, answer: &Answer) -> Result<(), ResyncError> {
    let status = answer.status;
    if resync.expect.is_none() && (200..300).contains(&status) {
        return Ok(());
    }
    let text = answer.text();
    let unmet = match &resync.expect {
        None => String::new(),
        Some(expect) => match expect.unmet(status, &text) {
            None => return Ok(()),
            Some(unmet) => format!(", but expect wants {unmet}"),
        },
    };
    let told = refusal(resync, answer, &unmet);
    let is_led_to_login = answer.redirect().is_some_and(is_login_page);
    if status == 401 || is_led_to_login || says_401(&text) {
        return Err(ResyncError::Unauthorized(told));
    }
    Err(ResyncError::Failed {
        text: format!("{told}; {}", advice(status)),
        after: answer.retry_after(),
    })
}

/// What the server answered, without values.
fn refusal(resync: &Resync, answer: &Answer, unmet: &str) -> String {
    let (url, status) = (&resync.url, answer.status);
    let location = answer.location().filter(|_| answer.redirect().is_some());
    let said = match location {
        Some(location) => format!(" (to {location})"),
        None => match excerpt(answer.bytes(), std::iter::empty()) {
            said if said.is_empty() => said,
            said => format!(" ({said})"),
        },
    };
    format!("{url} answered {status}{said}{unmet}")
}

/// As platforms say it that answer 200 to everything.
fn says_401(text: &str) -> bool {
    /// The rest of a large answer is passed over.
    #[derive(Deserialize)]
    struct Coded<'a> {
        #[serde(borrow)]
        code: &'a RawValue,
    }
    let answer: Option<Coded<'_>> = serde_json::from_str(text).ok();
    answer.is_some_and(|answer| ["401", "\"401\""].contains(&answer.code.get()))
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed: set url to the address that it leads to",
        403 => "the user may not read it",
        404 | 405 => "check url and method",
        400 | 415 | 422 => "check json, form and headers",
        429 => "too many requests: raise every",
        500..=599 => "the server or a proxy before it is in trouble: see its log",
        _ => "check url, and what the answer says",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::pipeline::{Conditions, Mapping};
    use crate::source::signin::StepMethod;

    fn outcome(expect: Option<serde_json::Value>, body: &str) -> String {
        let expect = expect.map(|it| Conditions::read(it.as_object().unwrap()).unwrap());
        let resync = Resync {
            url: "http://h/devices".parse().unwrap(),
            method: StepMethod::Get,
            headers: Vec::new(),
            expect,
            tls: None,
            timeout: Duration::from_secs(30),
            every: None,
            body_bytes_max: 1000,
            redacted: Vec::new(),
        };
        let mut mapping = Mapping::default();
        mapping.items = Some("/data".parse().unwrap());
        let decoder = Decoder::new("map-1".into(), mapping, Arc::default()).of_snapshots();
        let answer = Answer {
            status: 200,
            headers: BTreeMap::new(),
            body: Body::Whole(body.into()),
            cookies: Default::default(),
            cookies_set: Vec::new(),
        };
        match read(&resync, &decoder, &answer) {
            Ok(snapshot) => format!("{} statuses", snapshot.statuses.len()),
            Err(ResyncError::Unauthorized(_)) => "unauthorized".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_refusal_within_an_answer_of_200_is_no_empty_snapshot() {
        let expired = r#"{"code":401,"msg":"expired","data":null}"#;
        let busy = r#"{"code":500,"msg":"busy","data":[]}"#;
        let empty = r#"{"code":200,"data":null}"#;
        let one = r#"{"code":7,"data":[{"deviceId":1,"newState":"x"}]}"#;
        let refused = r#""code": 500 looks like a refusal; where it is none, set expect"#;
        for (expect, body, expected) in [
            (None, expired, "unauthorized"),
            (Some(json!({ "status": 200 })), expired, "unauthorized"),
            (None, busy, refused),
            (Some(json!({ "/code": 500 })), busy, "0 statuses"),
            (None, empty, "0 statuses"),
            (None, one, "1 statuses"),
        ] {
            let outcome = outcome(expect, body);
            assert!(outcome.contains(expected), "{body}: {outcome}");
        }
    }
}
