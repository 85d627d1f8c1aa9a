//! Applies another configuration while the daemon runs. Unchanged parts are not touched: the source
//! keeps its connection, and the sinks go on. A configuration that cannot be used changes nothing.
//! No file is read here, but by [`super::reading`].

use anyhow::Context;
use tracing::{error, info, warn};

use super::App;
use super::reading::Unread;
use crate::app::diff::Diff;
use crate::app::running_sinks::BuiltSink;
use crate::app::setup::setup;
use crate::app::troubles::Condition;
use crate::config::{self, Environment, Level, NamesFile, Plan, Problem, Problems};
use crate::ops::systemd;
use crate::rotation::{self, SecretFiles};

/// Why the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReloadCause {
    /// Somebody has asked for it.
    Signal,
    /// Something has happened in the file's folder.
    Folder,
    /// The source or a sink is in trouble, or about to connect: a secret may be another by now.
    Trouble,
}

impl ReloadCause {
    /// One word, for log lines.
    fn as_str(self) -> &'static str {
        match self {
            ReloadCause::Signal => "signal",
            ReloadCause::Folder => "folder",
            ReloadCause::Trouble => "trouble",
        }
    }
}

impl App {
    /// Reads the configuration again and applies what has changed. systemd hears of the end however
    /// it ends.
    ///
    /// # Errors
    /// A task has failed meanwhile, or the journal: the process is to end.
    pub(super) async fn reload(&mut self, cause: ReloadCause) -> anyhow::Result<()> {
        if cause == ReloadCause::Trouble {
            return self.look_at_secrets().await;
        }
        if cause == ReloadCause::Signal {
            self.begin(cause);
        }
        let (file, names) = (self.config.clone(), self.names_read.clone());
        let look = move || {
            let text = std::fs::read_to_string(file).ok();
            (text, names.map(|it| NamesFile::at(it.path().to_owned())))
        };
        let found = self.reading.read(look).await;
        if cause == ReloadCause::Folder {
            let is_nothing = |(text, names): &(Option<String>, Option<NamesFile>)| {
                text.is_none() || (*text == self.read && *names == self.names_read)
            };
            if found.as_ref().is_ok_and(is_nothing) {
                // Another file, or the moment between an editor's two steps.
                return Ok(());
            }
            self.begin(cause);
        }
        let plan = match found {
            Ok((text, names)) => {
                self.read.clone_from(&text);
                self.names_read = names;
                let plan = self.plan_of(text).await;
                if let Ok(Ok(plan)) = &plan {
                    self.names_read = plan.names.file().cloned();
                }
                plan
            }
            Err(unread) => Err(unread),
        };
        let outcome = match plan {
            Err(unread) => {
                self.reject(format!("{}: {unread}", self.config.display()));
                Ok(())
            }
            Ok(Ok(plan)) => self.apply(plan).await.map(|applied| match applied {
                Ok(()) => {
                    self.in_force.clone_from(&self.read);
                    self.view.reloads.applied();
                }
                Err(error) => self.reject(error),
            }),
            Ok(Err(problems)) => {
                reject(&problems);
                self.view.reloads.rejected(lines(&problems));
                Ok(())
            }
        };
        systemd::reloaded(&self.view);
        outcome
    }

    fn begin(&self, cause: ReloadCause) {
        info!(config = %self.config.display(), cause = cause.as_str(), "reload begins: reading the configuration");
        systemd::reloading();
    }

    fn reject(&self, error: String) {
        error!(
            error,
            "reload rejected: the new configuration cannot be used"
        );
        self.view.reloads.rejected(vec![error]);
    }

    /// The plan of a text; `None`: the file cannot be read, and the problems say why.
    async fn plan_of(&mut self, text: Option<String>) -> Result<Result<Plan, Problems>, Unread> {
        let file = self.config.clone();
        let read = move || match text {
            Some(text) => config::parse(&file, text, &Environment::of_process()),
            None => config::load(&file),
        };
        let read = self.reading.read(read).await?;
        Ok(read.map(|plan| plan.keeping_names(&self.plan)))
    }

    /// Where a file of a secret is another by now, the parts that use it begin with it.
    async fn look_at_secrets(&mut self) -> anyhow::Result<()> {
        if !rotation::is_current().await {
            // A change that comes while they are read is one.
            let seen = self.reading.read(rotation::noted_again).await;
            let read = match (&seen, self.in_force.clone()) {
                (Err(unread), _) => Err(vec![unread.to_string()]),
                (Ok(_), None) => Err(Vec::new()),
                (Ok(_), Some(text)) => self.read_secrets(text).await?,
            };
            if let Err(problems) = read {
                // Else each attempt would have them read again.
                if let Ok(seen) = seen {
                    rotation::tried(seen);
                }
                self.secrets_unread(problems);
            }
        }
        rotation::looked();
        let is_well =
            self.view.reloads.unread_secrets().is_none() && self.view.verdict().is_ready();
        self.troubles.looked(match is_well {
            true => Condition::Well,
            false => Condition::Wrong,
        });
        Ok(())
    }

    /// Reads the files of the secrets again, by the configuration in force: its file may be in the
    /// middle of a change. The inner error: why that cannot be used, one line each.
    async fn read_secrets(&mut self, text: String) -> anyhow::Result<Result<(), Vec<String>>> {
        let plan = match self.plan_of(Some(text)).await {
            Ok(Ok(plan)) => plan,
            // Such as a file between the two steps of its rotation.
            Ok(Err(problems)) => return Ok(Err(lines(&problems))),
            Err(unread) => return Ok(Err(vec![unread.to_string()])),
        };
        let change = Diff::between(&self.plan, &plan);
        if change.is_empty() {
            for key in &change.restart {
                warn!(key, "restart needed: a secret of this key was read again");
            }
            self.use_secrets(plan.secret_files);
            return Ok(Ok(()));
        }
        info!("secrets read again: one has changed, and is applied as by a reload");
        Ok(self.apply(plan).await?.map_err(|error| vec![error]))
    }

    /// Says a problem once, however often it is found; nothing where there is none to say.
    fn secrets_unread(&self, problems: Vec<String>) {
        let said = self.view.reloads.unread_secrets();
        if problems.is_empty() || said.is_some_and(|said| said.problems == problems) {
            return;
        }
        warn!(
            error = problems.join("; "),
            "secrets not read again: those before are used; correct the file, and it is read within \
             30 s"
        );
        self.view.reloads.secrets_not_read(problems);
    }

    /// The inner error: a part of it cannot be built, and the configuration before it holds.
    async fn apply(&mut self, plan: Plan) -> anyhow::Result<Result<(), String>> {
        for warning in &plan.warnings {
            warn!(config = %self.config.display(), key = warning.path, "{warning}");
        }
        let change = Diff::between(&self.plan, &plan);
        for key in &change.restart {
            warn!(
                key,
                "restart needed: a reload does not apply this key; the others are applied"
            );
        }
        if change.is_empty() {
            info!("configuration unchanged: nothing to apply");
            self.use_secrets(plan.secret_files);
            return Ok(Ok(()));
        }
        // All that can fail comes first.
        let built = match self.built(&plan, &change).await {
            Ok(Ok(built)) => built,
            Ok(Err(error)) => return Ok(Err(format!("{error:#}"))),
            Err(unread) => return Ok(Err(unread.to_string())),
        };
        let ending = change.sinks.ending();
        // The users of the former secrets hear of it, and then nobody waits: least of all those
        // whom a slow sink's end does not concern.
        self.running_sinks.begin_to_stop(&ending);
        let is_early = change.source && !change.concerns_messages();
        if is_early {
            self.reload_source(&plan);
        }
        self.use_secrets(plan.secret_files.clone());
        rotation::looked();
        // Sinks before topics: one that is new is to have all that a new topic brings.
        if !ending.is_empty() {
            self.running_sinks
                .stop_sinks(&ending, &mut self.tasks, &mut self.expected)
                .await?;
        }
        self.decoders.replace(plan.decoders.clone());
        self.running_sinks
            .register(&plan.sinks, Some(&change.sinks.removed))
            .await?;
        self.running_sinks
            .start(built, &plan.sinks, &mut self.tasks, &mut self.expected);
        if change.concerns_source() && !is_early {
            self.reload_source(&plan);
        }
        if change.watch {
            self.watch(&plan);
        }
        self.commit_interval.set(plan.commit_interval);
        info!(
            topics = %change.topics, sinks = %change.sinks, decoding = change.decoding, source = change.source,
            commit_interval = change.commit_interval,
            "configuration applied"
        );
        // What only a restart applies stays as it is.
        let (journal, http) = (self.plan.journal.clone(), self.plan.http.clone());
        self.plan = Plan {
            journal,
            http,
            ..plan
        };
        self.view.setup.replace(setup(&self.plan));
        Ok(Ok(()))
    }

    fn reload_source(&self, plan: &Plan) {
        self.source
            .reload(plan.source.clone(), plan.decoders.clone());
    }

    /// What was read from these files is in use.
    fn use_secrets(&self, files: SecretFiles) {
        rotation::use_files(files);
        self.view.reloads.secrets_read();
    }

    /// The sinks that are to begin, built.
    async fn built(
        &mut self,
        plan: &Plan,
        change: &Diff,
    ) -> Result<anyhow::Result<Vec<BuiltSink>>, Unread> {
        let tls = change.source.then(|| plan.source.tls.clone());
        let beginning = change.sinks.beginning();
        let mut sinks = plan.sinks.clone();
        sinks.retain(|(delivery, _)| beginning.contains(&delivery.name));
        let (interval, troubles) = (self.commit_interval.clone(), self.troubles.notify());
        let build = move || -> anyhow::Result<Vec<BuiltSink>> {
            if let Some(tls) = &tls {
                crate::tls::client_config(tls).context("source.tls")?;
            }
            let built = sinks.iter().map(|(delivery, settings)| {
                BuiltSink::new(delivery, settings, &interval, &troubles)
            });
            built.collect()
        };
        self.reading.read(build).await
    }
}

/// Every error in a line of its own.
fn lines(problems: &Problems) -> Vec<String> {
    let line = |problem: &Problem| {
        let Problem {
            place,
            path,
            message,
            ..
        } = problem;
        let key = if path.is_empty() { "" } else { ": " };
        format!("{place}{key}{path}: {message}")
    };
    problems.errors().map(line).collect()
}

/// Says everything that is wrong, as `check` does.
fn reject(problems: &Problems) {
    for Problem {
        level,
        place,
        path,
        message,
        help,
    } in &problems.0
    {
        // A problem without help has no such field.
        let (at, help) = (place.to_string(), help.as_deref());
        match level {
            Level::Error => error!(at, key = path, help, "{message}"),
            Level::Warning => warn!(at, key = path, help, "{message}"),
        }
    }
    error!(
        problems = problems.errors().count(),
        "reload rejected: the configuration has errors"
    );
}
