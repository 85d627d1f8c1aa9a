//! The vocabulary of states: what a platform's own words mean.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::Severity;

/// What one word means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The vocabulary's name for it.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
}

/// The words of a platform. An unknown word keeps its own name and has [`Severity::Unknown`]; it is
/// never an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States {
    /// By the word as sent, without the blanks around it.
    pub words: HashMap<String, State>,
}

impl States {
    /// The vocabulary's name of a word, and how much it matters. Blanks around it do not count.
    pub fn lookup<'a>(&'a self, word: &'a str) -> (&'a str, Severity) {
        let word = word.trim();
        match self.words.get(word) {
            Some(state) => (&state.name, state.severity),
            None => (word, Severity::Unknown),
        }
    }

    /// Whether the vocabulary has the word.
    pub fn knows(&self, word: &str) -> bool {
        self.words.contains_key(word.trim())
    }

    /// A word for each name that it gives, for a reader of Chinese: of several, one that is not in
    /// ASCII, the shortest, the first in the order of the alphabet.
    pub fn words_by_name(&self) -> BTreeMap<&str, &str> {
        let mut words: Vec<(&str, &str)> = self
            .words
            .iter()
            .map(|(word, state)| (state.name.as_str(), word.as_str()))
            .collect();
        // Of one name the last one stays.
        words.sort_by_key(|(_, word)| Reverse((word.is_ascii(), word.chars().count(), *word)));
        words.into_iter().collect()
    }

    /// Every name that it gives, in the order of the alphabet.
    pub fn names(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.words.values().map(|it| it.name.as_str()).collect();
        names.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_word_and_rather_a_chinese_one() {
        let states = [
            ("fault", "FAULT"),
            ("fault", "设备故障"),
            ("fault", "故障"),
            ("offline", "OFF"),
        ];
        let states = States {
            words: states
                .into_iter()
                .map(|(name, word)| {
                    let state = State {
                        name: name.to_owned(),
                        severity: Severity::Unknown,
                    };
                    (word.to_owned(), state)
                })
                .collect(),
        };
        let expected = BTreeMap::from([("fault", "故障"), ("offline", "OFF")]);
        assert_eq!(states.words_by_name(), expected);
    }

    #[test]
    fn an_unknown_word_keeps_its_own_name() {
        let fault = State {
            name: "fault".to_owned(),
            severity: Severity::Critical,
        };
        let states = States {
            words: HashMap::from([("故障".to_owned(), fault)]),
        };
        assert_eq!(states.lookup("故障"), ("fault", Severity::Critical));
        assert_eq!(states.lookup("着火"), ("着火", Severity::Unknown));
        // Full-width blanks, too.
        assert_eq!(
            states.lookup("\u{3000}故障 "),
            ("fault", Severity::Critical)
        );
        assert_eq!(states.lookup(" 着火\u{3000}"), ("着火", Severity::Unknown));
        assert!(states.knows("故障 ") && !states.knows("着火"));
    }
}
