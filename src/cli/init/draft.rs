//! The configuration in the making: a text of few lines, each of which says something that the
//! defaults do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use url::Url;

use super::answers::Answers;
use super::fields::{Proposal, propose};
use super::listen::{Heard, HeardTopic};
use super::words::{Meaning, meaning};
use super::write::Privacy;
use crate::cli::print::counted;
use crate::model::Severity;
use crate::pipeline::Field;

/// The longest name of a topic that is made of its destination.
const NAME_CHARS_MAX: usize = 40;

/// More words are no states: the field is another one.
const WORDS_MAX: usize = 20;

/// A longer word is none.
const WORD_CHARS_MAX: usize = 40;

/// Words that come from every platform of this kind, sooner or later.
const USUAL: [&str; 3] = ["正常", "故障", "离线"];

/// The text's parts.
#[derive(Debug)]
pub(super) struct Draft {
    url: String,
    login: Option<String>,
    passcode_file: Option<String>,
    host: Option<String>,
    topics: Vec<DraftTopic>,
    /// Words of states, as they were seen.
    words: BTreeSet<String>,
    findings: Vec<String>,
    privacy: Privacy,
}

#[derive(Debug)]
struct DraftTopic {
    name: String,
    destination: String,
    is_queue: bool,
    proposal: Proposal,
    encoding: Option<&'static str>,
}

impl Draft {
    /// Of what was answered.
    ///
    /// # Errors
    /// The URL is none.
    pub(super) fn new(answers: &Answers, config: &Path) -> anyhow::Result<Draft> {
        let url = Url::parse(&answers.url).with_context(|| {
            "the server's URL begins with http://, https://, ws://, wss://, stomp:// or stomps://"
        })?;
        let holds_secret = url.query().is_some() || url.password().is_some();
        let mut names = BTreeSet::new();
        let mut topics = Vec::new();
        for destination in &answers.destinations {
            let name = name(destination, &names);
            names.insert(name.clone());
            topics.push(DraftTopic {
                name,
                destination: destination.clone(),
                is_queue: is_queue(destination),
                proposal: Proposal::default(),
                encoding: None,
            });
        }
        if topics.is_empty() {
            bail!("at least one destination is needed: --topic");
        }
        // Beside the configuration, by its name alone: the folder may move.
        let config = std::path::absolute(config)
            .with_context(|| format!("the folder of {}", config.display()))?;
        let folder = config.parent();
        let beside = |file: &Path| {
            let name = folder.and_then(|folder| file.strip_prefix(folder).ok());
            name.unwrap_or(file).display().to_string()
        };
        Ok(Draft {
            url: answers.url.clone(),
            login: answers.login.clone(),
            passcode_file: answers.passcode_file().map(beside),
            host: answers.host.clone(),
            topics,
            words: BTreeSet::new(),
            findings: Vec::new(),
            privacy: match holds_secret {
                true => Privacy::Owner,
                false => Privacy::Usual,
            },
        })
    }

    /// Who may read the text.
    pub(super) fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// What was learned, a line for each topic.
    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Proposes how the messages are read.
    pub(super) fn learn(&mut self, heard: &Heard) {
        for topic in &mut self.topics {
            let Some(heard) = heard.topics.get(&*topic.name) else {
                continue;
            };
            let (finding, words) = topic.learn(heard);
            self.findings.push(format!("{}: {finding}", topic.name));
            self.words.extend(words);
        }
        if self.words.len() > WORDS_MAX {
            self.findings.push(format!(
                "more than {WORDS_MAX} states were seen, so [states] names none: is new_state \
                 the right value?"
            ));
            self.words.clear();
        }
    }

    /// Takes back what was proposed.
    pub(super) fn forget(&mut self) {
        for topic in &mut self.topics {
            (topic.proposal, topic.encoding) = (Proposal::default(), None);
        }
        self.words.clear();
    }

    /// The configuration.
    pub(super) fn text(&self) -> String {
        let mut text = "# Written by `stomp-bridge init`. Every key: config.toml of the \
                        project, and `stomp-bridge check`.\n[source]\n"
            .to_owned();
        let _ = writeln!(text, "url = {}", quoted(&self.url));
        let source = [
            ("login", &self.login),
            ("passcode_file", &self.passcode_file),
            ("host", &self.host),
        ];
        for (key, value) in source {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {}", quoted(value));
            }
        }
        for topic in &self.topics {
            text.push('\n');
            text += &topic.text();
        }
        text.push('\n');
        text += &self.states();
        text += "\n[sinks.history]\ntype = \"sqlite\"\npath = \"history.db\"\n";
        text
    }

    fn states(&self) -> String {
        let mut known: BTreeMap<&str, Meaning> = BTreeMap::new();
        let mut unknown = Vec::new();
        let is_usual = self.words.is_empty() || USUAL.iter().any(|word| self.words.contains(*word));
        let usual = USUAL.iter().copied().filter(|_| is_usual);
        for word in usual.chain(self.words.iter().map(String::as_str)) {
            match meaning(word) {
                Some(meaning) => {
                    known.insert(word, meaning);
                }
                None => unknown.push(word),
            }
        }
        let mut words: Vec<(&str, Meaning)> = known.into_iter().collect();
        words.sort_by_key(|(_, meaning)| order(meaning.severity));
        let mut text = "[states]\n".to_owned();
        for (word, Meaning { name, severity }) in words {
            let name = name.map_or(String::new(), |name| format!("name = \"{name}\", "));
            let severity = severity.as_str();
            let _ = writeln!(
                text,
                "{} = {{ {name}severity = \"{severity}\" }}",
                quoted(word)
            );
        }
        if !unknown.is_empty() {
            text += "# Seen, too: say how much each matters (ok, info, warning, critical).\n";
        }
        for word in unknown {
            let _ = writeln!(text, "# {} = {{ severity = \"warning\" }}", quoted(word));
        }
        text
    }
}

impl DraftTopic {
    /// What was learned of its messages, and the words of its states.
    fn learn(&mut self, heard: &HeardTopic) -> (String, BTreeSet<String>) {
        self.is_queue |= heard.is_queue;
        if heard.is_queue {
            let finding = "a queue is not read here, since its messages would be gone; fields and \
                           [states] are the defaults";
            return (finding.to_owned(), BTreeSet::new());
        }
        if heard.messages == 0 {
            let finding = "no message came, so fields and [states] are the defaults; if devices \
                           did speak, the destination is another one";
            return (finding.to_owned(), BTreeSet::new());
        }
        let came = counted(heard.messages as u64, "message came", "messages came");
        let Some(proposal) = heard.bodies.iter().find_map(propose) else {
            let finding = format!(
                "{came}, and none has a device and a state by a usual name: \
                 name them in `fields`; `stomp-bridge tap --frames` shows a message"
            );
            return (finding, BTreeSet::new());
        };
        let words = words(&proposal, &heard.bodies);
        (self.proposal, self.encoding) = (proposal, heard.encoding);
        let fields = match self.proposal.fields.len() {
            0 => "the default fields fit".to_owned(),
            count => counted(count as u64, "field is proposed", "fields are proposed"),
        };
        let count = words.len();
        (format!("{came}: {fields}; states seen: {count}"), words)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "[topics.{}]\ndestination = {}\n",
            self.name,
            quoted(&self.destination)
        );
        if self.is_queue {
            text += "ack = \"client-individual\"\n";
        }
        if let Some(items) = &self.proposal.items {
            let _ = writeln!(text, "items = {}", quoted(items));
        }
        if let Some(encoding) = self.encoding {
            let _ = writeln!(text, "encoding = \"{encoding}\"");
        }
        let fields = self.proposal.fields.iter();
        let fields =
            fields.map(|(field, pointer)| format!("{} = {}", field.name(), quoted(pointer)));
        let fields: Vec<String> = fields.collect();
        if !fields.is_empty() {
            let _ = writeln!(text, "fields = {{ {} }}", fields.join(", "));
        }
        text
    }
}

/// The words of the states in these messages.
fn words(proposal: &Proposal, bodies: &[Value]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for field in [Field::OldState, Field::NewState] {
        let proposed = proposal.fields.iter().find(|(known, _)| *known == field);
        let pointer = proposed.map(|(_, pointer)| pointer.as_str());
        let Some(pointer) = pointer.or_else(|| field.default_pointer()) else {
            continue;
        };
        for body in bodies {
            let within = match &proposal.items {
                Some(items) => body.pointer(items).unwrap_or(&Value::Null),
                None => body,
            };
            let statuses = match within {
                Value::Array(list) => list.iter().collect(),
                one => vec![one],
            };
            words.extend(
                statuses
                    .into_iter()
                    .filter_map(|status| word(status.pointer(pointer)?)),
            );
        }
    }
    words
}

fn word(value: &Value) -> Option<String> {
    let word = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    let is_word = !word.is_empty() && word.chars().count() <= WORD_CHARS_MAX;
    is_word.then_some(word)
}

/// The worst last.
fn order(severity: Severity) -> usize {
    let order = [
        Severity::Ok,
        Severity::Info,
        Severity::Warning,
        Severity::Critical,
    ];
    let at = order.iter().position(|known| *known == severity);
    at.unwrap_or(order.len())
}

/// Whether each message of it goes to one consumer, by the words that servers share.
fn is_queue(destination: &str) -> bool {
    ["/queue/", "/amq/queue/"]
        .iter()
        .any(|begin| destination.starts_with(begin))
}

/// A topic's name from the last two parts of its destination.
fn name(destination: &str, taken: &BTreeSet<String>) -> String {
    let parts = destination
        .split(['/', '.', '{', '}', ' '])
        .filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts
        .filter(|part| !matches!(*part, "topic" | "queue" | "exchange" | "amq"))
        .collect();
    let last = &parts[parts.len().saturating_sub(2)..];
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = last
        .join("-")
        .chars()
        .filter(allowed)
        .take(NAME_CHARS_MAX)
        .collect();
    let name = match name.trim_matches('-') {
        "" => "devices".to_owned(),
        name => name.to_owned(),
    };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.clone())
}

/// A TOML basic string; JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{self, Environment};

    fn draft(destinations: &[&str]) -> Draft {
        let answers = Answers {
            url: "http://h/ws".to_owned(),
            destinations: destinations.iter().map(|text| (*text).to_owned()).collect(),
            login: None,
            passcode: None,
            host: None,
        };
        Draft::new(&answers, Path::new("config.toml")).expect("a draft")
    }

    fn heard(topic: &str, bodies: Vec<Value>) -> Heard {
        let heard = HeardTopic {
            messages: bodies.len(),
            bodies,
            ..HeardTopic::default()
        };
        Heard {
            topics: [(topic.into(), heard)].into(),
        }
    }

    /// The text, which the daemon accepts without a warning.
    fn accepted(draft: &Draft) -> String {
        let text = draft.text();
        let environment = Environment::default();
        let plan = config::parse(Path::new("/x/config.toml"), text.clone(), &environment);
        let plan = plan.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert!(lines.count() <= 20, "{text}");
        text
    }

    #[test]
    fn without_a_message_the_defaults_stand_there() {
        let draft = draft(&["/topic/state/1"]);
        let expected = "[topics.state-1]\ndestination = \"/topic/state/1\"\n\n[states]\n\
                        \"正常\" = { name = \"normal\", severity = \"ok\" }\n\
                        \"离线\" = { name = \"offline\", severity = \"warning\" }\n\
                        \"故障\" = { name = \"fault\", severity = \"critical\" }\n\n[sinks.history]\n";
        let text = accepted(&draft);
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_was_heard_becomes_fields_and_states() {
        let mut draft = draft(&["/topic/state/1"]);
        let message = |old: &str, new: &str| json!({"data": [{"devId": 1, "lastStatus": old, "status": new}]});
        let bodies = vec![
            json!(7),
            message("online", "offline"),
            message("offline", "爆炸\""),
        ];
        draft.learn(&heard("state-1", bodies));
        let text = accepted(&draft);
        for expected in [
            "items = \"/data\"\n",
            "fields = { device = \"/devId\", old_state = \"/lastStatus\", new_state = \"/status\" }\n",
            "\"online\" = { name = \"online\", severity = \"ok\" }\n",
            "\"offline\" = { name = \"offline\", severity = \"warning\" }\n",
            "# \"爆炸\\\"\" = { severity = \"warning\" }\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        // None of the usual words was among them.
        assert!(!text.contains("正常"), "{text}");
        assert!(draft.findings()[0].contains("3 fields are proposed; states seen: 3"));
    }

    #[test]
    fn a_field_that_is_no_state_fills_no_vocabulary() {
        let mut draft = draft(&["/topic/a"]);
        let bodies = (0..40).map(|n| json!({"deviceId": n, "newState": format!("w{n}")}));
        draft.learn(&heard("a", bodies.collect()));
        assert!(!accepted(&draft).contains("w1"));
        assert!(draft.findings()[1].contains("more than 20 states"));
    }

    #[test]
    fn a_queue_is_acknowledged_and_names_are_unlike() {
        let draft = draft(&[
            "/queue/a.b",
            "/topic/x/a/b",
            "/topic/",
            "//",
            "/topic/状态/{{ n",
        ]);
        let names: Vec<&str> = draft
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .collect();
        assert_eq!(names, ["a-b", "a-b-2", "devices", "devices-2", "n"]);
        assert!(
            draft
                .text()
                .contains("\"/queue/a.b\"\nack = \"client-individual\"\n")
        );
    }

    #[test]
    fn a_url_that_holds_a_secret_makes_a_file_for_its_owner() {
        let privacy = |url: &str| {
            let answers = Answers {
                url: url.to_owned(),
                destinations: vec!["/topic/a".to_owned()],
                login: None,
                passcode: None,
                host: None,
            };
            Draft::new(&answers, Path::new("c")).map(|draft| draft.privacy())
        };
        assert_eq!(privacy("ws://h/ws").ok(), Some(Privacy::Usual));
        assert_eq!(privacy("ws://h/ws?token=x").ok(), Some(Privacy::Owner));
        assert!(privacy("h:9004").is_ok() && privacy("not a url").is_err());
    }
}
