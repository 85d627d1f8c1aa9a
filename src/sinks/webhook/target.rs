//! One request to the receiver, and what its answer means.

use std::time::SystemTime;

use jiff::Timestamp;
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response};
use url::Url;

use super::answer::{Verdict, advice, judge};
use super::body::{Body, Posting};
use super::reach::Reach;
use super::signature::Signer;
use crate::model::Event;
use crate::secret::redact_echo;
use crate::sinks::{By, Trouble};

/// An answer is read so far, so that its connection can be used again; a longer one costs the
/// connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of a refusal's text goes into the log.
const EXCERPT_CHARS: usize = 200;

/// Where to, and how.
pub(super) struct Target {
    pub(super) reach: Reach,
    /// For log lines: path and query may be secrets (chat groups give them out as such).
    pub(super) server: String,
    pub(super) url: Url,
    pub(super) posting: Posting,
    pub(super) signer: Option<Signer>,
    pub(super) client: Client,
}

impl Target {
    /// Posts the events in one request.
    ///
    /// # Errors
    /// Why they are not confirmed.
    pub(super) async fn post(&self, events: &[Event]) -> Result<(), Trouble> {
        let ours = |error| Trouble::Refused {
            index: None,
            by: By::Us,
            error,
        };
        let Body { id, bytes } = self.posting.body(events).map_err(ours)?;
        let header = HeaderValue::from_str(&id)
            .map_err(|_| ours(format!("event id {id:?} cannot stand in a header")))?;
        let timestamp = Timestamp::now().as_second();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("webhook-id", header)
            .header("webhook-timestamp", timestamp);
        if let Some(signer) = &self.signer {
            request = request.header("webhook-signature", signer.sign(&id, timestamp, &bytes));
        }
        match request.body(bytes).send().await {
            Ok(response) => self.read(response).await,
            Err(error) => {
                // Without a connection the event never left us.
                let at_the_door = error.is_connect();
                let error = format!("{}: {}", self.server, chain(&error.without_url()));
                Err(if at_the_door {
                    Trouble::Retry { error, after: None }
                } else {
                    Trouble::Unclear { error }
                })
            }
        }
    }

    async fn read(&self, mut response: Response) -> Result<(), Trouble> {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let verdict = judge(status, retry_after, SystemTime::now());
        let mut answer = Vec::new();
        // What the status says stands, whatever becomes of the text behind it.
        while let Ok(Some(piece)) = response.chunk().await {
            answer.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - answer.len())]);
            if answer.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        let mut error = format!("{} answered {status}", self.server);
        let excerpt = excerpt(&answer);
        if !excerpt.is_empty() {
            error = format!("{error}: {excerpt}");
        }
        if let Some(advice) = advice(status) {
            error = format!("{error}; {advice}");
        }
        match verdict {
            Verdict::Confirmed => Ok(()),
            Verdict::Refused => Err(Trouble::Refused {
                index: None,
                by: By::Them,
                error,
            }),
            Verdict::Disabled => Err(Trouble::Disabled { error }),
            Verdict::Unclear => Err(Trouble::Unclear { error }),
            Verdict::Retry(after) => Err(Trouble::Retry { error, after }),
        }
    }
}

/// An error with its sources: reqwest's own text alone says no more than that it failed.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The beginning of an answer, on one line.
fn excerpt(answer: &[u8]) -> String {
    // Before it is cut: half a secret is not known as one.
    let text = String::from_utf8_lossy(answer);
    let text = redact_echo(&text);
    let one_line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXCERPT_CHARS)
        .collect();
    one_line.trim().to_owned()
}
