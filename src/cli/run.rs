//! `stomp-bridge run`: the daemon.

use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::exit::{BAD_CONFIGURATION, fail, refuse};
use super::log;
use super::print::tell;
use super::runtime::runtime;
use crate::app::{App, Signals, is_bad_configuration};
use crate::config::{self, Plan};

pub(super) fn run(config: &Path, log: Option<&str>) -> ExitCode {
    // Before all else: a signal ends a process that does not know it yet.
    let caught = caught();
    let _log = match log::start(log, "info") {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let (runtime, signals) = match caught {
        Ok(caught) => caught,
        Err(error) => return fail(&error),
    };
    let plan = match config::load(config) {
        Ok(plan) => plan,
        Err(problems) => {
            tell!("{problems}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    for warning in &plan.warnings {
        tracing::warn!(config = %config.display(), key = warning.path, "{warning}");
    }
    match daemon(plan, config, runtime, signals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_bad_configuration(&error) => {
            fail(&error);
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(error) => fail(&error),
    }
}

fn caught() -> anyhow::Result<(Runtime, Signals)> {
    let runtime = runtime()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::catch()?
    };
    Ok((runtime, signals))
}

fn daemon(plan: Plan, config: &Path, runtime: Runtime, signals: Signals) -> anyhow::Result<()> {
    let outcome = runtime.block_on(async { App::start(plan, config).await?.run(signals).await });
    // What has not ended by now must not keep the process.
    runtime.shutdown_background();
    outcome
}
