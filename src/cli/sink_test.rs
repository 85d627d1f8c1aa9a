//! `stomp-bridge sinks test`, and `doctor --send-test`: one marked event by a sink's real way, what was
//! sent, and what came back. The journal does not know of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use uuid::Uuid;

use super::config_file::ConfigArgs;
use super::exit::BAD_CONFIGURATION;
use super::print::{harmless, json, say, tell};
use super::sent::Sent;
use super::terminal::hanging;
use super::width::Width;
use crate::config::{self, Plan};
use crate::delivery;
use crate::model::{Event, EventKind};
use crate::sinks::{self, Answer, Settings};

/// A sink that says nothing for longer does not answer; each way to one has shorter limits, unless a
/// webhook's `timeout` is longer.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// Columns of the word that a line begins with.
const LEAD: usize = 9;

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The sink's name.
    sink: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A test event at a sink.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    pub(super) sink: String,
    r#type: &'static str,
    ok: bool,
    /// Its columns.
    event: Option<Box<RawValue>>,
    pub(super) sends: Sent,
    /// What came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    took_ms: u64,
    #[serde(skip)]
    pub(super) took: Duration,
}

pub(super) async fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let plan = match config::load(&args.config.file) {
        Ok(plan) => plan,
        Err(problems) => {
            tell!("{problems}");
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
    };
    let (delivery, settings) = sink(&plan, &args.sink)?;
    let tested = send_test(delivery, settings).await;
    match args.json {
        true => json(&tested)?,
        false => tested
            .lines(Width::of_output())
            .iter()
            .for_each(|line| say!("{line}")),
    }
    Ok(match tested.outcome() {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// The settings of a sink by its name.
///
/// # Errors
/// The configuration has no such sink; says which it has.
pub(super) fn sink<'a>(
    plan: &'a Plan,
    name: &str,
) -> anyhow::Result<&'a (delivery::Settings, Settings)> {
    let mut sinks = plan.sinks.iter();
    let found = sinks.find(|(delivery, _)| *delivery.name == *name);
    found.ok_or_else(|| {
        let names = plan.sinks.iter().map(|(delivery, _)| &*delivery.name);
        let names: Vec<&str> = names.collect();
        match names.is_empty() {
            true => anyhow!("there is no sink {name}: the configuration has none"),
            false => anyhow!(
                "there is no sink {name}: the configuration has {}",
                names.join(", ")
            ),
        }
    })
}

/// Sends a test event to a sink, of a kind that it gets.
pub(super) async fn send_test(delivery: &delivery::Settings, settings: &Settings) -> Tested {
    let kind = match delivery.kinds.contains(&EventKind::Status) {
        true => EventKind::Status,
        false => EventKind::Coverage,
    };
    let event = match Event::test(kind, Uuid::new_v4(), Timestamp::now()) {
        Event::Status(status) => Event::Status(delivery.omit.apply(status)),
        coverage @ Event::Coverage(_) => coverage,
    };
    let began = Instant::now();
    let sends = Sent::of(settings, &event).not_retained();
    let columns = String::from_utf8(event.to_json());
    let columns = columns
        .ok()
        .and_then(|text| RawValue::from_string(text).ok());
    let answered = timeout(ANSWER_MAX, sinks::trial(settings.clone(), event)).await;
    let answered = answered.unwrap_or_else(|_| {
        let seconds = ANSWER_MAX.as_secs();
        Err(format!("no answer within {seconds} s; check the network"))
    });
    let (answer, error, advice) = match answered {
        Ok(Answer { text, advice }) => (Some(text), None, advice),
        Err(error) => (None, Some(error), None),
    };
    let took = began.elapsed();
    Tested {
        sink: delivery.name.to_string(),
        r#type: settings.type_name(),
        ok: error.is_none(),
        event: columns,
        sends,
        answer,
        error,
        advice,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        took,
    }
}

impl Tested {
    /// What came back.
    ///
    /// # Errors
    /// Why it was not confirmed.
    pub(super) fn outcome(&self) -> Result<&str, &str> {
        match (&self.answer, &self.error) {
            (Some(answer), _) => Ok(answer),
            (None, error) => Err(error.as_deref().unwrap_or("no answer")),
        }
    }

    fn lines(&self, width: Width) -> Vec<String> {
        let hang = |line: String| hanging(&harmless(&line).replace('\n', " "), LEAD, width.0);
        let mut lines = hang(format!("sink     {} ({})", self.sink, self.r#type));
        lines.push("sends".to_owned());
        lines.extend(self.sends.lines(width));
        let ms = self.took_ms;
        lines.extend(hang(match self.outcome() {
            Ok(answer) => format!("answer   {answer} (in {ms} ms)"),
            Err(error) => format!("failed   {error} (in {ms} ms)"),
        }));
        let advice = self.advice.iter();
        lines.extend(advice.flat_map(|advice| hang(format!("advice   {advice}"))));
        lines.extend(hang(
            "note     the sink's `when`, `topics`, `kinds` and `rate` were not asked; the journal \
             and its cursors know nothing of it"
                .to_owned(),
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_says_what_was_sent_and_what_came_back() {
        let tested = Tested {
            sink: "oncall".to_owned(),
            r#type: "webhook",
            ok: false,
            event: None,
            sends: Sent::Request {
                method: "POST",
                url: "http://h/…".to_owned(),
                headers: [("X-A".to_owned(), "…".to_owned())].into(),
                body: Some("{\n\"a\":1}".to_owned()),
            },
            answer: None,
            error: Some("h answered 400: no\n\x1b[2J".to_owned()),
            advice: Some("set `success`".to_owned()),
            took_ms: 12,
            took: Duration::from_millis(12),
        };
        let lines = tested.lines(Width(None));
        let expected = [
            "sink     oncall (webhook)",
            "sends",
            "  POST http://h/…",
            "  X-A: …",
            "    {",
            "    \"a\":1}",
            "failed   h answered 400: no \\u{1b}[2J (in 12 ms)",
            "advice   set `success`",
        ];
        assert_eq!(lines[..8], expected);
        assert!(lines[8].starts_with("note     the sink's `when`"));
        let json = serde_json::to_value(&tested).unwrap();
        assert_eq!(json["sends"]["request"]["method"], "POST");
        assert_eq!((&json["ok"], &json["took_ms"]), (&false.into(), &12.into()));
        assert!(json.get("answer").is_none());
    }
}
