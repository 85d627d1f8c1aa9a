//! `stomp-bridge check`: every problem of a configuration at once.

use std::path::Path;
use std::process::ExitCode;

use super::exit::BAD_CONFIGURATION;
use super::print::say;
use crate::config;

pub(super) fn check(config: &Path) -> ExitCode {
    match config::load(config) {
        Ok(plan) => {
            for warning in &plan.warnings {
                eprintln!("{warning}\n");
            }
            let (topics, sinks) = (plan.source.topics.len(), plan.sinks.len());
            say!("{}: ok, {topics} topics, {sinks} sinks", config.display());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
