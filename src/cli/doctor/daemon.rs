//! The daemon of the same journal, where one runs.

use std::time::Instant;

use super::report::{Check, Outcome, Report};
use crate::cli::target::Target;
use crate::ops::{Level, Todo, status};

/// Whether one runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Daemon {
    Connected,
    /// It runs without a connection, and why.
    Unconnected(String),
    Absent,
}

/// Asks it how it is. That it is not ready is no failure here: what the checks below do not try, such
/// as a snapshot, it says itself.
pub(super) async fn look(report: &mut Report, target: &Target) -> Daemon {
    if !target.may_run() {
        return Daemon::Absent;
    }
    let began = Instant::now();
    let Ok(found) = target.get::<status::Report>("/status").await else {
        return Daemon::Absent;
    };
    report.heading("daemon");
    let head = format!("link {}", found.link.state);
    let (step, outcome) = match found.ready {
        true => ("ready", Outcome::Ok),
        false => ("not ready", Outcome::Warning),
    };
    let mut said = vec![head];
    let todo = match &found.verdict {
        Some(verdict) => verdict.todo.as_slice(),
        // An older one gives its reasons alone.
        None => {
            said.extend(found.reasons.iter().cloned());
            &[]
        }
    };
    let check = Check::new(step, outcome)
        .took(began.elapsed())
        .found(said.join("; "));
    let todo = todo.iter().filter(|todo| todo.state >= Level::Warning);
    let check = todo.fold(check, |check, todo| check.advise(advice(todo)));
    report.add(check);
    match &*found.link.state {
        "connecting" | "stopped" => Daemon::Unconnected(
            found
                .link
                .last_error
                .unwrap_or_else(|| "not yet".to_owned()),
        ),
        _ => Daemon::Connected,
    }
}

/// What the daemon itself says of what is not as it should be.
fn advice(todo: &Todo) -> String {
    let Todo {
        subject,
        what,
        advice,
        ..
    } = todo;
    match subject.as_str() {
        "" => format!("{what} {advice}"),
        subject => format!("{subject}: {what} {advice}"),
    }
}
