//! Which history a person asks: the first one of the configuration, the one of a name, or a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;

use super::foreign::refuse_foreign;
use super::labels::{Labels, Word};
use crate::cli::config_file::config_file;
use crate::cli::print::tell;
use crate::config::{self, HistoryPlace};
use crate::model::Names;
use crate::sinks::Settings;
use crate::sinks::history::reader::{Reader, Store};

#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// The configuration file of the daemon, of which only the place of its histories and [names]
    /// matter; by default config.toml, else /etc/stomp-bridge/config.toml.
    #[arg(short, long, value_name = "FILE", default_value_os_t = config_file(), hide_default_value = true)]
    config: PathBuf,
    /// The history of this sink; by default the first one of the configuration.
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    sink: Option<String>,
    /// A SQLite history, without any configuration.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A history that is open, and what its devices are called.
#[derive(Debug)]
pub(super) struct History {
    pub(super) reader: Reader,
    pub(super) labels: Labels,
    /// Where it is.
    pub(super) store: Store,
    /// The configuration's file, where it was not left out.
    config: Option<PathBuf>,
}

/// What a configuration names.
#[derive(Debug, Default)]
pub(super) struct Configured {
    pub(super) topics: Vec<String>,
    pub(super) streams: Vec<String>,
    pub(super) states: Vec<Word>,
}

impl History {
    /// What its configuration names; nothing where there is none, or where that cannot be read.
    pub(super) fn configured(&self) -> Configured {
        let config = self.config.as_ref();
        let reading = config.and_then(|config| config::reading(config).ok());
        let decoders = reading.as_ref().and_then(|reading| reading.decoders().ok());
        let decoders = || decoders.into_iter().flat_map(|decoders| decoders.iter());
        let states = decoders().next().map(|(_, decoder)| decoder.states());
        let words = states.into_iter().flat_map(|states| &states.words);
        Configured {
            topics: decoders().map(|(topic, _)| topic.to_string()).collect(),
            streams: decoders().map(|(_, it)| it.stream().to_string()).collect(),
            states: words
                .map(|(word, state)| Word {
                    word: word.clone(),
                    state: state.name.clone(),
                    severity: state.severity,
                })
                .collect(),
        }
    }
}

impl PlaceArgs {
    /// Opens it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) async fn open(&self) -> anyhow::Result<History> {
        let store = self.store()?;
        let mut reader = Reader::open(&store).await?;
        if let Some(doubt) = reader.doubt() {
            tell!("{}: {doubt}", reader.name());
        }
        let labels = Labels::of(self.names(), &mut reader).await?;
        let config = self.file.is_none().then(|| self.config.clone());
        Ok(History {
            reader,
            labels,
            store,
            config,
        })
    }

    /// Where it is.
    ///
    /// # Errors
    /// There is none, or its place is not known, or another kind of file is there.
    pub(super) fn store(&self) -> anyhow::Result<Store> {
        let store = self.named()?;
        if let Store::Sqlite(file) = &store {
            refuse_foreign(file)?;
        }
        Ok(store)
    }

    fn named(&self) -> anyhow::Result<Store> {
        if let Some(file) = &self.file {
            return Ok(Store::Sqlite(file.clone()));
        }
        let histories = config::histories(&self.config).map_err(|problems| {
            anyhow!("{problems}\n--file names a SQLite history without a configuration")
        })?;
        let config = self.config.display();
        let known: Vec<&str> = histories.iter().map(|history| &*history.name).collect();
        let known = known.join(", ");
        let mut histories = histories.into_iter();
        let found = match &self.sink {
            None => histories.next(),
            Some(sink) => histories.find(|history| history.name == *sink),
        };
        match (found, &self.sink) {
            (Some(HistoryPlace { store, .. }), _) => store.map_err(|error| anyhow!("{error}")),
            (None, Some(sink)) if !known.is_empty() => {
                bail!("{config} has no history {sink}; its histories are {known}")
            }
            (None, _) => bail!(
                "{config} has no sink of the type sqlite or postgres; --file names a SQLite history"
            ),
        }
    }

    /// How long the configuration keeps the statuses of this history, where all of it can be used.
    pub(super) fn retention(&self) -> Option<Duration> {
        if self.file.is_some() {
            return None;
        }
        let plan = config::load(&self.config).ok()?;
        let mut histories = plan.sinks.iter().filter_map(|(delivery, settings)| {
            let retention = match settings {
                Settings::Sqlite(settings) => settings.retention,
                Settings::Postgres(settings) => settings.retention,
                _ => return None,
            };
            Some((&*delivery.name, retention))
        });
        let first = config::histories(&self.config).ok()?.into_iter().next();
        let name = self.sink.clone().or(first.map(|history| history.name))?;
        histories.find(|(sink, _)| *sink == name)?.1
    }

    /// Without them the answers are still right.
    fn names(&self) -> Option<Names> {
        if self.file.is_some() {
            return None;
        }
        match config::names(&self.config) {
            Ok(names) => names,
            Err(problem) => {
                tell!("without the names of the devices: {problem}");
                None
            }
        }
    }
}
