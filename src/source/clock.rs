//! The time, by the clock that tokio's timers go by: a test that stops it stops both.

use std::time::Instant;

/// Now, as the standard library has it, which is what a session is given.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
