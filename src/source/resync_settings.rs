//! How a topic's snapshot is asked for. Where the statuses stand in the answer is the decoder's.

use std::time::Duration;

use crate::pipeline::Conditions;
use crate::secret::Secret;
use crate::source::signin::{Address, SigninTemplate, StepMethod};
use crate::tls;

/// `[topics.NAME.resync]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resync {
    /// `http` or `https`.
    pub url: Address,
    /// The request's method.
    pub method: StepMethod,
    /// Sent with it.
    pub headers: Vec<(String, SigninTemplate)>,
    /// What a good answer says; `None`: any status from 200 to 299.
    pub expect: Option<Conditions>,
    /// Extra roots, client certificate; `None`: those of the source.
    pub tls: Option<tls::Settings>,
    /// The timeout of the whole request.
    pub timeout: Duration,
    /// Between two snapshots while the topic is heard; `None`: there is one after each gap only.
    pub every: Option<Duration>,
    /// Longest body that is accepted.
    pub body_bytes_max: usize,
    /// What must not be shown, should the server repeat it.
    pub redacted: Vec<Secret>,
}
