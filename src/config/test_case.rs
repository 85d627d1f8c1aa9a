//! `[[tests]]`: messages with what is to become of them. `config test` runs them; the daemon passes
//! them over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::context::Context;
use super::path::Path;
use super::report::unknown;
use super::schema;
use super::topics::Topics;
use crate::model::EventKind;

/// One test: a message, and what is to become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// Its name; its number where it has none.
    pub name: String,
    /// The topic that the message comes of.
    pub topic: Arc<str>,
    /// The message's body.
    pub message: TestMessage,
    /// The last state known of the device; `None`: it was never seen.
    pub last: Option<String>,
    /// The sinks that take one of its statuses; `None`: that is not tested.
    pub sinks: Option<BTreeSet<String>>,
    /// Columns of each status.
    pub event: BTreeMap<String, Value>,
    /// One of its statuses is undecodable; otherwise none may be.
    pub undecodable: bool,
}

/// A message's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestMessage {
    /// In the configuration.
    Text(String),
    /// In a file.
    File(PathBuf),
}

impl Context<'_> {
    /// The tests of a configuration with these topics and sinks.
    pub(super) fn tests(
        &mut self,
        written: Vec<schema::Test>,
        topics: &Topics,
        sinks: &[&str],
    ) -> Vec<TestCase> {
        let list = Path::from("tests");
        let tests = written.into_iter().enumerate();
        tests
            .filter_map(|(index, test)| {
                let path = list.join(index.to_string());
                let name = test.name.clone();
                let case = self.test(&path, index + 1, test, topics, sinks);
                if let Some(name) = name {
                    self.report.name(&path, &format!("test `{name}`"));
                }
                case
            })
            .collect()
    }

    fn test(
        &mut self,
        path: &Path,
        number: usize,
        test: schema::Test,
        topics: &Topics,
        sinks: &[&str],
    ) -> Option<TestCase> {
        for sink in test.sinks.iter().flat_map(|sinks| &sinks.0) {
            if !sinks.contains(&sink.as_str()) {
                let message = unknown("sink", sink, sinks.iter().copied());
                self.report.error(&path.join("sinks"), message);
            }
        }
        let event = path.join("event");
        for column in test.event.keys() {
            let columns = EventKind::Status.names();
            if !columns.contains(&column.as_str()) {
                self.report
                    .unknown_key(&event.join(column), column, columns.iter().copied());
            }
        }
        if test.sinks.is_none() && test.event.is_empty() && test.undecodable.is_none() {
            let message = "this test expects nothing, so it always passes";
            let help = "say what becomes of the message: sinks = [\"…\"], event = { state = \
                        \"fault\" } or undecodable = true";
            self.report.key_error(&path.join("sinks"), message, help);
        }
        let topic = self.tested_topic(&path.join("topic"), test.topic, topics);
        let message = match (test.message, test.file) {
            (Some(text), None) => Some(TestMessage::Text(text)),
            (None, Some(file)) => Some(TestMessage::File(self.folders.config.join(file))),
            _ => {
                let help = "such as message = '{\"deviceId\":1,\"newState\":\"故障\"}'";
                let message = "a test has a message, or the file of one";
                self.report.key_error(&path.join("message"), message, help);
                None
            }
        };
        Some(TestCase {
            name: test.name.unwrap_or_else(|| number.to_string()),
            topic: topic?,
            message: message?,
            last: test.last,
            sinks: test.sinks.map(|sinks| sinks.0.into_iter().collect()),
            event: test.event,
            undecodable: test.undecodable.is_some_and(|expected| expected.0),
        })
    }

    fn tested_topic(
        &mut self,
        path: &Path,
        written: Option<String>,
        topics: &Topics,
    ) -> Option<Arc<str>> {
        let names = topics.topic_names();
        match (written, &names[..]) {
            (None, [only]) => Some((*only).into()),
            (None, _) => {
                let help = "name the topic that the message comes of";
                let message = "there are several topics";
                self.report.key_error(path, message, help);
                None
            }
            (Some(name), names) if names.contains(&name.as_str()) => Some(name.into()),
            (Some(name), names) => {
                let message = unknown("topic", &name, names.iter().copied());
                self.report.error(path, message);
                None
            }
        }
    }
}
