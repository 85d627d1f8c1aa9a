//! `stomp-bridge config`: what a configuration makes of a message, and whether it passes its own
//! tests.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::config_file::ConfigArgs;
use super::config_written::{self, ShowArgs};
use super::error_words::in_words;
use super::exit::BAD_CONFIGURATION;
use super::print::{self, harmless, say, table, tell};
use super::route::{AtSink, Found, Routed, route};
use super::terminal::hanging;
use super::width::Width;
use crate::config::{self, Plan, TestCase, TestMessage};
use crate::model::EventKind;
use crate::pipeline::Body;

/// What to do with the configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigVerbArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what one message becomes: the event, what each sink makes of it and why, and what it
    /// sends. Nothing is connected, written or sent.
    #[command(
        after_help = "Examples:\n  stomp-bridge config route --message fault.json --topic map-1\n  \
                      echo '{\"deviceId\":1,\"newState\":\"故障\"}' | stomp-bridge config route --message - --last 正常"
    )]
    Route(RouteArgs),
    /// Run the `[[tests]]` of the configuration; the exit code is 1 if one fails.
    #[command(after_help = "Example: stomp-bridge config test --config config.toml")]
    Test(TestArgs),
    /// Show every value that the file and the environment set, with where it stands, and with
    /// --defaults the others, too; secrets are masked.
    #[command(
        after_help = "Examples:\n  stomp-bridge config show --config /etc/stomp-bridge/config.toml\n  stomp-bridge config show --defaults | grep journal"
    )]
    Show(ShowArgs),
    /// Print the JSON Schema of the configuration, for editors.
    ///
    /// An editor with a TOML language server completes and checks a file that begins with
    /// `#:schema ./config.schema.json`, where that file holds the schema.
    #[command(after_help = "Example: stomp-bridge config schema > config.schema.json")]
    Schema,
}

#[derive(Debug, Args)]
struct RouteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file with the message's body; `-`: standard input.
    #[arg(short, long, value_name = "FILE")]
    message: PathBuf,
    /// The topic that the message comes of; by default the only one.
    #[arg(short, long, value_name = "NAME")]
    topic: Option<String>,
    /// The state last known of the device; by default the device was never seen.
    #[arg(long, value_name = "STATE")]
    last: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn config(args: &ConfigVerbArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Route(args) => with_plan(&args.config.file, |plan| show(args, plan)),
        Action::Test(args) => with_plan(&args.config.file, |plan| test(args, plan)),
        Action::Show(args) => config_written::show(args),
        Action::Schema => config_written::schema(),
    }
}

/// Does something with a configuration that has no errors.
fn with_plan(
    file: &Path,
    work: impl FnOnce(&Plan) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    match config::load(file) {
        Ok(plan) => work(&plan),
        Err(problems) => {
            tell!("{problems}");
            Ok(ExitCode::from(BAD_CONFIGURATION))
        }
    }
}

fn show(args: &RouteArgs, plan: &Plan) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Shown<'a> {
        topic: &'a str,
        statuses: &'a [Found],
    }
    let topic = match (&args.topic, plan.decoders.keys().next()) {
        (Some(topic), _) => topic.as_str(),
        (None, Some(only)) if plan.decoders.len() == 1 => only,
        (None, _) => bail!("there are several topics: name the message's with --topic"),
    };
    let body = read(&args.message)?;
    let statuses = route(plan, topic, &body[..], args.last.as_deref())?;
    if args.json {
        print::json(&Shown {
            topic,
            statuses: &statuses,
        })?;
    } else {
        for line in text(topic, &statuses, Width::of_output()) {
            say!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(message: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    if message == Path::new("-") {
        io::stdin().lock().read_to_end(&mut body)?;
    } else {
        body = std::fs::read(message)
            .with_context(|| format!("read the message {}", message.display()))?;
    }
    // The end of the file's last line is none of the message's, if it is a text in UTF-8.
    let is_text = std::str::from_utf8(&body).is_ok_and(|text| !text.contains('\0'));
    if is_text && body.ends_with(b"\n") {
        body.pop();
    }
    Ok(body)
}

/// For people.
fn text(topic: &str, statuses: &[Found], width: Width) -> Vec<String> {
    let count = statuses.len();
    let mut lines = Vec::new();
    if statuses.is_empty() {
        lines.push(format!("topic {topic}: no status: it is an empty array"));
    }
    for (number, found) in statuses.iter().enumerate() {
        if number > 0 {
            lines.push(String::new());
        }
        let head = format!("topic {topic}, status {} of {count}", number + 1);
        match found {
            Found::Ignored(object) => {
                lines.extend(width.wrapped("", &format!("{head}: ignored")));
                lines.extend(width.wrapped("  ", object));
            }
            Found::Undecodable(reason) => {
                lines.extend(width.wrapped("", &format!("{head}: undecodable, kept raw")));
                lines.extend(width.wrapped("  ", reason));
            }
            Found::Status(routed) => {
                lines.extend(width.wrapped("", &head));
                lines.extend(event(routed, width));
                let sinks = routed.sinks.iter();
                lines.extend(sinks.flat_map(|sink| at_sink(sink, width)));
            }
        }
    }
    lines
}

/// The columns that hold something.
fn event(routed: &Routed, width: Width) -> Vec<String> {
    let is_shown = |(name, value): &(&String, &Value)| {
        let is_id = matches!(
            name.as_str(),
            "event_id" | "origin" | "received_at" | "payload"
        );
        !value.is_null() && !is_id
    };
    let order = EventKind::Status.names().iter();
    let columns = order.filter_map(|name| routed.event.get_key_value(*name));
    let rows: Vec<[String; 2]> = columns
        .filter(is_shown)
        .map(|(name, value)| {
            let value = harmless(&plain(value)).replace('\n', "\\n");
            [format!("  {name}"), value]
        })
        .collect();
    let lead = rows.iter().map(|[name, _]| name.len() + 2).max();
    let hang = |line: &String| hanging(line, lead.unwrap_or_default(), width.0);
    let mut lines: Vec<String> = table(rows).iter().flat_map(hang).collect();
    if !routed.unreadable.is_empty() {
        let line = format!("  unreadable: {}", routed.unreadable.join(", "));
        lines.extend(hanging(&line, 2, width.0));
    }
    if routed.unmapped {
        lines.extend(hanging("  its state is not in [states]", 2, width.0));
    }
    if routed.utf8 {
        let line = "  its body is UTF-8, and read as the topic's `encoding` says";
        lines.extend(hanging(line, 2, width.0));
    }
    lines
}

/// A text without quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn at_sink(sink: &AtSink, width: Width) -> Vec<String> {
    let verdict = if sink.takes { "takes it" } else { "does not" };
    let name = &sink.sink;
    let mut lines = width.wrapped("", &format!("sink {name} {verdict}: {}", sink.why));
    for (column, value) in &sink.values {
        lines.extend(width.wrapped("  ", &format!("{column} is {}", plain(value))));
    }
    let sends = sink.sends.iter().flat_map(|sent| sent.lines(width));
    lines.extend(sends);
    lines
}

/// The outcome of one test.
#[derive(Debug, Serialize)]
struct Outcome {
    name: String,
    passed: bool,
    /// What was expected and what was found, one line each.
    failures: Vec<String>,
}

fn test(args: &TestArgs, plan: &Plan) -> anyhow::Result<ExitCode> {
    if plan.tests.is_empty() {
        bail!("{} has no [[tests]]", args.config.file.display());
    }
    let outcomes: Vec<Outcome> = plan.tests.iter().map(|case| outcome(plan, case)).collect();
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    if args.json {
        print::json(&outcomes)?;
    } else {
        let width = Width::of_output();
        for outcome in &outcomes {
            let passed = if outcome.passed { "ok" } else { "FAILED" };
            say!("{passed:<6} {}", harmless(&outcome.name));
            for line in outcome
                .failures
                .iter()
                .flat_map(|it| width.wrapped("       ", it))
            {
                say!("{line}");
            }
        }
        say!("{} passed, {failed} failed", outcomes.len() - failed);
    }
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn outcome(plan: &Plan, case: &TestCase) -> Outcome {
    let failures = match found(plan, case) {
        Ok(found) => failures(case, &found),
        Err(error) => vec![in_words(&error)],
    };
    Outcome {
        name: case.name.clone(),
        passed: failures.is_empty(),
        failures,
    }
}

fn found(plan: &Plan, case: &TestCase) -> anyhow::Result<Vec<Found>> {
    let last = case.last.as_deref();
    match &case.message {
        TestMessage::Text(text) => route(plan, &case.topic, Body::of_text(text), last),
        TestMessage::File(file) => {
            let body = read(file)?;
            route(plan, &case.topic, &body[..], last)
        }
    }
}

fn failures(case: &TestCase, found: &[Found]) -> Vec<String> {
    let statuses: Vec<&Routed> = found
        .iter()
        .filter_map(|found| match found {
            Found::Status(routed) => Some(&**routed),
            Found::Ignored(_) | Found::Undecodable(_) => None,
        })
        .collect();
    let mut failures = Vec::new();
    if let Some(sinks) = &case.sinks {
        let takes = |name: &String| {
            let at = |routed: &&Routed| routed.sinks.iter().any(|at| at.takes && at.sink == *name);
            statuses.iter().any(at)
        };
        for sink in sinks.iter().filter(|sink| !takes(sink)) {
            failures.push(format!("{sink} does not take it: {}", why(&statuses, sink)));
        }
        let all = statuses.iter().flat_map(|routed| &routed.sinks);
        let others = all.filter(|at| at.takes && !sinks.contains(&at.sink));
        for at in others {
            let failure = format!("{} takes it: {}", at.sink, at.why);
            if !failures.contains(&failure) {
                failures.push(failure);
            }
        }
    }
    if statuses.is_empty() && !case.event.is_empty() {
        failures.push("it holds no status".to_owned());
    }
    for (column, expected) in &case.event {
        let values = statuses
            .iter()
            .filter_map(|routed| routed.event.get(column));
        for value in values.filter(|value| !is_equal(value, expected)) {
            failures.push(format!("{column}: expected {expected}, found {value}"));
        }
    }
    let undecodable = found.iter().filter_map(|found| match found {
        Found::Undecodable(reason) => Some(format!("undecodable: {reason}")),
        _ => None,
    });
    let undecodable: Vec<String> = undecodable.collect();
    match (case.undecodable, undecodable.is_empty()) {
        (true, true) => failures.push("expected undecodable, found none".to_owned()),
        (true, false) => {}
        (false, _) => failures.extend(undecodable),
    }
    failures
}

/// Why a sink takes none of the statuses.
fn why(statuses: &[&Routed], sink: &str) -> String {
    let at = statuses
        .iter()
        .flat_map(|routed| &routed.sinks)
        .find(|at| at.sink == sink);
    let Some(at) = at else {
        return "the message holds no status".to_owned();
    };
    let values = at.values.iter();
    let values = values.map(|(column, value)| format!("; {column} is {}", plain(value)));
    at.why.clone() + &values.collect::<String>()
}

/// Numbers are equal however they are written.
fn is_equal(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => found == expected,
        _ => found == expected,
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::config::Environment;

    const CONFIGURATION: &str = r#"
[source]
url = "ws://h"
[topics.map-1]
destination = "/topic/a"
ignore = "type == 'heartbeat'"
[sinks.history]
type = "sqlite"
[sinks.site]
type = "mqtt"
topic = "d/{{ device_id }}"
body = "{{ state }}"
[sinks.oncall]
type = "webhook"
url = "http://h/secret"
body = "{{ serial }}: {{ severity }}"
when = "changed and severity >= 'warning'"
"#;

    fn plan(more: &str) -> Plan {
        let text = format!("{CONFIGURATION}{more}");
        config::parse("config.toml".as_ref(), text, &Environment::default()).unwrap()
    }

    fn routed(body: &str, last: Option<&str>) -> Vec<String> {
        text(
            "map-1",
            &route(&plan(""), "map-1", body.as_bytes(), last).unwrap(),
            Width(Some(80)),
        )
    }

    #[test]
    fn route_shows_the_event_and_what_each_sink_makes_of_it() {
        let body = r#"{"deviceId":1,"sn":"s","oldState":"故障","newState":"故障"}"#;
        let expected = [
            "topic map-1, status 1 of 1",
            "  topic              map-1",
            "  device_id          1",
            "  serial             s",
            "  old_state          故障",
            "  new_state          故障",
            "  state              fault",
            "  severity           critical",
            "  changed            false",
            "  missed_transition  false",
            "  via                live",
            "sink history takes it: it has no `when`",
            "  a row of status_event",
            "sink oncall does not: changed",
            "  changed is false",
            "sink site takes it: it has no `when`",
            "  publish d/1 (QoS 1, retained)",
            "    fault",
        ];
        let lines = routed(body, None);
        let without_client = lines.iter().filter(|line| !line.starts_with("  client_id"));
        assert_eq!(without_client.collect::<Vec<_>>(), expected);
        // The fault began while nobody listened.
        let lines = routed(body, Some("正常"));
        for expected in [
            "  changed            true",
            "  missed_transition  true",
            "  POST http://h/…",
            "    s: critical",
        ] {
            assert!(
                lines.iter().any(|line| line == expected),
                "{expected}: {lines:#?}"
            );
        }
        assert!(!lines.concat().contains("secret"));
    }

    #[test]
    fn route_says_what_is_no_status_and_keeps_to_the_terminals_width() {
        let body = format!(
            r#"[{{"type":"heartbeat"}},7,{{"deviceId":"{}","newState":"x","address":{{"latitude":"a"}}}}]"#,
            "故".repeat(100)
        );
        let lines = routed(&body, None);
        for expected in [
            "topic map-1, status 1 of 3: ignored",
            "topic map-1, status 2 of 3: undecodable, kept raw",
            "  unreadable: latitude",
            "  its state is not in [states]",
        ] {
            assert!(
                lines.iter().any(|line| line == expected),
                "{expected}: {lines:#?}"
            );
        }
        assert!(lines.iter().all(|line| line.width() <= 80), "{lines:#?}");
        // Who reads a pipe looks for whole lines.
        let found = route(&plan(""), "map-1", body.as_bytes(), None).unwrap();
        let lines = text("map-1", &found, Width(None));
        assert!(lines.iter().any(|line| line.ends_with(&"故".repeat(100))));
    }

    #[test]
    fn a_body_that_gzip_cannot_undo_is_gzips_fault_whatever_the_topics_encoding() {
        let plan = plan("[topics.map-2]\ndestination = \"/topic/b\"\nencoding = \"gbk\"\n");
        let cut = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x56\x4a\x49";
        for topic in ["map-1", "map-2"] {
            let found = route(&plan, topic, &cut[..], None).unwrap();
            let [Found::Undecodable(reason)] = &found[..] else {
                panic!("{found:?}")
            };
            assert!(
                reason.starts_with("expected gzip, found what cannot"),
                "{reason}"
            );
        }
    }

    #[test]
    fn route_shows_the_whole_request_without_what_may_be_a_secret() {
        let more = r#"
[sinks.feed]
type = "webhook"
method = "PUT"
url = "http://h/route-test-token-1/{{ device_id }}?s={{ state }}"
headers = { Title = "{{ device_id }} is {{ state }}", X-Token = "k{{ device_id }}", X-A = "hunter", Content-Type = "text/plain" }
body = "b"
[sinks.get]
type = "webhook"
method = "GET"
url = "http://h?d={{ device_id }}"
"#;
        let message = r#"{"deviceId":"a/b","newState":"故障"}"#;
        let found = route(&plan(more), "map-1", message.as_bytes(), None).unwrap();
        let lines = text("map-1", &found, Width(None)).join("\n");
        let expected = "  PUT http://h/…/a%2Fb?s=fault\n  Content-Type: text/plain\n  \
                        Title: a/b is fault\n  X-A: …\n  X-Token: …\n    b\n\
                        sink get takes it: it has no `when`\n  GET http://h/?d=a%2Fb\nsink";
        assert!(lines.contains(expected), "{lines}");
    }

    fn outcomes(more: &str) -> Vec<Vec<String>> {
        let plan = plan(more);
        let outcomes = plan.tests.iter().map(|case| outcome(&plan, case).failures);
        outcomes.collect()
    }

    #[test]
    fn tests_hold_or_say_what_was_found() {
        let message = r#"message = '{"deviceId":1,"oldState":"故障","newState":"故障"}'"#;
        let all = outcomes(&format!(
            "[[tests]]\n{message}\nlast = \"正常\"\nsinks = [\"history\", \"site\", \"oncall\"]\n\
             event = {{ state = \"fault\", changed = true, device_id = \"1\" }}\n\
             [[tests]]\nname = \"known\"\n{message}\nsinks = [\"oncall\"]\nevent = {{ changed = true }}\n\
             [[tests]]\nmessage = '7'\nsinks = []\nundecodable = true\n\
             [[tests]]\nmessage = '7'\nevent = {{ state = \"x\" }}\n\
             [[tests]]\nfile = \"/nowhere/x.json\"\nsinks = []\n\
             [[tests]]\nmessage = '7'\nundecodable = false\n\
             [[tests]]\n{message}\nundecodable = true\n"
        ));
        assert_eq!(all[0], [""; 0]);
        let expected = [
            "oncall does not take it: changed; changed is false",
            "history takes it: it has no `when`",
            "site takes it: it has no `when`",
            "changed: expected true, found false",
        ];
        assert_eq!(all[1], expected);
        assert_eq!(all[2], [""; 0]);
        assert!(all[3][0] == "it holds no status" && all[3][1].starts_with("undecodable"));
        assert!(all[4][0].starts_with("read the message /nowhere/x.json"));
        assert!(all[5][0].starts_with("undecodable: "));
        assert_eq!(all[6], ["expected undecodable, found none"]);
    }
}
