//! The look for damage after an unclean stop. It takes about a second for each GiB, so a start
//! waits for it only for a while; then it goes on beside the writer.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tracing::{info, warn};

use super::{Error, file};

/// How long a start waits for the check. Damage in a journal of a few GiB is found before anything
/// is accepted; a larger journal does not delay the start.
const PATIENCE: Duration = Duration::from_secs(2);

/// The check of a journal whose last stop was not clean.
#[derive(Default)]
pub(super) struct Check {
    under_way: Option<BoxFuture<'static, Result<(), Error>>>,
}

impl Check {
    /// Starts the check and waits for a while. A longer check goes on; [`Check::done`] waits for
    /// its end.
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

    /// Whether nothing is left to check.
    pub(super) fn is_done(&self) -> bool {
        self.under_way.is_none()
    }

    /// Waits for the end of a check that runs; never returns if none does. Cancel-safe.
    ///
    /// # Errors
    /// As for [`Check::begin`].
    pub(super) async fn done(&mut self) -> Result<(), Error> {
        let Some(check) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let outcome = check.await;
        self.under_way = None;
        outcome.inspect(|()| info!("journal check finished"))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("is_done", &self.is_done())
            .finish()
    }
}
