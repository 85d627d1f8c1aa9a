//! Where the histories of a daemon lie, in the order of its configuration: all that a person needs
//! who asks one. What else is wrong with the file does not matter, nor does another sink's secret.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use toml::de::DeTable;

use super::context::Folders;
use super::environment::Environment;
use super::lookup::{tables_of, text_of, value};
use super::problem::Problems;
use super::schema::{self, TIMEZONE_DEFAULT};
use super::secret::{Secrets, Within};
use super::template::{Draft, Scope};
use crate::pipeline::Mapping;
use crate::sinks::history::reader::Store;

/// A sink that is a history.
#[derive(Debug, Clone)]
pub struct HistoryPlace {
    /// The sink's name.
    pub name: String,
    /// Where it is, or why that is not known.
    pub store: Result<Store, String>,
    /// The zone of its days.
    pub zone: TimeZone,
}

/// What a file says of it, under the environment of this process.
///
/// # Errors
/// The file cannot be read.
pub fn histories(file: &Path) -> Result<Vec<HistoryPlace>, Problems> {
    histories_in(file, &Environment::of_process())
}

/// The same under a given environment.
///
/// # Errors
/// As [`histories`].
pub fn histories_in(file: &Path, environment: &Environment) -> Result<Vec<HistoryPlace>, Problems> {
    let text = text_of(file)?;
    let table = &tables_of(&text);
    let folders = Folders::of(file, environment);
    let sinks = table
        .get("sinks")
        .and_then(|sinks| sinks.get_ref().as_table());
    let mut sinks: Vec<_> = sinks.into_iter().flatten().collect();
    sinks.sort_by_key(|(name, _)| name.span().start);
    let found = sinks.into_iter().filter_map(|(name, _)| {
        let name = name.get_ref().to_string();
        let sink = Sink {
            name: &name,
            configuration: table,
            environment,
        };
        let store = match sink.text("type")?.as_str() {
            "sqlite" => Ok(sink.sqlite(&folders)),
            "postgres" => sink.postgres(&folders, secrets(table, environment, &folders)),
            _ => return None,
        };
        let zone = sink.zone();
        Some(HistoryPlace { name, store, zone })
    });
    Ok(found.collect())
}

/// Where the secrets are that the file names.
fn secrets(table: &DeTable<'_>, environment: &Environment, folders: &Folders) -> Secrets {
    let written = table
        .get("secrets")
        .and_then(|secrets| secrets.get_ref().as_table());
    let files = written.into_iter().flatten().filter_map(|(name, value)| {
        let value = value.get_ref();
        let file = value
            .as_str()
            .or_else(|| value.as_table()?.get("file")?.get_ref().as_str())?;
        Some((name.get_ref().to_string(), folders.config.join(file)))
    });
    Secrets::new(environment.clone(), files.collect())
}

/// The table of a sink, under the environment.
struct Sink<'a> {
    name: &'a str,
    configuration: &'a DeTable<'a>,
    environment: &'a Environment,
}

impl Sink<'_> {
    fn text(&self, key: &str) -> Option<String> {
        let path = ["sinks", self.name, key];
        value(self.configuration, self.environment, &path)
    }

    /// A name that nobody knows is an error elsewhere.
    fn zone(&self) -> TimeZone {
        let named = self.text("timezone");
        let named = named.filter(|name| name != TIMEZONE_DEFAULT);
        let zone = named.and_then(|name| TimeZone::get(&name).ok());
        zone.unwrap_or_else(|| Mapping::default().zone)
    }

    fn sqlite(&self, folders: &Folders) -> Store {
        let path = self.text("path").map(PathBuf::from);
        let path = path.unwrap_or_else(|| schema::Sqlite::default().path);
        Store::Sqlite(folders.state.join(path))
    }

    fn postgres(&self, folders: &Folders, secrets: Secrets) -> Result<Store, String> {
        let Some(url) = self.text("url") else {
            return Err(format!("the sink {} has no `url`", self.name));
        };
        let url = Draft::read(&url, Within::Url, &Scope::SECRETS, &secrets);
        let url =
            url.map_err(|error| format!("the `url` of the sink {}: {}", self.name, error.message))?;
        Ok(Store::Postgres {
            url: url.text(""),
            schema: self.text("schema"),
            folder: folders.config.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(text: &str, variables: &[(&str, &str)]) -> (PathBuf, Vec<HistoryPlace>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, text).unwrap();
        let variables = variables.iter().map(|(name, value)| (*name, *value));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment {
            variables: variables.collect(),
        };
        let histories = histories_in(&file, &environment).unwrap();
        (folder.path().to_owned(), histories)
    }

    fn names(histories: &[HistoryPlace]) -> Vec<&str> {
        histories.iter().map(|history| &*history.name).collect()
    }

    #[test]
    fn histories_are_those_of_the_file_in_its_order() {
        let text = "[sinks.z]\ntype = \"sqlite\"\npath = \"z.db\"\n[sinks.w]\ntype = \"webhook\"\n\
            [sinks.a]\ntype = \"postgres\"\nurl = \"postgres://u@h/d\"\nschema = \"s\"\n\
            timezone = \"Europe/Berlin\"\n";
        let (folder, histories) = found(text, &[]);
        assert_eq!(names(&histories), ["z", "a"]);
        assert_eq!(histories[0].store, Ok(Store::Sqlite(folder.join("z.db"))));
        let Ok(Store::Postgres { url, schema, .. }) = &histories[1].store else {
            panic!("{:?}", histories[1].store);
        };
        assert_eq!(url.expose_secret(), "postgres://u@h/d");
        assert_eq!(schema.as_deref(), Some("s"));
        let zones = histories.iter().map(|history| history.zone.iana_name());
        let zones: Vec<_> = zones.map(|name| name.unwrap_or("the default")).collect();
        assert_eq!(zones[1], "Europe/Berlin");
        assert_eq!(histories[0].zone, Mapping::default().zone);
    }

    #[test]
    fn what_is_wrong_elsewhere_does_not_matter() {
        let text = "[source]\nurl = \"{{ secret('absent') }}\"\n[sinc]\n[sinks.p]\ntype = \"postgres\"\n\
            url = \"postgres://u:{{ secret('absent') }}@h/d\"\n[sinks.h]\ntype = \"sqlite\"\n[states]\nx = y\n";
        let variables = [("STOMP_BRIDGE_SINKS__H__PATH", "/other.db")];
        let (_, histories) = found(text, &variables);
        assert_eq!(names(&histories), ["p", "h"]);
        let error = histories[0].store.as_ref().unwrap_err();
        assert!(error.contains("secret `absent` not found"), "{error}");
        assert_eq!(histories[1].store, Ok(Store::Sqlite("/other.db".into())));
        assert!(histories_in("/absent/config.toml".as_ref(), &Environment::default()).is_err());
    }
}
