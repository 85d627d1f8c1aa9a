//! Where the log goes: text on a terminal, journald under systemd, JSON lines otherwise; always on
//! standard error.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::redacted::{Redacted, is_ours};

/// Starts logging.
///
/// # Errors
/// The filter does not parse.
pub(super) fn start(filter: &str) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("--log {filter:?}: {error}"))?;
    // Libraries' own lines have URLs and rows in them, whatever the level.
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(is_ours));
    if stderr_is_journald()
        && let Ok(journald) = tracing_journald::layer()
    {
        registry.with(Redacted(journald)).init();
        return Ok(());
    }
    if std::io::stderr().is_terminal() {
        let text = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false);
        registry.with(Redacted(text)).init();
    } else {
        let json = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr);
        registry.with(Redacted(json)).init();
    }
    Ok(())
}

/// systemd names the journal's socket as `device:inode`; a process further down may have redirected
/// it.
fn stderr_is_journald() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/dev/stderr")
        .is_ok_and(|stderr| named == format!("{}:{}", stderr.dev(), stderr.ino()))
}
