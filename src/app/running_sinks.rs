//! The sinks that run: each one's delivery and what drives its connection. A reload starts some and
//! ends some; the others notice nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::delivery_runtime::DeliveryRuntime;
use super::expected::Expected;
use crate::delivery::{self, Statuses};
use crate::journal::{Journal, Start};
use crate::ops::{self, SinkView};
use crate::paced::Interval;
use crate::sinks::{self, Built, Health};
use crate::supervise::Tasks;

/// How long deliveries in flight may take; events not confirmed by then are delivered again.
pub(super) const DELIVERY_STOP: Duration = Duration::from_secs(15);

/// A task that was aborted is gone within a moment, at its next wait.
const ABORT_MAX: Duration = Duration::from_secs(1);
const ABORT_POLL: Duration = Duration::from_millis(10);

/// The sinks that run, by name.
pub(super) struct RunningSinks {
    running: Vec<RunningSink>,
    journal: Journal,
    statuses: Statuses,
    view: ops::Sinks,
    delivery_runtime: DeliveryRuntime,
    stop: CancellationToken,
}

/// One sink that runs, or is ending.
struct RunningSink {
    view: SinkView,
    stop: CancellationToken,
    /// That of [`Built`].
    ending: CancellationToken,
    tasks: Vec<(String, AbortHandle)>,
}

/// A sink that has been built and is not running yet.
pub(super) struct BuiltSink {
    delivery: delivery::Settings,
    health: Health,
    built: Built,
}

impl BuiltSink {
    /// Builds a sink, which connects to nothing yet. New events come every `commit_interval` under
    /// load; the one who waits for `troubles` hears of its own. May read files.
    ///
    /// # Errors
    /// Its settings cannot be used.
    pub(super) fn new(
        delivery: &delivery::Settings,
        settings: &sinks::Settings,
        commit_interval: &Interval,
        troubles: &Arc<Notify>,
    ) -> anyhow::Result<BuiltSink> {
        let health = Health::notifying(Arc::clone(troubles));
        let built = sinks::build(settings.clone(), commit_interval)
            .with_context(|| format!("sink {}", delivery.name))?;
        Ok(BuiltSink {
            delivery: delivery.clone(),
            health,
            built,
        })
    }
}

impl RunningSinks {
    /// Without sinks at first; they all end with `stop`.
    pub(super) fn new(
        journal: Journal,
        statuses: Statuses,
        view: ops::Sinks,
        delivery_runtime: DeliveryRuntime,
        stop: CancellationToken,
    ) -> RunningSinks {
        RunningSinks {
            running: Vec::new(),
            journal,
            statuses,
            view,
            delivery_runtime,
            stop,
        }
    }

    /// Tells the journal which sinks there are from now on, and names those that it keeps entries
    /// for although nobody reads them. `news` alone are named, where they are given.
    ///
    /// # Errors
    /// The journal has ended.
    pub(super) async fn register(
        &self,
        sinks: &[(delivery::Settings, sinks::Settings)],
        news: Option<&[Arc<str>]>,
    ) -> anyhow::Result<()> {
        let starts: Vec<(Arc<str>, Start)> = sinks
            .iter()
            .map(|(delivery, _)| (delivery.name.clone(), delivery.start))
            .collect();
        let left = self.journal.cursors.register_sinks(&starts).await?;
        for left in left
            .iter()
            .filter(|left| news.is_none_or(|news| news.contains(left)))
        {
            warn!(
                sink = %left,
                "sink removed from the configuration, and the journal keeps its entries: add it \
                 again, or run \
                 `stomp-bridge sinks forget {left}`"
            );
        }
        Ok(())
    }

    /// Starts sinks that the journal knows; `order` is the configuration's.
    pub(super) fn start(
        &mut self,
        built: Vec<BuiltSink>,
        order: &[(delivery::Settings, sinks::Settings)],
        tasks: &mut Tasks,
        expected: &mut Expected,
    ) {
        for built in built {
            let sink = self.add(built, tasks);
            // They were to end once, under the same names.
            sink.tasks
                .iter()
                .for_each(|(task, _)| expected.forget(task));
            self.running.push(sink);
        }
        let place = |sink: &RunningSink| {
            order
                .iter()
                .position(|(delivery, _)| delivery.name == sink.view.name)
        };
        self.running.sort_by_key(place);
        self.show();
    }

    fn add(&self, built: BuiltSink, tasks: &mut Tasks) -> RunningSink {
        let BuiltSink {
            delivery,
            health,
            built,
        } = built;
        let name = delivery.name.clone();
        let mut running = Vec::new();
        if let Some(driver) = built.driver {
            // Ends with its sink, or with the process.
            let task = format!("{name}'s connection");
            let driver = async move {
                driver.await;
                Ok(())
            };
            running.push((
                task.clone(),
                self.delivery_runtime.spawn(tasks, task, driver),
            ));
        }
        let counters = Arc::new(delivery::Counters::default());
        let view = SinkView {
            name: name.clone(),
            health: health.clone(),
            counters: counters.clone(),
        };
        let stop = self.stop.child_token();
        let run = delivery::run(
            delivery,
            built.sink,
            health,
            counters,
            self.journal.clone(),
            self.statuses.clone(),
            stop.clone(),
        );
        let task = format!("sink {name}");
        running.push((
            task.clone(),
            self.delivery_runtime
                .spawn(tasks, task, async move { Ok(run.await?) }),
        ));
        RunningSink {
            view,
            stop,
            ending: built.ending,
            tasks: running,
        }
    }

    /// The sinks of these names begin no further attempt and make no further connection.
    pub(super) fn begin_to_stop(&self, names: &[Arc<str>]) {
        let leaving = |sink: &&RunningSink| names.contains(&sink.view.name);
        for sink in self.running.iter().filter(leaving) {
            sink.ending.cancel();
            sink.stop.cancel();
        }
    }

    /// Ends the sinks of these names, once what they have in flight is finished, in
    /// [`DELIVERY_STOP`] at most. Where this is given up half-way, they go on ending, and
    /// [`RunningSinks::tasks`] still has them.
    ///
    /// # Errors
    /// Another task has failed meanwhile.
    pub(super) async fn stop_sinks(
        &mut self,
        names: &[Arc<str>],
        tasks: &mut Tasks,
        expected: &mut Expected,
    ) -> anyhow::Result<()> {
        let leaving = |sink: &RunningSink| names.contains(&sink.view.name);
        self.begin_to_stop(names);
        let ending = self.running.iter().filter(|sink| leaving(sink));
        let waited_for: Vec<String> = ending
            .flat_map(|sink| sink.tasks.iter().map(|(task, _)| task.clone()))
            .collect();
        waited_for.iter().for_each(|task| expected.add(task));
        let deadline = Instant::now() + DELIVERY_STOP;
        while tasks
            .running()
            .iter()
            .any(|running| waited_for.iter().any(|task| task == running))
        {
            match timeout_at(deadline, tasks.next()).await {
                Ok(ended) => expected.judge(ended)?,
                Err(_) => {
                    warn!(
                        waiting_for = waited_for.join(", "),
                        "sinks not finished in time: they are ended; \
                     the journal holds the rest"
                    );
                    self.abort(&leaving).await;
                    break;
                }
            }
        }
        for sink in self.running.extract_if(.., |sink| leaving(sink)) {
            info!(sink = %sink.view.name, "sink stopped");
        }
        self.show();
        Ok(())
    }

    async fn abort(&self, leaving: &impl Fn(&RunningSink) -> bool) {
        let handles = || {
            self.running
                .iter()
                .filter(|sink| leaving(sink))
                .flat_map(|sink| &sink.tasks)
        };
        handles().for_each(|(_, handle)| handle.abort());
        let deadline = Instant::now() + ABORT_MAX;
        while handles().any(|(_, handle)| !handle.is_finished()) && Instant::now() < deadline {
            sleep(ABORT_POLL).await;
        }
    }

    /// The names of its tasks that deliver.
    pub(super) fn tasks(&self) -> Vec<String> {
        let deliveries = self.running.iter().filter_map(|sink| sink.tasks.last());
        deliveries.map(|(task, _)| task.clone()).collect()
    }

    fn show(&self) {
        self.view
            .replace(self.running.iter().map(|sink| sink.view.clone()));
    }
}
