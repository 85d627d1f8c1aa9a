//! The tasks that may end while the daemon runs. Any other that ends takes the process with it:
//! starting up is recovery.

use std::collections::BTreeSet;

use crate::supervise::{Ended, Tasks};

/// Names of tasks whose end is expected.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeSet<String>);

impl Expected {
    /// A task beside the daemon, or one that was asked to end.
    pub(super) fn add(&mut self, task: impl Into<String>) {
        self.0.insert(task.into());
    }

    /// A task of that name runs again, and is to stay.
    pub(super) fn forget(&mut self, task: &str) {
        self.0.remove(task);
    }

    /// Whether life goes on after a task has ended.
    ///
    /// # Errors
    /// It does not: the task failed, or nobody had asked it to end.
    pub(super) fn judge(&self, ended: Option<Ended>) -> anyhow::Result<()> {
        match ended {
            Some(Ended {
                task,
                outcome: Err(error),
            }) => Err(error.context(format!("{task} failed"))),
            Some(Ended {
                task,
                outcome: Ok(()),
            }) if self.0.contains(&task) => Ok(()),
            Some(Ended {
                task,
                outcome: Ok(()),
            }) => Err(anyhow::anyhow!("{task} ended unexpectedly")),
            None => Err(anyhow::anyhow!("every task has ended")),
        }
    }

    /// Waits for a task to end that should not have.
    pub(super) async fn next_failure(&self, tasks: &mut Tasks) -> anyhow::Error {
        loop {
            if let Err(error) = self.judge(tasks.next().await) {
                return error;
            }
        }
    }
}
