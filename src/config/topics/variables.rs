//! The variables of a `for`, and the topics that they make.

use std::collections::BTreeMap;

use super::TOPICS_MAX;
use crate::config::context::Context;
use crate::config::path::Path;
use crate::config::template::is_name;
use crate::config::units::Each;

/// A topic's variables with their values, in the order in which the names are made.
pub(super) type Variables = Vec<(String, Vec<String>)>;

impl Context<'_> {
    /// The variables of a `for` that can be used.
    pub(super) fn each(&mut self, path: &Path, written: &BTreeMap<String, Each>) -> Variables {
        if written.is_empty() {
            self.report.error_with(
                path,
                "it names no variable",
                "such as for = { client = [1, 2, 3] }",
            );
        }
        let mut variables = Variables::new();
        for (name, Each(values)) in written {
            let path = path.join(name);
            if !is_name(name) || matches!(name.as_str(), "signin" | "secret") {
                let help = "letters, digits and `_`; not signin, not secret";
                self.report
                    .key_error(&path, format!("`{name}` cannot name a variable"), help);
            }
            let values = self.report.take(&path, values.clone());
            if values.as_ref().is_some_and(Vec::is_empty) {
                self.report.error(&path, "an empty list makes no topic");
            }
            if let Some(value) = values.iter().flatten().find(|value| !is_id(value)) {
                let help =
                    "it becomes part of the STOMP subscription id: letters, digits, `-` and `_`";
                self.report.error_with(
                    &path,
                    format!("`{value}` cannot be part of a topic's name"),
                    help,
                );
            }
            variables.push((name.clone(), values.unwrap_or_default()));
        }
        variables
    }

    /// The variables in the order in which they are used first, if they make as many topics as
    /// there is room for.
    pub(super) fn ordered(
        &mut self,
        path: &Path,
        mut each: Variables,
        used: &[String],
        known: bool,
        room: usize,
    ) -> Option<Variables> {
        let place = |name: &str| used.iter().position(|used| used == name);
        for (name, _) in each
            .iter()
            .filter(|(name, _)| known && place(name).is_none())
        {
            let help = format!("write {{{{ {name} }}}} into the destination or a header");
            self.report
                .key_error(&path.join(name), format!("`{name}` is not used"), help);
        }
        each.sort_by_key(|(name, _)| place(name));
        let count = each.iter().try_fold(1_usize, |count, (_, values)| {
            count.checked_mul(values.len())
        });
        match count {
            Some(0) => None,
            Some(count) if count <= room => Some(each),
            _ => {
                let count = count.map_or_else(|| "too many".to_owned(), |count| count.to_string());
                let message =
                    format!("it makes {count} topics, and there may be {TOPICS_MAX} in all");
                self.report.error_with(
                    path,
                    message,
                    "each is a subscription that the server has to keep",
                );
                None
            }
        }
    }
}

/// One value of each variable, in every combination; the last variable's changes first. Of no
/// variables there is one.
pub(super) fn combinations(variables: &Variables) -> Vec<Vec<&str>> {
    variables
        .iter()
        .fold(vec![Vec::new()], |before, (_, values)| {
            let extended = before.iter().flat_map(|before| {
                values.iter().map(move |value| {
                    before
                        .iter()
                        .copied()
                        .chain([value.as_str()])
                        .collect::<Vec<_>>()
                })
            });
            extended.collect()
        })
}

/// What can be a subscription id, or a part of one: no server escapes it in its own way.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_once_and_in_order() {
        let variables = |values: &[&[&str]]| -> Variables {
            let owned = |values: &&[&str]| {
                (
                    String::new(),
                    values.iter().map(|value| (*value).to_owned()).collect(),
                )
            };
            values.iter().map(owned).collect()
        };
        let none: Vec<Vec<&str>> = vec![vec![]];
        assert_eq!(combinations(&variables(&[])), none);
        assert_eq!(combinations(&variables(&[&["1", "2"]])), [["1"], ["2"]]);
        let two = variables(&[&["a", "b"], &["1", "2"]]);
        assert_eq!(
            combinations(&two),
            [["a", "1"], ["a", "2"], ["b", "1"], ["b", "2"]]
        );
    }

    #[test]
    fn an_id_needs_no_escape() {
        for (text, expected) in [
            ("map-1_A", true),
            ("", false),
            ("a.b", false),
            ("故", false),
            ("a:b", false),
        ] {
            assert_eq!(is_id(text), expected, "{text}");
        }
    }
}
