//! Each sink: whether its other side would accept events, or, where that is asked for, what becomes of
//! a test event.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::report::{Check, Outcome, Report};
use crate::cli::sink_test::send_test;
use crate::config::Plan;
use crate::delivery;
use crate::sinks::{self, Answer, Settings};

/// A sink that says nothing for longer does not answer; each way to one has shorter limits.
const SINK_MAX: Duration = Duration::from_secs(30);

/// Asks one after another; those of these names get a test event.
pub(super) async fn look(report: &mut Report, plan: &Plan, send_tests: &[String]) {
    if plan.sinks.is_empty() {
        return;
    }
    report.heading("sinks");
    for (delivery, settings) in &plan.sinks {
        let is_named = send_tests.iter().any(|name| **name == *delivery.name);
        report.add(match is_named {
            true => tested(delivery, settings).await,
            false => probed(delivery, settings).await,
        });
    }
}

async fn probed(delivery: &delivery::Settings, settings: &Settings) -> Check {
    let began = Instant::now();
    let asked = timeout(SINK_MAX, sinks::probe(settings.clone())).await;
    let found = asked.unwrap_or_else(|_| {
        let seconds = SINK_MAX.as_secs();
        Err(format!("no answer within {seconds} s; check the network"))
    });
    let (outcome, found, advice) = match found {
        Ok(Answer { text, advice }) => (Outcome::Ok, text, advice),
        Err(error) => (Outcome::Failed, error, None),
    };
    let check = Check::new(&delivery.name, outcome);
    let check = check.took(began.elapsed()).found(found);
    match advice {
        Some(advice) => check.advise(advice),
        None => check,
    }
}

async fn tested(delivery: &delivery::Settings, settings: &Settings) -> Check {
    let tested = send_test(delivery, settings).await;
    let sends = tested.sends.head();
    let (outcome, found) = match tested.outcome() {
        Ok(answer) => (Outcome::Ok, format!("test event: {sends}: {answer}")),
        Err(error) => (Outcome::Failed, format!("test event: {sends}: {error}")),
    };
    let check = Check::new(&tested.sink, outcome);
    let check = check.took(tested.took).found(found);
    match tested.advice {
        Some(advice) => check.advise(advice),
        None => check,
    }
}
