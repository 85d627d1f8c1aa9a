//! The lines of `tap`: which statuses are wanted, and how each is printed.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::live::{self, printable};
use super::print::tell;
use super::received::Found;
use crate::excerpt::beginning;
use crate::model::StatusEvent;
use crate::pipeline::Decoder;
use crate::source::in_short;

/// Where nothing comes for this long, a person wonders whether it works at all.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// Characters of a body that are shown where it cannot be decoded.
const EXCERPT_CHARS: usize = 80;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// Of a status without a journal: nothing that names one.
    Json,
    /// The same of a journal's entry.
    JsonOfEntry,
}

/// Which statuses are printed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter<'a> {
    pub(super) device: Option<&'a str>,
    pub(super) state: Option<&'a str>,
    pub(super) changed: bool,
}

impl Filter<'_> {
    /// Whether a status is; what cannot be decoded is nobody's.
    fn takes(&self, found: &Found<'_>) -> bool {
        match found {
            Found::Status(status) => self.takes_status(status),
            Found::Nothing { .. } => self.takes_all(),
        }
    }

    /// Whether it leaves nothing out.
    pub(super) fn takes_all(&self) -> bool {
        self.device.is_none() && self.state.is_none() && !self.changed
    }

    pub(super) fn takes_status(&self, status: &StatusEvent) -> bool {
        let is = |wanted: Option<&str>, found: &[&str]| {
            wanted.is_none_or(|wanted| found.contains(&wanted))
        };
        let is_of = |device: &str| status.is_of(device) || status.serial.as_deref() == Some(device);
        self.device.is_none_or(is_of)
            && is(self.state, &[&status.state, &status.new_state])
            && (status.changed || !self.changed)
    }
}

/// Prints lines until enough are printed.
pub(super) struct Lines<'a> {
    form: Form,
    filter: Filter<'a>,
    topics: HashSet<&'a str>,
    left: u64,
}

impl<'a> Lines<'a> {
    /// Lines of these topics, at most `count`.
    pub(super) fn new(
        form: Form,
        filter: Filter<'a>,
        topics: impl IntoIterator<Item = &'a str>,
        count: Option<u64>,
    ) -> Lines<'a> {
        Lines {
            form,
            filter,
            topics: topics.into_iter().collect(),
            left: count.unwrap_or(u64::MAX),
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.left > 0
    }

    /// A message was shown elsewhere.
    pub(super) fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Says what there is where nothing comes. Not for a program, which reads standard output.
    pub(super) fn nothing_yet(&self, what: &str) {
        let mut names: Vec<&str> = self.topics.iter().copied().collect();
        names.sort_unstable();
        let count = match names.len() {
            1 => "1 topic".to_owned(),
            count => format!("{count} topics"),
        };
        tell!(
            "{what}, {count} ({}), nothing yet; `stomp-bridge doctor` says whether each is subscribed",
            in_short(&names)
        );
    }

    /// A line, where it is wanted.
    pub(super) fn print(
        &mut self,
        topic: &str,
        decoder: &Decoder,
        found: &Found<'_>,
    ) -> anyhow::Result<()> {
        if self.left == 0 || !self.topics.contains(topic) || !self.filter.takes(found) {
            return Ok(());
        }
        self.left -= 1;
        let mut out = io::stdout();
        match (self.form, found) {
            (Form::Text, Found::Status(status)) => live::print(status, decoder)?,
            (Form::Text, Found::Nothing { error, body }) => {
                let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
                let body = beginning(&String::from_utf8_lossy(body), EXCERPT_CHARS);
                let (error, body) = (printable(error), printable(&body));
                writeln!(out, "{time} {topic} cannot be decoded: {error}: {body}")?;
            }
            (form, found) => writeln!(out, "{}", json(form, topic, found)?)?,
        }
        Ok(())
    }
}

fn json(form: Form, topic: &str, found: &Found<'_>) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Undecoded<'a> {
        topic: &'a str,
        error: &'a str,
        body: &'a str,
    }
    Ok(match found {
        Found::Status(status) => {
            let mut status = serde_json::to_value(status)?;
            if let (Form::Json, Some(fields)) = (form, status.as_object_mut()) {
                // Names of journal entries, and there is none.
                fields.retain(|name, _| {
                    !matches!(name.as_str(), "event_id" | "origin" | "missed_transition")
                });
            }
            status.to_string()
        }
        Found::Nothing { error, body } => serde_json::to_string(&Undecoded {
            topic,
            error,
            body: &String::from_utf8_lossy(body),
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Label;

    #[test]
    fn a_filter_takes_a_device_as_other_verbs_and_by_serial_and_a_state_by_word_or_name() {
        let mut status = StatusEvent::sample();
        (status.device_id, status.serial) = ("7".into(), Some("5223".into()));
        status.client_id = "1".into();
        status.label = Some(Label {
            name: Some("pump".into()),
            group: None,
        });
        (status.new_state, status.state) = ("故障".into(), "fault".into());
        status.changed = false;
        let check = |device, state, changed, expected: bool| {
            let filter = Filter {
                device,
                state,
                changed,
            };
            assert_eq!(filter.takes_status(&status), expected, "{filter:?}");
        };
        check(None, None, false, true);
        check(Some("7"), Some("fault"), false, true);
        check(Some("5223"), Some("故障"), false, true);
        check(Some("1/7"), None, false, true);
        check(Some("pump"), None, false, true);
        check(Some("2/7"), None, false, false);
        check(Some("8"), None, false, false);
        check(None, Some("normal"), false, false);
        check(None, None, true, false);
    }
}
