//! The tables of MQTT sinks.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Named;
use crate::config::context::Context;
use crate::config::events::Events;
use crate::config::schema;
use crate::config::secret::Within;
use crate::model::EventKind;
use crate::secret::Secret;
use crate::sinks::mqtt::Qos;
use crate::sinks::{Settings, mqtt};

/// The largest packet that MQTT can say the length of (MQTT 3.1.1, section 2.2.3).
const PACKET_BYTES_MAX: u64 = 268_435_455;

/// Room for a status of the platform.
const PACKET_BYTES_MIN: u64 = 1024;

/// The first four are ours; the others are what other programs call the same.
const SCHEMES: [&str; 8] = [
    "mqtt", "mqtts", "mqtt+ws", "mqtt+wss", "tcp", "ssl", "ws", "wss",
];

pub(super) fn check(
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
    if !(PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&bytes) {
        let message =
            format!("expected {PACKET_BYTES_MIN} to {PACKET_BYTES_MAX} bytes, found {bytes}");
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
    let mut url = check.url(&url_path, written.url.expose_secret(), &SCHEMES)?;
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
}
