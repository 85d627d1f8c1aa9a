//! What the devices of a history are called, and their states. A view that has no serial numbers
//! still gets the names that go by them.

use std::collections::HashMap;

use crate::model::{Label, Named, Names, Severity};
use crate::sinks::history::question::{DeviceKey, Filter, Question};
use crate::sinks::history::reader::{ReadError, Reader};
use crate::sinks::history::row::Row;

/// The labels of the devices of one history.
#[derive(Debug, Default)]
pub(super) struct Labels {
    names: Option<Names>,
    /// The devices that are named by their serial numbers.
    by_serial: HashMap<DeviceKey, Label>,
    /// The names of words that platforms send for states.
    states: HashMap<String, String>,
}

impl Labels {
    /// Finds the devices whose serial numbers have a name.
    pub(super) async fn of(names: Option<Names>, reader: &mut Reader) -> Result<Labels, ReadError> {
        let mut by_serial = HashMap::new();
        if let Some(names) = names.as_ref().filter(|names| names.has_serials()) {
            let question = Question::Devices;
            let fields = question.fields();
            let mut each = |values: Vec<_>| {
                let row = Row::new(fields, &values);
                let key = row.device();
                let label = names.of(&key.client_id, &key.device_id, row.serial());
                if let Some(label) = label {
                    by_serial.insert(key, label.clone());
                }
            };
            reader
                .each(&question, &Filter::default(), None, &mut each)
                .await?;
        }
        Ok(Labels {
            names,
            by_serial,
            states: HashMap::new(),
        })
    }

    /// Learns what the history's vocabulary calls each word. One that has had several meanings stays
    /// as it was sent, and who may not read the vocabulary sees the words.
    pub(super) async fn learn_states(&mut self, reader: &mut Reader) {
        self.states = of_one_meaning(words(reader).await.unwrap_or_default());
    }

    /// The name of the state that a word stands for.
    pub(super) fn state<'t>(&'t self, word: &'t str) -> &'t str {
        self.states.get(word).map_or(word, String::as_str)
    }

    /// There are none.
    pub(super) fn are_absent(&self) -> bool {
        self.names.is_none()
    }

    /// The label of the device of a row.
    pub(super) fn of_row(&self, row: &Row<'_>) -> Option<&Label> {
        let names = self.names.as_ref()?;
        let key = row.device();
        let label = names.of(&key.client_id, &key.device_id, row.serial());
        label.or_else(|| self.by_serial.get(&key))
    }

    /// The devices of that name.
    pub(super) fn named(&self, name: &str) -> Chosen {
        self.chosen(|label| label.name.as_deref() == Some(name))
    }

    /// The devices of a group.
    pub(super) fn grouped(&self, group: &str) -> Chosen {
        self.chosen(|label| label.group.as_deref() == Some(group))
    }

    /// The names of all devices that have one.
    pub(super) fn device_names(&self) -> Vec<String> {
        let names = self.names.iter().flat_map(Names::iter);
        let names = names.filter_map(|(_, label)| label.name.as_deref());
        names.map(str::to_owned).collect()
    }

    /// The serial numbers that [names] has.
    pub(super) fn serials(&self) -> Vec<String> {
        let names = self.names.iter().flat_map(Names::iter);
        let serials = names.filter_map(|(named, _)| match named {
            Named::Serial(serial) => Some(serial.to_owned()),
            Named::Device(_) => None,
        });
        serials.collect()
    }

    /// Whether [names] has a device by its client and its id.
    pub(super) fn has_ids(&self, device: &str) -> bool {
        let mut names = self.names.iter().flat_map(Names::iter);
        names.any(|(named, _)| named == Named::Device(device))
    }

    /// Every group, in order.
    pub(super) fn groups(&self) -> Vec<&str> {
        let names = self.names.iter().flat_map(Names::iter);
        let mut groups: Vec<&str> = names
            .filter_map(|(_, label)| label.group.as_deref())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    fn chosen(&self, wanted: impl Fn(&Label) -> bool) -> Chosen {
        let names = self.names.as_ref();
        let by_ids = names.and_then(|names| names.chosen(&wanted));
        let mut chosen = Chosen {
            is_known: by_ids.is_some(),
            devices: by_ids.unwrap_or_default(),
        };
        let by_serial = self.by_serial.iter().filter(|(_, label)| wanted(label));
        let ids = by_serial.map(|(key, _)| (key.client_id.clone(), key.device_id.clone()));
        chosen.devices.extend(ids);
        chosen.devices.sort_unstable();
        chosen.devices.dedup();
        chosen
    }
}

fn of_one_meaning(words: Vec<Word>) -> HashMap<String, String> {
    let mut meanings: HashMap<String, Option<String>> = HashMap::new();
    for Word { word, state, .. } in words {
        let meaning = meanings.entry(word).or_insert_with(|| Some(state.clone()));
        if meaning.as_ref() != Some(&state) {
            *meaning = None;
        }
    }
    let of_one = |(word, state): (String, Option<String>)| Some((word, state?));
    meanings.into_iter().filter_map(of_one).collect()
}

/// A word for a state, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) word: String,
    pub(super) state: String,
    pub(super) severity: Severity,
}

/// The words for states, the newest meaning of a word last.
pub(super) async fn words(reader: &mut Reader) -> Result<Vec<Word>, ReadError> {
    let question = Question::Words;
    let rows = reader.rows(&question, &Filter::default(), None).await?;
    let word = |values: &Vec<_>| {
        let row = Row::new(question.fields(), values);
        Word {
            word: row.text("word").to_owned(),
            state: row.text("state").to_owned(),
            severity: row.severity(),
        }
    };
    Ok(rows.iter().map(word).collect())
}

/// The names that a word as sent has had. Who may not read the vocabulary knows names alone.
pub(super) async fn names_of(reader: &mut Reader, word: &str) -> Vec<String> {
    let words = words(reader).await.unwrap_or_default().into_iter();
    words
        .filter_map(|it| (it.word == word).then_some(it.state))
        .collect()
}

/// Devices that [names] speaks of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// [names] has the name or group; the history may still have none of its devices.
    pub(super) is_known: bool,
    /// Client and device.
    pub(super) devices: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_has_had_two_meanings_stays_as_it_was_sent() {
        let word = |word: &str, state: &str| Word {
            word: word.to_owned(),
            state: state.to_owned(),
            severity: Severity::Ok,
        };
        let states = of_one_meaning(vec![
            word("正常", "normal"),
            word("离线", "offline"),
            word("正常", "normal"),
            word("离线", "gone"),
        ]);
        assert_eq!(
            states,
            HashMap::from([("正常".to_owned(), "normal".to_owned())])
        );
    }
}
