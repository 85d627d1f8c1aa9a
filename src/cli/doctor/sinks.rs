//! Each sink: whether its other side would accept events.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::report::{Check, Outcome, Report};
use crate::config::Plan;
use crate::sinks;

/// A sink that says nothing for longer does not answer; each way to one has shorter limits.
const SINK_MAX: Duration = Duration::from_secs(30);

/// Asks one after another.
pub(super) async fn look(report: &mut Report, plan: &Plan) {
    if plan.sinks.is_empty() {
        return;
    }
    report.heading("sinks");
    for (delivery, settings) in &plan.sinks {
        let began = Instant::now();
        let asked = timeout(SINK_MAX, sinks::probe(settings.clone())).await;
        let found = asked.unwrap_or_else(|_| {
            let seconds = SINK_MAX.as_secs();
            Err(format!("no answer within {seconds} s; check the network"))
        });
        let (outcome, found) = match found {
            Ok(found) => (Outcome::Ok, found),
            Err(error) => (Outcome::Failed, error),
        };
        let check = Check::new(&delivery.name, outcome);
        report.add(check.took(began.elapsed()).found(found));
    }
}
