//! The threads that deliver. They have a higher nice value than those of the source and the
//! journal. When all of them want the processor, messages are journaled and acknowledged first, and
//! the sinks get the rest, at least a thirtieth. The journal holds the entries that wait.

use std::future::Future;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;
use tracing::debug;

use crate::supervise::Tasks;

/// Of `nice`: about a thirtieth of what a thread at 0 gets, which is still some hundred events a
/// second. With a tenth, sinks that are behind hold up a server on the same processors. SQLite's
/// threads have it from the threads that start them.
const NICENESS: i32 = 15;

/// How many processors get a thread: a message that comes alone wakes few threads, and the
/// databases' own threads use the other processors.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// The threads that deliver.
pub(super) struct DeliveryRuntime {
    /// There until it is dropped, which must not wait in a task.
    runtime: Option<Runtime>,
}

impl DeliveryRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives us none.
    pub(super) fn new() -> anyhow::Result<DeliveryRuntime> {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(threads())
            .enable_all()
            .thread_name("delivery")
            .on_thread_start(|| {
                // Linux keeps it for each thread.
                if let Err(error) = rustix::process::nice(NICENESS) {
                    debug!(%error, "deliveries have the same priority as everything else");
                }
            });
        Ok(DeliveryRuntime {
            runtime: Some(builder.build().context("start the threads that deliver")?),
        })
    }

    /// Starts a task there.
    pub(super) fn spawn(
        &self,
        tasks: &mut Tasks,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> AbortHandle {
        let runtime = self
            .runtime
            .as_ref()
            .expect("it is there until it is dropped");
        tasks.spawn_on(runtime.handle(), name, task)
    }
}

impl Drop for DeliveryRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
