//! Builds the parts, owns the task tree and the stop order.
//!
//! ```text
//! first SIGTERM or SIGINT  -> source: commit, ACK, DISCONNECT         (5 s at most)
//!                          -> deliveries finish what is in flight     (15 s at most)
//!                          -> journal: cursors, checkpoint            (3 s at most)
//!                          -> http
//! second signal            -> the process ends at once; the journal holds the rest
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Plan;
use crate::journal::{Journal, Start};
use crate::ops::control::Access;
use crate::ops::{Listener, SinkView, View, audit, systemd};
use crate::sinks::{self, Health};
use crate::source;
use crate::source::Status;
use crate::supervise::{Ended, Tasks};

/// The source commits, acknowledges and says goodbye within so long.
const SOURCE_STOP: Duration = Duration::from_secs(5);

/// Deliveries in flight may take so long; what is not confirmed by then is delivered again after the next start.
const DELIVERY_STOP: Duration = Duration::from_secs(15);

/// The journal writes its cursors and its checkpoint within so long.
const JOURNAL_STOP: Duration = Duration::from_secs(3);

/// A daemon that has been built, with its tasks running.
pub struct App {
    tasks: Tasks,
    view: View,
    http: SocketAddr,
    stop_source: CancellationToken,
    stop_delivery: CancellationToken,
    stop_journal: CancellationToken,
    stop_ops: CancellationToken,
    deliveries: Vec<String>,
    companions: Vec<String>,
}

/// The stages' task names.
const SOURCE: &str = "source";
const JOURNAL: &str = "journal";
const HTTP: &str = "http";
const AUDIT: &str = "audit";
const WATCHDOG: &str = "watchdog";

impl App {
    /// Opens the journal and the HTTP port, and starts every task.
    ///
    /// # Errors
    /// What cannot be opened, and what to do about it. Peers that do not answer are no error: they are retried.
    pub async fn start(plan: Plan) -> anyhow::Result<App> {
        let (journal, writer) = Journal::open(&plan.journal)
            .await
            .with_context(|| format!("open the journal {}", plan.journal.path.display()))?;
        let listener = Listener::bind(&plan.http).await?;
        let http = listener.address();
        let mut app = App {
            tasks: Tasks::default(),
            view: View { source: Status::new(), journal: journal.clone(), sinks: Vec::new(), audit: Arc::default() },
            http,
            stop_source: CancellationToken::new(),
            stop_delivery: CancellationToken::new(),
            stop_journal: CancellationToken::new(),
            stop_ops: CancellationToken::new(),
            deliveries: Vec::new(),
            companions: Vec::new(),
        };
        let stop = app.stop_journal.clone();
        app.tasks.spawn(JOURNAL, async move { Ok(writer.run(stop).await?) });
        app.start_sinks(&plan, &journal).await?;
        app.start_ops(listener)?;
        let (status, stop) = (app.view.source.clone(), app.stop_source.clone());
        app.tasks
            .spawn(SOURCE, async move { Ok(source::run(plan.source, plan.decoders, journal, status, stop).await?) });
        Ok(app)
    }

    /// Where `/healthz`, `/readyz` and `/metrics` are.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// What an operator may look at.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Adds a task that lives beside the daemon (the demo's broker); it may end when it likes.
    pub fn accompany(&mut self, name: &str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.companions.push(name.to_owned());
        self.tasks.spawn(name, task);
    }

    /// Cancelled, it stops the daemon as a signal does; and it is cancelled when the daemon begins to stop.
    pub fn stopper(&self) -> CancellationToken {
        self.stop_source.clone()
    }

    /// Runs until a signal asks to stop, then stops in order.
    ///
    /// # Errors
    /// A task failed: the journal could not be written, the attempts to connect are used up, or a panic.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
        systemd::ready("connecting");
        let outcome = loop {
            break tokio::select! {
                _ = terminate.recv() => Ok("SIGTERM"),
                _ = interrupt.recv() => Ok("SIGINT"),
                () = self.stop_source.cancelled() => Ok("a request"),
                ended = next_failure(&mut self.tasks, &self.companions) => Err(ended),
                _ = hangup.recv() => {
                    warn!("SIGHUP changes nothing: the configuration is read at the start; restart to apply it");
                    continue;
                }
            };
        };
        systemd::stopping();
        let outcome = match outcome {
            Ok(asked_by) => {
                info!(asked_by, "stopping; a second signal ends the process at once");
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

    async fn start_sinks(&mut self, plan: &Plan, journal: &Journal) -> anyhow::Result<()> {
        let mut built = Vec::new();
        for (delivery, settings) in &plan.sinks {
            let health = Health::default();
            let sink =
                sinks::build(settings.clone(), health.clone()).with_context(|| format!("sink {}", delivery.name))?;
            built.push((delivery, health, sink));
        }
        let starts: Vec<(Arc<str>, Start)> =
            built.iter().map(|(delivery, ..)| (delivery.name.clone(), delivery.start)).collect();
        for left in journal.register_sinks(&starts).await? {
            warn!(
                sink = %left,
                "not in the configuration any more, but the journal keeps entries for it: bring it back, or run \
                 `stomp-bridge sinks forget {left}`"
            );
        }
        for (delivery, health, built) in built {
            let name = delivery.name.clone();
            if let Some(driver) = built.driver {
                // Ends with its sink, or with the process.
                self.tasks.spawn(format!("{name}'s connection"), async move {
                    driver.await;
                    Ok(())
                });
            }
            let counters = Arc::new(crate::delivery::Counters::default());
            self.view.sinks.push(SinkView { name: name.clone(), health: health.clone(), counters: counters.clone() });
            let run = crate::delivery::run(
                delivery.clone(),
                built.sink,
                health,
                counters,
                journal.clone(),
                plan.decoders.clone(),
                self.stop_delivery.clone(),
            );
            let task = format!("sink {name}");
            self.deliveries.push(task.clone());
            self.tasks.spawn(task, async move { Ok(run.await?) });
        }
        Ok(())
    }

    fn start_ops(&mut self, listener: Listener) -> anyhow::Result<()> {
        let access = Access::grant(self.view.journal.path(), self.http)
            .with_context(|| format!("write {}", Access::path(self.view.journal.path()).display()))?;
        info!(listen = %self.http, "http is listening");
        let (view, stop) = (self.view.clone(), self.stop_ops.clone());
        self.tasks.spawn(HTTP, async move { Ok(listener.serve(view, access, stop).await?) });
        let (view, stop) = (self.view.clone(), self.stop_ops.clone());
        self.tasks.spawn(AUDIT, async move { Ok(audit::watch(view, stop).await?) });
        let (source, stop) = (self.view.source.clone(), self.stop_ops.clone());
        self.tasks.spawn(WATCHDOG, async move {
            systemd::feed_watchdog(source, stop).await;
            Ok(())
        });
        Ok(())
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop_source.cancel();
        let source = self.wait_for(&[SOURCE.to_owned()], SOURCE_STOP).await;
        self.stop_delivery.cancel();
        let deliveries = std::mem::take(&mut self.deliveries);
        let delivered = self.wait_for(&deliveries, DELIVERY_STOP).await;
        self.stop_journal.cancel();
        let journal = self.wait_for(&[JOURNAL.to_owned()], JOURNAL_STOP).await;
        self.stop_ops.cancel();
        Access::revoke(self.view.journal.path());
        if journal.is_ok()
            && let Err(error) = audit::close(&self.view).await
        {
            warn!(%error, "the accounts could not be read once more");
        }
        source.and(delivered).and(journal)?;
        info!("stopped");
        Ok(())
    }

    /// Waits until none of these tasks runs, or the time is up: what is then unfinished is in the journal.
    async fn wait_for(&mut self, names: &[String], limit: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut outcome = Ok(());
        while self.tasks.running().iter().any(|running| names.iter().any(|name| name == running)) {
            match tokio::time::timeout_at(deadline, self.tasks.next()).await {
                Ok(Some(Ended { task, outcome: Err(error) })) => {
                    error!(task, error = format!("{error:#}"), "failed while stopping");
                    outcome = Err(error);
                }
                Ok(_) => {}
                Err(_) => {
                    warn!(waiting_for = ?names, "not finished in time; the journal holds the rest");
                    break;
                }
            }
        }
        outcome
    }
}

/// Waits for a task to end that should not have.
async fn next_failure(tasks: &mut Tasks, companions: &[String]) -> anyhow::Error {
    loop {
        return match tasks.next().await {
            Some(Ended { task, outcome: Err(error) }) => error.context(format!("{task} failed")),
            Some(Ended { task, .. }) if companions.contains(&task) => continue,
            Some(Ended { task, outcome: Ok(()) }) => anyhow::anyhow!("{task} ended unasked"),
            None => anyhow::anyhow!("every task has ended"),
        };
    }
}
