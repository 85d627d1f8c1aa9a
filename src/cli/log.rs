//! Where the log goes: text on a terminal, journald under systemd, JSON lines otherwise; always on
//! standard error. `filter` says which lines are wanted, `throttle` and `layer` how many of a kind.

mod filter;
mod layer;
mod throttle;

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::layer::{COUNTS, Throttled};
use super::redacted::{Redacted, is_ours};

/// What is read where `--log` is not given.
const VARIABLE: &str = "RUST_LOG";

/// The log while it runs. At its end it says what it has held back.
#[derive(Debug)]
pub(super) struct Log(Throttled);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Whether `--log` can be used.
///
/// # Errors
/// It names no level.
pub(super) fn check(option: Option<&str>) -> Result<(), String> {
    filter::wanted(option, None, "off").map(drop)
}

/// Starts logging by `--log`, else by RUST_LOG; `level`: of what neither names.
///
/// # Errors
/// `--log` names no level.
pub(super) fn start(option: Option<&str>, level: &str) -> Result<Log, String> {
    let variable = std::env::var(VARIABLE).ok();
    let wanted = filter::wanted(option, variable.as_deref(), level)?;
    let directives = format!("{},{COUNTS}=info", wanted.directives);
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("--log: {error}"))?;
    let throttled = Throttled::default();
    // Libraries' own lines have URLs and rows in them, whatever the level.
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(is_ours))
        .with(throttled.clone());
    let journald = stderr_is_journald()
        .then(tracing_journald::layer)
        .and_then(Result::ok);
    if let Some(journald) = journald {
        registry.with(Redacted(journald)).init();
    } else if std::io::stderr().is_terminal() {
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
    let counting = throttled.count();
    counting.map_err(|error| format!("start the thread of the log: {error}"))?;
    for problem in wanted.passed_over {
        tracing::warn!(
            problem,
            "RUST_LOG passed over in part: set it as --log is set, or unset it"
        );
    }
    Ok(Log(throttled))
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
