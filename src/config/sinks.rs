//! The sinks of a configuration: each `[sinks.NAME]` by its `type`.

mod history;
mod mqtt;
mod webhook;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::context::Context;
use super::events::Events;
use super::kinds;
use super::path::Path;
use super::report::unknown;
use super::schema::{self, sink_types};
use super::topics::Topics;
use super::units::List;
use crate::delivery::{self, Confirmations};
use crate::journal::{self, Start};
use crate::model::{EventKind, Omit};
use crate::pipeline::{Expression, States, Vocabulary};
use crate::retry::Retry;
use crate::sinks::Settings;

/// A server delivers again what was not acknowledged when a connection ended, such as over night.
const EVENT_KEYS_MIN: Duration = Duration::from_secs(86_400);

/// By this the page, its API and `dlq` name the entries that belong to no sink.
const UNDECODABLE: &str = "undecodable";

/// The shortest first wait of a sink: below it trouble is a flood.
const RETRY_MIN: Duration = Duration::from_millis(10);

/// What each sink wants, by its name, and its own settings where they can be used.
pub(super) fn check(
    check: &mut Context<'_>,
    written: Value,
    topics: &Topics,
    states: &States,
    journal: &journal::Settings,
) -> Vec<(delivery::Settings, Option<Settings>)> {
    let path = Path::from("sinks");
    let Some(tables) = written.into_dict() else {
        check
            .report
            .error(&path, "expected tables such as [sinks.history]");
        return Vec::new();
    };
    if tables.is_empty() {
        check.report.warning(
            &path,
            "there are no sinks: messages stay in the journal until it is full",
        );
    }
    let names = topics.topic_names();
    let vocabulary = Vocabulary {
        states,
        topics: &names,
    };
    let mut files = vec![(journal.path.clone(), "the journal".to_owned())];
    let mut sinks = Vec::new();
    for (name, table) in tables {
        let path = path.join(&name);
        let Some(table) = table.into_dict() else {
            check
                .report
                .error(&path, format!("expected a table: [sinks.{name}]"));
            continue;
        };
        sinks.extend(sink(
            check,
            &Named {
                path,
                name: Arc::from(name),
                topics,
                vocabulary,
                event_keys: journal.keep.max(EVENT_KEYS_MIN),
                has_body: table.contains_key("body"),
            },
            table,
            &mut files,
        ));
    }
    sinks
}

/// One sink's name, and the topics and words that there are.
struct Named<'a> {
    path: Path,
    name: Arc<str>,
    topics: &'a Topics,
    vocabulary: Vocabulary<'a>,
    /// How long a history that forgets event keys keeps them.
    event_keys: Duration,
    /// It sends only what its `body` names.
    has_body: bool,
}

fn sink(
    check: &mut Context<'_>,
    named: &Named<'_>,
    table: Dict,
    files: &mut Vec<(PathBuf, String)>,
) -> Option<(delivery::Settings, Option<Settings>)> {
    let Named { path, name, .. } = named;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        check.report.key_error(
            path,
            format!("`{name}` cannot name a sink"),
            "letters, digits, `-` and `_`",
        );
    } else if &**name == UNDECODABLE {
        check.report.key_error(
            path,
            format!("`{name}` cannot name a sink: so the undecodable entries are listed"),
            "give the sink another name",
        );
    }
    let type_path = path.join("type");
    let expected = format!("expected one of {}", sink_types().join(", "));
    let Some(kind) = table.get("type") else {
        check
            .report
            .key_error(&type_path, format!("sink `{name}` has no type"), expected);
        return None;
    };
    let kind = kind.as_str().unwrap_or_default().to_owned();
    let (common, table) = table
        .into_iter()
        .partition(|(key, _)| schema::Delivery::KEYS.contains(&key.as_str()));
    let written = check.report.extract(path, common);
    match kind.as_str() {
        "sqlite" => {
            let delivery = delivery(check, named, written, HISTORY);
            let table = history::with_retention(check, path, table);
            let written = own(check, path, table);
            Some((
                delivery,
                Some(history::sqlite(check, named, written, files)),
            ))
        }
        "postgres" => {
            let delivery = delivery(check, named, written, HISTORY);
            let table = history::with_retention(check, path, table);
            let written = own(check, path, table);
            Some((delivery, history::postgres(check, named, written)))
        }
        "mqtt" => {
            let delivery = delivery(check, named, written, OTHERS);
            let written = own(check, path, table);
            let settings = mqtt::check(check, named, written, &delivery.kinds);
            Some((delivery, settings))
        }
        "webhook" => {
            let delivery = delivery(check, named, written, OTHERS);
            let written = own(check, path, table);
            let events = Events {
                kinds: &delivery.kinds,
                vocabulary: named.vocabulary,
            };
            let settings = webhook::check(check, (path, name.as_ref()), written, events);
            Some((delivery, settings.map(Settings::Webhook)))
        }
        other => {
            check.report.error_with(
                &type_path,
                unknown("type of sink", other, sink_types().into_iter()),
                expected,
            );
            None
        }
    }
}

/// The keys of one type of sink alone.
fn own<T: DeserializeOwned + Default>(check: &mut Context<'_>, path: &Path, table: Dict) -> T {
    check
        .report
        .extract_beside(path, table, &schema::Delivery::KEYS)
}

/// What a sink wants where its table does not say it.
struct Defaults {
    kinds: &'static [EventKind],
    start: Start,
    confirmations: Confirmations,
}

/// A history is to have everything.
const HISTORY: Defaults = Defaults {
    kinds: &EventKind::ALL,
    start: Start::Oldest,
    confirmations: Confirmations::Wanted,
};
/// Elsewhere old news is none, and what the daemon observed is for those who ask for it.
const OTHERS: Defaults = Defaults {
    kinds: &[EventKind::Status],
    start: Start::Newest,
    confirmations: Confirmations::Filtered,
};

/// What every sink has: the kinds, topics and statuses that it wants, and where it begins when it
/// is new.
fn delivery(
    check: &mut Context<'_>,
    named: &Named<'_>,
    written: schema::Delivery,
    defaults: Defaults,
) -> delivery::Settings {
    let retry = retry(check, &named.path.join("retry"), &written.retry);
    let start = match written.start {
        Some(schema::Start::Oldest) => Start::Oldest,
        Some(schema::Start::Now) => Start::Newest,
        None => defaults.start,
    };
    let kinds = kinds::check(
        check,
        &named.path.join("kinds"),
        written.kinds.as_ref(),
        defaults.kinds,
    );
    let topics = written.topics;
    let path = named.path.join("topics");
    if topics.as_ref().is_some_and(|topics| topics.0.is_empty()) {
        check.report.error(
            &path,
            "an empty list wants nothing; without the key the sink wants all topics",
        );
    }
    let topics: Option<HashSet<Arc<str>>> = topics.map(|List(names)| {
        for name in names.iter().filter(|name| named.topics.named(name).is_none()) {
            let help =
                "a topic's name is that of [topics.NAME], which with a `for` means all that it makes, or NAME-VALUE";
            check.report.error_with(&path, unknown("topic", name, named.topics.names().into_iter()), help);
        }
        names.iter().filter_map(|name| named.topics.named(name)).flatten().collect()
    });
    if let Some((stream, missing)) = topics
        .as_ref()
        .and_then(|some| named.topics.torn_stream(some))
    {
        let message =
            format!("the topics of the stream `{stream}` belong together: add `{missing}`");
        let help = "a status that another of them brought first is a repeat here, and would reach this sink by neither";
        check.report.error_with(&path, message, help);
    }
    let when = written
        .when
        .and_then(|when| self::when(check, named, &when, &kinds));
    let path = named.path.join("omit");
    let omit = omit(check, &path, &written.omit);
    if !named.has_body {
        let payload = omit
            .leaves_payload()
            .then(|| "`payload` may still hold the omitted columns: add it".to_owned());
        let place = omit
            .leaves_place()
            .map(|column| format!("`{column}` and its pair say the omitted place, too: add it"));
        let left: Vec<String> = payload.into_iter().chain(place).collect();
        if !left.is_empty() {
            check.report.warning(&path, left.join("; "));
        }
    }
    delivery::Settings {
        name: Arc::clone(&named.name),
        kinds,
        topics,
        when,
        omit,
        start,
        retry,
        confirmations: defaults.confirmations,
    }
}

/// The condition of a sink.
fn when(
    check: &mut Context<'_>,
    named: &Named<'_>,
    source: &str,
    kinds: &BTreeSet<EventKind>,
) -> Option<Expression> {
    let path = named.path.join("when");
    let when = match Expression::parse(source) {
        Ok(when) => when,
        Err(error) => {
            let help = "a condition such as changed and severity == 'critical'";
            let message = format!("`when` is not valid: {error}");
            check.report.error_with(&path, message, help);
            return None;
        }
    };
    let doubts = when.doubts(&named.vocabulary);
    if !kinds.contains(&EventKind::Status) {
        let message = "`when` judges statuses, and this sink wants none by its `kinds`";
        check.report.warning(&path, message);
    } else if when.constant() == Some(false) {
        check.report.warning(&path, "`when` holds for no status");
    } else {
        check.doubted(&path, "`when`", &doubts);
    }
    Some(when)
}

/// The columns that a sink does not get.
fn omit(check: &mut Context<'_>, path: &Path, List(written): &List) -> Omit {
    Omit::read(written.iter().map(String::as_str)).unwrap_or_else(|name| {
        let message = match EventKind::Status.names().contains(&name) {
            true => format!("`{name}` is in every status"),
            false => unknown("column", name, Omit::COLUMNS.into_iter()),
        };
        let help = format!("expected some of {}", Omit::COLUMNS.join(", "));
        check.report.error_with(path, message, help);
        Omit::default()
    })
}

fn retry(check: &mut Context<'_>, path: &Path, written: &schema::Retry) -> Retry {
    let (initial, max, give_up) = (written.initial.0, written.max.0, written.give_up.0);
    check.waits(path, initial, max, RETRY_MIN);
    if give_up.is_zero() {
        check
            .report
            .error(&path.join("give_up"), "expected a duration above 0");
    }
    Retry {
        initial,
        max,
        give_up,
    }
}
