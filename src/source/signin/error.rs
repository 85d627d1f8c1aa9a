//! Why a sign-in has given nothing.

use std::time::Duration;

use crate::transport::DialError;

/// Why nobody is signed in. What a caller does differently: a refusal is tried again slowly.
#[derive(Debug, thiserror::Error)]
pub enum SigninError {
    /// The server refuses the configured credentials, or its answer is not the expected one.
    #[error("sign-in refused: {0}")]
    Refused(String),
    /// As [`SigninError::Refused`], and nothing of ours had been sent: no platform counts it.
    #[error("sign-in refused: {0}")]
    RefusedUnasked(String),
    /// The server is in trouble.
    #[error("sign-in failed: {0}")]
    Trouble(String),
    /// The server asks to be left alone.
    #[error("sign-in failed: {text}")]
    Busy {
        /// Its words.
        text: String,
        /// For this time.
        after: Duration,
    },
    /// The server could not be asked.
    #[error("sign-in failed: {0}")]
    Dial(#[from] DialError),
}
