//! The HTTP sign-in before each connection: one request after another, each with what the ones
//! before it gave. What it sends and what it is given is in no log and in no error.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::credentials::Credentials;
use super::error::SigninError;
use super::step::Step;
use crate::secret::Secret;
use crate::source::masked::without_secrets;
use crate::tls;
use crate::transport::{DialError, Stage, exchange};

/// `[source.signin]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Signin {
    /// The requests, in their order; at least one.
    pub steps: Vec<Step>,
    /// The timeout of the whole sign-in.
    pub timeout: Duration,
    /// What must not be shown, should the server repeat it.
    pub redacted: Vec<Secret>,
}

impl Signin {
    /// Signs in. With the source's TLS settings, since it is one platform mostly.
    pub(in crate::source) async fn ask(
        &self,
        tls: &tls::Settings,
    ) -> Result<Credentials, SigninError> {
        let began = Instant::now();
        let mut credentials = Credentials::default();
        let mut has_sent = false;
        for step in &self.steps {
            let left = self.timeout.saturating_sub(began.elapsed());
            let request = step.request(&credentials, tls, left)?;
            has_sent |= step.sends_ours();
            let answer = exchange(&request)
                .await
                .map_err(|error| self.whole_timeout(error))?;
            credentials =
                step.read(answer, &credentials, &self.paths())
                    .map_err(|error| match self.redacted(error, &credentials) {
                        SigninError::Refused(text) if !has_sent => {
                            SigninError::RefusedUnasked(text)
                        }
                        error => error,
                    })?;
            credentials.protect();
        }
        if let Some(last) = self.steps.last() {
            info!(url = %last.url, requests = self.steps.len(), "signed in");
        }
        Ok(credentials)
    }

    /// The paths that are part of signing in: a redirect to one of them lets nobody in.
    fn paths(&self) -> Vec<&str> {
        self.steps
            .iter()
            .map(|step| step.url.url().path())
            .collect()
    }

    /// Of a timeout, with the time for all requests in place of the last one's rest.
    fn whole_timeout(&self, error: DialError) -> DialError {
        match error {
            DialError::Timeout {
                peer,
                stage: stage @ Stage::Signin,
                ..
            } => DialError::Timeout {
                peer,
                stage,
                after: self.timeout,
            },
            error => error,
        }
    }

    /// Whether it sends the same as another sign-in, and so gets the same answer.
    pub(super) fn asks_as(&self, other: &Signin) -> bool {
        self.steps.len() == other.steps.len()
            && (self.steps.iter().zip(&other.steps)).all(|(step, other)| step.asks_as(other))
    }

    fn redacted(&self, error: SigninError, credentials: &Credentials) -> SigninError {
        let redact = |text: String| credentials.redact(&without_secrets(&text, &self.redacted));
        match error {
            SigninError::Refused(text) => SigninError::Refused(redact(text)),
            SigninError::RefusedUnasked(text) => SigninError::RefusedUnasked(redact(text)),
            SigninError::Trouble(text) => SigninError::Trouble(redact(text)),
            SigninError::Busy { text, after } => SigninError::Busy {
                text: redact(text),
                after,
            },
            SigninError::Dial(error) => SigninError::Dial(error),
        }
    }
}
