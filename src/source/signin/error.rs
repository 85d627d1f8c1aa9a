//! Why a sign-in has given nothing.

use crate::transport::DialError;

/// Why nobody is signed in. What a caller does differently: a refusal is tried again slowly.
#[derive(Debug, thiserror::Error)]
pub enum SigninError {
    /// The server does not want us as we are configured, or its answer is not what was expected.
    #[error("sign-in refused: {0}")]
    Refused(String),
    /// The server is in trouble.
    #[error("sign-in failed: {0}")]
    Trouble(String),
    /// The server could not be asked.
    #[error("sign-in failed: {0}")]
    Dial(#[from] DialError),
}
