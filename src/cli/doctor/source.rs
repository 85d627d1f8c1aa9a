//! The way to the server, for each of the source's URLs; the topics on the first that answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::layers;
use super::report::{Check, Outcome, Report};
use super::topics;
use crate::bilingual::Bilingual;
use crate::config::Plan;
use crate::source::{Broker, Client, ClientError, Seen, Settings, SigninError, Topic, in_short};
use crate::stomp::Connected;
use crate::transport::surveyed;

/// Says why a connection of our own is not made.
pub(super) fn leave_alone(report: &mut Report) {
    report.heading("source");
    let check = Check::new("own connection", Outcome::Skipped).found(
        "the daemon is signed in; where the platform allows an account one session, a sign-in of \
         ours would end the daemon's: --own-connection makes it",
    );
    report.add(check);
}

/// Says why the daemon has no connection. A sign-in of ours that is refused, too, would count against
/// its account.
pub(super) fn leave_to_it(report: &mut Report, why: &str) {
    report.heading("source");
    let check =
        Check::new("connection", Outcome::Failed).found(format!("the daemon has none: {why}"));
    report.add(check.advise(
        "--own-connection tries each layer, and signs in with the daemon's account: each refused \
         sign-in counts against it",
    ));
}

/// Connects to each URL.
pub(super) async fn look(report: &mut Report, plan: &Plan, topics: &[&Topic], wait: Duration) {
    let mut are_topics_due = true;
    for address in &plan.source.urls {
        report.heading(&format!("source {address}"));
        let settings = Settings {
            urls: vec![address.clone()],
            ..plan.source.clone()
        };
        let began = Instant::now();
        let attempt = Client::connect(&settings, |_| Box::new(|_| Ok(())));
        let (outcome, survey) = surveyed(attempt).await;
        layers::passed(report, &survey, outcome.as_ref().err());
        match outcome {
            Ok((mut client, connected)) => {
                let warnings = warnings(&client, &settings, &connected);
                report.add(layers::connected(&survey, began, &connected, warnings));
                if are_topics_due {
                    guarantees(report, plan, topics, &connected);
                    topics::look(report, &mut client, plan, topics, wait).await;
                    are_topics_due = false;
                }
                // Its answer no longer matters.
                let _ = client.disconnect().await;
            }
            Err(error) => {
                layers::failed(report, &survey, &error);
                // The sign-in is the same for every URL, and an account may be locked by it.
                if matches!(
                    error,
                    ClientError::Signin(SigninError::Refused(_) | SigninError::Busy { .. })
                ) {
                    break;
                }
            }
        }
    }
}

/// Which messages are lost, and when, on that server.
fn guarantees(report: &mut Report, plan: &Plan, topics: &[&Topic], connected: &Connected) {
    let broker = Broker::of(connected.server.as_deref(), connected.session.as_deref());
    let mut lines: BTreeMap<Bilingual, Vec<&str>> = BTreeMap::new();
    for topic in topics {
        let line = broker.guarantee(topic, Seen::default(), plan.journal.when_full);
        lines.entry(line).or_default().push(&topic.name);
    }
    for (line, topics) in lines {
        let found = format!("{}: {line}", in_short(&topics));
        report.add(Check::new("guarantee", Outcome::Ok).found(found));
    }
}

fn warnings(client: &Client, settings: &Settings, connected: &Connected) -> Vec<String> {
    let warnings = client.warnings(settings, connected);
    warnings.iter().map(ToString::to_string).collect()
}
