//! The look for damage after an unclean stop. It takes about a second for each GiB, so a start
//! waits for it only for a while; then it goes on beside the writer.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tracing::{info, warn};

use super::{Error, file};

/// A start waits for so long: a damaged journal of up to some GiB is refused before anything is
/// accepted, and a larger one holds nobody up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The check of a journal whose last stop was not clean.
#[derive(Default)]
pub(super) struct Check {
    under_way: Option<BoxFuture<'static, Result<(), Error>>>,
}

impl Check {
    /// Waits for a while; what is then not finished is to be awaited by [`Check::done`].
    ///
    /// # Errors
    /// [`Error::Damaged`], or the file cannot be read.
    pub(super) async fn begin(path: PathBuf) -> Result<Check, Error> {
        warn!(journal = %path.display(), "journal check begins: the last stop was not clean");
        let mut check = file::check(path).boxed();
        match tokio::time::timeout(PATIENCE, &mut check).await {
            Ok(outcome) => outcome.map(|()| Check::default()),
            Err(_) => {
                info!("journal check continues in the background: the file is large");
                Ok(Check {
                    under_way: Some(check),
                })
            }
        }
    }

    /// Nothing is left to check.
    pub(super) fn is_done(&self) -> bool {
        self.under_way.is_none()
    }

    /// Waits for the end of a check that is under way, or for ever where there is none. Safe to
    /// cancel.
    ///
    /// # Errors
    /// As for [`Check::begin`].
    pub(super) async fn done(&mut self) -> Result<(), Error> {
        let Some(check) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let outcome = check.await;
        self.under_way = None;
        info!("journal check finished");
        outcome
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("is_done", &self.is_done())
            .finish()
    }
}
