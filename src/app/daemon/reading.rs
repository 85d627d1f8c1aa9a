//! What a reload reads of files, on a thread of its own: on a network file system a read may not
//! end. Then the reload is rejected, and neither a signal nor a task waits for it.

use std::panic::resume_unwind;
use std::time::Duration;

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

/// Files are read within this time: less than the 90 s that systemd waits for a reload.
const READING_MAX: Duration = Duration::from_secs(20);

/// Nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its files were not read within {} s: see whether the disk or the network file system that has \
     them answers, then reload",
    READING_MAX.as_secs()
)]
pub(super) struct Unread;

/// The one reading at a time.
#[derive(Debug, Default)]
pub(super) struct Reading {
    newest: Option<AbortHandle>,
}

impl Reading {
    /// Runs what reads files. Safe to cancel: the thread then ends when it can.
    ///
    /// # Errors
    /// It takes too long, or the one before it does.
    pub(super) async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unread> {
        // Another one would only hold another thread.
        if self.newest.as_ref().is_some_and(|it| !it.is_finished()) {
            return Err(Unread);
        }
        let reading = spawn_blocking(read);
        self.newest = Some(reading.abort_handle());
        match timeout(READING_MAX, reading).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(failed)) => resume_unwind(failed.into_panic()),
            Err(_) => Err(Unread),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_does_not_end_is_waited_for_once_and_no_other_is_begun() {
        let mut reading = Reading::default();
        assert_eq!(reading.read(|| 7).await, Ok(7));
        let (end, ended) = mpsc::channel::<()>();
        tokio::time::pause();
        let hanging = reading.read(move || ended.recv().is_err());
        let (hanging, ()) = tokio::join!(hanging, tokio::time::advance(2 * READING_MAX));
        assert_eq!(hanging, Err(Unread));
        let begun = reading.read(|| panic!("it is begun"));
        assert_eq!(begun.await, Err(Unread));
        tokio::time::resume();
        drop(end);
        while reading.newest.as_ref().is_some_and(|it| !it.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(reading.read(|| 8).await, Ok(8));
    }
}
