//! What a sink sends for one event, as people and programs are shown it: without what may be a secret.

use std::collections::BTreeMap;

use serde::Serialize;

use super::print::counted;
use super::width::Width;
use crate::model::Event;
use crate::sinks::{Preview, Settings};

/// What a sink sends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sent {
    Row {
        table: &'static str,
    },
    Publish {
        topic: String,
        qos: u8,
        retain: bool,
        body: String,
    },
    Request {
        method: &'static str,
        url: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// It becomes a dead letter.
    Nothing {
        error: String,
    },
}

/// Lines of a body that are shown; `--json` has all of it.
const BODY_LINES_MAX: usize = 12;

impl Sent {
    /// Of an event, at a sink with these settings.
    pub(super) fn of(settings: &Settings, event: &Event) -> Sent {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match Preview::of(settings, event) {
            Ok(Preview::Row { table }) => Sent::Row { table },
            Ok(Preview::Publish {
                topic,
                body,
                qos,
                retain,
            }) => Sent::Publish {
                topic,
                qos,
                retain,
                body: text(body),
            },
            Ok(Preview::Request(request)) => Sent::Request {
                method: request.method,
                url: request.url,
                headers: request.headers.into_iter().collect(),
                body: request.body.map(text),
            },
            Err(error) => Sent::Nothing { error },
        }
    }

    /// The same where no broker retains it.
    pub(super) fn not_retained(self) -> Sent {
        match self {
            Sent::Publish {
                topic, qos, body, ..
            } => Sent::Publish {
                topic,
                qos,
                retain: false,
                body,
            },
            other => other,
        }
    }

    /// The first line: where it goes.
    pub(super) fn head(&self) -> String {
        match self {
            Sent::Row { table } => format!("a row of {table}"),
            Sent::Publish {
                topic, qos, retain, ..
            } => {
                let retained = if *retain { ", retained" } else { "" };
                format!("publish {topic} (QoS {qos}{retained})")
            }
            Sent::Request { method, url, .. } => format!("{method} {url}"),
            Sent::Nothing { error } => format!("dead letter: {error}"),
        }
    }

    /// What is in it, where it has a body.
    pub(super) fn body(&self) -> Option<&str> {
        match self {
            Sent::Publish { body, .. } => Some(body),
            Sent::Request { body, .. } => body.as_deref(),
            Sent::Row { .. } | Sent::Nothing { .. } => None,
        }
    }

    /// All of it, the body to a bound; each line stands below a heading.
    pub(super) fn lines(&self, width: Width) -> Vec<String> {
        let mut lines = width.wrapped("  ", &self.head());
        if let Sent::Request { headers, .. } = self {
            for (name, text) in headers {
                lines.extend(width.wrapped("  ", &format!("{name}: {text}")));
            }
        }
        let body = self.body().map(|body| width.wrapped("    ", body));
        lines.extend(cut(body.unwrap_or_default()));
        lines
    }
}

fn cut(mut lines: Vec<String>) -> Vec<String> {
    if let more @ 1.. = lines.len().saturating_sub(BODY_LINES_MAX) {
        lines.truncate(BODY_LINES_MAX);
        let more = counted(more as u64, "more line", "more lines");
        lines.push(format!("    … {more}: see --json"));
    }
    lines
}
