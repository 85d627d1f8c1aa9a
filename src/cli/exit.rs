//! How a verb ends that could not do what it was for.

use std::process::ExitCode;

use super::error_words::in_words;
use super::print::tell;

/// The configuration cannot be used: systemd does not restart on it (`RestartPreventExitStatus=78`,
/// EX_CONFIG).
pub(super) const BAD_CONFIGURATION: u8 = 78;

/// A command line or configuration that cannot be used.
pub(super) fn refuse(error: &str) -> ExitCode {
    tell!("stomp-bridge: {error}");
    ExitCode::from(BAD_CONFIGURATION)
}

/// An error that ends a verb, with all its causes in one line. Where the log does not want it, it
/// stands on standard error.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    let error = in_words(error);
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error, "stomp-bridge ends");
    } else {
        tell!("stomp-bridge: {error}");
    }
    ExitCode::FAILURE
}
