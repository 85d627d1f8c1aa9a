//! `stomp-bridge run`: the daemon.

use std::path::Path;
use std::process::ExitCode;

use super::exit::{BAD_CONFIGURATION, fail, refuse};
use super::log;
use super::runtime::runtime;
use crate::app::App;
use crate::config::{self, Plan};

pub(super) fn run(config: &Path, log: Option<&str>) -> ExitCode {
    let _log = match log::start(log, "info") {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let plan = match config::load(config) {
        Ok(plan) => plan,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    for warning in &plan.warnings {
        tracing::warn!(config = %config.display(), key = warning.path, "{warning}");
    }
    match daemon(plan, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn daemon(plan: Plan, config: &Path) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async { App::start(plan, config).await?.run().await });
    // What has not ended by now must not keep the process.
    runtime.shutdown_background();
    outcome
}
