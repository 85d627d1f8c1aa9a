//! `stomp-bridge check`: every problem of a configuration at once.

use std::path::Path;
use std::process::ExitCode;

use super::exit::BAD_CONFIGURATION;
use super::print::{say, tell};
use crate::app::try_build;
use crate::config;
use crate::source::{guarantees, in_short};

pub(super) fn check(config: &Path) -> ExitCode {
    match config::load(config) {
        Ok(plan) => {
            // Certificates and clients are made as `run` makes them.
            if let Err(error) = try_build(&plan) {
                tell!("{}: {error:#}", config.display());
                return ExitCode::from(BAD_CONFIGURATION);
            }
            for warning in &plan.warnings {
                tell!("{warning}\n");
            }
            let (topics, sinks) = (plan.source.topics.len(), plan.sinks.len());
            say!("{}: ok, {topics} topics, {sinks} sinks", config.display());
            // Which server it is, nobody knows before it has answered.
            for guarantee in guarantees(&plan.source.topics, plan.journal.when_full) {
                let servers = guarantee.servers.join(", ");
                let (topics, line) = (in_short(&guarantee.topics), guarantee.line);
                say!("guarantee, if the server is {servers}: {topics}: {line}");
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            tell!("{problems}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
