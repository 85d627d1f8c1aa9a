//! `stomp-bridge status`: what a running daemon says of itself.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::error_words::in_words;
use super::print::{age, bytes, counted, fitted, harmless, json, one_line, say};
use super::target::Target;
use super::terminal::{columns, hanging};
use crate::journal::FREE_BYTES_AGAIN;
use crate::ops::RejectedReload;
use crate::ops::status::{Link, Report, Resync, Sink, Topic};
use crate::sinks::Condition;
use crate::source::{Broker, in_short, sorted};

/// More refused topics are counted, and more silent ones.
const REFUSED_SHOWN_MAX: usize = 5;

/// Words of one line, and lines of what cannot be read.
const WORDS_SHOWN_MAX: usize = 5;
const UNREADABLE_SHOWN_MAX: usize = 10;

/// Where there are more topics, only silent ones have lines of their own.
const TOPICS_SHOWN_MAX: usize = 10;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    target: Target,
    /// Show it again every two seconds, until Ctrl-C or, in a pipe, until nobody reads.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How often `--watch` looks: a look costs the daemon little, and nobody reads faster.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Columns of the word that a line begins with.
const LEAD: usize = 9;

/// Columns of what a step of the verdict begins with.
const STEP_LEAD: usize = 4;

/// Moves to the top and clears the rest of the screen.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    if args.watch {
        watch(args).await?;
    }
    let report: Report = args.target.get("/status").await?;
    if args.json {
        json(&report)?;
    } else {
        say!("{}", text(&report, columns()).trim_end());
    }
    Ok(match report.ready {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Shows it until the process is ended. A daemon that does not answer may be about to start.
async fn watch(args: &StatusArgs) -> anyhow::Result<()> {
    let clear = match std::io::stdout().is_terminal() {
        true => CLEAR,
        false => "",
    };
    loop {
        let shown = match args.target.get::<Report>("/status").await {
            Ok(report) => text(&report, columns()),
            Err(error) => in_words(&error) + "\n",
        };
        let at = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        say!("{clear}{at}\n{}\n", shown.trim_end());
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn text(report: &Report, columns: Option<usize>) -> String {
    let Report {
        at,
        link,
        intake,
        journal,
        ..
    } = report;
    let mut lines = Vec::new();
    let message = match link.last_message {
        Some(last) => format!("last message {} ago", age(last, *at)),
        None => "no message yet".to_owned(),
    };
    let ready = if report.ready { "ready" } else { "not ready" };
    lines.push(format!(
        "link     {} for {}, {message}, {ready}",
        link.state,
        age(link.since, *at)
    ));
    lines.extend(link.last_error.as_ref().map(|error| {
        let when = link.last_error_at.map(|then| age(then, *at));
        let when = when.map_or(String::new(), |when| format!(" {when} ago"));
        format!("         last error{when}: {}", one_line(error))
    }));
    let reasons = report.reasons.iter();
    lines.extend(reasons.map(|reason| format!("         not ready: {}", one_line(reason))));
    lines.extend(next_attempt(link, *at));
    lines.extend(
        link.undeliverable
            .as_ref()
            .map(|found| format!("         undeliverable: {}", harmless(found))),
    );
    lines.extend(server(link).map(|server| format!("         server: {}", harmless(server))));
    let mut guarantees: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (topic, guarantee) in &link.guarantee {
        guarantees.entry(guarantee).or_default().push(topic);
    }
    lines.extend(
        guarantees
            .iter()
            .map(|(said, topics)| format!("         {}: {said}", in_short(topics))),
    );
    lines.extend(delivery_counts(link));
    lines.extend(
        link.warnings
            .iter()
            .map(|warning| format!("         warning: {}", harmless(warning))),
    );
    lines.extend(refused(link, *at));
    lines.extend(leaving(link));
    lines.extend(topics(link, *at));
    lines.extend(unreadable(link));
    lines.extend(resyncs(link, *at));
    let since = report.started_at.map(|started| age(started, *at));
    let since = since.map_or(String::new(), |since| format!(" {since} ago"));
    lines.push(format!(
        "intake   since the start{since}: {} received = {} accepted + {} undecodable + {} waiting",
        intake.received, intake.accepted, intake.undecodable, intake.waiting
    ));
    let oldest = journal.oldest.map_or("empty".to_owned(), |oldest| {
        format!("positions {oldest} to {}", journal.head)
    });
    let full = match (journal.full, journal.disk_full) {
        (false, _) => String::new(),
        (true, false) => {
            ", FULL: it has no room for more until the sinks have caught up".to_owned()
        }
        (true, true) => {
            let free = bytes(FREE_BYTES_AGAIN);
            format!(", FULL: its disk has no room for more until {free} of it are free")
        }
    };
    let (used, max) = (bytes(journal.bytes), bytes(journal.max_bytes));
    lines.push(format!("journal  {oldest}, {used} of {max}{full}"));
    if journal.undecodable > 0 {
        lines.push(format!(
            "         {} undecodable: stomp-bridge dlq list --undecodable",
            journal.undecodable
        ));
    }
    if journal.undecodable_removed > 0 {
        lines.push(format!(
            "         {} undecodable removed before anybody dealt with them",
            journal.undecodable_removed
        ));
    }
    if journal.evicted > 0 {
        lines.push(format!(
            "         {} evicted because it was full",
            journal.evicted
        ));
    }
    lines.extend(rejected_reload(report));
    lines.push(String::new());
    lines.push(format!(
        "sinks    counts since the journal began{}",
        filtered(report)
    ));
    let head = [
        "SINK",
        "STATE",
        "LAG",
        "DELIVERED",
        "FILTERED",
        "DLQ",
        "LAST ERROR",
    ]
    .map(str::to_owned);
    let hang = |lead| move |line: String| hanging(&line, lead, columns);
    // A step's lines stand below its first word.
    let said = verdict(report).into_iter().flat_map(|line| {
        let lead = if line.starts_with(' ') { STEP_LEAD } else { 0 };
        hang(lead)(line)
    });
    let mut lines: Vec<String> = said.chain(lines.into_iter().flat_map(hang(LEAD))).collect();
    let rows = report.sinks.iter().map(|sink| row(sink, *at));
    lines.extend(fitted(columns, std::iter::once(head).chain(rows)));
    for accounting_error in &report.accounting_errors {
        let line = format!("delivery accounting does not balance: {accounting_error}");
        lines.extend(hanging(&line, 0, columns));
    }
    lines.join("\n") + "\n"
}

/// What the column FILTERED counts, where it counts anything: a sink without `when` has some, too.
fn filtered(report: &Report) -> &'static str {
    let mut sinks = report.sinks.iter();
    match sinks.any(|sink| sink.account.accounting.passed.filtered > 0) {
        true => "; FILTERED: not wanted by topics, kinds or when, or a repeat",
        false => "",
    }
}

/// How the daemon is in one sentence, and what to do.
fn verdict(report: &Report) -> Vec<String> {
    let Some(said) = &report.verdict else {
        return Vec::new();
    };
    let mut lines = vec![harmless(&said.sentence)];
    for todo in &said.todo {
        let subject = match todo.subject.is_empty() {
            true => String::new(),
            false => format!("{}: ", harmless(&todo.subject)),
        };
        // All of it: what it quotes is short, and what it says itself stands behind that.
        lines.push(format!(
            "  - {subject}{}",
            harmless(&todo.what).replace('\n', " ")
        ));
        lines.push(format!("    {}", harmless(&todo.advice)));
    }
    lines.push(String::new());
    lines
}

/// When the source tries again, and how to have it try now.
fn next_attempt(link: &Link, now: Timestamp) -> Option<String> {
    let (next, failures) = (link.next_attempt?, link.failures);
    let wait = age(now, next);
    let failed = match failures {
        0 => String::new(),
        failures => format!(" after {}", counted(failures.into(), "failure", "failures")),
    };
    let how = match link.no_sign_in_before.filter(|until| *until > now) {
        None => "`stomp-bridge source retry` makes it now".to_owned(),
        Some(until) => format!(
            "no sign-in for {}, so that the platform does not lock the account: correct \
             source.signin and reload",
            age(now, until)
        ),
    };
    Some(format!("         next attempt in {wait}{failed}; {how}"))
}

/// What the files say that does not hold.
fn rejected_reload(report: &Report) -> Vec<String> {
    let lines = |(rejected, what, before): (&RejectedReload, &str, &str)| {
        let age = age(rejected.at, report.at);
        let head = format!("config   {what} {age} ago: {before}");
        let problems = rejected.problems.iter();
        let lines = problems.map(|problem| format!("         {}", one_line(problem)));
        std::iter::once(head).chain(lines).collect::<Vec<_>>()
    };
    let configuration = report.rejected_reload.iter().map(|rejected| {
        let before = "the configuration before it is in force";
        (rejected, "reload rejected", before)
    });
    let secrets = report.unread_secrets.iter().map(|unread| {
        let before = "those before are used, until the file is corrected";
        (unread, "secrets not read again", before)
    });
    configuration.chain(secrets).flat_map(lines).collect()
}

/// What kind of server it is, or how it calls itself where that tells no kind.
fn server(link: &Link) -> Option<&str> {
    let kind = link.broker.as_deref();
    let is_known = |kind: &&str| *kind != Broker::Unknown.as_str();
    kind.filter(is_known).or(link.server.as_deref()).or(kind)
}

/// How often the server has delivered a message of each topic before.
fn delivery_counts(link: &Link) -> Option<String> {
    let counts = link.highest_delivery_count.iter();
    let counts: Vec<String> = counts
        .map(|(topic, count)| format!("{topic} {count}"))
        .collect();
    let line = format!("         highest delivery count: {}", in_short(&counts));
    (!counts.is_empty()).then_some(line)
}

/// The topics that the server refuses: the first few, and how many more.
fn refused(link: &Link, now: Timestamp) -> Vec<String> {
    let mut lines: Vec<String> = link
        .refused
        .iter()
        .take(REFUSED_SHOWN_MAX)
        .map(|it| {
            let (topic, since, error) = (&it.topic, age(it.since, now), one_line(&it.error));
            format!("         topic {topic} refused for {since}: {error}")
        })
        .collect();
    if let more @ 1.. = link.refused.len().saturating_sub(REFUSED_SHOWN_MAX) {
        let more = counted(more as u64, "more topic", "more topics");
        lines.push(format!("         {more} refused"));
    }
    lines
}

/// The topics that are being left.
fn leaving(link: &Link) -> Option<String> {
    let topics = in_short(&link.leaving);
    (!link.leaving.is_empty()).then(|| {
        format!("         leaving {topics}: the last messages are being journaled and acknowledged")
    })
}

/// When the messages of each topic came. Of many topics: the first few that are silent, and a line
/// for all others.
fn topics(link: &Link, now: Timestamp) -> Vec<String> {
    let line = |(name, topic): &(&String, &Topic)| {
        let message = match topic.last_message {
            Some(last) => format!("last message {} ago", age(last, now)),
            None => "no message yet".to_owned(),
        };
        let silent = topic.silent_since.map(|since| age(since, now));
        let silent = silent.map_or(String::new(), |silent| format!(", silent for {silent}"));
        format!("         topic {name}: {message}{silent}")
    };
    let all = sorted(&link.topics);
    if all.len() <= TOPICS_SHOWN_MAX {
        return all.iter().map(line).collect();
    }
    let is_silent = |(_, topic): &(&String, &Topic)| topic.silent_since.is_some();
    let (silent, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_silent);
    let mut lines: Vec<String> = silent.iter().take(REFUSED_SHOWN_MAX).map(line).collect();
    if let more @ 1.. = silent.len().saturating_sub(REFUSED_SHOWN_MAX) {
        let more = counted(more as u64, "more topic", "more topics");
        lines.push(format!("         {more} silent"));
    }
    if !others.is_empty() {
        lines.push(format!("         {}", summary(&others, now)));
    }
    lines
}

/// What of the topics' statuses could not be read: the first few topics, and the first few words.
fn unreadable(link: &Link) -> Vec<String> {
    let listed = |counts: &BTreeMap<String, u64>| {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let more = counts.len().saturating_sub(WORDS_SHOWN_MAX);
        let words = counts.iter().take(WORDS_SHOWN_MAX);
        let words = words.map(|(word, count)| format!("{} ({count})", harmless(word)));
        let more = (more > 0).then(|| format!("{more} more"));
        words.chain(more).collect::<Vec<_>>().join(", ")
    };
    let mut lines = Vec::new();
    for (name, topic) in sorted(&link.topics) {
        if !topic.unreadable.is_empty() {
            let fields = listed(&topic.unreadable);
            lines.push(format!(
                "         topic {name}: unreadable: {fields}: see its `fields`"
            ));
        }
        let others = topic.unmapped_others;
        if !topic.unmapped.is_empty() || others > 0 {
            let words = [
                (!topic.unmapped.is_empty()).then(|| listed(&topic.unmapped)),
                (others > 0).then(|| {
                    counted(
                        others,
                        "status with another word",
                        "statuses with other words",
                    )
                }),
            ];
            let words: Vec<String> = words.into_iter().flatten().collect();
            let words = words.join(", ");
            lines.push(format!("         topic {name}: not in [states]: {words}"));
        }
        if topic.utf8 > 0 {
            let statuses = counted(topic.utf8, "status is", "statuses are");
            lines.push(format!(
                "         topic {name}: {statuses} in UTF-8, and read as its `encoding` says"
            ));
        }
        if topic.ignored > 0 {
            let ignored = topic.ignored;
            lines.push(format!("         topic {name}: {ignored} ignored"));
        }
        if topic.empty > 0 {
            let empty = counted(topic.empty, "empty message", "empty messages");
            lines.push(format!("         topic {name}: {empty}"));
        }
    }
    if let more @ 1.. = lines.len().saturating_sub(UNREADABLE_SHOWN_MAX) {
        lines.truncate(UNREADABLE_SHOWN_MAX);
        let more = counted(more as u64, "more line", "more lines");
        lines.push(format!("         {more} of this: see status --json"));
    }
    lines
}

/// How the topics' last snapshots ended. Of many topics: the first few whose newest one failed.
fn resyncs(link: &Link, now: Timestamp) -> Vec<String> {
    let mut all: Vec<(&String, &Resync)> = sorted(&link.topics)
        .into_iter()
        .filter_map(|(name, topic)| Some((name, topic.resync.as_ref()?)))
        .collect();
    let mut others = 0;
    if all.len() > TOPICS_SHOWN_MAX {
        let count = all.len();
        all.retain(|(_, it)| it.trouble.is_some());
        all.truncate(REFUSED_SHOWN_MAX);
        others = count - all.len();
    }
    let mut lines: Vec<String> = (all.into_iter())
        .map(|(name, it)| format!("         topic {name}: {}", resynced(it, now)))
        .collect();
    if others > 0 {
        let others = counted(others as u64, "more topic", "more topics");
        lines.push(format!(
            "         {others} with snapshots: see status --json"
        ));
    }
    lines
}

fn resynced(it: &Resync, now: Timestamp) -> String {
    let last = match it.last_success {
        Some(last) => {
            let (ago, devices) = (age(last, now), counted(it.devices, "device", "devices"));
            let unreadable = match it.unreadable {
                0 => String::new(),
                count => format!(", {count} more unreadable: see resync.fields"),
            };
            format!("resynced {ago} ago, {devices}{unreadable}")
        }
        None => "not resynced yet".to_owned(),
    };
    match &it.trouble {
        None => last,
        Some(trouble) => {
            let failed = counted(it.failures.into(), "time", "times");
            format!("{last}; failed {failed} since: {}", harmless(trouble))
        }
    }
}

/// Of topics that are not silent.
fn summary(topics: &[(&String, &Topic)], now: Timestamp) -> String {
    let times = || topics.iter().filter_map(|(_, topic)| topic.last_message);
    let ages = times().min().zip(times().max());
    let messages = match ages {
        Some((oldest, newest)) => {
            let (from, to) = (age(newest, now), age(oldest, now));
            format!("last messages {from} to {to} ago")
        }
        None => "no message yet".to_owned(),
    };
    let count = topics.len();
    match (count - times().count(), ages) {
        (0, _) | (_, None) => format!("{count} topics: {messages}"),
        (without, _) => format!("{count} topics: {messages}, {without} without one"),
    }
}

fn row(sink: &Sink, now: Timestamp) -> [String; 7] {
    let state = sink.state.as_str();
    let state = match sink.state {
        Condition::Removed => state.to_owned(),
        _ => {
            let since = sink.since.map(|since| age(since, now)).unwrap_or_default();
            format!("{state} {since}{}", next_of_sink(sink, now))
        }
    };
    let state = if sink.replaying {
        format!("{state}, replays")
    } else {
        state
    };
    let passed = sink.account.accounting.passed;
    [
        sink.name.clone(),
        state,
        lag(sink, now),
        (passed.delivered + sink.account.accounting.redriven).to_string(),
        passed.filtered.to_string(),
        sink.account.waiting.to_string(),
        last_error(sink, now),
    ]
}

/// Entries before it, and how long the oldest of them has waited, from a second on.
fn lag(sink: &Sink, now: Timestamp) -> String {
    let entries = sink.account.pending;
    let is_long = |since: &Timestamp| now.duration_since(*since).as_secs() >= 1;
    let waits = sink.waits_since.filter(is_long);
    let waits = waits.map(|since| format!(", {}", age(since, now)));
    format!("{entries}{}", waits.unwrap_or_default())
}

/// When a sink is tried next, where it waits for that, and whether its `rate` is why.
fn next_of_sink(sink: &Sink, now: Timestamp) -> String {
    let rate = sink.no_attempt_before;
    let waits = sink.waits_for_rate || sink.next_attempt.is_some();
    match (sink.next_attempt, rate.filter(|at| waits && *at > now)) {
        (Some(next), Some(rate)) if next >= rate => format!(", next in {}", age(now, next)),
        (_, Some(rate)) => format!(", rate: next in {}", age(now, rate)),
        (Some(next), None) => format!(", next in {}", age(now, next)),
        (None, None) => String::new(),
    }
}

/// What has passed must not look as if it lasted.
fn last_error(sink: &Sink, now: Timestamp) -> String {
    let error = sink.last_error.as_deref().map(one_line);
    let error = match sink.since {
        Some(since) if sink.up => {
            // What lasts comes before what has passed.
            let warning = sink.warning.as_deref().map(one_line);
            let passed = error.map(|error| match sink.last_error_at {
                // It was up then: only an event was rejected.
                Some(at) if at > since => format!("{} ago: {error}", age(at, now)),
                _ => format!("until {} ago: {error}", age(since, now)),
            });
            warning.or(passed)
        }
        _ => error,
    };
    error.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Accounting, SinkAccounting};
    use crate::model::Position;
    use crate::ops::status::{RefusedTopic, SinceStart};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn quiet_link() -> Link {
        Link {
            state: "receiving".to_owned(),
            since: at(0),
            last_error: None,
            last_error_at: None,
            next_attempt: None,
            no_sign_in_before: None,
            failures: 0,
            undeliverable: None,
            last_message: None,
            broker: None,
            server: None,
            guarantee: BTreeMap::new(),
            highest_delivery_count: BTreeMap::new(),
            warnings: Vec::new(),
            refused: Vec::new(),
            leaving: Vec::new(),
            topics: BTreeMap::new(),
        }
    }

    #[test]
    fn the_verdict_comes_first_with_what_to_do() {
        let mut report: Report = serde_json::from_str(include_str!("status/report.json")).unwrap();
        let lines = verdict(&report);
        let expected = [
            "1 sink is retrying. Nothing that was received is lost.",
            "  - oncall: \"answered 503\", for 5 min. 7 entries wait.",
            "    Nothing to do while its other side restarts: all its events wait, in order.",
            "",
        ];
        assert_eq!(lines, expected);
        assert!(text(&report, None).starts_with(expected[0]));
        report.verdict = None;
        assert_eq!(
            verdict(&report),
            Vec::<String>::new(),
            "an older daemon gives none"
        );
    }

    #[test]
    fn of_many_refused_topics_the_first_few_have_a_line() {
        let refused_topic = |number: usize| RefusedTopic {
            topic: format!("map-{number}"),
            destination: format!("/topic/{number}"),
            since: at(0),
            error: "no".to_owned(),
        };
        let link = |count| Link {
            refused: (1..=count).map(refused_topic).collect(),
            ..quiet_link()
        };
        assert_eq!(refused(&link(0), at(300)), [""; 0]);
        let lines = refused(&link(8), at(300));
        assert_eq!(lines[0].trim(), "topic map-1 refused for 5 min: no");
        assert_eq!((lines.len(), lines[5].trim()), (6, "3 more topics refused"));
    }

    #[test]
    fn a_topic_says_how_its_last_snapshots_ended_and_of_many_those_that_failed() {
        let good = Resync {
            last_success: Some(at(240)),
            devices: 12,
            unreadable: 1,
            ..Resync::default()
        };
        let bad = Resync {
            trouble: Some("https://h/devices answered 500".to_owned()),
            failures: 3,
            ..Resync::default()
        };
        let link = |count: usize| {
            let topic = |number: usize| {
                let resync = match number {
                    2 => bad.clone(),
                    _ => good.clone(),
                };
                let topic = Topic {
                    resync: Some(resync),
                    ..Topic::default()
                };
                (format!("map-{number}"), topic)
            };
            Link {
                topics: (1..=count).map(topic).collect(),
                ..quiet_link()
            }
        };
        let lines = |count| {
            let lines = resyncs(&link(count), at(300));
            let trimmed = lines.iter().map(|line| line.trim().to_owned());
            trimmed.collect::<Vec<_>>()
        };
        let failed = "topic map-2: not resynced yet; failed 3 times since: \
                      https://h/devices answered 500";
        let resynced = "topic map-1: resynced 60 s ago, 12 devices, 1 more unreadable: see \
                        resync.fields";
        assert_eq!(lines(2), [resynced, failed]);
        let many = [failed, "99 more topics with snapshots: see status --json"];
        assert_eq!(lines(100), many);
        assert_eq!(resyncs(&quiet_link(), at(300)), [""; 0]);
    }

    #[test]
    fn the_next_attempt_is_as_soon_as_the_limit_on_sign_ins_allows() {
        let check = |next: Option<i64>, limit: Option<i64>, expected: Option<&str>| {
            let link = Link {
                next_attempt: next.map(at),
                no_sign_in_before: limit.map(at),
                ..quiet_link()
            };
            let line = next_attempt(&link, at(100));
            assert_eq!(line.as_deref().map(str::trim), expected);
        };
        let now = "next attempt in 10 s; `stomp-bridge source retry` makes it now";
        check(None, None, None);
        check(Some(110), None, Some(now));
        check(Some(110), Some(100), Some(now));
        let limited = "next attempt in 8 min; no sign-in for 8 min, so that the platform does not \
                       lock the account: correct source.signin and reload";
        check(Some(600), Some(600), Some(limited));
    }

    #[test]
    fn a_server_of_no_known_kind_has_the_name_that_it_gives_itself() {
        let check = |broker: Option<&str>, name: Option<&str>, expected: Option<&str>| {
            let link = Link {
                broker: broker.map(str::to_owned),
                server: name.map(str::to_owned),
                ..quiet_link()
            };
            assert_eq!(server(&link), expected);
        };
        check(None, None, None);
        check(Some("unknown"), None, Some("unknown"));
        check(Some("unknown"), Some("demo/1"), Some("demo/1"));
        check(Some("rabbitmq"), Some("RabbitMQ/4"), Some("rabbitmq"));
    }

    #[test]
    fn topics_that_are_being_left_are_one_line() {
        assert_eq!(leaving(&quiet_link()), None);
        let link = Link {
            leaving: vec!["a".to_owned(), "b".to_owned()],
            ..quiet_link()
        };
        let line = leaving(&link).unwrap_or_default();
        assert!(
            line.trim().starts_with("leaving a, b: the last messages"),
            "{line}"
        );
    }

    #[test]
    fn topics_that_were_delivered_before_are_one_line_with_their_counts() {
        let link = |counts: &[(&str, u64)]| Link {
            highest_delivery_count: counts
                .iter()
                .map(|(topic, count)| ((*topic).to_owned(), *count))
                .collect(),
            ..quiet_link()
        };
        assert_eq!(delivery_counts(&link(&[])), None);
        let line = delivery_counts(&link(&[("b", 2), ("a", 12)]));
        let line = line.unwrap_or_default();
        assert_eq!(line.trim(), "highest delivery count: a 12, b 2");
    }

    #[test]
    fn each_topic_has_a_line_and_of_many_the_silent_ones() {
        let link = |count: i64, silent: i64| Link {
            topics: (0..count)
                .map(|number| {
                    let topic = Topic {
                        last_message: (number > 0).then(|| at(number)),
                        silent_since: (number < silent).then(|| at(200)),
                        ..Topic::default()
                    };
                    (format!("map-{number:03}"), topic)
                })
                .collect(),
            ..quiet_link()
        };
        let check = |count, silent, expected: &[&str]| {
            let lines = topics(&link(count, silent), at(600));
            let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
            assert_eq!(lines, expected);
        };
        check(0, 0, &[]);
        check(
            2,
            1,
            &[
                "topic map-000: no message yet, silent for 6 min",
                "topic map-001: last message 9 min ago",
            ],
        );
        check(
            500,
            0,
            &["500 topics: last messages 101 s to 9 min ago, 1 without one"],
        );
        check(
            500,
            7,
            &[
                "topic map-000: no message yet, silent for 6 min",
                "topic map-001: last message 9 min ago, silent for 6 min",
                "topic map-002: last message 9 min ago, silent for 6 min",
                "topic map-003: last message 9 min ago, silent for 6 min",
                "topic map-004: last message 9 min ago, silent for 6 min",
                "2 more topics silent",
                "493 topics: last messages 101 s to 9 min ago",
            ],
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_count_by_topic() {
        let counts = |pairs: &[(&str, u64)]| {
            let pairs = pairs
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count));
            pairs.collect::<BTreeMap<_, _>>()
        };
        let topic = Topic {
            unreadable: counts(&[("latitude", 1), ("occurred_at", 3)]),
            unmapped: counts(&[("维护中", 12), ("a\u{1b}", 1)]),
            unmapped_others: 5,
            utf8: 3,
            ignored: 7,
            empty: 2,
            ..Topic::default()
        };
        let mut link = quiet_link();
        link.topics = [
            ("a".to_owned(), Topic::default()),
            ("b".to_owned(), topic.clone()),
        ]
        .into();
        let lines: Vec<String> = unreadable(&link);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        let expected = [
            "topic b: unreadable: occurred_at (3), latitude (1): see its `fields`",
            "topic b: not in [states]: 维护中 (12), a\\u{1b} (1), 5 statuses with other words",
            "topic b: 3 statuses are in UTF-8, and read as its `encoding` says",
            "topic b: 7 ignored",
            "topic b: 2 empty messages",
        ];
        assert_eq!(lines, expected);
        link.topics = (0..100)
            .map(|index| (index.to_string(), topic.clone()))
            .collect();
        let lines = unreadable(&link);
        assert_eq!(lines.len(), UNREADABLE_SHOWN_MAX + 1);
        assert!(lines[UNREADABLE_SHOWN_MAX].contains("490 more lines"));
    }

    fn sink() -> Sink {
        Sink {
            name: "history".to_owned(),
            configured: true,
            state: Condition::Up,
            up: true,
            since: Some(at(0)),
            last_error: None,
            last_error_at: None,
            warning: None,
            next_attempt: None,
            waits_since: None,
            no_attempt_before: None,
            waits_for_rate: false,
            since_start: SinceStart::default(),
            replaying: false,
            dlq_bytes: 0,
            dlq_max_bytes: 0,
            account: SinkAccounting {
                sink: "history".into(),
                cursor: Position::START,
                pending: 0,
                waiting: 0,
                accounting: Accounting::default(),
            },
        }
    }

    #[test]
    fn a_row_has_the_word_of_the_page_for_a_sink() {
        let state = |state| {
            let sink = Sink { state, ..sink() };
            let [_, state, ..] = row(&sink, at(9));
            state
        };
        assert_eq!(state(Condition::Starting), "starting 9 s");
        assert_eq!(state(Condition::Disabled), "disabled 9 s");
        assert_eq!(state(Condition::Removed), "removed");
    }

    #[test]
    fn error_that_has_passed_says_since_when_and_a_warning_of_now_comes_first() {
        let told = |error: Option<&str>, warning: Option<&str>, up| {
            let sink = Sink {
                up,
                last_error: error.map(str::to_owned),
                warning: warning.map(str::to_owned),
                ..sink()
            };
            last_error(&sink, at(300))
        };
        assert_eq!(told(Some("refused"), None, false), "refused");
        assert_eq!(
            told(Some("refused"), None, true),
            "until 5 min ago: refused"
        );
        assert_eq!(told(None, None, true), "");
        assert_eq!(told(Some("refused"), Some("no right"), true), "no right");
        assert_eq!(told(Some("refused"), Some("no right"), false), "refused");
        for (second, expected) in [(-9, "until 5 min ago: 422"), (240, "60 s ago: 422")] {
            let sink = Sink {
                last_error: Some("422".to_owned()),
                last_error_at: Some(at(second)),
                ..sink()
            };
            assert_eq!(last_error(&sink, at(300)), expected);
        }
    }

    #[test]
    fn a_sink_that_waits_for_its_rate_says_so() {
        for (next, rate, waits, expected) in [
            (None, None, false, ""),
            // Nothing is there for it.
            (None, Some(42), false, ""),
            (None, Some(42), true, ", rate: next in 42 s"),
            (Some(9), None, false, ", next in 9 s"),
            (Some(9), Some(42), false, ", rate: next in 42 s"),
            (Some(60), Some(42), false, ", next in 60 s"),
        ] {
            let sink = Sink {
                next_attempt: next.map(at),
                no_attempt_before: rate.map(at),
                waits_for_rate: waits,
                ..sink()
            };
            assert_eq!(next_of_sink(&sink, at(0)), expected);
        }
    }
}
