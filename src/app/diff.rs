//! The difference between two configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::config::{NamesFile, Plan};
use crate::{journal, ops, source};

/// More names of a kind are counted in the log.
const NAMES_MAX: usize = 10;

/// The differences between two configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// What the connection is made with.
    pub(super) source: bool,
    pub(super) topics: Names,
    /// How messages are decoded, or what their states mean, except for topics that come and go.
    pub(super) decoding: bool,
    pub(super) sinks: Names,
    /// `journal.commit_interval`: whatever is open goes by the new one.
    pub(super) commit_interval: bool,
    /// Whether files are watched, or which.
    pub(super) watch: bool,
    /// Keys that only a restart applies.
    pub(super) restart: Vec<&'static str>,
}

/// Which of several named things are another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) added: Vec<Arc<str>>,
    pub(super) removed: Vec<Arc<str>>,
    pub(super) changed: Vec<Arc<str>>,
}

impl Names {
    /// Sinks to stop: removed, or changed and so started again.
    pub(super) fn ending(&self) -> Vec<Arc<str>> {
        self.removed.iter().chain(&self.changed).cloned().collect()
    }

    /// Sinks to start.
    pub(super) fn beginning(&self) -> Vec<Arc<str>> {
        self.added.iter().chain(&self.changed).cloned().collect()
    }
}

/// For the log: `+new -gone ~changed`; of hundreds the first few.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (sign, names) in [
            ('+', &self.added),
            ('-', &self.removed),
            ('~', &self.changed),
        ] {
            words.extend(
                names
                    .iter()
                    .take(NAMES_MAX)
                    .map(|name| format!("{sign}{name}")),
            );
            if let Some(more @ 1..) = names.len().checked_sub(NAMES_MAX) {
                words.push(format!("{sign}({more} more)"));
            }
        }
        f.write_str(&words.join(" "))
    }
}

impl Diff {
    /// From one plan to the next.
    pub(super) fn between(old: &Plan, new: &Plan) -> Diff {
        let topics = |source: &source::Settings| -> Vec<_> {
            let topics = source.topics.iter();
            let topic = |topic: &source::Topic| {
                let silence = source.silences.get(&topic.name).copied();
                let resync = source.resyncs.get(&topic.name).cloned();
                (topic.name.clone(), (topic.clone(), silence, resync))
            };
            topics.map(topic).collect()
        };
        let sink = |sink: &(crate::delivery::Settings, crate::sinks::Settings)| {
            (sink.0.name.clone(), sink.clone())
        };
        let topics = Names::between(
            topics(&old.source).into_iter(),
            topics(&new.source).into_iter(),
        );
        let sinks = Names::between(old.sinks.iter().map(sink), new.sinks.iter().map(sink));
        let stays = |(name, decoder)| {
            old.decoders
                .get(name)
                .is_some_and(|before| before != decoder)
        };
        Diff {
            source: !new.source.connects_as(&old.source),
            topics,
            decoding: new.decoders.iter().any(stays),
            sinks,
            commit_interval: old.commit_interval != new.commit_interval,
            watch: old.watch != new.watch
                || old.names.file().map(NamesFile::path) != new.names.file().map(NamesFile::path),
            restart: restart(old, new),
        }
    }

    /// Nothing is to be done but by a restart.
    pub(super) fn is_empty(&self) -> bool {
        let Diff {
            source,
            topics,
            decoding,
            sinks,
            commit_interval,
            watch,
            restart: _,
        } = self;
        let nothing = Names::default();
        let named = *topics != nothing || *sinks != nothing;
        !(*source || *decoding || *commit_interval || *watch || named)
    }

    /// The source has something to do.
    pub(super) fn concerns_source(&self) -> bool {
        self.source || self.concerns_messages()
    }

    /// Other messages come, or they are read otherwise.
    pub(super) fn concerns_messages(&self) -> bool {
        self.decoding || self.topics != Names::default()
    }
}

/// The keys whose change would need another file, or another port.
fn restart(old: &Plan, new: &Plan) -> Vec<&'static str> {
    let journal::Settings {
        path,
        bytes_max,
        when_full,
        keep,
        devices_max,
        dlq_bytes_max,
        dlq_keep,
        dlq_when_full,
    } = &new.journal;
    let ops::Settings {
        listen,
        hosts,
        token,
        tls,
    } = &new.http;
    let keys = [
        ("journal.path", *path != old.journal.path),
        ("journal.max_bytes", *bytes_max != old.journal.bytes_max),
        ("journal.when_full", *when_full != old.journal.when_full),
        ("journal.keep", *keep != old.journal.keep),
        (
            "journal.devices_max",
            *devices_max != old.journal.devices_max,
        ),
        (
            "journal.dlq_max_bytes",
            *dlq_bytes_max != old.journal.dlq_bytes_max,
        ),
        ("journal.dlq_keep", *dlq_keep != old.journal.dlq_keep),
        (
            "journal.dlq_when_full",
            *dlq_when_full != old.journal.dlq_when_full,
        ),
        ("http.listen", *listen != old.http.listen),
        ("http.hosts", *hosts != old.http.hosts),
        ("http.token", *token != old.http.token),
        ("http.tls", *tls != old.http.tls),
    ];
    keys.into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| key)
        .collect()
}

impl Names {
    fn between<T: PartialEq>(
        old: impl Iterator<Item = (Arc<str>, T)>,
        new: impl Iterator<Item = (Arc<str>, T)>,
    ) -> Names {
        let mut old: BTreeMap<Arc<str>, T> = old.collect();
        let mut names = Names::default();
        for (name, new) in new {
            match old.remove(&name) {
                None => names.added.push(name),
                Some(old) if old != new => names.changed.push(name),
                Some(_) => {}
            }
        }
        names.removed = old.into_keys().collect();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};

    const TEXT: &str = "\
watch = true
[source]
url = \"stomp://h\"
passcode = \"{{ secret('p') }}\"
login = \"l\"
[topics.a]
destination = \"/topic/a\"
[topics.b]
destination = \"/topic/b\"
[states]
\"x\" = { name = \"fault\" }
[sinks.h]
type = \"sqlite\"
[sinks.w]
type = \"webhook\"
url = \"http://h/\"
when = \"changed\"
";

    fn plan(text: &str, secret: &str) -> Plan {
        let variables = [("STOMP_BRIDGE_SECRET_P".to_owned(), secret.to_owned())].into();
        config::parse(
            "/etc/config.toml".as_ref(),
            text.to_owned(),
            &Environment { variables },
        )
        .unwrap()
    }

    /// `old` in the text becomes `new`.
    fn check(old: &str, new: &str, expected: &str) {
        assert!(TEXT.contains(old), "{old}");
        let change = Diff::between(&plan(TEXT, "s"), &plan(&TEXT.replace(old, new), "s"));
        let Diff {
            source,
            topics,
            decoding,
            sinks,
            commit_interval,
            watch,
            restart,
        } = &change;
        let said = format!("{topics}|{sinks}|{}", restart.join(" "));
        let flags = [
            (source, " source"),
            (decoding, " decoding"),
            (commit_interval, " commit_interval"),
            (watch, " watch"),
        ];
        let flags: String = flags
            .into_iter()
            .filter(|(set, _)| **set)
            .map(|(_, name)| name)
            .collect();
        assert_eq!(said + &flags, expected, "{old} -> {new}");
        assert_eq!(
            change.is_empty(),
            !restart.is_empty() || expected == "||",
            "{old} -> {new}"
        );
    }

    #[test]
    fn each_key_is_taken_up_where_it_belongs() {
        check("watch", "watch", "||");
        check("watch = true", "watch = false", "|| watch");
        check("stomp://h", "stomp://other", "|| source");
        check("/topic/b", "/topic/c", "~b||");
        check("[topics.b]", "[topics.c]", "+c -b||");
        check("/topic/b\"", "/topic/b\"\nack = \"client\"", "~b||");
        check("/topic/b\"", "/topic/b\"\nsilence = \"1h\"", "~b||");
        check(
            "/topic/b\"",
            "/topic/b\"\ntimezone = \"UTC\"",
            "|| decoding",
        );
        check("fault", "broken", "|| decoding");
        check("http://h/", "http://h/x", "|~w|");
        check("\"changed\"", "\"not changed\"", "|~w|");
        check("[sinks.h]", "[sinks.g]", "|+g -h|");
        check(
            "[topics.a]",
            "[journal]\nkeep = \"1d\"\npath = \"j\"\n[topics.a]",
            "||journal.path journal.keep",
        );
        check(
            "[topics.a]",
            "[journal]\ncommit_interval = \"20ms\"\n[topics.a]",
            "|| commit_interval",
        );
        check(
            "[topics.a]",
            "[http]\nlisten = \"127.0.0.1:1\"\n[topics.a]",
            "||http.listen",
        );
    }

    #[test]
    fn another_secret_is_a_change() {
        let change = Diff::between(&plan(TEXT, "s"), &plan(TEXT, "t"));
        assert!(
            change.source && change.sinks == Names::default(),
            "{change:?}"
        );
        assert!(Diff::between(&plan(TEXT, "s"), &plan(TEXT, "s")).is_empty());
    }
}
