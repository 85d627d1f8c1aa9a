//! The daemon of the same journal, where one runs.

use std::time::Instant;

use super::report::{Check, Outcome, Report};
use crate::cli::target::Target;
use crate::ops::status;

/// Whether one runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    Running,
    Absent,
}

/// Asks it how it is. That it is not ready is no failure here: the checks below say why.
pub(super) async fn look(report: &mut Report, target: &Target) -> Daemon {
    if !target.may_run() {
        return Daemon::Absent;
    }
    let began = Instant::now();
    let Ok(found) = target.get::<status::Report>("/status").await else {
        return Daemon::Absent;
    };
    report.heading("daemon");
    let took = began.elapsed();
    let head = format!("link {}", found.link.state);
    let check = match found.ready {
        true => Check::new("ready", Outcome::Ok).took(took).found(head),
        false => Check::new("not ready", Outcome::Warning)
            .took(took)
            .found(format!("{head}; {}", found.reasons.join("; "))),
    };
    report.add(check);
    Daemon::Running
}
