//! Why there is no snapshot.

use std::time::Duration;

/// Why there is no snapshot. What a caller does differently: one that is to sign in asks again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResyncError {
    /// The server wants somebody who is signed in.
    #[error("{0}")]
    Unauthorized(String),
    /// Anything else; the server may ask to be left alone for this time.
    #[error("{text}")]
    Failed {
        text: String,
        after: Option<Duration>,
    },
}

impl ResyncError {
    /// One without a wish of the server.
    pub(super) fn failed(text: impl Into<String>) -> ResyncError {
        ResyncError::Failed {
            text: text.into(),
            after: None,
        }
    }

    /// For how long the server asks to be left alone.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            ResyncError::Unauthorized(_) => None,
            ResyncError::Failed { after, .. } => *after,
        }
    }
}
