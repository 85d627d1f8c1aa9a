//! The daemon: it builds the parts, owns the task tree, and stops it in order.

mod begun;
mod reading;
mod reload;
mod signals;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::begun::{Begun, leave};
pub use self::begun::{is_bad_configuration, try_build};
use self::reading::Reading;
use self::reload::ReloadCause;
pub use self::signals::Signals;
use super::expected::Expected;
use super::running_sinks::{BuiltSink, DELIVERY_STOP, RunningSinks};
use super::setup::setup;
use super::troubles::Troubles;
use super::untuned::warn_of_untuned_build;
use super::watch::watch;
use crate::config::{NamesFile, Plan};
use crate::delivery::Statuses;
use crate::journal::{self, Journal};
use crate::ops::control::Access;
use crate::ops::{self, Bounds, Listener, Reloads, Setups, View, audit, systemd};
use crate::paced::Interval;
use crate::pipeline::Decoders;
use crate::rotation;
use crate::source::{self, Source, Status};
use crate::supervise::{Ended, Tasks};

/// Between two attempts to let admin commands in while the disk is full.
const GRANT_INTERVAL: Duration = Duration::from_secs(2);

/// How long the source may take to commit, acknowledge and disconnect.
const SOURCE_STOP: Duration = Duration::from_secs(5);

/// How long the journal may take to write its cursors and its checkpoint.
const JOURNAL_STOP: Duration = Duration::from_secs(3);

/// What docs/guide.md promises of a stop. The HTTP listener has the rest of it for its last answers.
const STOP_SECONDS_MAX: u64 = 25;

const _: () = assert!(
    SOURCE_STOP.as_secs() + DELIVERY_STOP.as_secs() + JOURNAL_STOP.as_secs() < STOP_SECONDS_MAX
);

/// A daemon that has been built, with its tasks running.
pub struct App {
    /// The file that `plan` was read from.
    config: PathBuf,
    /// The configuration in force.
    plan: Plan,
    /// The file as it was read last, whether it could be used or not.
    read: Option<String>,
    /// The file of names as it was read last; `None`: there is no `[names]`.
    names_read: Option<NamesFile>,
    /// The text of the configuration in force.
    in_force: Option<String>,
    reading: Reading,
    troubles: Troubles,
    tasks: Tasks,
    expected: Expected,
    view: View,
    http: SocketAddr,
    source: source::Handle,
    decoders: Decoders,
    running_sinks: RunningSinks,
    /// That of the sockets that are read by it.
    commit_interval: Interval,
    /// Something has happened in the configuration's folder.
    happenings: mpsc::Receiver<()>,
    /// Kept for the task that watches the folder.
    happened: mpsc::Sender<()>,
    stop_watch: CancellationToken,
    stop_source: CancellationToken,
    stop_delivery: CancellationToken,
    stop_journal: CancellationToken,
    stop_ops: CancellationToken,
}

/// The stages' task names.
const SOURCE: &str = "source";
const JOURNAL: &str = "journal";
const HTTP: &str = "http";
const AUDIT: &str = "audit";
const GRANT: &str = "grant";
const SYSTEMD: &str = "systemd";
const WATCH: &str = "watch";

impl App {
    /// Opens the journal and the HTTP port, and starts every task. `config` is the file that the
    /// plan was read from.
    ///
    /// # Errors
    /// What cannot be opened, and what to do about it. Peers that do not answer are no error: they
    /// are retried.
    pub async fn start(plan: Plan, config: &Path) -> anyhow::Result<App> {
        let read = std::fs::read_to_string(config).ok();
        rotation::use_files(plan.secret_files.clone());
        let decoders = Decoders::new(plan.decoders.clone());
        let opening = || format!("open the journal {}", plan.journal.path.display());
        let opened = Journal::open(&plan.journal).await;
        let (journal, mut writer) = opened.with_context(opening)?;
        // Of a daemon that was killed: its token is no longer anybody's.
        Access::revoke(journal.log.path());
        let (status, sinks) = (Status::new(), ops::Sinks::default());
        let troubles = Troubles::new(status.troubles());
        let begun = async {
            writer
                .catch_up(|topic, via, body| decoders.status_key(topic, via, body))
                .await
                .with_context(opening)?;
            info!(
                version = env!("CARGO_PKG_VERSION"),
                config = %config.display(),
                journal = %plan.journal.path.display(),
                journal_id = %journal.log.uuid().simple(),
                head = journal.log.status().head.0,
                "starting"
            );
            warn_of_untuned_build(&mut writer)
                .await
                .with_context(opening)?;
            Begun::new(&plan, &troubles.notify()).await
        };
        let Begun {
            listener,
            sinks: built,
            commit_interval,
            delivery_runtime,
        } = match begun.await {
            Ok(begun) => begun,
            Err(error) => {
                leave(writer).await;
                return Err(error);
            }
        };
        let http = listener.address();
        let mut tasks = Tasks::default();
        let stop_journal = CancellationToken::new();
        let stop = stop_journal.clone();
        tasks.spawn(JOURNAL, async move { Ok(writer.run(stop).await?) });
        let stop_delivery = CancellationToken::new();
        let running_sinks = RunningSinks::new(
            journal.clone(),
            Statuses::new(decoders.clone()),
            sinks.clone(),
            delivery_runtime,
            stop_delivery.clone(),
        );
        let source = Source::new(
            plan.source.clone(),
            plan.decoders.clone(),
            journal.log.clone(),
            status.clone(),
            commit_interval.clone(),
        );
        let (source, handle) = match source.await {
            Ok(made) => made,
            Err(error) => return Err(ended(tasks, &stop_journal, error.into()).await),
        };
        let (happened, happenings) = mpsc::channel(1);
        let bounds = Bounds {
            journal_bytes: plan.journal.bytes_max,
            dlq_bytes: plan.journal.dlq_bytes_max,
            devices: plan.journal.devices_max,
        };
        let setup = Setups::new(setup(&plan));
        let names_read = plan.names.file().cloned();
        let mut app = App {
            config: config.to_owned(),
            plan,
            in_force: read.clone(),
            names_read,
            read,
            reading: Reading::default(),
            troubles,
            tasks,
            expected: Expected::default(),
            view: View {
                source: status,
                journal,
                sinks,
                audit: Arc::default(),
                source_handle: handle.clone(),
                decoders: decoders.clone(),
                setup,
                samples: Arc::default(),
                turns: Arc::default(),
                reloads: Reloads::default(),
                started_at: Timestamp::now(),
                bounds,
            },
            http,
            source: handle,
            decoders,
            running_sinks,
            commit_interval,
            happenings,
            happened,
            stop_watch: CancellationToken::new(),
            stop_source: CancellationToken::new(),
            stop_delivery,
            stop_journal,
            stop_ops: CancellationToken::new(),
        };
        let begun = match app.start_sinks(built).await {
            Ok(()) => app.start_ops(listener),
            failed => failed,
        };
        if let Err(error) = begun {
            // The journal's own error says more than that it is closed.
            return Err(app.stop().await.err().unwrap_or(error));
        }
        let plan = app.plan.clone();
        app.watch(&plan);
        let stop = app.stop_source.clone();
        app.tasks
            .spawn(SOURCE, async move { Ok(source.run(stop).await?) });
        Ok(app)
    }

    /// What an operator may look at.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Where it answers HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Adds a task that lives beside the daemon (the demo's broker); it may end when it likes.
    pub fn accompany(
        &mut self,
        name: &str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.expected.add(name);
        self.tasks.spawn(name, task);
    }

    /// Cancelled, it stops the daemon as a signal does; and it is cancelled when the daemon begins
    /// to stop.
    pub fn stopper(&self) -> CancellationToken {
        self.stop_source.clone()
    }

    /// Runs until a signal asks to stop, then stops in order.
    ///
    /// # Errors
    /// A task failed: the journal could not be written, the attempts to connect are used up, or a
    /// panic.
    pub async fn run(mut self, signals: Signals) -> anyhow::Result<()> {
        let Signals {
            mut terminate,
            mut interrupt,
            mut hangup,
        } = signals;
        let stop_source = self.stop_source.clone();
        let outcome = loop {
            let cause = tokio::select! {
                // The source ends because it was asked to: that comes first.
                biased;
                _ = terminate.recv() => break Ok("SIGTERM"),
                _ = interrupt.recv() => break Ok("SIGINT"),
                () = stop_source.cancelled() => break Ok("a request"),
                failure = self.expected.next_failure(&mut self.tasks) => break Err(failure),
                _ = hangup.recv() => ReloadCause::Signal,
                Some(()) = self.happenings.recv() => ReloadCause::Folder,
                () = self.troubles.next() => ReloadCause::Trouble,
            };
            // A reload waits for sinks that end; nobody who wants to stop waits for a reload.
            tokio::select! {
                _ = terminate.recv() => break Ok("SIGTERM"),
                _ = interrupt.recv() => break Ok("SIGINT"),
                () = stop_source.cancelled() => break Ok("a request"),
                reloaded = self.reload(cause) => if let Err(failure) = reloaded { break Err(failure) },
            }
        };
        systemd::stopping();
        let outcome = match outcome {
            Ok(asked_by) => {
                info!(
                    asked_by,
                    "stopping; a second signal ends the process at once"
                );
                Ok(())
            }
            Err(error) => Err(error),
        };
        let stopped = tokio::select! {
            stopped = self.stop() => stopped,
            _ = terminate.recv() => Err(anyhow::anyhow!("ended by a second signal")),
            _ = interrupt.recv() => Err(anyhow::anyhow!("ended by a second signal")),
        };
        outcome.and(stopped)
    }

    async fn start_sinks(&mut self, built: Vec<BuiltSink>) -> anyhow::Result<()> {
        let sinks = &self.plan.sinks;
        self.running_sinks.register(sinks, None).await?;
        self.running_sinks
            .start(built, sinks, &mut self.tasks, &mut self.expected);
        Ok(())
    }

    /// Watches the folders of a plan's files from now on, or does not.
    fn watch(&mut self, plan: &Plan) {
        self.stop_watch.cancel();
        self.expected.add(WATCH);
        if plan.watch {
            self.stop_watch = self.stop_ops.child_token();
            let names = plan.names.file().map(|file| file.path().to_owned());
            let watch = watch(
                std::iter::once(self.config.clone()).chain(names).collect(),
                self.happened.clone(),
                self.stop_watch.clone(),
            );
            self.tasks.spawn(WATCH, async move {
                watch.await;
                Ok(())
            });
        }
    }

    fn start_ops(&mut self, listener: Listener) -> anyhow::Result<()> {
        let access = listener.access();
        self.grant(access.clone())?;
        info!(listen = %self.http, "http is listening");
        let (view, stop) = (self.view.clone(), self.stop_ops.clone());
        self.tasks.spawn(HTTP, async move {
            listener.serve(view, access, stop).await;
            Ok(())
        });
        let (view, stop) = (self.view.clone(), self.stop_ops.clone());
        self.tasks
            .spawn(AUDIT, async move { Ok(audit::watch(view, stop).await?) });
        let (view, stop) = (self.view.clone(), self.stop_ops.clone());
        let ready_timeout = self.plan.ready_timeout;
        self.tasks.spawn(SYSTEMD, async move {
            systemd::report(view, ready_timeout, stop).await;
            Ok(())
        });
        Ok(())
    }

    /// Lets admin commands in. They can wait: on a full disk this is tried again until it has room.
    fn grant(&mut self, access: Access) -> anyhow::Result<()> {
        let journal = self.view.journal.log.path().to_owned();
        let grant = move || match access.grant(&journal) {
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(false),
            granted => granted
                .map(|()| true)
                .with_context(|| format!("write {}", Access::path(&journal).display())),
        };
        if grant()? {
            return Ok(());
        }
        warn!("admin commands find no way in: the journal's disk is full; free some space");
        let stop = self.stop_ops.clone();
        self.tasks.spawn(GRANT, async move {
            while !stop.is_cancelled() && !grant()? {
                let pause = tokio::time::sleep(GRANT_INTERVAL);
                stop.run_until_cancelled(pause).await;
            }
            stop.cancelled().await;
            Ok(())
        });
        Ok(())
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        // Where the journal has failed or its disk is full, what waited for it is no mistake of the
        // accounting.
        let has_journal = self.tasks.running().contains(&JOURNAL);
        self.stop_source.cancel();
        let source = self.wait_for(&[SOURCE.to_owned()], SOURCE_STOP).await;
        self.stop_delivery.cancel();
        let deliveries = self.running_sinks.tasks();
        let delivered = self.wait_for(&deliveries, DELIVERY_STOP).await;
        self.stop_journal.cancel();
        let journal = self.wait_for(&[JOURNAL.to_owned()], JOURNAL_STOP).await;
        self.stop_ops.cancel();
        Access::revoke(self.view.journal.log.path());
        let has_all = has_journal && !self.view.journal.log.is_closed_full();
        let balances = has_all && source.is_ok() && delivered.is_ok() && journal.is_ok();
        if balances && let Err(error) = audit::close(&self.view).await {
            warn!(%error, "delivery accounting could not be read");
        }
        source.and(delivered).and(journal)?;
        info!("stopped");
        Ok(())
    }

    /// Whether a task ended because the journal was closed while its disk was full: what the task
    /// wanted to write was not written, and is done again at the next start.
    fn waited_for_room(&self, error: &anyhow::Error) -> bool {
        self.view.journal.log.is_closed_full()
            && error
                .chain()
                .any(|cause| matches!(cause.downcast_ref(), Some(journal::Error::Closed)))
    }

    /// Waits until none of these tasks runs, or the time is up: unfinished entries are in the
    /// journal.
    async fn wait_for(&mut self, names: &[String], limit: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut outcome = Ok(());
        while self
            .tasks
            .running()
            .iter()
            .any(|running| names.iter().any(|name| name == running))
        {
            match tokio::time::timeout_at(deadline, self.tasks.next()).await {
                Ok(Some(Ended {
                    task,
                    outcome: Err(error),
                })) if !self.waited_for_room(&error) => {
                    error!(
                        task,
                        error = format!("{error:#}"),
                        "task failed while stopping"
                    );
                    outcome = Err(error);
                }
                Ok(_) => {}
                Err(_) => {
                    warn!(
                        waiting_for = names.join(", "),
                        "tasks not finished in time; the journal holds \
                     the rest"
                    );
                    break;
                }
            }
        }
        outcome
    }
}

/// Ends a start that has failed while the journal's writer ran, and gives the reason: that is the
/// journal's own, where it has failed.
async fn ended(
    mut tasks: Tasks,
    stop_journal: &CancellationToken,
    error: anyhow::Error,
) -> anyhow::Error {
    stop_journal.cancel();
    match tokio::time::timeout(JOURNAL_STOP, tasks.next()).await {
        Ok(Some(Ended {
            outcome: Err(of_journal),
            ..
        })) => of_journal,
        _ => error,
    }
}
