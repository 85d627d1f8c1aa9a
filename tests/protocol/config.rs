//! Configurations as people write them, right and wrong, and their problems.

mod conditions;
mod pages;
mod reference;
mod resyncs;
mod schema;
mod signins;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::phrases;
use stomp_bridge::config::{Environment, Level, Plan, Problem, Problems, load_in, parse};
use stomp_bridge::journal::WhenFull;
use stomp_bridge::model::{Event, EventKind, Omit, Severity, StatusEvent};
use stomp_bridge::pipeline::{Conditions, Field};
use stomp_bridge::retry::Retry;
use stomp_bridge::secret::redact;
use stomp_bridge::sinks::mqtt::{MAX_INFLIGHT, Protocol, Qos};
use stomp_bridge::sinks::webhook::HeaderText;
use stomp_bridge::sinks::{Rate, Settings, mqtt, webhook};
use stomp_bridge::source::{Broker, Credentials, SigninTemplate, WAIT_MAX_KEPT};
use stomp_bridge::stomp::{AckMode, Backslashes};

/// A whole configuration without the part that a test is about.
const SOURCE: &str = "[source]\nurl = \"stomp://broker\"\n";
const TOPIC: &str = "[topics.t]\ndestination = \"/topic/t\"\n";
const SINK: &str = "[sinks.h]\ntype = \"sqlite\"\n";
const STEP: &str = "[source.signin]\nurl = \"http://h\"\n";
const SIGNIN: &str = "[source.signin]\nurl = \"http://h\"\nextract = { code = \"/code\" }\n";
/// To be followed by a `for` with `n`.
const FOR: &str = "[topics.t]\ndestination = \"/topic/{{ n }}\"\n";

/// A whole configuration with a Postgres sink, whose URL stands in line 9.
fn postgres(url: &str) -> String {
    format!("{SOURCE}{TOPIC}{SINK}[sinks.p]\ntype = \"postgres\"\nurl = \"{url}\"\n")
}

/// A whole configuration with a webhook, whose further keys begin in line 10.
fn webhook(keys: &str) -> String {
    webhook_at("http://h/a", keys)
}

/// The same with this URL in line 9.
fn webhook_at(url: &str, keys: &str) -> String {
    format!("{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"{url}\"\n{keys}\n")
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Environment {
        variables: variables.iter().map(owned).collect::<BTreeMap<_, _>>(),
    }
}

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Plan, Problems> {
    let plan = parse(
        Path::new("/etc/stomp-bridge/config.toml"),
        text.to_owned(),
        &environment(variables),
    );
    let problems = plan.as_ref().err().into_iter().flat_map(|it| &it.0);
    let errors = problems.filter(|problem| problem.level == Level::Error);
    for Problem { message, .. } in errors {
        let is_known = phrases::is_known(message);
        assert!(is_known, "the page cannot say it in Chinese: {message}");
    }
    plan
}

fn good(text: &str, variables: &[(&str, &str)]) -> Plan {
    let plan = read(text, variables).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    schema::accepts(text);
    plan
}

fn mqtt_of(plan: &Plan) -> &mqtt::Settings {
    let found = plan.sinks.iter().find_map(|(_, sink)| {
        if let Settings::Mqtt(sink) = sink {
            Some(sink)
        } else {
            None
        }
    });
    found.expect("an MQTT sink")
}

fn webhook_of(plan: &Plan) -> &webhook::Settings {
    let found = plan.sinks.iter().find_map(|(_, sink)| {
        if let Settings::Webhook(sink) = sink {
            Some(sink)
        } else {
            None
        }
    });
    found.expect("a webhook")
}

#[test]
fn a_history_that_everybody_may_change_is_warned_of() {
    for (mode, expected) in [
        ("0600", None),
        ("0644", None),
        ("0660", None),
        ("0666", Some("mode = \"0664\" lets the same people read it")),
        ("0602", Some("mode = \"0600\"")),
    ] {
        let plan = good(&format!("{SOURCE}{TOPIC}{SINK}mode = \"{mode}\"\n"), &[]);
        let warnings: Vec<String> = plan.warnings.iter().map(|it| it.to_string()).collect();
        assert_eq!(
            warnings.len(),
            usize::from(expected.is_some()),
            "{warnings:?}"
        );
        let said = warnings.concat();
        assert!(said.contains(expected.unwrap_or_default()), "{said}");
        assert_eq!(
            said.contains("(sinks.h.mode)"),
            expected.is_some(),
            "{said}"
        );
    }
}

/// As it is without a sign-in.
fn rendered(template: &SigninTemplate) -> String {
    template
        .render(&Credentials::default())
        .expect("no placeholders")
        .expose_secret()
        .to_owned()
}

/// The example with its commented keys, but for those that name files which are not there.
fn uncommented_example() -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let example = fs::read_to_string(example).expect("read config.toml");
    let mut text = String::new();
    for line in example.lines() {
        let key = |code: &&str| {
            code.starts_with('[')
                || code
                    .split('#')
                    .next()
                    .is_some_and(|code| code.contains(" = "))
        };
        let line = line.strip_prefix("# ").filter(key).unwrap_or(line);
        if ![
            "passcode_file",
            "ca_file",
            "cert_file",
            "key_file",
            "file",
            "tls",
            "token",
        ]
        .iter()
        .any(|key| line.starts_with(key))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let plan =
        load_in(&file, &Environment::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.warnings, []);
    assert_eq!(plan.journal.path, file.with_file_name("journal.db"));
    assert!(
        matches!(&plan.sinks[..], [(_, Settings::Sqlite(sink))] if sink.path == file.with_file_name("history.db"))
    );
}

/// Every key that is commented out in the example is known. It has the default's value, unless its
/// comment says that it is none of the defaults.
#[test]
fn the_examples_comments_are_keys_too() {
    let text = uncommented_example();
    let secrets = [
        ("STOMP_BRIDGE_SECRET_TOKEN", "t"),
        ("STOMP_BRIDGE_SECRET_PLATFORM", "p"),
        ("STOMP_BRIDGE_SECRET_DB", "p@ss"),
        ("STOMP_BRIDGE_SECRET_MQTT", "m"),
        (
            "STOMP_BRIDGE_SECRET_ONCALL",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
        ("STOMP_BRIDGE_SECRET_HOOK", "h"),
    ];
    for field in Field::ALL {
        let pointer = field.default_pointer().unwrap_or("/time");
        assert!(
            text.contains(&format!("\n{} = \"{pointer}\"", field.name())),
            "{}",
            field.name()
        );
    }
    let plan = good(&text, &secrets);
    assert_eq!(plan.sinks.len(), 5);
    let Some((_, Settings::Postgres(warehouse))) = plan
        .sinks
        .iter()
        .find(|(delivery, _)| &*delivery.name == "warehouse")
    else {
        panic!("no warehouse")
    };
    assert_eq!(
        warehouse.url.expose_secret(),
        "postgres://bridge:p%40ss@127.0.0.1/devices"
    );
    let defaults = good(
        &format!(
            "{SOURCE}{TOPIC}[sinks.m]\ntype = \"mqtt\"\n[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\""
        ),
        &[],
    );
    assert_eq!(plan.source.heartbeat, defaults.source.heartbeat);
    assert_eq!(plan.source.silence, defaults.source.silence);
    assert_eq!(plan.source.websocket_split, defaults.source.websocket_split);
    assert_eq!(
        plan.source.backslashes,
        Backslashes::Doubled,
        "none of the defaults"
    );
    assert_eq!(
        (plan.source.reconnect.initial, plan.source.reconnect.max),
        (defaults.source.reconnect.initial, Some(WAIT_MAX_KEPT))
    );
    assert_eq!(defaults.source.reconnect.max, None, "what suits the server");
    assert_eq!(plan.journal.bytes_max, defaults.journal.bytes_max);
    assert_eq!(plan.journal.keep, defaults.journal.keep);
    assert_eq!(plan.commit_interval, defaults.commit_interval);
    assert_eq!(plan.http.listen, defaults.http.listen);
    assert_eq!(mqtt_of(&plan).url, mqtt_of(&defaults).url);
    assert_eq!(
        mqtt_of(&plan).topic.source(),
        mqtt_of(&defaults).topic.source()
    );
    assert_eq!(
        mqtt_of(&plan).packet_bytes_max,
        mqtt_of(&defaults).packet_bytes_max
    );
    assert_eq!(
        (mqtt_of(&plan).qos, mqtt_of(&plan).retain),
        (mqtt_of(&defaults).qos, mqtt_of(&defaults).retain)
    );
    assert_eq!(webhook_of(&plan).timeout, webhook_of(&defaults).timeout);
    assert_eq!(plan.sinks[0].0.retry, defaults.sinks[0].0.retry);
    let history = plan.sinks.iter().find(|(sink, _)| &*sink.name == "history");
    assert_eq!(history.unwrap().0.kinds, EventKind::ALL.into());
    assert_eq!(
        webhook_of(&plan).concurrency,
        webhook_of(&defaults).concurrency
    );
    let batched = plan.sinks.iter().filter_map(|(_, sink)| match sink {
        Settings::Webhook(webhook) => Some(webhook.posting.size()),
        _ => None,
    });
    assert_eq!(
        batched.collect::<Vec<_>>(),
        [(100, Duration::from_secs(1)), (1, Duration::ZERO)]
    );
}

#[test]
fn a_sink_gets_the_kinds_that_it_names() {
    let sinks = [
        ("h", "type = \"sqlite\"", &EventKind::ALL[..]),
        ("p", "type = \"postgres\"", &EventKind::ALL[..]),
        ("m", "type = \"mqtt\"", &[EventKind::Status]),
        (
            "w",
            "type = \"webhook\"\nurl = \"http://h\"",
            &[EventKind::Status],
        ),
        (
            "h2",
            "type = \"sqlite\"\npath = \"2.db\"\nkinds = \"status\"",
            &[EventKind::Status],
        ),
        (
            "m2",
            "type = \"mqtt\"\nkinds = [\"coverage\", \"coverage\"]\ntopic = \"c/{{ topic }}\"\n\
             body = \"{{ cause }}\"",
            &[EventKind::Coverage],
        ),
        (
            "m3",
            "type = \"mqtt\"\nkinds = \"status,coverage\"\n\
             topic = \"{% if kind == 'coverage' %}c/{{ topic }}{% else %}{{ device_id }}{% endif %}\"",
            &EventKind::ALL,
        ),
        (
            "w2",
            "type = \"webhook\"\nurl = \"http://h\"\nkinds = [\"coverage\"]\nbatch = {}\n\
             body = \"{{ events|map(attribute='cause')|list|tojson }}\"",
            &[EventKind::Coverage],
        ),
    ];
    let tables = sinks.map(|(name, keys, _)| format!("[sinks.{name}]\n{keys}\n"));
    let plan = good(&format!("{SOURCE}{TOPIC}{}", tables.concat()), &[]);
    for (name, _, kinds) in sinks {
        let (delivery, _) = plan
            .sinks
            .iter()
            .find(|(delivery, _)| &*delivery.name == name)
            .unwrap();
        let expected = kinds.iter().copied().collect();
        assert_eq!(delivery.kinds, expected, "{name}");
    }
}

#[test]
fn a_webhook_may_look_into_its_answers() {
    let text = webhook(
        "success = { \"/errcode\" = 0 }\nretry_when = { \"/errcode\" = [130101, 45009] }\n\
         reject_when = { status = 404 }",
    );
    let plan = good(&text, &[]);
    let conditions = |table: serde_json::Value| {
        Some(Conditions::read(table.as_object().expect("a table")).expect("conditions"))
    };
    let expected = webhook::Answers {
        success: conditions(serde_json::json!({ "/errcode": 0 })),
        retry_when: conditions(serde_json::json!({ "/errcode": [130_101, 45_009] })),
        reject_when: conditions(serde_json::json!({ "status": 404 })),
    };
    assert_eq!(webhook_of(&plan).answers, expected);
}

#[test]
fn a_webhook_is_told_in_the_url_and_in_headers_too() {
    let secrets = [
        (
            "STOMP_BRIDGE_SECRET_ROBOT",
            "https://robot.example.com/send?token=t/0",
        ),
        ("STOMP_BRIDGE_SECRET_KEY", "{{ k&y }}"),
    ];
    let event = Event::from(StatusEvent::sample());
    for (url, expected) in [
        (
            "{{ secret('robot') }}&d={{ device_id }}",
            "https://robot.example.com/send?token=t/0&d=1",
        ),
        (
            "http://h:81/{{ secret('key') }}/{% if changed %}{{ new_state }}{% endif %}",
            "http://h:81/%7B%7B%20k%26y%20%7D%7D/%E6%95%85%E9%9A%9C",
        ),
        ("http://h?d={{ device_id|urlencode }}", "http://h/?d=1"),
        (
            "http://h/{{ secret('key') }}",
            "http://h/%7B%7B%20k%26y%20%7D%7D",
        ),
    ] {
        let text = webhook_at(
            url,
            "method = \"PUT\"\nrate = \"20/1m\"\n\
             headers = { X-Key = \"{{ secret('key') }}\", X-Both = \"{{ secret('key') }} {{ device_id }}\" }\n\
             hmac = { header = \"X-Sign\", secret = \"{{ secret('key') }}\", encoding = \"base64\" }",
        );
        let plan = good(&text, &secrets);
        let settings = webhook_of(&plan);
        let made = settings.url.of(&event).map(String::from);
        assert_eq!(made.as_deref(), Ok(expected), "{url}");
        assert_eq!(settings.method, webhook::Method::Put);
        let (attempts, per) = (20, Duration::from_secs(60));
        assert_eq!(settings.rate, Some(Rate { attempts, per }));
        let [(_, both), (_, key)] = &settings.headers[..] else {
            panic!("{:?}", settings.headers)
        };
        assert_eq!(*key, HeaderText::Fixed("{{ k&y }}".into()));
        let HeaderText::Template(both) = both else {
            panic!("no template")
        };
        assert_eq!(both.render(&event).as_deref(), Ok("{{ k&y }} 1"));
        let hmac = settings.hmac.as_ref().expect("a signature");
        assert_eq!(hmac.secret, "{{ k&y }}".into());
        assert_eq!(hmac.digits, webhook::Digits::Base64);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("k&y") && !shown.contains("t/0"), "{shown}");
    }
}

#[test]
fn a_sink_that_omits_an_address_is_told_of_the_payload() {
    let omit = |keys: &str| {
        let plan = good(&webhook(keys), &[]);
        let webhook = plan.sinks.iter().find(|(sink, _)| &*sink.name == "w");
        let omit = webhook.expect("a webhook").0.omit.clone();
        let warned: Vec<String> = plan.warnings.iter().map(|w| w.path.clone()).collect();
        (omit, warned)
    };
    let columns = |names: &[&'static str]| Omit::read(names.iter().copied()).expect("columns");
    assert_eq!(omit(""), (Omit::default(), vec![]));
    assert_eq!(
        omit("omit = [\"payload\", \"detail\"]"),
        (columns(&["detail", "payload"]), vec![])
    );
    let warned = vec!["sinks.w.omit".to_owned()];
    assert_eq!(omit("omit = \"detail\""), (columns(&["detail"]), warned));
    let body = "omit = \"detail\"\nbody = \"{{ state }}\"";
    assert_eq!(omit(body), (columns(&["detail"]), vec![]));
    // The same place stands in two pairs of columns.
    let warning = |keys: &str| {
        let warnings = good(&webhook(keys), &[]).warnings;
        let messages = warnings.iter().map(|warning| warning.message.clone());
        messages.collect::<Vec<_>>().join("")
    };
    let one = warning("omit = \"latitude\"");
    assert!(
        one.contains("add it; `wgs84_longitude` and its pair"),
        "{one}"
    );
    let both = "omit = [\"longitude\", \"wgs84_latitude\", \"payload\"]";
    assert_eq!(warning(both), "");
}

#[test]
fn certificates_for_http_are_warned_of() {
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls/ca.pem");
    let text = webhook(&format!("tls = {{ ca_file = \"{}\" }}", ca.display()));
    let plan = good(&text, &[]);
    assert_eq!(webhook_of(&plan).tls.ca_file, Some(ca));
    let warnings: Vec<&str> = plan.warnings.iter().map(|w| w.path.as_str()).collect();
    assert_eq!(warnings, ["sinks.w.tls"]);
    let https = text.replace("http://h/a", "https://h/a");
    assert_eq!(good(&https, &[]).warnings, []);
}

#[test]
fn a_condition_of_a_sink_that_wants_no_statuses_is_warned_of() {
    for (kinds, expected) in [
        ("coverage", &["sinks.h.when"][..]),
        ("status,coverage", &[]),
    ] {
        let text = format!("{SOURCE}{TOPIC}{SINK}kinds = \"{kinds}\"\nwhen = \"changed\"\n");
        let warnings = good(&text, &[]).warnings;
        let paths: Vec<&str> = warnings
            .iter()
            .map(|warning| warning.path.as_str())
            .collect();
        assert_eq!(paths, expected, "{kinds}");
    }
}

#[test]
fn what_is_read_is_protected_before_anybody_connects() {
    let folder = tempfile::tempdir().unwrap();
    let passcode = folder.path().join("passcode");
    fs::write(&passcode, "read-test-file-01\n").unwrap();
    let check = |text: &str, secrets: &[&str]| {
        for secret in secrets {
            assert_eq!(redact(secret), *secret, "known before");
        }
        read(text, &[]).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        for secret in secrets {
            assert_eq!(redact(secret), "…", "{text}");
        }
    };
    let login = "login = \"l\"\n";
    check(
        &format!("{SOURCE}{login}passcode_file = {passcode:?}\n{TOPIC}{SINK}"),
        &["read-test-file-01"],
    );
    check(
        &format!(
            "{SOURCE}{login}passcode = \"read-test-02\"\n\
             headers = {{ X-Token = \"read-test-03\" }}\n\
             {TOPIC}headers = {{ access-token = \"read-test-04\" }}\n{SINK}"
        ),
        &["read-test-02", "read-test-03", "read-test-04"],
    );
    check(
        &format!(
            "[source]\nurl = \"ws://h/ws?token=read-test-05&code={{{{ signin.code }}}}\"\n\
             {login}passcode = \"read-test-06{{{{ signin.code }}}}\"\n\
             {SIGNIN}headers = {{ Authorization = \"Basic read-test-07\" }}\n{TOPIC}{SINK}"
        ),
        &["read-test-05", "read-test-06", "read-test-07"],
    );
}

#[test]
fn a_topic_may_have_a_silence_of_its_own() {
    let text = format!(
        "{SOURCE}silence = \"1h\"\n[topics.a]\ndestination = \"/topic/a\"\n\
         [topics.b]\ndestination = \"/topic/b\"\nsilence = \"0s\"\n\
         [topics.c]\ndestination = \"/topic/c/{{{{ n }}}}\"\nfor = {{ n = [1, 2] }}\n\
         silence = \"10m\"\n{SINK}"
    );
    let source = good(&text, &[]).source;
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    for (topic, expected) in [
        ("a", minutes(60)),
        ("b", None),
        ("c-1", minutes(10)),
        ("c-2", minutes(10)),
    ] {
        assert_eq!(source.silence_of(topic), expected, "{topic}");
    }
}

#[test]
fn the_defaults_are_the_promised_ones() {
    let seconds = Duration::from_secs;
    let text = format!(
        "{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\n[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\""
    );
    let plan = good(&text, &[("STATE_DIRECTORY", "/var/lib/stomp-bridge")]);
    assert_eq!(plan.source.heartbeat, seconds(10));
    assert_eq!(
        (plan.source.reconnect.initial, plan.source.reconnect.max),
        (seconds(1), None)
    );
    assert_eq!(plan.source.reconnect.attempts, None);
    assert_eq!(
        (plan.source.silence, plan.source.websocket_split),
        (None, None)
    );
    assert_eq!(plan.source.backslashes, Backslashes::Plain);
    assert_eq!(plan.source.topics[0].ack, AckMode::Auto);
    assert_eq!(
        plan.journal.path,
        Path::new("/var/lib/stomp-bridge/journal.db")
    );
    assert_eq!(
        (plan.journal.bytes_max, plan.journal.when_full),
        (1 << 30, WhenFull::Pause)
    );
    assert_eq!(plan.journal.keep, seconds(7 * 86_400));
    assert_eq!(plan.commit_interval, Duration::from_millis(5));
    assert_eq!(plan.http.listen.to_string(), "127.0.0.1:9610");
    let sqlite = plan.sinks.iter().find_map(|(_, sink)| {
        if let Settings::Sqlite(sink) = sink {
            Some(sink)
        } else {
            None
        }
    });
    let sqlite = sqlite.expect("the SQLite sink");
    assert_eq!(sqlite.path, Path::new("/var/lib/stomp-bridge/history.db"));
    assert_eq!(sqlite.retention, Some(seconds(365 * 86_400)));
    assert_eq!(
        (mqtt_of(&plan).qos, mqtt_of(&plan).retain),
        (Qos::AtLeastOnce, true)
    );
    assert_eq!(
        (mqtt_of(&plan).protocol, mqtt_of(&plan).max_inflight),
        (Protocol::Auto, MAX_INFLIGHT)
    );
    let retry = Retry {
        initial: seconds(1),
        max: seconds(300),
        give_up: seconds(24 * 3600),
    };
    assert!(
        plan.sinks
            .iter()
            .all(|(delivery, _)| delivery.retry == retry)
    );
    assert_eq!(
        (
            webhook_of(&plan).concurrency,
            webhook_of(&plan).posting.size()
        ),
        (8, (1, Duration::ZERO))
    );
    assert!(
        plan.sinks
            .iter()
            .all(|(delivery, _)| delivery.topics.is_none() && delivery.when.is_none())
    );
}

#[test]
fn whoever_has_a_backslash_in_connect_is_asked_what_it_means() {
    let check = |keys: &str, expected, warned: &[&str]| {
        let plan = good(
            &format!("{SOURCE}{keys}\n{TOPIC}{SINK}"),
            &[("STOMP_BRIDGE_SECRET_P", "a\\b")],
        );
        let paths: Vec<&str> = plan
            .warnings
            .iter()
            .map(|warning| warning.path.as_str())
            .collect();
        assert_eq!(
            (plan.source.backslashes, &paths[..]),
            (expected, warned),
            "{keys}"
        );
        assert!(
            plan.warnings
                .iter()
                .all(|warning| !warning.to_string().contains("a\\b")),
            "{:?}",
            plan.warnings
        );
    };
    let passcode = "login = \"l\"\npasscode = \"{{ secret('p') }}\"";
    check("", Backslashes::Plain, &[]);
    check(passcode, Backslashes::Plain, &["source.passcode"]);
    check("host = 'x\\y'", Backslashes::Plain, &["source.host"]);
    check(
        &format!("{passcode}\nconnect_backslashes = \"plain\""),
        Backslashes::Plain,
        &[],
    );
    check(
        &format!("{passcode}\nconnect_backslashes = \"doubled\""),
        Backslashes::Doubled,
        &[],
    );
}

#[test]
fn the_platforms_states_are_known_and_may_be_overridden() {
    let text = format!(
        "{SOURCE}{TOPIC}{SINK}[states]\n\"故障\" = {{ name = \"broken\", severity = \"info\" }}\n\"维修\" = {{}}\n"
    );
    let plan = good(&text, &[]);
    let origin = stomp_bridge::model::Origin {
        journal: uuid::Uuid::nil(),
        position: stomp_bridge::model::Position(1),
    };
    for (word, state, severity) in [
        ("正常", "normal", Severity::Ok),
        ("故障", "broken", Severity::Info),
        ("维修", "维修", Severity::Unknown),
    ] {
        let body = format!(r#"{{"deviceId":1,"newState":"{word}"}}"#);
        let event = plan.decoders["t"]
            .event(body.as_bytes(), origin, jiff::Timestamp::UNIX_EPOCH, None)
            .unwrap();
        assert_eq!((event.state.as_str(), event.severity), (state, severity));
    }
}

#[test]
fn a_field_may_have_a_constant_and_one_of_each_topic_of_a_for() {
    let text = format!(
        "{SOURCE}{FOR}for = {{ n = [3, 4] }}\nencoding = \"GBK\"\n[topics.t.fields]\n\
         client = {{ const = \"c{{{{ n }}}}\" }}\nold_state = {{ const = 7 }}\n\
         longitude = {{ const = 120.5 }}\nlatitude = {{ const = 33 }}\n{SINK}"
    );
    let plan = good(&text, &[]);
    let origin = stomp_bridge::model::Origin {
        journal: uuid::Uuid::nil(),
        position: stomp_bridge::model::Position(1),
    };
    let (body, _, _) = encoding_rs::GBK.encode(r#"{"deviceId":1,"newState":"故障","clientId":9}"#);
    for (topic, client) in [("t-3", "c3"), ("t-4", "c4")] {
        let decoder = &plan.decoders[topic];
        let at = jiff::Timestamp::UNIX_EPOCH;
        let status = decoder.split(&body, at).remove(0).raw;
        let event = decoder.event(&status, origin, at, None).unwrap();
        assert_eq!((&*event.client_id, &*event.state), (client, "fault"));
        assert_eq!(event.old_state.as_deref(), Some("7"));
        let raw = event.place.raw.map(|it| (it.longitude, it.latitude));
        assert_eq!(raw, Some((120.5, 33.0)));
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let text = format!(
        "{SOURCE}login = \"bridge\"\nheaders = {{ X-Key = \"a\" }}\n[topics.map-1]\ndestination = \"/topic/1\"\n{SINK}"
    );
    let plan = good(
        &text,
        &[
            ("STOMP_BRIDGE_SOURCE__URL", "ws://a/ws, ws://b/ws"),
            ("STOMP_BRIDGE_SOURCE__PASSCODE", "0123"),
            ("STOMP_BRIDGE_SOURCE__RECONNECT__ATTEMPTS", "5"),
            ("STOMP_BRIDGE_SOURCE__HEADERS__X_KEY", "b"),
            ("STOMP_BRIDGE_TOPICS__MAP_1__DESTINATION", "/topic/2"),
            ("STOMP_BRIDGE_SINKS__SITE__TYPE", "mqtt"),
            ("STOMP_BRIDGE_SINKS__SITE__RETAIN", "false"),
            ("STOMP_BRIDGE_SINKS__SITE__PROTOCOL", "5"),
            ("STOMP_BRIDGE_SINKS__SITE__URL", "ssl://b"),
            ("STOMP_BRIDGE_SINKS__SITE__PASSWORD", "{{ secret('site') }}"),
            ("STOMP_BRIDGE_SECRET_SITE", "007"),
            ("STOMP_BRIDGE_CONFIG", "/not/a/key"),
        ],
    );
    let urls: Vec<&str> = plan
        .source
        .urls
        .iter()
        .map(|address| address.url().as_str())
        .collect();
    assert_eq!(urls, ["ws://a/ws", "ws://b/ws"]);
    assert_eq!(rendered(plan.source.passcode.as_ref().unwrap()), "0123");
    assert_eq!(plan.source.reconnect.attempts, Some(5));
    assert_eq!(plan.source.headers[0].0, "X-Key");
    assert_eq!(rendered(&plan.source.headers[0].1), "b");
    assert_eq!(plan.source.topics[0].destination.as_str(), "/topic/2");
    assert!(!mqtt_of(&plan).retain);
    assert_eq!(mqtt_of(&plan).protocol, Protocol::V5);
    assert_eq!(mqtt_of(&plan).url.as_str(), "mqtts://b");
    assert_eq!(
        mqtt_of(&plan).password.as_ref().unwrap().expose_secret(),
        "007"
    );
    assert!(
        !format!("{plan:?}").contains("007"),
        "secrets are not printed"
    );

    let problems = read(
        &text,
        &[
            ("STOMP_BRIDGE_SOURCE__HEARTBEET", "5s"),
            ("STOMP_BRIDGE_JOURNAL__MAX_BYTES", "much"),
        ],
    );
    let told = problems.unwrap_err().to_string();
    for expected in [
        "unknown key `heartbeet`, did you mean `heartbeat`?\n --> environment variable STOMP_BRIDGE_SOURCE__HEARTBEET",
        "found `much`\n --> environment variable STOMP_BRIDGE_JOURNAL__MAX_BYTES (journal.max_bytes)",
    ] {
        assert!(told.contains(expected), "{expected}\n---\n{told}");
    }
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let mut wrong = Vec::new();
    // The text, and for its only mistake: line and column, the key, the problem's text.
    for (text, place, path, said) in [
        (
            format!("{SOURCE}urll = \"x\"\n{TOPIC}{SINK}"),
            "3:1",
            "source.urll",
            "unknown key `urll`, did you mean `url`?",
        ),
        (
            format!("[surce]\nurl = \"stomp://b\"\n{TOPIC}{SINK}"),
            "1:2",
            "surce",
            "did you mean `source`?",
        ),
        (
            format!("{SOURCE}silence = \"5s\"\n{TOPIC}{SINK}"),
            "3:11",
            "source.silence",
            "expected \"0s\" (off) or at least 10s, found 5s",
        ),
        (
            format!("{SOURCE}{TOPIC}silence = \"5s\"\n{SINK}"),
            "5:11",
            "topics.t.silence",
            "expected \"0s\" (off) or at least 10s, found 5s",
        ),
        (
            format!("{SOURCE}websocket_split = \"16\"\n{TOPIC}{SINK}"),
            "3:19",
            "source.websocket_split",
            "expected \"0\" (off) or \"1KiB\" to \"16MiB\", found 16 bytes",
        ),
        (
            format!("{SOURCE}connect_backslashes = \"twice\"\n{TOPIC}{SINK}"),
            "3:23",
            "source.connect_backslashes",
            "expected one of plain, doubled",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[http]\nlisten = \"localhost\"\n"),
            "8:10",
            "http.listen",
            "expected an address and port",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[http]\nlisten = \"0.0.0.0:9610\"\n"),
            "8:10",
            "http.listen",
            "others than this machine can reach this address, and `http.token` and `http.tls` are not set",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[http]\nlisten = \"0.0.0.0:9610\"\ntoken = \"0123456789abcdef\"\n"
            ),
            "8:10",
            "http.listen",
            "reach this address, and `http.tls` is not set",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[http]\ntoken = \"short\"\n"),
            "8:9",
            "http.token",
            "expected at least 16 ASCII characters without blanks",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[http]\nhosts = \"http://bridge:80\"\n"),
            "8:9",
            "http.hosts",
            "expected names such as \"bridge.example.com\", without a port, found \"http://bridge:80\"",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[http]\ntls = {{ cert_file = \"x.pem\" }}\n"),
            "8:1",
            "http.tls.key_file",
            "cert_file without key_file",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[http]\ntls = {{ cert_file = \"x.pem\", key_file = \"x.key\" }}\n"
            ),
            "8:7",
            "http.tls",
            "cert_file /",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}path = 5\n"),
            "7:8",
            "sinks.h.path",
            "expected a path, found ",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}retention = {{ statuses = \"a while\" }}\n"),
            "7:26",
            "sinks.h.retention.statuses",
            "or \"forever\"",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}retention = \"30d\"\n"),
            "7:13",
            "sinks.h.retention",
            "write retention = { statuses = \"30d\" }",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}retention = \"a while\"\n"),
            "7:13",
            "sinks.h.retention",
            "write retention = { statuses = \"365d\" }",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}wehn = \"changed\"\n"),
            "7:1",
            "sinks.h.wehn",
            "expected one of kinds, mode, omit, path, retention, retry, start, timezone, topics, type, when",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}strat = \"now\"\n"),
            "7:1",
            "sinks.h.strat",
            "did you mean `start`?",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}retention = 30\n"),
            "7:13",
            "sinks.h.retention",
            "expected a table, found 30",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}retention = {{ status = \"30d\" }}\n"),
            "7:15",
            "sinks.h.retention.status",
            "did you mean `statuses`?",
        ),
        (
            format!("{SOURCE}{TOPIC}ack = true\n{SINK}"),
            "5:7",
            "topics.t.ack",
            "expected a text, found true",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}stream = \"p\"\n[topics.u]\ndestination = \"/u\"\nstream = \"p\"\n{SINK}topics = [\"t\"]\n"
            ),
            "11:10",
            "sinks.h.topics",
            "the topics of the stream `p` belong together: add `u`",
        ),
        (
            format!("{SOURCE}{TOPIC}stream = \"a b\"\n{SINK}"),
            "5:10",
            "topics.t.stream",
            "`a b` cannot name a stream",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[journal]\ndlq_max_bytes = \"1KiB\"\n"),
            "8:17",
            "journal.dlq_max_bytes",
            "expected at least 4KiB more than source.max_body",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[journal]\ncommit_interval = \"1001ms\"\n"),
            "8:19",
            "journal.commit_interval",
            "expected \"0ms\" (at once) to \"1s\", found 1s1ms",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[journal]\ndevices_max = 0\n"),
            "8:15",
            "journal.devices_max",
            "expected at least 1",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}topics = [\"tt\"]\n"),
            "7:10",
            "sinks.h.topics",
            "unknown topic `tt`, did you mean `t`?",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}when = \"changed and\"\n"),
            "7:8",
            "sinks.h.when",
            "is not valid: unexpected end",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}when = \"severty == 'ok'\"\n"),
            "7:8",
            "sinks.h.when",
            "did you mean `severity`?",
        ),
        (
            format!("{SOURCE}{TOPIC}[sinks.h]\ntype = \"sqllite\"\n"),
            "6:8",
            "sinks.h.type",
            "did you mean `sqlite`?",
        ),
        (
            format!("{SOURCE}{TOPIC}[sinks.h]\npath = \"x\"\n"),
            "5:8",
            "sinks.h.type",
            "sink `h` has no type",
        ),
        (
            format!("{SOURCE}{TOPIC}[sinks.undecodable]\ntype = \"sqlite\"\n"),
            "5:8",
            "sinks.undecodable",
            "`undecodable` cannot name a sink: so the undecodable entries are listed",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}path = \"journal.db\"\n"),
            "7:1",
            "sinks.h.path",
            "is the file of the journal already",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.g]\ntype = \"sqlite\"\n"),
            "5:8",
            "sinks.h.path",
            "is the file of the sink `g` already",
        ),
        (
            format!("{SOURCE}[topics.t]\nack = \"auto\"\n{SINK}"),
            "3:9",
            "topics.t.destination",
            "topic `t` has no destination",
        ),
        (
            format!("{SOURCE}{TOPIC}ack = \"individual\"\n{SINK}"),
            "5:7",
            "topics.t.ack",
            "unknown value `individual`",
        ),
        (
            format!("{SOURCE}{TOPIC}[topics.t]\nack = \"auto\"\n{SINK}"),
            "5:9",
            "",
            "`t` is here for the second time",
        ),
        (
            format!("{SOURCE}[topics.\"a b\"]\ndestination = \"x\"\n{SINK}"),
            "3:9",
            "topics.a b",
            "cannot name a topic",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ devise = \"/x\" }}\n{SINK}"),
            "5:12",
            "topics.t.fields.devise",
            "did you mean `device`?",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ device = \"x.y\" }}\n{SINK}"),
            "5:21",
            "topics.t.fields.device",
            "\"/x/y\"",
        ),
        (
            format!("{SOURCE}{TOPIC}encoding = \"gb18031\"\n{SINK}"),
            "5:12",
            "topics.t.encoding",
            "`gb18031` is no encoding of texts",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ client = 5 }}\n{SINK}"),
            "5:21",
            "topics.t.fields.client",
            "expected a JSON pointer such as \"/id\", or { const = \"x\" }",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ client = {{ cosnt = \"5\" }} }}\n{SINK}"),
            "5:21",
            "topics.t.fields.client",
            "expected a JSON pointer such as \"/id\", or { const = \"x\" }",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ clint = {{ const = \"5\" }} }}\n{SINK}"),
            "5:12",
            "topics.t.fields.clint",
            "did you mean `client`?",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ client = {{ const = \"{{{{ n }}}}\" }} }}\n{SINK}"),
            "5:21",
            "topics.t.fields.client",
            "unknown variable `n`",
        ),
        (
            format!("{SOURCE}{TOPIC}fields = {{ occurred_at = {{ const = \"2026\" }} }}\n{SINK}"),
            "5:26",
            "topics.t.fields.occurred_at",
            "it cannot be a constant",
        ),
        (
            format!("{SOURCE}{TOPIC}timezone = \"Asia/Shanghi\"\n{SINK}"),
            "5:12",
            "topics.t.timezone",
            "Asia/Shanghi",
        ),
        (
            format!("{SOURCE}{TOPIC}headers = {{ id = \"5\" }}\n{SINK}"),
            "5:13",
            "topics.t.headers.id",
            "set by the daemon",
        ),
        (
            format!("{SOURCE}[topics.t]\ndestination = \"/{{{{ signin.code }}}}\"\n{SINK}"),
            "4:15",
            "topics.t.destination",
            "there is no [source.signin]",
        ),
        (
            format!("{SOURCE}[topics.t]\ndestination = \"/{{{{ signin.cod }}}}\"\n{SINK}{SIGNIN}"),
            "4:15",
            "topics.t.destination",
            "unknown value `signin.cod`, did you mean `signin.code`?",
        ),
        (
            format!("{SOURCE}{TOPIC}headers = {{ a = \"{{{{ signin.b }}}}\" }}\n{SINK}{SIGNIN}"),
            "5:17",
            "topics.t.headers.a",
            "source.signin.extract gives signin.code",
        ),
        (
            format!(
                "{SOURCE}headers = {{ A = \"{{{{ signin.token }}}}\" }}\n{TOPIC}{SINK}{SIGNIN}"
            ),
            "3:17",
            "source.headers.A",
            "unknown value `signin.token`",
        ),
        (
            format!("[source]\nurl = \"ws://{{{{ signin.code }}}}/ws\"\n{TOPIC}{SINK}{SIGNIN}"),
            "2:7",
            "source.url",
            "can stand in a URL's query only",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h/{{{{ signin.code }}}}\"\n{SIGNIN}"
            ),
            "9:7",
            "sinks.w.url",
            "`signin.code` has no value here",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\ntopic = \"{{{{ signin.code }}}}\"\n{SIGNIN}"
            ),
            "9:9",
            "sinks.m.topic",
            "`signin` is for the source",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[source.signin]\njson = {{}}\n"),
            "7:9",
            "source.signin.url",
            "the address to sign in at is missing",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[source.signin]\nurl = \"ws://h\"\n"),
            "8:7",
            "source.signin.url",
            "unknown scheme `ws`",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[source.signin]\nurl = \"http://u:p@h\"\n"),
            "8:7",
            "source.signin.url",
            "a user and password do not belong here",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}method = \"PUT\"\n"),
            "10:10",
            "source.signin.method",
            "expected one of GET, POST",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}method = \"GET\"\njson = {{ a = 1 }}\n"),
            "10:10",
            "source.signin.method",
            "a GET has no body, and there is json",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}json = {{ a = 1 }}\nform = {{ a = 1 }}\n"),
            "11:1",
            "source.signin.form",
            "both json and form",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}form = {{ a = [1] }}\n"),
            "10:14",
            "source.signin.form.a",
            "a form has texts, numbers, true and false",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}{SIGNIN}json = {{ a = [\"{{{{ secret('gone') }}}}\"] }}\n"
            ),
            "10:15",
            "source.signin.json.a.0",
            "secret `gone` not found",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}json = {{ a = \"{{{{ signin.code }}}}\" }}\n"),
            "10:14",
            "source.signin.json.a",
            "`signin.code` has no value here",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}expect = {{ code = 200 }}\n"),
            "10:19",
            "source.signin.expect.code",
            "such as \"/code\"; or `status` for the HTTP status",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}expect = {{ status = \"ok\" }}\n"),
            "10:21",
            "source.signin.expect.status",
            "expected an HTTP status such as 200 or 302",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}expect = {{}}\n"),
            "10:10",
            "source.signin.expect",
            "such as expect = { \"/code\" = 200 }, or { status = 302 }",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{STEP}[[source.signin.steps]]\nurl = \"http://h\"\n"),
            "8:1",
            "source.signin.url",
            "url beside steps",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[[source.signin.steps]]\nurl = \"http://h\"\nextract = {{ a = \"/a\" }}\n\
                 [[source.signin.steps]]\nurl = \"http://h\"\nform = {{ x = \"{{{{ signin.b }}}}\" }}\nextract = {{ b = \"/b\" }}\n"
            ),
            "12:14",
            "source.signin.steps.1.form.x",
            "the steps before this one give signin.a",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[[source.signin.steps]]\nurl = \"http://h\"\nextract = {{ a = \"/a\" }}\n\
                 [[source.signin.steps]]\nurl = \"http://h/{{{{ signin.a }}}}\"\n"
            ),
            "11:7",
            "source.signin.steps.1.url",
            "can stand in a URL's query only",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[[source.signin.steps]]\nurl = \"http://h\"\nextract = {{ a = \"/a\" }}\n\
                 [[source.signin.steps]]\nurl = \"http://h\"\nextract = {{ a = \"/b\" }}\n"
            ),
            "12:13",
            "source.signin.steps.1.extract.a",
            "a step before this one extracts `a`",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[[source.signin.steps]]\nulr = \"http://h\"\nurl = \"http://h\"\n"
            ),
            "8:1",
            "source.signin.steps.0.ulr",
            "did you mean `url`?",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{STEP}extract = {{ a = {{ header = \"\" }} }}\n"),
            "9:17",
            "source.signin.extract.a",
            "expected a name, found an empty text",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{STEP}extract = {{ a = {{ text = false }} }}\n"),
            "9:17",
            "source.signin.extract.a",
            "expected { text = true }",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{STEP}extract = {{ a = {{ headre = \"x\" }} }}\n"),
            "9:17",
            "source.signin.extract.a",
            "{ header = \"Authorization\" }, { cookie = \"XSRF-TOKEN\" }",
        ),
        (
            format!("[source]\nurl = \"ssl://h:61614\"\n{TOPIC}{SINK}"),
            "2:7",
            "source.url",
            "write url = \"stomps://h:61614\"",
        ),
        (
            format!(
                "[source]\nurl = \"failover:(tcp://a:61613,ssl://b:61614)?x=1\"\n{TOPIC}{SINK}"
            ),
            "2:7",
            "source.url",
            "write url = [\"stomp://a:61613\", \"stomps://b:61614\"]",
        ),
        (
            format!("[source]\nurl = \"fanout:(tcp://a:61613,tcp://b:61613)\"\n{TOPIC}{SINK}"),
            "2:7",
            "source.url",
            "write url = [\"stomp://a:61613\", \"stomp://b:61613\"]",
        ),
        (
            format!("[source]\nurl = [\"stomp://a\", \"http://h:8/ws/000/x/xhr\"]\n{TOPIC}{SINK}"),
            "2:21",
            "source.url.1",
            "write its base: \"http://h:8/ws\"",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}timeout = \"0s\"\n"),
            "10:11",
            "source.signin.timeout",
            "above 0",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}headers = {{ \"a b\" = \"c\" }}\n"),
            "10:13",
            "source.signin.headers.a b",
            "cannot name a header",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}tiemout = \"1s\"\n"),
            "10:1",
            "source.signin.tiemout",
            "did you mean `timeout`?",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[source.signin]\nurl = \"http://h\"\nextract = {{ a = \"data.a\" }}\n"
            ),
            "9:17",
            "source.signin.extract.a",
            "\"/data/a\"",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[source.signin]\nurl = \"http://h\"\nextract = {{ a-b = \"/a\" }}\n"
            ),
            "9:13",
            "source.signin.extract.a-b",
            "cannot name a value",
        ),
        (
            format!(
                "{SOURCE}[topics.t]\ndestination = \"/{{{{ cleint }}}}\"\nfor = {{ client = [1] }}\n{SINK}"
            ),
            "4:15",
            "topics.t.destination",
            "unknown variable `cleint`, did you mean `client`?",
        ),
        (
            format!("{SOURCE}[topics.t]\ndestination = \"/{{{{ client }}}}\"\n{SINK}"),
            "4:15",
            "topics.t.destination",
            "for = { client = [1, 2, 3] } gives it values",
        ),
        (
            format!("{SOURCE}{TOPIC}for = {{ client = [1, 2] }}\n{SINK}"),
            "5:9",
            "topics.t.for.client",
            "`client` is not used",
        ),
        (
            format!("{SOURCE}{TOPIC}for = {{}}\n{SINK}"),
            "5:7",
            "topics.t.for",
            "it names no variable",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = [] }}\n{SINK}"),
            "5:13",
            "topics.t.for.n",
            "an empty list makes no topic",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = 5 }}\n{SINK}"),
            "5:13",
            "topics.t.for.n",
            "expected a list such as [1, 2, 3]",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = \"5..1\" }}\n{SINK}"),
            "5:13",
            "topics.t.for.n",
            "has nothing in it",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = [1, \"a.b\"] }}\n{SINK}"),
            "5:13",
            "topics.t.for.n",
            "`a.b` cannot be part",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = [1, 2, \"1\"] }}\n{SINK}"),
            "5:7",
            "topics.t.for",
            "there are two topics `t-1`",
        ),
        (
            format!(
                "{SOURCE}{FOR}for = {{ n = [1, 2] }}\n[topics.t-2]\ndestination = \"x\"\n{SINK}"
            ),
            "5:7",
            "topics.t.for",
            "there are two topics `t-2`",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = \"1..10001\" }}\n{SINK}"),
            "5:7",
            "topics.t.for",
            "it makes 10001 topics, and there may be 10000",
        ),
        (
            format!("{SOURCE}{FOR}for = {{ n = [1, 2] }}\n{SINK}topics = [\"t-3\"]\n"),
            "8:10",
            "sinks.h.topics",
            "unknown topic `t-3`, did you mean `t-1`?",
        ),
        (
            format!("watch = \"often\"\n{SOURCE}{TOPIC}{SINK}"),
            "1:9",
            "watch",
            "expected true or false, found `often`",
        ),
        (
            format!("{SOURCE}heartbeat = 10\n{TOPIC}{SINK}"),
            "3:13",
            "source.heartbeat",
            "such as \"500ms\", \"10s\"",
        ),
        (
            format!("{SOURCE}heartbeat = \"1ms\"\n{TOPIC}{SINK}"),
            "3:13",
            "source.heartbeat",
            "\"0s\" (off) or at least 100ms",
        ),
        (
            format!("[source]\nurl = \"tcp://broker\"\n{TOPIC}{SINK}"),
            "2:7",
            "source.url",
            "write url = \"stomp://broker\"",
        ),
        (
            format!("[source]\nurl = [\"ws://a\", \"nonsense\"]\n{TOPIC}{SINK}"),
            "2:18",
            "source.url.1",
            "the URL has no scheme",
        ),
        (
            format!("[source]\nurl = \"stomp://u:p@h\"\n{TOPIC}{SINK}"),
            "2:7",
            "source.url",
            "write login and passcode_file",
        ),
        (
            format!("{SOURCE}login = \"x\"\npasscode_file = \"/nonexistent\"\n{TOPIC}{SINK}"),
            "4:17",
            "source.passcode_file",
            "cannot read /nonexistent",
        ),
        (
            format!("{SOURCE}headers = {{ A = \"{{{{ secret('gone') }}}}\" }}\n{TOPIC}{SINK}"),
            "3:17",
            "source.headers.A",
            "secret `gone` not found",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[source.reconnect]\nmax = \"1ms\"\n"),
            "8:7",
            "source.reconnect.max",
            "at least initial (1s)",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[source.tls]\ncert_file = \"/dev/null\"\n"),
            "7:9",
            "source.tls.key_file",
            "cert_file without key_file",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[journal]\nmax_bytes = \"lots\"\n"),
            "8:13",
            "journal.max_bytes",
            "such as \"64KiB\"",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[journal]\nwhen_full = \"drop-oldest\"\n"),
            "8:13",
            "journal.when_full",
            "did you mean `drop_oldest`?",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nprotocol = 3.1\n"),
            "9:12",
            "sinks.m.protocol",
            "expected \"auto\", \"5\" or \"3.1.1\"",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nmax_inflight = 0\n"),
            "9:16",
            "sinks.m.max_inflight",
            "expected 1 to 1000",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nqos = 2\n"),
            "9:7",
            "sinks.m.qos",
            "qos 2 is not offered",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\ntopic = \"d/{{{{ devic_id }}}}\"\n"
            ),
            "9:9",
            "sinks.m.topic",
            "did you mean `device_id`?",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\ntopic = \"d/+\"\n"),
            "9:9",
            "sinks.m.topic",
            "no wildcards",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}kinds = []\n"),
            "7:9",
            "sinks.h.kinds",
            "an empty list wants nothing",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}kinds = [\"status\", \"covrage\"]\n"),
            "7:9",
            "sinks.h.kinds",
            "unknown kind `covrage`, did you mean `coverage`?",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}kinds = [\"undecodable\"]\n"),
            "7:9",
            "sinks.h.kinds",
            "undecodable entries stay in the journal and go to no sink",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}kinds = \"alarm\"\n"),
            "7:9",
            "sinks.h.kinds",
            "there are no alarms yet",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nkinds = [\"coverage\"]\n"),
            "7:8",
            "sinks.m.topic",
            "an event of the kind coverage has no `client_id`; it has event_id, topic, heard, cause, \
             at, received_at, origin",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\ntopic = \"{{{{ topic }}}}\"\n\
                 kinds = [\"status\", \"coverage\"]\nbody = \"{{{{ state }}}}\"\n"
            ),
            "11:8",
            "sinks.m.body",
            "an event of the kind coverage has no `state`",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nbatch = {{}}\n\
                 kinds = [\"status\"]\nbody = \"{{{{ events[0].heard }}}}\"\n"
            ),
            "12:8",
            "sinks.w.body",
            "an event of the kind status has no `heard`; it has event_id, topic, client_id",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nretain = \"maybe\"\n"),
            "9:10",
            "sinks.m.retain",
            "expected true or false",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nurl = \"http://b\"\n"),
            "9:7",
            "sinks.m.url",
            "unknown scheme `http`",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.p]\ntype = \"postgres\"\nurl = \"postgres://h\"\n"
            ),
            "9:7",
            "sinks.p.url",
            "names no database",
        ),
        (
            postgres("postgres://h/d?sslmode=verify_full"),
            "9:7",
            "sinks.p.url",
            "sslmode in the URL is none of disable, allow, prefer",
        ),
        (
            postgres("postgres://h/d?port=x"),
            "9:7",
            "sinks.p.url",
            "port and statement-cache-capacity are numbers",
        ),
        (
            postgres("postgres://h/d?sslrootcert=/nowhere/ca.pem"),
            "9:7",
            "sinks.p.url",
            "sslrootcert /nowhere/ca.pem: No such file",
        ),
        (
            postgres("postgres://h/d?sslrootcert=nowhere.pem"),
            "9:7",
            "sinks.p.url",
            "sslrootcert /etc/stomp-bridge/nowhere.pem: No such file",
        ),
        (
            postgres("postgres://h,/d"),
            "9:7",
            "sinks.p.url",
            "a URL without a host",
        ),
        (
            postgres("postgres://a,b,c/d?port=1,2"),
            "9:7",
            "sinks.p.url",
            "names 3 hosts and 2 ports",
        ),
        (
            postgres("postgres://a,b/d?target_session_attrs=standby"),
            "9:7",
            "sinks.p.url",
            "none of read-write, primary and any",
        ),
        (
            format!("{}schema = \"pg_x\"\n", postgres("postgres://h/d")),
            "10:1",
            "sinks.p.schema",
            "cannot name a schema",
        ),
        (
            format!(
                "{}schema = \"{}\"\n",
                postgres("postgres://h/d"),
                "x".repeat(64)
            ),
            "10:1",
            "sinks.p.schema",
            "cannot name a schema",
        ),
        (
            format!(
                "{}schema = \"x\"\n",
                postgres("postgres://h/d?options[search_path]=y")
            ),
            "10:10",
            "sinks.p.schema",
            "name a search_path, which would have no effect",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nconcurrency = 0\n"
            ),
            "10:15",
            "sinks.w.concurrency",
            "expected 1 to 256 requests at once, found 0",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nbatch = {{ max = 0 }}\n"
            ),
            "10:17",
            "sinks.w.batch.max",
            "expected 1 to 1000 events",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nbatch = {{ wait = \"2h\" }}\n"
            ),
            "10:18",
            "sinks.w.batch.wait",
            "expected an hour at most",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nbatch = {{}}\nbody = \"{{{{ state }}}}\"\n"
            ),
            "11:8",
            "sinks.w.body",
            "a batch's template has `events`",
        ),
        (
            webhook("success = {}"),
            "10:11",
            "sinks.w.success",
            "an expectation without a condition",
        ),
        (
            webhook("retry_when = { errcode = 1 }"),
            "10:26",
            "sinks.w.retry_when.errcode",
            "such as \"/errcode\"; or `status`",
        ),
        (
            webhook("reject_when = { status = \"gone\" }"),
            "10:26",
            "sinks.w.reject_when.status",
            "an HTTP status such as 200",
        ),
        (
            webhook("omit = [\"payload\", \"detial\"]"),
            "10:8",
            "sinks.w.omit",
            "unknown column `detial`, did you mean `detail`?",
        ),
        (
            webhook("omit = [\"device_id\"]"),
            "10:8",
            "sinks.w.omit",
            "`device_id` is in every status",
        ),
        (
            webhook("method = \"GET\"\nbody = \"{{ state }}\""),
            "10:10",
            "sinks.w.method",
            "GET has no body",
        ),
        (
            webhook("method = \"post\""),
            "10:10",
            "sinks.w.method",
            "did you mean `POST`",
        ),
        (
            webhook("rate = \"20\""),
            "10:8",
            "sinks.w.rate",
            "a number and a time such as \"20/1m\"",
        ),
        (
            webhook("rate = \"20/1ms\""),
            "10:8",
            "sinks.w.rate",
            "expected 1 to 10000 requests, and a time from 1s to 1d",
        ),
        (
            webhook("hmac = { header = \"X-Hub-Signature-256\" }"),
            "10:1",
            "sinks.w.hmac.secret",
            "a signature needs a key",
        ),
        (
            webhook("hmac = { header = \"a b\", secret = \"k\" }"),
            "10:10",
            "sinks.w.hmac.header",
            "`a b` cannot name a header",
        ),
        (
            webhook_at("http://{{ device_id }}/x", ""),
            "9:7",
            "sinks.w.url",
            "the server is the configuration's",
        ),
        (
            webhook_at("http://h:{{ device_id }}/x", ""),
            "9:7",
            "sinks.w.url",
            "the server is the configuration's",
        ),
        (
            webhook_at("http://h/{{ devcie_id }}", ""),
            "9:7",
            "sinks.w.url",
            "did you mean `device_id`?",
        ),
        (
            webhook_at("http://h/../{{ device_id }}", ""),
            "9:7",
            "sinks.w.url",
            "a part of its path is `.` or `..`",
        ),
        (
            webhook_at("ftp://h/{{ device_id }}", ""),
            "9:7",
            "sinks.w.url",
            "unknown scheme `ftp`",
        ),
        (
            webhook_at("http://h/{{ device_id }}", "batch = {}"),
            "9:7",
            "sinks.w.url",
            "only `body` can name them",
        ),
        (
            webhook("headers = { Title = \"{{ heard }}\" }"),
            "10:21",
            "sinks.w.headers.Title",
            "an event of the kind status has no `heard`",
        ),
        (
            webhook("tls = { ca_file = \"nowhere.pem\" }").replace("http:", "https:"),
            "10:19",
            "sinks.w.tls.ca_file",
            "cannot read",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\n"),
            "7:8",
            "sinks.w.url",
            "webhook `w` has no url",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nsecret = \"abc\"\n"
            ),
            "10:10",
            "sinks.w.secret",
            "not a signing secret",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.m]\ntype = \"mqtt\"\nretry = {{ initial = \"0s\" }}\n"
            ),
            "9:21",
            "sinks.m.retry.initial",
            "expected at least 10ms",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nretry = {{ max = \"500ms\" }}\n"
            ),
            "10:17",
            "sinks.w.retry.max",
            "at least initial",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nretry = {{ give_up = \"0s\" }}\n"
            ),
            "10:21",
            "sinks.w.retry.give_up",
            "a duration above 0",
        ),
        (
            format!(
                "{SOURCE}{TOPIC}headers = {{ \"activemq.subscriptionName\" = \"bridge\" }}\n{SINK}"
            ),
            "5:13",
            "topics.t.headers.activemq.subscriptionName",
            "add client-id",
        ),
        (
            format!(
                "{SOURCE}[topics.t]\ndestination = \"/topic/{{{{ n }}}}\"\nfor = {{ n = \"1..500\" }}\n\
                 headers = {{ \"activemq.subscriptionName\" = \"bridge\" }}\n{SINK}"
            ),
            "6:13",
            "topics.t.headers.activemq.subscriptionName",
            "add client-id",
        ),
        (
            format!(
                "{SOURCE}headers = {{ client-id = \"b\" }}\n[topics.t]\ndestination = \"/topic/{{{{ n }}}}\"\n\
                 for = {{ n = \"1..500\" }}\nheaders = {{ \"activemq.subscriptionName\" = \"bridge\" }}\n{SINK}"
            ),
            "7:43",
            "topics.t.headers.activemq.subscriptionName",
            "`t-1` and `t-2` have one durable subscription",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[secrets]\ndb = 5\n"),
            "8:6",
            "secrets.db",
            "expected the path of a file",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[states]\n\"故障\" = {{ severity = \"bad\" }}\n"),
            "8:21",
            "states.故障.severity",
            "unknown value `bad`",
        ),
        (
            format!("sinks = 5\n{SOURCE}{TOPIC}"),
            "1:9",
            "sinks",
            "expected tables such as [sinks.history]",
        ),
        ("url = 5 5\n".to_owned(), "1:7", "", "not TOML"),
        (
            format!("[source]\nurl = \"http://h：80/ws\"\n{TOPIC}{SINK}"),
            "2:7",
            "source.url",
            "： is a full-width sign",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[journal]\nmax_bytes = 100\n"),
            "8:13",
            "journal.max_bytes",
            "expected at least \"1MiB\", found 100 bytes",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}path = \"C:\\temp\\new\"\n"),
            "7:8",
            "sinks.h.path",
            "write the path between ' and '",
        ),
        (
            format!("{SOURCE}passcode_file = \"gone\"\n{TOPIC}{SINK}"),
            "3:17",
            "source.passcode_file",
            "a relative path lies beside the configuration",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[source.tls]\nca_file = \"gone\"\n"),
            "8:11",
            "source.tls.ca_file",
            "a relative path lies beside the configuration",
        ),
        (
            format!("{SOURCE}{TOPIC}{SINK}[topics.t]\nack = \"client\"\n"),
            "7:9",
            "",
            "give this one another name, or write one table of both",
        ),
    ] {
        let problems = read(&text, &[]).expect_err(&text);
        let told = problems.to_string();
        let named = if path.is_empty() {
            String::new()
        } else {
            format!(" ({path})")
        };
        let place = format!("--> /etc/stomp-bridge/config.toml:{place}{named}\n");
        let found = problems.0.iter().any(|problem| {
            let problem = format!("{problem}\n");
            problem.contains(&place) && problem.contains(said)
        });
        if !found || problems.0.len() != 1 {
            wrong.push(format!(
                "expected {said:?} at {place}in\n{text}\n---\n{told}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n=====\n"));
}

#[test]
fn for_makes_many_topics_of_one_table() {
    let text = format!(
        r#"{SOURCE}{TOPIC}
[topics.map]
destination = "/topic/{{{{ region }}}}/state/{{{{ client }}}}"
for = {{ client = "1..3", region = ["north", "south"] }}
headers = {{ selector = "c = {{{{ client }}}}" }}
event_key = "/id"
[topics.one]
destination = "/topic/state"
headers = {{ selector = "c = {{{{ client }}}}" }}
for = {{ client = [1, "b"] }}
[sinks.all]
type = "webhook"
url = "http://h"
[sinks.map]
type = "webhook"
url = "http://h"
topics = ["map"]
[sinks.some]
type = "webhook"
url = "http://h"
topics = ["map-north-2", "t", "one"]
"#
    );
    let plan = good(&text, &[]);
    assert_eq!(plan.warnings, []);
    let topics: Vec<(&str, &str, &str)> = plan
        .source
        .topics
        .iter()
        .map(|topic| {
            let selector = topic
                .headers
                .first()
                .map(|(_, value)| value.as_str())
                .unwrap_or_default();
            (&*topic.name, topic.destination.as_str(), selector)
        })
        .collect();
    // The names have the values in the order in which the destination uses them.
    assert_eq!(topics[0], ("map-north-1", "/topic/north/state/1", "c = 1"));
    assert_eq!(topics[5], ("map-south-3", "/topic/south/state/3", "c = 3"));
    assert_eq!(topics[7], ("one-b", "/topic/state", "c = b"));
    assert_eq!(topics[8], ("t", "/topic/t", ""));
    assert_eq!((topics.len(), plan.decoders.len()), (9, 9));
    let sink = |name: &str| {
        let (delivery, _) = plan
            .sinks
            .iter()
            .find(|(delivery, _)| &*delivery.name == name)
            .expect("a sink");
        let mut topics: Vec<&str> = delivery
            .topics
            .iter()
            .flatten()
            .map(|topic| &**topic)
            .collect();
        topics.sort_unstable();
        topics
    };
    assert_eq!(sink("all"), [""; 0]);
    assert_eq!(sink("map").len(), 6);
    assert_eq!(sink("some"), ["map-north-2", "one-1", "one-b", "t"]);
    let origin = stomp_bridge::model::Origin {
        journal: uuid::Uuid::nil(),
        position: stomp_bridge::model::Position(1),
    };
    let body = br#"{"id":7,"deviceId":1,"newState":"x"}"#;
    let event = |topic: &str| {
        plan.decoders[topic]
            .event(body, origin, jiff::Timestamp::UNIX_EPOCH, None)
            .unwrap()
    };
    assert_eq!(&*event("map-south-3").topic, "map-south-3");
    assert_ne!(
        event("map-south-3").event_id,
        event("t").event_id,
        "the table's event_key holds for all of its topics"
    );

    let many = good(
        &format!("{SOURCE}{FOR}for = {{ n = \"1..10000\" }}\n{SINK}"),
        &[],
    );
    assert_eq!(many.source.topics.len(), 10_000);
    assert_eq!(
        many.source.topics[9_999].destination.as_str(),
        "/topic/10000"
    );
    let variables = [("STOMP_BRIDGE_TOPICS__T__FOR__N", "1..4")];
    assert_eq!(
        good(
            &format!("{SOURCE}{FOR}for = {{ n = [7] }}\n{SINK}"),
            &variables
        )
        .source
        .topics
        .len(),
        4
    );
}

/// A configuration of examples/. Its secrets are all one that is good as a webhook's, too.
fn set_up(file: &Path) -> Plan {
    let text = fs::read_to_string(file).expect("read an example");
    let secrets = text.split("secret('").skip(1).map(|rest| {
        let (name, _) = rest.split_once("')").expect("a secret's name ends");
        let variable = format!("STOMP_BRIDGE_SECRET_{}", name.to_uppercase());
        (
            variable,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        )
    });
    let environment = Environment {
        variables: secrets.collect(),
    };
    load_in(file, &environment).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_examples_of_set_ups_load_without_a_problem() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut loaded = 0;
    for entry in fs::read_dir(&folder).expect("list examples/") {
        let file = entry.expect("list examples/").path();
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            assert_eq!(set_up(&file).warnings, [], "{}", file.display());
            loaded += 1;
        }
    }
    assert!(loaded > 0, "no example in {}", folder.display());
}

/// An example that is called durable is one at the server that it is for.
#[test]
fn the_durable_examples_lose_nothing() {
    for (name, broker) in [
        ("rabbitmq-durable.toml", Broker::RabbitMq),
        ("activemq-durable.toml", Broker::ActiveMq),
    ] {
        let plan = set_up(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("examples")
                .join(name),
        );
        for topic in plan.source.topics.iter() {
            let promise = broker.guarantee(topic, Default::default(), Default::default());
            assert!(
                promise.en.starts_with("nothing is lost"),
                "{name}, {}: {promise}",
                topic.name
            );
        }
    }
}

/// As shared with the users.
#[test]
fn the_configuration_of_the_promise_is_a_configuration() {
    let text = r#"
[source]
url = "http://platform.example.com:9004/webSocketServer"
heartbeat = "10s"
headers = { Authorization = "Bearer {{ signin.token }}" }
[source.reconnect]
initial = "1s"
max = "60s"
[source.signin]
url = "https://host/api/login"
json = { username = "bridge", password = "{{ secret('platform') }}" }
extract = { token = "/data/token", code = "/data/socketCode" }

[topics.map-1]
destination = "/topic/state/1"
[topics.status]
destination = "/topic/{{ signin.code }}/deviceStatusChannel"
ack = "auto"
headers = { "prefetch-count" = "256" }

[states]
"正常" = { name = "normal", severity = "ok" }
"故障" = { name = "fault", severity = "critical" }
"离线" = { name = "offline", severity = "warning" }

[journal]
path = "journal.db"
max_bytes = "1GiB"
when_full = "pause"
keep = "7d"
commit_interval = "5ms"

[sinks.history]
type = "sqlite"
path = "history.db"
retention = { statuses = "365d" }
[sinks.warehouse]
type = "postgres"
url = "postgres://bridge@db/devices"
[sinks.site]
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
topic = "devices/{{ client_id }}/{{ device_id }}/status"
qos = 1
retain = true
[sinks.oncall]
type = "webhook"
url = "https://hooks.example.com/devices"
when = "changed and severity == 'critical'"
secret = "{{ secret('oncall') }}"
retry = { initial = "1s", max = "5m", give_up = "24h" }

[http]
listen = "127.0.0.1:9610"
"#;
    let secrets = [
        ("STOMP_BRIDGE_SECRET_PLATFORM", "p"),
        (
            "STOMP_BRIDGE_SECRET_ONCALL",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
    ];
    let plan = good(text, &secrets);
    assert_eq!(
        (
            plan.warnings.len(),
            plan.source.topics.len(),
            plan.sinks.len()
        ),
        (0, 2, 4)
    );
}

#[test]
fn a_postgres_url_that_leaves_the_password_open_is_warned_of() {
    for (url, expected) in [
        ("postgres://u:hunter2@db/d", None),
        ("postgres://u:hunter2@db/d?sslmode=verify-full", None),
        ("postgres://u:hunter2@127.0.0.1/d?sslmode=disable", None),
        ("postgres://u@localhost/d", None),
        ("postgres://u@%2Frun%2Fpostgresql/d?sslmode=disable", None),
        (
            "postgres://u:hunter2@db/d?sslmode=disable",
            Some("sslmode=disable sends the password and every status in clear text; write"),
        ),
        (
            "postgres://u:hunter2@db/d?sslmode=allow",
            Some("sslmode=allow sends the password"),
        ),
        (
            "postgres://u:hunter2@db/d?sslmode=prefer",
            Some("or somebody between, answers without TLS; write sslmode=verify-full"),
        ),
        (
            "postgres://u:hunter2@db/d?sslmode=require",
            Some("accepts any certificate"),
        ),
        (
            "postgres://u:hunter2@db/d?sslmode=verify-ca",
            Some("certificate for any other name"),
        ),
    ] {
        let plan = good(&postgres(url), &[]);
        let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
        let Some(expected) = expected else {
            assert_eq!(warnings, Vec::<String>::new(), "{url}");
            continue;
        };
        assert_eq!(warnings.len(), 1, "{url}: {warnings:?}");
        assert_eq!(plan.warnings[0].path, "sinks.p.url");
        assert!(
            warnings[0].contains(expected) && !warnings[0].contains("hunter2"),
            "{url}: {}",
            warnings[0]
        );
    }
}

#[test]
fn a_postgres_history_may_have_several_hosts_and_a_schema() {
    let url = "postgres://u:{{ secret('db') }}@db1,db2:5433/d";
    let text = format!("{}schema = \"bridge\"\n", postgres(url));
    let plan = good(&text, &[("STOMP_BRIDGE_SECRET_DB", "a,b@c")]);
    let found = plan.sinks.iter().find_map(|(_, sink)| match sink {
        Settings::Postgres(settings) => Some(settings),
        _ => None,
    });
    let settings = found.expect("a Postgres sink");
    let url = settings.url.expose_secret();
    assert!(url.ends_with("%40c@db1,db2:5433/d"), "{url}");
    assert_eq!(settings.schema.as_deref(), Some("bridge"));
    assert_eq!(settings.folder, Path::new("/etc/stomp-bridge"));
    let exposed = good(
        &postgres("postgres://u@127.0.0.1,db/d?sslmode=disable"),
        &[],
    );
    assert!(
        exposed.warnings[0]
            .to_string()
            .contains("sslmode=disable sends the password")
    );
}

#[test]
fn a_destination_that_lacks_its_slash_is_warned_of() {
    for (destination, warned) in [
        ("queue/x", true),
        ("topic/state/1", true),
        ("/queue/x", false),
        // A queue of RabbitMQ, an address of Artemis.
        ("orders", false),
        ("plant::orders", false),
        ("plant/7", false),
    ] {
        let topic = format!("[topics.t]\ndestination = \"{destination}\"\n");
        let warnings = good(&format!("{SOURCE}{topic}{SINK}"), &[]).warnings;
        let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let meant = format!("did you mean `/{destination}`?");
        let is_warned = said.iter().any(|warning| warning.contains(&meant));
        assert_eq!(is_warned, warned, "{destination}: {said:?}");
    }
}

/// Whatever stands in place of a value, what is said of it has no word of Rust.
#[test]
fn a_wrong_value_is_told_of_in_peoples_words() {
    const RUST: [&str; 24] = [
        "enum",
        "struct",
        "sequence",
        "map",
        "tuple",
        "unit",
        "newtype",
        "variant",
        "untagged",
        "Some",
        "None",
        "option",
        "signed",
        "unsigned",
        "int",
        "i32",
        "i64",
        "u8",
        "u16",
        "u32",
        "u64",
        "usize",
        "f64",
        "invalid type",
    ];
    let sample = uncommented_example();
    let (mut problems_told, mut in_rust) = (0, BTreeSet::new());
    for (number, line) in sample.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        for value in ["true", "-5", "[[1]]", "{ a = [1] }"] {
            let replaced = |(at, line): (usize, &str)| match at == number {
                true => format!("{key} = {value}\n"),
                false => format!("{line}\n"),
            };
            let text: String = sample.lines().enumerate().map(replaced).collect();
            let Err(problems) = read(&text, &[]) else {
                continue;
            };
            for problem in problems.0 {
                problems_told += 1;
                let help = problem.help.unwrap_or_default();
                let said = format!("{} {help}", problem.message);
                let words: Vec<&str> = said
                    .split(|c: char| !c.is_alphanumeric() && c != '-')
                    .collect();
                let found = RUST.iter().find(|word| {
                    words.contains(word) || word.contains(' ') && said.contains(**word)
                });
                if found.is_some() {
                    in_rust.insert(format!("{key} = {value}: {said}"));
                }
            }
        }
    }
    assert!(in_rust.is_empty(), "{in_rust:#?}");
    assert!(problems_told > 300, "only {problems_told} problems");
}

#[test]
fn what_is_missing_altogether_is_told_too() {
    for (text, expected) in [
        (
            format!("{TOPIC}{SINK}"),
            "the address of the STOMP server is missing",
        ),
        (
            format!("{SOURCE}{SINK}"),
            "there is no topic to subscribe to",
        ),
        (String::new(), "there is no topic to subscribe to"),
    ] {
        let told = read(&text, &[]).unwrap_err().to_string();
        assert!(told.contains(expected), "{text}\n---\n{told}");
    }
    let plan = good(&format!("{SOURCE}{TOPIC}"), &[]);
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(plan.warnings[0].level, Level::Warning);
    assert!(plan.warnings[0].to_string().contains("there are no sinks"));
    let plan = good(
        &format!("{SOURCE}{TOPIC}{SINK}"),
        &[
            ("STOMP_BRIDGE_SOURCE_URL", "ws://b"),
            ("STOMP_BRIDGE_LOG", "x"),
        ],
    );
    assert_eq!(plan.warnings.len(), 1);
    assert!(
        plan.warnings[0]
            .to_string()
            .contains("did you mean STOMP_BRIDGE_SOURCE__URL?")
    );
    let error = load_in(
        Path::new("/nonexistent/config.toml"),
        &Environment::default(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("cannot read the configuration")
            && error.contains("/nonexistent/config.toml"),
        "{error}"
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
    let text = r#"
[source]
urls = "stomp://broker"
heartbeat = "10 sec"

[topics.a]
destinatoin = "/topic/a"
[topics.b]
destination = "/topic/b"
ack = "clientt"

[journal]
when_full = "wait"
max_size = "1GiB"

[sinks.site]
type = "mqtt"
qos = 2
topic = "devices/{{ devcie_id }}"
[sinks.oncall]
type = "webhook"
url = "hooks.example.com"
wen = "changed"
secret = "{{ secret('oncall') }}"
topics = ["c"]
"#;
    let problems = read(text, &[]).unwrap_err();
    let paths: Vec<&str> = problems
        .0
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    let expected = [
        "source.urls",
        "source.heartbeat",
        "topics.a.destinatoin",
        "topics.b.ack",
        "journal.when_full",
        "journal.max_size",
        "sinks.site.qos",
        "sinks.site.topic",
        "sinks.oncall.url",
        "sinks.oncall.wen",
        "sinks.oncall.secret",
        "sinks.oncall.topics",
    ];
    assert_eq!(paths, expected, "{problems}");
    assert!(problems.to_string().ends_with("12 problems"));
}

#[test]
fn no_problem_shows_what_may_be_a_secret() {
    let hunter = "hunter2";
    for text in [
        format!("{SOURCE}login = \"a\"\npasscode = [\"{hunter}\"]\n{TOPIC}{SINK}"),
        format!("{SOURCE}login = \"a\"\npascode = \"{hunter}\"\n{TOPIC}{SINK}"),
        format!("{SOURCE}login = \"a\"\npasscode = \"{hunter}\n{TOPIC}{SINK}"),
        format!("{SOURCE}headers = {{ A = \"{hunter}\\u0007\" }}\n{TOPIC}{SINK}"),
        format!(
            "{SOURCE}{TOPIC}[sinks.p]\ntype = \"postgres\"\nurl = \"postgres://u:{hunter}@/d\"\n"
        ),
        postgres(&format!("postgres://u:{hunter}@h/d?sslmode={hunter}")),
        postgres(&format!("postgres://u:{hunter}@h/d?port={hunter}")),
        format!("{SOURCE}{TOPIC}[sinks.m]\ntype = \"mqtt\"\npassword = {{ a = \"{hunter}\" }}\n"),
        format!(
            "{SOURCE}{TOPIC}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\nsecret = \"{hunter}\"\n"
        ),
        format!("[source]\nurl = \"stomp://u:{hunter}@h\"\n{TOPIC}{SINK}"),
        format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}json = \"{hunter}\"\n"),
        format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}form = {{ a = [\"{hunter}\"] }}\n"),
        format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}headers = {{ A = \"{hunter}\\u0007\" }}\n"),
        format!("{SOURCE}{TOPIC}{SINK}[source.signin]\nurl = \"ws://h?a={hunter}\"\n"),
    ] {
        let told = read(&text, &[]).expect_err(&text).to_string();
        assert!(!told.contains(hunter), "{told}");
    }
}

#[test]
fn no_text_makes_the_configuration_panic() {
    let sample = uncommented_example();
    let mut toml = 0;
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..500 {
        let mut text: Vec<char> = sample.chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(0..text.len());
            match random.u8(0..3) {
                0 => drop(text.drain(at..(at + random.usize(1..30)).min(text.len()))),
                1 => {
                    text[at] = *random
                        .choice(&['"', '[', ']', '{', '}', '=', '\n', '.', '5', '故', '\\'])
                        .unwrap()
                }
                _ => text.insert(at, random.char(..)),
            }
        }
        let text: String = text.iter().collect();
        let told = read(&text, &[])
            .expect_err("its secrets are missing")
            .to_string();
        toml += usize::from(told.contains("secret `db` not found"));
        assert!(!told.starts_with("0 problems"), "{told}");
    }
    assert!(toml > 50, "only {toml} texts were still TOML");
}

#[test]
fn endpoint_called_info_is_a_warning_and_no_error() {
    let text = format!("[source]\nurl = \"http://h:8/ws/info\"\n{TOPIC}{SINK}");
    let plan = good(&text, &[]);
    assert_eq!(plan.source.urls[0].to_string(), "http://h:8/ws/info");
    let [warning] = &plan.warnings[..] else {
        panic!("{:?}", plan.warnings)
    };
    let told = warning.to_string();
    assert!(told.contains("write its base: \"http://h:8/ws\""), "{told}");
}
