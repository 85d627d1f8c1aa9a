//! Takes up another configuration while the daemon runs. What is the same is not touched: the
//! connection of the source lives on, and so do the sinks. A configuration that cannot be used
//! changes nothing.

use anyhow::Context;
use tracing::{error, info, warn};

use super::App;
use super::change::Change;
use super::fleet::Recruit;
use crate::config::{self, Environment, Level, Plan, Problem, Problems};
use crate::ops::systemd;

/// Why the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Somebody has asked for it.
    Signal,
    /// Something has happened in the file's folder.
    Folder,
}

impl App {
    /// Reads the configuration again and takes up what is another. systemd hears of the end however
    /// it ends.
    ///
    /// # Errors
    /// A task has failed meanwhile, or the journal: the process is to end.
    pub(super) async fn reload(&mut self, occasion: Occasion) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.config).ok();
        if occasion == Occasion::Folder && (text.is_none() || text == self.read) {
            // Another file, or the moment between an editor's two steps.
            return Ok(());
        }
        info!(config = %self.config.display(), ?occasion, "reading the configuration again");
        systemd::reloading();
        let plan = match &text {
            Some(text) => config::parse(&self.config, text.clone(), &Environment::of_process()),
            // Says why.
            None => config::load(&self.config),
        };
        self.read = text;
        let outcome = match plan {
            Ok(plan) => self.take_up(plan).await,
            Err(problems) => {
                refuse(&problems);
                Ok(())
            }
        };
        systemd::ready(self.view.source.link().state.as_str());
        outcome
    }

    async fn take_up(&mut self, plan: Plan) -> anyhow::Result<()> {
        for warning in &plan.warnings {
            warn!(config = %self.config.display(), "{warning}");
        }
        let change = Change::between(&self.plan, &plan);
        for key in &change.restart {
            warn!(
                key,
                "only a restart takes this up; the rest is taken up now"
            );
        }
        if change.is_empty() {
            info!("nothing to be taken up: the configuration is as it was");
            return Ok(());
        }
        // All that can fail comes first.
        let recruits = match self.recruits(&plan, &change) {
            Ok(recruits) => recruits,
            Err(error) => {
                error!(
                    error = format!("{error:#}"),
                    "nothing is changed: the new configuration cannot be used"
                );
                return Ok(());
            }
        };
        // Sinks before topics: one that is new is to have all that a new topic brings.
        if !change.sinks.ending().is_empty() {
            self.fleet
                .dismiss(&change.sinks.ending(), &mut self.tasks, &mut self.expected)
                .await?;
        }
        self.decoders.replace(plan.decoders.clone());
        self.fleet
            .register(&plan.sinks, Some(&change.sinks.removed))
            .await?;
        self.fleet
            .start(recruits, &plan.sinks, &mut self.tasks, &mut self.expected);
        if change.concerns_source() {
            self.source
                .reload(plan.source.clone(), plan.decoders.clone())
                .await?;
        }
        if change.watch {
            self.watch(plan.watch);
        }
        info!(
            topics = %change.topics, sinks = %change.sinks, decoding = change.decoding, source = change.source,
            "the configuration is taken up"
        );
        // What only a restart takes up stays as it is.
        let (journal, http) = (self.plan.journal.clone(), self.plan.http.clone());
        self.plan = Plan {
            journal,
            http,
            ..plan
        };
        Ok(())
    }

    /// The sinks that are to begin, built.
    fn recruits(&self, plan: &Plan, change: &Change) -> anyhow::Result<Vec<Recruit>> {
        if change.source {
            crate::tls::client_config(&plan.source.tls).context("source.tls")?;
        }
        let beginning = change.sinks.beginning();
        let beginning = plan
            .sinks
            .iter()
            .filter(|(delivery, _)| beginning.contains(&delivery.name));
        beginning
            .map(|(delivery, settings)| Recruit::new(delivery, settings))
            .collect()
    }
}

/// Says everything that is wrong, as `check` does.
fn refuse(problems: &Problems) {
    for Problem {
        level,
        place,
        path,
        message,
        help,
    } in &problems.0
    {
        let (at, help) = (place.to_string(), help.as_deref().unwrap_or_default());
        match level {
            Level::Error => error!(at, key = path, help, "{message}"),
            Level::Warning => warn!(at, key = path, help, "{message}"),
        }
    }
    error!(
        problems = problems.0.len(),
        "nothing is changed: the configuration has mistakes"
    );
}
