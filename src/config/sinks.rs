//! The sinks of a configuration: each `[sinks.NAME]` by its `type`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use figment::value::{Dict, Value};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use url::Url;

use super::context::Context;
use super::events::Events;
use super::kinds;
use super::path::Path;
use super::report::unknown;
use super::schema::{self, sink_types};
use super::secret::Within;
use super::topics::Topics;
use super::units::{List, Retention};
use super::webhook;
use crate::delivery::{self, Confirmations};
use crate::journal::{self, Start};
use crate::model::{EventKind, Omit};
use crate::pipeline::{Expression, States, Vocabulary};
use crate::retry::Retry;
use crate::secret::Secret;
use crate::sinks::history::{postgres, sqlite};
use crate::sinks::mqtt::Qos;
use crate::sinks::{Settings, mqtt};

/// The largest packet that MQTT can say the length of (MQTT 3.1.1, section 2.2.3).
const MQTT_PACKET_BYTES_MAX: u64 = 268_435_455;
/// The first four are ours; the others are what other programs call the same.
const MQTT_SCHEMES: [&str; 8] = [
    "mqtt", "mqtts", "mqtt+ws", "mqtt+wss", "tcp", "ssl", "ws", "wss",
];
/// Postgres cuts a longer name (NAMEDATALEN).
const POSTGRES_NAME_BYTES_MAX: usize = 63;
/// Room for a status of the platform.
const MQTT_PACKET_BYTES_MIN: u64 = 1024;

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
            let table = with_retention(check, path, table);
            let written = own(check, path, table);
            Some((delivery, Some(sqlite(check, named, written, files))))
        }
        "postgres" => {
            let delivery = delivery(check, named, written, HISTORY);
            let table = with_retention(check, path, table);
            let written = own(check, path, table);
            Some((delivery, postgres(check, named, written)))
        }
        "mqtt" => {
            let delivery = delivery(check, named, written, OTHERS);
            let written = own(check, path, table);
            let settings = mqtt(check, named, written, &delivery.kinds);
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

/// The table of a history; its `retention` is a table too. A single text, the form before 0.2, is a
/// problem that says what to write.
fn with_retention(check: &mut Context<'_>, path: &Path, mut table: Dict) -> Dict {
    let name = "retention";
    if let Some(text) = table.get(name).and_then(Value::as_str) {
        let is_retention = text.parse::<Retention>().is_ok();
        let statuses = if is_retention { text } else { "365d" };
        let help = format!("write retention = {{ statuses = \"{statuses}\" }}");
        let message =
            "expected a table, found a text: each kind of rows has a retention of its own";
        check.report.error_with(&path.join(name), message, help);
        table.remove(name);
    }
    table
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

/// Who is neither the owner nor of the group may write.
const OTHERS_WRITE: u32 = 0o002;

fn sqlite(
    check: &mut Context<'_>,
    named: &Named<'_>,
    written: schema::Sqlite,
    files: &mut Vec<(PathBuf, String)>,
) -> Settings {
    let path = check.state_file(&written.path);
    let same = |other: &std::path::Path| same_file(other, &path);
    if let Some((_, owner)) = files.iter().find(|(file, _)| same(file)) {
        let message = format!("{} is the file of {owner} already", path.display());
        check
            .report
            .key_error(&named.path.join("path"), message, "give each its own file");
    }
    files.push((path.clone(), format!("the sink `{}`", named.name)));
    check.database(&named.path.join("path"), &path);
    if written.mode.0 & OTHERS_WRITE != 0 {
        let message = format!(
            "everybody on this machine may change this history: mode = \"{:04o}\" lets the same \
             people read it",
            written.mode.0 & !OTHERS_WRITE
        );
        check.report.warning(&named.path.join("mode"), message);
    }
    // Of the days of `state_daily`.
    let zone = check.zone(&named.path.join("timezone"), &written.timezone);
    Settings::Sqlite(sqlite::Settings {
        name: named.name.to_string(),
        path,
        retention: written.retention.statuses.0,
        intervals: written.retention.intervals.0,
        zone,
        mode: written.mode.0,
    })
}

/// Whether two paths mean one file, as far as that can be known before there is one.
fn same_file(a: &std::path::Path, b: &std::path::Path) -> bool {
    let real = |path: &std::path::Path| {
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        path.canonicalize()
            .ok()
            .or_else(|| folder.map(|folder| folder.join(name)))
            .unwrap_or_else(|| path.to_owned())
    };
    real(a) == real(b)
}

fn postgres(
    check: &mut Context<'_>,
    named: &Named<'_>,
    written: schema::Postgres,
) -> Option<Settings> {
    let path = named.path.join("url");
    let url = check.secret(&path, written.url.expose_secret(), Within::Url)?;
    let urls = match postgres::urls(url.expose_secret()) {
        Ok(urls) => urls,
        Err(problem) => {
            check.report.error(&path, problem);
            return None;
        }
    };
    let schemes = ["postgres", "postgresql"];
    let urls = urls
        .iter()
        .map(|url| check.checked_url(&path, url, &schemes));
    let urls = urls.collect::<Option<Vec<Url>>>()?;
    let (first, others) = urls.split_first()?;
    if first.path().trim_matches('/').is_empty() {
        check.report.error_with(
            &path,
            "the URL names no database",
            "such as postgres://bridge@db/devices",
        );
    }
    if let Some(schema) = &written.schema {
        postgres_schema(check, &named.path.join("schema"), schema, first);
    }
    let settings = postgres::Settings {
        name: named.name.to_string(),
        url: match others {
            [] => Secret::from(first.as_str()),
            [..] => url,
        },
        schema: written.schema,
        folder: check.folders.config.clone(),
        retention: written.retention.statuses.0,
        intervals: written.retention.intervals.0,
        event_keys: named.event_keys,
        zone: check.zone(&named.path.join("timezone"), &written.timezone),
    };
    match postgres::exposure(&settings) {
        Ok(exposure) => exposure
            .into_iter()
            .for_each(|exposure| check.report.warning(&path, exposure.to_string())),
        Err(problem) => check.report.error(&path, problem),
    }
    Some(Settings::Postgres(settings))
}

/// The name of the schema of a history's tables.
fn postgres_schema(check: &mut Context<'_>, path: &Path, schema: &str, url: &Url) {
    let is_reserved = schema.starts_with("pg_");
    let is_name = (1..=POSTGRES_NAME_BYTES_MAX).contains(&schema.len());
    if is_reserved || !is_name || schema.contains(char::is_control) {
        check.report.key_error(
            path,
            "it cannot name a schema",
            format!("1 to {POSTGRES_NAME_BYTES_MAX} bytes that do not begin with pg_"),
        );
    }
    let is_path = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
        name.starts_with("options")
            && (name.contains("search_path") || value.contains("search_path"))
    };
    if url.query_pairs().any(is_path) {
        let message = "the URL's options name a search_path, which would have no effect";
        check
            .report
            .error_with(path, message, "remove it from `url`, or this key");
    }
}

fn mqtt(
    check: &mut Context<'_>,
    named: &Named<'_>,
    written: schema::Mqtt,
    kinds: &BTreeSet<EventKind>,
) -> Option<Settings> {
    let path = &named.path;
    let qos = match written.qos.0 {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => {
            let help =
                "use qos = 1: a message may come twice after a reconnect, with the same event_id";
            let message =
                "qos 2 is not offered: exactly once would end at the broker's own session";
            check.report.error_with(&path.join("qos"), message, help);
            Qos::AtLeastOnce
        }
        other => {
            check
                .report
                .error(&path.join("qos"), format!("expected 0 or 1, found {other}"));
            Qos::AtLeastOnce
        }
    };
    let bytes = written.max_packet_bytes.0;
    if !(MQTT_PACKET_BYTES_MIN..=MQTT_PACKET_BYTES_MAX).contains(&bytes) {
        let message = format!(
            "expected {MQTT_PACKET_BYTES_MIN} to {MQTT_PACKET_BYTES_MAX} bytes, found {bytes}"
        );
        check.report.error(&path.join("max_packet_bytes"), message);
    }
    if literal(&written.topic).contains(['+', '#']) {
        let help = "`+` and `#` are for subscriptions (MQTT 3.1.1, section 4.7.1)";
        check.report.error_with(
            &path.join("topic"),
            "a topic to publish to has no wildcards",
            help,
        );
    }
    if written.topic.trim().is_empty() {
        check
            .report
            .error(&path.join("topic"), "the topic is empty");
    }
    let status_topic = match written.status_topic {
        None => Some(status_topic(&written.topic)),
        Some(topic) if topic.is_empty() => None,
        Some(topic) => {
            if let Err(error) = mqtt::topic::check_topic(&topic) {
                check.report.error(&path.join("status_topic"), error);
            }
            Some(topic)
        }
    };
    let inflight = written.max_inflight.0;
    if !(1..=u32::from(mqtt::MAX_INFLIGHT)).contains(&inflight) {
        let message = format!(
            "expected 1 to {} publishes in flight, found {inflight}",
            mqtt::MAX_INFLIGHT
        );
        check.report.error(&path.join("max_inflight"), message);
    }
    let events = Events {
        kinds,
        vocabulary: named.vocabulary,
    };
    let topic = events.template(check, &path.join("topic"), &written.topic);
    let body = written
        .body
        .map(|body| events.template(check, &path.join("body"), &body));
    let tls = check.tls(&path.join("tls"), written.tls);
    let mut secret =
        |name: &str, text: Option<&str>| check.secret(&path.join(name), text?, Within::Text);
    let username = secret("username", written.username.as_deref());
    let password = secret(
        "password",
        written.password.as_ref().map(Secret::expose_secret),
    );
    let client_id = secret("client_id", written.client_id.as_deref());
    let url_path = path.join("url");
    let mut url = check.url(&url_path, written.url.expose_secret(), &MQTT_SCHEMES)?;
    let (url_username, url_password) = credentials(&mut url);
    let url = canonical(url);
    if written
        .alpn
        .0
        .iter()
        .any(|name| !(1..=255).contains(&name.len()))
    {
        let message = "expected names of 1 to 255 bytes";
        check.report.error(&path.join("alpn"), message);
    }
    Some(Settings::Mqtt(mqtt::Settings {
        name: named.name.to_string(),
        url,
        protocol: written.protocol.0,
        username: username
            .map(|text| text.expose_secret().to_owned())
            .or(url_username),
        password: password.or(url_password),
        client_id: client_id.map(|text| text.expose_secret().to_owned()),
        topic: topic?,
        body: match body {
            Some(body) => Some(body?),
            None => None,
        },
        qos,
        retain: written.retain.0,
        status_topic,
        tls,
        alpn: written.alpn.0,
        max_inflight: u16::try_from(inflight).unwrap_or(mqtt::MAX_INFLIGHT),
        packet_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
    }))
}

/// `bridge/status` under the levels of a topic template that are the same for every event.
fn status_topic(template: &str) -> String {
    let same = template.split_once('{').map_or(template, |(same, _)| same);
    let prefix = same
        .rsplit_once('/')
        .map(|(prefix, _)| format!("{prefix}/"))
        .unwrap_or_default();
    format!("{prefix}bridge/status")
}

/// The broker's URL in our spelling.
fn canonical(url: Url) -> Url {
    let scheme = match url.scheme() {
        "tcp" => "mqtt",
        "ssl" => "mqtts",
        "ws" => "mqtt+ws",
        "wss" => "mqtt+wss",
        _ => return url,
    };
    // The port that other programs mean where none is written is ours too.
    let (_, rest) = url.as_str().split_once(':').unwrap_or_default();
    format!("{scheme}:{rest}").parse().unwrap_or(url)
}

/// Takes the user and password out of a URL.
fn credentials(url: &mut Url) -> (Option<String>, Option<Secret>) {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let username = Some(url.username())
        .filter(|name| !name.is_empty())
        .map(decoded);
    let password = url.password().map(decoded).map(Secret::from);
    // Both fail only for URLs that cannot have them, and those have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    (username, password)
}

/// What a template prints whatever the event, roughly: without its `{…}`.
fn literal(source: &str) -> String {
    let mut depth = 0_usize;
    let mut text = String::new();
    for character in source.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => text.push(character),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url() {
        let mut url = Url::parse("mqtt://us%40er:p%2Fw%25%+1@broker:1884").unwrap();
        let (username, password) = credentials(&mut url);
        assert_eq!(username.as_deref(), Some("us@er"));
        assert_eq!(password.unwrap().expose_secret(), "p/w%%+1");
        assert_eq!(url.as_str(), "mqtt://broker:1884");
    }

    #[test]
    fn other_spellings_of_a_broker_are_ours() {
        for (written, ours) in [
            ("tcp://b:1884", "mqtt://b:1884"),
            ("ssl://b", "mqtts://b"),
            ("ws://b/mqtt?x=1", "mqtt+ws://b/mqtt?x=1"),
            ("wss://[::1]:8084", "mqtt+wss://[::1]:8084/"),
            ("mqtt+ws://b", "mqtt+ws://b"),
        ] {
            assert_eq!(canonical(Url::parse(written).unwrap()).as_str(), ours);
        }
    }

    #[test]
    fn status_topic_stands_under_what_all_topics_share() {
        for (template, expected) in [
            (
                "devices/{{ client_id }}/{{ device_id }}/status",
                "devices/bridge/status",
            ),
            ("plant/7/d-{{ device_id }}", "plant/7/bridge/status"),
            ("{{ topic }}/{{ device_id }}", "bridge/status"),
            ("{% if changed %}a/b{% endif %}", "bridge/status"),
            ("devices/all", "devices/bridge/status"),
            ("all", "bridge/status"),
        ] {
            assert_eq!(status_topic(template), expected, "{template}");
        }
    }

    #[test]
    fn one_file_is_one_file_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(same_file(
            &folder.path().join("a.db"),
            &folder.path().join("./a.db")
        ));
        assert!(!same_file(
            &folder.path().join("a.db"),
            &folder.path().join("b.db")
        ));
    }
}
