//! How a verb ends that could not do what it was for.

use std::process::ExitCode;

/// The configuration cannot be used: systemd does not restart on it (`RestartPreventExitStatus=78`,
/// EX_CONFIG).
pub(super) const BAD_CONFIGURATION: u8 = 78;

/// An error that ends a verb, with all its causes in one line.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    tracing::error!(error = format!("{error:#}"), "stomp-bridge ends");
    ExitCode::FAILURE
}
