//! `stomp-bridge check`: every problem of a configuration at once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Access, access};

use super::exit::BAD_CONFIGURATION;
use super::print::{say, tell};
use crate::app::try_build;
use crate::config::{self, Plan};
use crate::sinks::Settings;
use crate::source::{guarantees, in_short};

/// The databases that this user can neither write nor make: each one's key, and the place that
/// forbids it.
fn unwritable(plan: &Plan) -> Vec<(String, PathBuf)> {
    let histories = plan.sinks.iter().filter_map(|(delivery, settings)| {
        let Settings::Sqlite(settings) = settings else {
            return None;
        };
        Some((format!("sinks.{}.path", delivery.name), &settings.path))
    });
    let journal = ("journal.path".to_owned(), &plan.journal.path);
    let files = std::iter::once(journal).chain(histories);
    files
        .filter_map(|(key, file)| Some((key, forbidden(file)?)))
        .collect()
}

/// The file, or the nearest folder above it, where this user may not write to it. SQLite makes files
/// beside its own.
fn forbidden(file: &Path) -> Option<PathBuf> {
    let folder = file.ancestors().skip(1).find(|at| at.exists())?;
    let places = [
        (folder, Access::WRITE_OK | Access::EXEC_OK),
        (file, Access::WRITE_OK),
    ];
    let mut places = places.into_iter().filter(|(at, _)| at.exists());
    let (place, _) = places.find(|(at, wanted)| access(*at, *wanted).is_err())?;
    Some(place.to_owned())
}

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
            for (key, place) in unwritable(&plan) {
                tell!(
                    "warning: this user may not write to {} ({key}); the daemon's user must be \
                     able to: run this as that user, give it the folder, or name another path\n",
                    place.display()
                );
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
