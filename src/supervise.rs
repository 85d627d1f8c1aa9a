//! Runs tasks by name: the only place that spawns. A task that panics or fails ends the process,
//! since starting up is recovery.

use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// How one task ended.
#[derive(Debug)]
pub struct Ended {
    /// The task's name.
    pub task: String,
    /// `Err` with why, where it failed or panicked.
    pub outcome: anyhow::Result<()>,
}

/// The running tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<(String, anyhow::Result<()>)>,
    names: Vec<(tokio::task::Id, String)>,
}

impl Tasks {
    /// Starts a task.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> AbortHandle {
        self.spawn_on(&Handle::current(), name, task)
    }

    /// Starts a task on another runtime.
    pub fn spawn_on(
        &mut self,
        runtime: &Handle,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> AbortHandle {
        let name = name.into();
        let label = name.clone();
        let handle = self
            .set
            .spawn_on(async move { (label, task.await) }, runtime);
        self.names.push((handle.id(), name));
        handle
    }

    /// Waits for the next task to end; `None` when none is left. Safe to cancel.
    pub async fn next(&mut self) -> Option<Ended> {
        loop {
            let (id, ended) = match self.set.join_next_with_id().await? {
                Ok((id, (task, outcome))) => (id, Ended { task, outcome }),
                Err(error) if error.is_cancelled() => {
                    self.forget(error.id());
                    continue;
                }
                Err(error) => {
                    let id = error.id();
                    let task = self.name(id);
                    (
                        id,
                        Ended {
                            outcome: Err(anyhow::anyhow!("task {task} panicked: {error}")),
                            task,
                        },
                    )
                }
            };
            self.forget(id);
            return Some(ended);
        }
    }

    /// The names of what still runs.
    pub fn running(&self) -> Vec<&str> {
        self.names.iter().map(|(_, name)| name.as_str()).collect()
    }

    fn name(&self, id: tokio::task::Id) -> String {
        self.names
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, name)| name.clone())
            .unwrap_or_default()
    }

    fn forget(&mut self, id: tokio::task::Id) {
        self.names.retain(|(known, _)| *known != id);
    }
}

/// Starts a thread that ends with the process, for what no runtime runs.
///
/// # Errors
/// The system has no room for it.
pub fn detach(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_with_the_name_of_its_task() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", std::future::pending());
        tasks.spawn("shaky", async { panic!("lost its footing") });
        let ended = tasks.next().await.unwrap();
        assert_eq!(ended.task, "shaky");
        assert!(
            ended
                .outcome
                .unwrap_err()
                .to_string()
                .contains("shaky panicked")
        );
        assert_eq!(tasks.running(), ["steady"]);
    }

    #[tokio::test]
    async fn an_aborted_task_is_no_failure() {
        let mut tasks = Tasks::default();
        tasks.spawn("driver", std::future::pending()).abort();
        assert!(tasks.next().await.is_none());
    }
}
