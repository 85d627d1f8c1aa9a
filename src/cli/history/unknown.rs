//! What a filter names that neither the history nor the configuration has. An answer without rows
//! would be taken for a good one there.

use anyhow::bail;

use super::labels::words;
use super::meant::meant;
use super::place::{Configured, History};
use crate::cli::print::harmless;
use crate::model::Severity;
use crate::pipeline::nearest;
use crate::sinks::history::question::{Filter, Known, Question};
use crate::sinks::history::reader::{ReadError, Reader};
use crate::sinks::history::row::Row;
use crate::source::by_name;

/// Names of one kind that are read.
const NAMES_MAX: usize = 10_000;
/// Names that are shown.
const SHOWN_MAX: usize = 10;

/// What a command line names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) stream: Option<&'a str>,
    pub(super) topic: Option<&'a str>,
    pub(super) state: Option<&'a str>,
    /// A state of the severity critical: no other is ever a fault.
    pub(super) fault: Option<&'a str>,
    pub(super) device: Option<&'a str>,
    pub(super) serial: Option<&'a str>,
}

impl Wanted<'_> {
    /// For an answer that has no rows.
    ///
    /// # Errors
    /// One of these is unknown.
    pub(super) async fn check(&self, history: &mut History) -> anyhow::Result<()> {
        match self.unknown(history).await? {
            Some(unknown) => bail!(unknown),
            None => Ok(()),
        }
    }

    /// The first of these that nobody has, in a sentence that says which there are. `None`: each is
    /// known, or this user may not read which are.
    ///
    /// # Errors
    /// The history cannot be read any longer.
    pub(super) async fn unknown(&self, history: &mut History) -> Result<Option<String>, ReadError> {
        let configured = history.configured();
        match self.look_up(history, configured).await {
            Err(error @ (ReadError::Slow(..) | ReadError::Changed(_) | ReadError::Replaced(_))) => {
                Err(error)
            }
            // Who may read the views alone may not read the tables.
            Err(_) => Ok(None),
            Ok(unknown) => Ok(unknown),
        }
    }

    async fn look_up(
        &self,
        history: &mut History,
        configured: Configured,
    ) -> Result<Option<String>, ReadError> {
        let History { reader, labels, .. } = history;
        if let Some(stream) = self.stream {
            let known = configured.streams;
            if !is_known(reader, Known::Streams, stream, &known).await? {
                return sentence(reader, ("stream", stream), Known::Streams, known).await;
            }
        }
        if let Some(topic) = self.topic {
            let known = configured.topics;
            if !is_known(reader, Known::Topics, topic, &known).await? {
                return sentence(reader, ("topic", topic), Known::Topics, known).await;
            }
        }
        if let Some(state) = self.state.or(self.fault) {
            let mut states = words(reader).await?;
            states.extend(configured.states);
            let noun = match self.fault {
                Some(_) => "critical state",
                None => "state",
            };
            states.retain(|it| self.fault.is_none() || it.severity == Severity::Critical);
            if !states
                .iter()
                .any(|it| it.word == state || it.state == state)
            {
                let names = states.into_iter().map(|it| it.state).collect();
                return Ok(Some(unknown(noun, state, names)));
            }
        }
        if let Some(serial) = self.serial {
            let known = labels.serials();
            if !is_known(reader, Known::Serials, serial, &known).await? {
                return sentence(reader, ("serial number", serial), Known::Serials, known).await;
            }
        }
        if let Some(device) = self.device
            && !is_device(history, device).await?
        {
            let History { reader, labels, .. } = history;
            let names = labels.device_names();
            let said = sentence(reader, ("device", device), Known::Devices, names).await?;
            let is_name = !device.contains('/') && device.chars().any(char::is_alphabetic);
            let hint = match labels.are_absent() && is_name {
                true => "; without [names] no device has a name",
                false => "",
            };
            return Ok(said.map(|said| said + hint));
        }
        Ok(None)
    }
}

/// Whether the configuration or the history has a name.
async fn is_known(
    reader: &mut Reader,
    what: Known,
    name: &str,
    configured: &[String],
) -> Result<bool, ReadError> {
    if configured.iter().any(|known| known == name) {
        return Ok(true);
    }
    let question = Question::Known(what, Some(name.to_owned()));
    let rows = reader.rows(&question, &Filter::default(), Some(1)).await?;
    Ok(!rows.is_empty())
}

/// Whether a text is a name of [names], or the ids of a device that is named or was ever stored.
async fn is_device(history: &mut History, device: &str) -> Result<bool, ReadError> {
    if history.labels.named(device).is_known || history.labels.has_ids(device) {
        return Ok(true);
    }
    let Ok(devices) = meant(device, None, history).await? else {
        return Ok(true);
    };
    let filter = Filter {
        devices,
        ..Filter::default()
    };
    let question = Question::Devices;
    let rows = history.reader.rows(&question, &filter, Some(1)).await?;
    Ok(!rows.is_empty())
}

async fn sentence(
    reader: &mut Reader,
    (noun, name): (&str, &str),
    what: Known,
    mut known: Vec<String>,
) -> Result<Option<String>, ReadError> {
    let question = Question::Known(what, None);
    let rows = reader
        .rows(&question, &Filter::default(), Some(NAMES_MAX))
        .await?;
    let stored = rows
        .iter()
        .map(|values| Row::new(question.fields(), values));
    known.extend(stored.map(|row| row.text("name").to_owned()));
    Ok(Some(unknown(noun, name, known)))
}

/// That there is no such name, which one was meant, and which there are: the closest first.
fn unknown(noun: &str, name: &str, mut known: Vec<String>) -> String {
    let order = |a: &String, b: &String| {
        let alike = same_begin(b, name).cmp(&same_begin(a, name));
        alike.then_with(|| by_name(a, b))
    };
    known.sort_by(order);
    known.dedup();
    let shown_name = harmless(name);
    if known.is_empty() {
        return format!("there is no {noun} {shown_name}: none is known yet");
    }
    let lower = name.to_lowercase();
    let same = known.iter().find(|known| known.to_lowercase() == lower);
    // Of two ids that differ in a digit, neither is the other.
    let near = || match noun {
        "device" | "serial number" => None,
        _ => nearest(name, known.iter().map(String::as_str)),
    };
    let meant = same.map(String::as_str).or_else(near);
    let meant = meant.map(|meant| format!("; did you mean {}?", harmless(meant)));
    let shown: Vec<String> = known
        .iter()
        .take(SHOWN_MAX)
        .map(|it| harmless(it))
        .collect();
    let more = if known.len() > shown.len() {
        ", …"
    } else {
        ""
    };
    let (end, verb) = match &meant {
        Some(meant) => (meant.as_str(), " Known"),
        None => ("", "; known"),
    };
    let are = if known.len() == 1 { "is" } else { "are" };
    format!(
        "there is no {noun} {shown_name}{end}{verb} {are} {}{more}",
        shown.join(", ")
    )
}

/// How many characters two names begin with alike, in whichever case.
fn same_begin(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_said_with_the_closest_known_ones() {
        let check = |noun, name, known: &[&str], expected: &str| {
            let known = known.iter().map(|&known| known.to_owned()).collect();
            assert_eq!(unknown(noun, name, known), expected);
        };
        check(
            "topic",
            "map1",
            &[],
            "there is no topic map1: none is known yet",
        );
        check(
            "topic",
            "map1",
            &["status", "map-1"],
            "there is no topic map1; did you mean map-1? Known are map-1, status",
        );
        check(
            "state",
            "Fault",
            &["offline", "fault", "offline"],
            "there is no state Fault; did you mean fault? Known are fault, offline",
        );
        check(
            "topic",
            "x",
            &["map-1"],
            "there is no topic x; known is map-1",
        );
        // An id is not meant by another one.
        check(
            "device",
            "1/",
            &["2/1", "1/10", "1/9"],
            "there is no device 1/; known are 1/9, 1/10, 2/1",
        );
        check(
            "serial number",
            "SN-1",
            &["sn-2", "sn-1"],
            "there is no serial number SN-1; did you mean sn-1? Known are sn-1, sn-2",
        );
        let many: Vec<String> = (10..30).map(|id| id.to_string()).collect();
        let said = unknown("device", "9\u{1b}[2J", many);
        assert!(
            said.ends_with("18, 19, …") && !said.contains('\u{1b}'),
            "{said}"
        );
    }
}
