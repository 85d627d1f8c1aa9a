//! The sinks that run: each one's delivery and what drives its connection. A reload starts some and
//! ends some; the others notice nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::background::Background;
use super::expected::Expected;
use crate::delivery;
use crate::journal::{Journal, Start};
use crate::ops::{self, SinkView};
use crate::pipeline::Decoders;
use crate::sinks::{self, Built, Health};
use crate::supervise::Tasks;

/// Deliveries in flight may take so long; what is not confirmed by then is delivered again.
pub(super) const DELIVERY_STOP: Duration = Duration::from_secs(15);

/// A task that was aborted is gone within a moment, at its next wait.
const ABORT_MAX: Duration = Duration::from_secs(1);
const ABORT_POLL: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Fleet {
    members: Vec<Member>,
    journal: Journal,
    decoders: Decoders,
    view: ops::Sinks,
    background: Background,
    stop: CancellationToken,
}

/// One sink that runs, or is ending.
struct Member {
    view: SinkView,
    stop: CancellationToken,
    tasks: Vec<(String, AbortHandle)>,
}

/// A sink that has been built and is not running yet.
pub(super) struct Recruit {
    delivery: delivery::Settings,
    health: Health,
    built: Built,
}

impl Recruit {
    /// Builds a sink, which connects to nothing yet.
    ///
    /// # Errors
    /// Its settings cannot be used.
    pub(super) fn new(
        delivery: &delivery::Settings,
        settings: &sinks::Settings,
    ) -> anyhow::Result<Recruit> {
        let health = Health::default();
        let built = sinks::build(settings.clone(), health.clone())
            .with_context(|| format!("sink {}", delivery.name))?;
        Ok(Recruit {
            delivery: delivery.clone(),
            health,
            built,
        })
    }
}

impl Fleet {
    /// One without members, which all end with `stop`.
    ///
    /// # Errors
    /// The system has no threads for them.
    pub(super) fn new(
        journal: Journal,
        decoders: Decoders,
        view: ops::Sinks,
        stop: CancellationToken,
    ) -> anyhow::Result<Fleet> {
        Ok(Fleet {
            members: Vec::new(),
            journal,
            decoders,
            view,
            background: Background::new()?,
            stop,
        })
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
        let left = self.journal.register_sinks(&starts).await?;
        for left in left
            .iter()
            .filter(|left| news.is_none_or(|news| news.contains(left)))
        {
            warn!(
                sink = %left,
                "not in the configuration any more, but the journal keeps entries for it: bring it back, or run \
                 `stomp-bridge sinks forget {left}`"
            );
        }
        Ok(())
    }

    /// Starts sinks that the journal knows; `order` is the configuration's.
    pub(super) fn start(
        &mut self,
        recruits: Vec<Recruit>,
        order: &[(delivery::Settings, sinks::Settings)],
        tasks: &mut Tasks,
        expected: &mut Expected,
    ) {
        for recruit in recruits {
            let member = self.enlist(recruit, tasks);
            // They were to end once, under the same names.
            member
                .tasks
                .iter()
                .for_each(|(task, _)| expected.forget(task));
            self.members.push(member);
        }
        let place = |member: &Member| {
            order
                .iter()
                .position(|(delivery, _)| delivery.name == member.view.name)
        };
        self.members.sort_by_key(place);
        self.show();
    }

    fn enlist(&self, recruit: Recruit, tasks: &mut Tasks) -> Member {
        let Recruit {
            delivery,
            health,
            built,
        } = recruit;
        let name = delivery.name.clone();
        let mut running = Vec::new();
        if let Some(driver) = built.driver {
            // Ends with its sink, or with the process.
            let task = format!("{name}'s connection");
            let driver = async move {
                driver.await;
                Ok(())
            };
            running.push((task.clone(), self.background.spawn(tasks, task, driver)));
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
            self.decoders.clone(),
            stop.clone(),
        );
        let task = format!("sink {name}");
        running.push((
            task.clone(),
            self.background
                .spawn(tasks, task, async move { Ok(run.await?) }),
        ));
        Member {
            view,
            stop,
            tasks: running,
        }
    }

    /// Ends the sinks of these names, once what they have in flight is finished, in
    /// [`DELIVERY_STOP`] at most. Where this is given up half-way, they go on ending, and
    /// [`Fleet::tasks`] still has them.
    ///
    /// # Errors
    /// Another task has failed meanwhile.
    pub(super) async fn dismiss(
        &mut self,
        names: &[Arc<str>],
        tasks: &mut Tasks,
        expected: &mut Expected,
    ) -> anyhow::Result<()> {
        let leaving = |member: &Member| names.contains(&member.view.name);
        let mut waited_for: Vec<String> = Vec::new();
        for member in self.members.iter().filter(|member| leaving(member)) {
            member.stop.cancel();
            waited_for.extend(member.tasks.iter().map(|(task, _)| task.clone()));
        }
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
                    warn!(waiting_for = ?waited_for, "not finished in time: it is ended; the journal holds the rest");
                    self.abort(&leaving).await;
                    break;
                }
            }
        }
        for member in self.members.extract_if(.., |member| leaving(member)) {
            info!(sink = %member.view.name, "sink stopped");
        }
        self.show();
        Ok(())
    }

    async fn abort(&self, leaving: &impl Fn(&Member) -> bool) {
        let handles = || {
            self.members
                .iter()
                .filter(|member| leaving(member))
                .flat_map(|member| &member.tasks)
        };
        handles().for_each(|(_, handle)| handle.abort());
        let deadline = Instant::now() + ABORT_MAX;
        while handles().any(|(_, handle)| !handle.is_finished()) && Instant::now() < deadline {
            sleep(ABORT_POLL).await;
        }
    }

    /// The names of its tasks that deliver.
    pub(super) fn tasks(&self) -> Vec<String> {
        let deliveries = self.members.iter().filter_map(|member| member.tasks.last());
        deliveries.map(|(task, _)| task.clone()).collect()
    }

    fn show(&self) {
        self.view
            .replace(self.members.iter().map(|member| member.view.clone()));
    }
}
