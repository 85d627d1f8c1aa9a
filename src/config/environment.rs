//! What the process is given besides its configuration file: variables and folders. A value, so
//! that tests give their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables with this prefix override the file: `STOMP_BRIDGE_SOURCE__URL` is `source.url`.
pub(super) const PREFIX: &str = "STOMP_BRIDGE_";
/// Variables with this prefix are secrets: `STOMP_BRIDGE_SECRET_DB` is `secret('db')`.
pub(super) const SECRET_PREFIX: &str = "STOMP_BRIDGE_SECRET_";

/// The tables of the file.
const TABLES: [&str; 7] = [
    "SOURCE", "TOPICS", "STATES", "JOURNAL", "SINKS", "NAMES", "HTTP",
];

/// The keys of the file that lie in no table.
const KEYS: [&str; 2] = ["watch", "ready_timeout"];

/// The environment of a process.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables, as far as they are Unicode.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Environment {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment {
            variables: std::env::vars_os().filter_map(unicode).collect(),
        }
    }

    /// systemd's `LoadCredential=` folder.
    pub fn credentials(&self) -> Option<PathBuf> {
        self.folder("CREDENTIALS_DIRECTORY")
    }

    /// systemd's `StateDirectory=` folder, the first of them.
    pub fn state(&self) -> Option<PathBuf> {
        self.folder("STATE_DIRECTORY")
    }

    /// Variables that override keys: their names, paths (in lower case) and values. Nearly every key
    /// lies in a table, so another name without `__` is not one (`STOMP_BRIDGE_CONFIG`).
    pub(super) fn overrides(&self) -> impl Iterator<Item = (&str, Vec<String>, &str)> {
        self.variables.iter().filter_map(|(name, value)| {
            let path = name
                .strip_prefix(PREFIX)
                .filter(|_| !name.starts_with(SECRET_PREFIX))?;
            let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            let is_key = path.len() > 1 || KEYS.contains(&path[0].as_str());
            is_key.then_some((name.as_str(), path, value.as_str()))
        })
    }

    /// Variables that look like overrides but for a `_` that should be two, and what they should
    /// be.
    pub(super) fn misspelt(&self) -> impl Iterator<Item = (&str, String)> {
        self.variables.keys().filter_map(|name| {
            let path = name
                .strip_prefix(PREFIX)
                .filter(|path| !path.contains("__"))?;
            let (table, key) = path.split_once('_')?;
            TABLES
                .contains(&table)
                .then(|| (name.as_str(), format!("{PREFIX}{table}__{key}")))
        })
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.variables
            .get(name)?
            .split(':')
            .next()
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::Root;
    use super::*;
    use schemars::schema_for;

    #[test]
    fn each_key_without_a_table_has_its_variable_and_each_table_is_known() {
        let schema = schema_for!(Root).to_value();
        let all = schema["properties"].as_object().unwrap();
        let (mut keys, mut tables) = (Vec::new(), Vec::new());
        for (name, key) in all {
            // A table is a reference to its type, or takes any name; no variable reaches a list.
            match key.get("type").and_then(serde_json::Value::as_str) {
                Some("array") => {}
                Some("object") | None if name != "watch" && name != "ready_timeout" => {
                    tables.push(name.to_uppercase());
                }
                _ => keys.push(name.as_str()),
            }
        }
        keys.sort_unstable();
        let mut known = KEYS;
        known.sort_unstable();
        assert_eq!(keys, known);
        let without_secrets = tables.iter().filter(|name| *name != "SECRETS");
        let mut without_secrets: Vec<&String> = without_secrets.collect();
        without_secrets.sort_unstable();
        let mut known = TABLES;
        known.sort_unstable();
        assert_eq!(without_secrets, known);
    }

    #[test]
    fn a_variable_overrides_a_key_with_or_without_a_table() {
        let given = [
            ("STOMP_BRIDGE_WATCH", "true"),
            ("STOMP_BRIDGE_SOURCE__URL", "ws://h"),
            ("STOMP_BRIDGE_CONFIG", "x"),
            ("STOMP_BRIDGE_SECRET_A", "hunter2"),
        ];
        let variables = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment {
            variables: variables.into(),
        };
        let overrides = environment.overrides().map(|(_, path, _)| path.join("."));
        assert_eq!(overrides.collect::<Vec<_>>(), ["source.url", "watch"]);
    }
}
