//! The layers of one attempt to connect, from the sign-in to CONNECTED.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::clock::{certificate, skew};
use super::report::{Check, Outcome, Report};
use crate::source::ClientError;
use crate::stomp::Connected;
use crate::transport::{Stage, Survey};

/// A layer's name in the report.
fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Signin => "sign-in",
        Stage::Resolve => "DNS",
        Stage::Connect => "TCP",
        Stage::Proxy => "proxy",
        Stage::Tls => "TLS",
        Stage::Info => "SockJS /info",
        Stage::Upgrade => "upgrade",
        Stage::Open => "SockJS session",
        Stage::Snapshot => "snapshot",
    }
}

/// The layers that were passed. A sign-in that was answered and refused is none of them.
pub(super) fn passed(report: &mut Report, survey: &Survey, error: Option<&ClientError>) {
    let is_refused = matches!(error, Some(ClientError::Signin(_)));
    let stages = survey.stages.iter();
    for (stage, took) in stages.filter(|(stage, _)| !(is_refused && *stage == Stage::Signin)) {
        let check = Check::new(name(*stage), Outcome::Ok).took(*took);
        report.add(match (stage, &survey.address, survey.certificate_ends) {
            (Stage::Connect, Some(address), _) => check.found(address),
            (Stage::Tls, _, Some(ends)) => certificate(check, ends, Timestamp::now()),
            _ => check,
        });
    }
    if let Some((transport, tried)) = &survey.fallback {
        let check = Check::new("fallback", Outcome::Ok).found(format!("SockJS by {transport}"));
        report.add(check.advise(format!(
            "a better transport does not work, so that messages come later and cost more: {tried}"
        )));
    }
    if let Some((theirs, ours)) = survey.clock {
        report.add(skew(theirs, ours));
    }
}

/// The layer where the attempt has ended.
pub(super) fn failed(report: &mut Report, survey: &Survey, error: &ClientError) {
    let step = match (error, survey.failed) {
        (ClientError::Signin(_), _) => name(Stage::Signin),
        (ClientError::Session(_) | ClientError::Transport(_), _) => "CONNECTED",
        (ClientError::Dial(_) | ClientError::Redacted(_), Some(stage)) => name(stage),
        // Its URL or its TLS files.
        (ClientError::Dial(_), None) => "address",
        _ => "CONNECTED",
    };
    // The text says what to do.
    report.add(Check::new(step, Outcome::Failed).found(error.to_string()));
}

/// What the server says of itself, and how long it took after the last layer below.
pub(super) fn connected(
    survey: &Survey,
    began: Instant,
    connected: &Connected,
    warnings: impl IntoIterator<Item = String>,
) -> Check {
    let after = survey.last_done.unwrap_or(began);
    let took = Instant::now().saturating_duration_since(after);
    let server = connected.server.as_deref().unwrap_or("no name");
    let version = connected.version.as_str();
    let heartbeat = |interval: Option<Duration>| match interval {
        Some(interval) => format!("{} s", interval.as_secs_f64()),
        None => "off".to_owned(),
    };
    let incoming = heartbeat(connected.heartbeat.incoming);
    let outgoing = heartbeat(connected.heartbeat.outgoing);
    let check = Check::new("CONNECTED", Outcome::Ok)
        .took(took)
        .found(format!(
            "{server}, STOMP {version}, heart-beats: its {incoming}, ours {outgoing}"
        ));
    warnings.into_iter().fold(check, Check::advise)
}
