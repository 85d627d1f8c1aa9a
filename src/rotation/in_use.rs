//! Whether the secrets in use are those that their files have. Who connects asks before, and who
//! reads the configuration answers. One for the whole process, as the list of secrets is.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::files::SecretFiles;

/// How long a connection waits for secrets that are being read again. It is made with the ones
/// before where that takes longer, such as behind a sink that ends.
const READING_MAX: Duration = Duration::from_secs(2);

/// A look stands for this time for those who ask before each request.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a look is waited for: on a network file system it may not end.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Between two readings of what cannot be read: that need not change a file's stamp.
const TRIED_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct InUse {
    state: watch::Sender<State>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    files: Arc<SecretFiles>,
    /// The last look found another file.
    has_changed: bool,
    /// When the last look began.
    looked_at: Option<Instant>,
    /// When the look that goes on has begun.
    looks_since: Option<Instant>,
    /// How often the changed files have been read.
    readings: u64,
    /// When files that were read in vain are tried again.
    again: Option<Instant>,
    /// Somebody has waited for them in vain.
    is_late: bool,
}

static IN_USE: LazyLock<Arc<InUse>> = LazyLock::new(Arc::default);

/// The secrets that are used from now on were read from these files.
pub fn use_files(files: SecretFiles) {
    IN_USE.use_files(files);
}

/// These are the files as they were before they were read in vain: they are read again when one has
/// changed since, or in 30 s.
pub fn tried(files: SecretFiles) {
    IN_USE.tried(files);
}

/// The files as they are now. To be called before they are read.
pub fn noted_again() -> SecretFiles {
    let files = Arc::clone(&IN_USE.state.borrow().files);
    files.noted_again()
}

/// Whether nothing is to be read: every file is as it was, and none is to be tried again.
pub async fn is_current() -> bool {
    IN_USE.is_current(Duration::ZERO).await
}

/// Before a connection is made: where a file is another by now, waits until it has been read, and
/// until what needs it has been told, or for two seconds.
pub async fn until_current() {
    IN_USE.until_current(Duration::ZERO).await;
}

/// The same before a request: it may be one of thousands a second, and goes by what was found in
/// the last 100 ms.
pub async fn until_lately_current() {
    IN_USE.until_current(LOOK_INTERVAL).await;
}

/// Waits until somebody wants the files to be read. Cancel-safe.
pub async fn asked() {
    IN_USE.asked.notified().await;
}

/// The files have been read, or need not be: those who wait for that go on.
pub fn looked() {
    IN_USE.looked();
}

impl InUse {
    fn use_files(&self, files: SecretFiles) {
        self.state.send_modify(|state| {
            *state = State {
                files: Arc::new(files),
                readings: state.readings,
                ..State::default()
            }
        });
    }

    fn tried(&self, files: SecretFiles) {
        self.use_files(files);
        let again = Instant::now() + TRIED_INTERVAL;
        self.state.send_modify(|state| state.again = Some(again));
    }

    fn looked(&self) {
        self.state.send_modify(|state| {
            state.readings += 1;
            state.is_late = false;
        });
    }

    async fn until_current(self: &Arc<Self>, age_max: Duration) {
        let mut state = self.state.subscribe();
        let readings = state.borrow().readings;
        if self.is_current(age_max).await {
            return;
        }
        self.asked.notify_one();
        let over = state.wait_for(|state| state.readings != readings || state.is_late);
        // The sender lives as long as the process.
        if timeout(READING_MAX, over).await.is_err() {
            self.state.send_modify(|state| state.is_late = true);
        }
    }

    /// Whether no file has changed, by a look that began no longer ago than that. A look that does
    /// not end counts for nothing.
    async fn is_current(self: &Arc<Self>, age_max: Duration) -> bool {
        let mut state = self.state.subscribe();
        let now = Instant::now();
        let not_before = now.checked_sub(age_max).unwrap_or(now);
        // One that goes on may be too old.
        for _ in 0..2 {
            let Some(began) = self.look(not_before) else {
                break;
            };
            let ended = state.wait_for(|state| state.looks_since != Some(began));
            let _ = timeout_at(began + LOOK_MAX, ended).await;
        }
        let state = self.state.borrow();
        !state.has_changed && state.again.is_none_or(|again| Instant::now() < again)
    }

    /// Begins a look, on a thread that may wait for a slow file system. Gives when it began, or the
    /// one that goes on; `None`: the last one is from after then.
    fn look(self: &Arc<Self>, not_before: Instant) -> Option<Instant> {
        let now = Instant::now();
        let (mut since, mut files) = (None, None);
        self.state.send_if_modified(|state| {
            if state.looked_at.is_some_and(|at| at > not_before) {
                return false;
            }
            if state.looks_since.is_none() && !state.files.is_empty() {
                state.looks_since = Some(now);
                files = Some(Arc::clone(&state.files));
            }
            since = state.looks_since;
            false
        });
        if let Some(files) = files {
            let in_use = Arc::clone(self);
            spawn_blocking(move || {
                let has_changed = files.have_changed();
                in_use.found(&files, now, has_changed);
            });
        }
        since
    }

    fn found(&self, files: &Arc<SecretFiles>, began: Instant, has_changed: bool) {
        self.state.send_if_modified(|state| {
            let is_of_these = Arc::ptr_eq(files, &state.files);
            if is_of_these {
                state.has_changed = has_changed;
                state.looked_at = Some(began);
                state.looks_since = None;
            }
            is_of_these
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn noted(file: &Path) -> SecretFiles {
        let mut files = SecretFiles::default();
        files.note(file);
        files
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_a_changed_file_and_not_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let in_use = Arc::new(InUse::default());
        in_use.use_files(noted(&file));
        let start = Instant::now();
        in_use.until_current(Duration::ZERO).await;
        fs::write(&file, "one").unwrap();
        let reader = async {
            in_use.asked.notified().await;
            in_use.use_files(noted(&file));
            in_use.looked();
        };
        tokio::join!(in_use.until_current(Duration::ZERO), reader);
        assert!(in_use.is_current(Duration::ZERO).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Nobody reads it: that costs one wait for all who ask.
        fs::write(&file, "another").unwrap();
        for _ in 0..3 {
            in_use.until_current(Duration::ZERO).await;
            assert_eq!(start.elapsed(), READING_MAX);
        }
        in_use.looked();
        in_use.until_current(Duration::ZERO).await;
        assert_eq!(start.elapsed(), 2 * READING_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn one_look_stands_for_the_requests_of_100_ms() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let in_use = Arc::new(InUse::default());
        in_use.use_files(noted(&file));
        assert!(in_use.is_current(LOOK_INTERVAL).await);
        fs::write(&file, "one").unwrap();
        tokio::time::advance(LOOK_INTERVAL / 2).await;
        assert!(in_use.is_current(LOOK_INTERVAL).await);
        assert!(!in_use.is_current(Duration::ZERO).await);
        in_use.use_files(noted(&file));
        assert!(in_use.is_current(LOOK_INTERVAL).await);
        fs::write(&file, "another").unwrap();
        tokio::time::advance(LOOK_INTERVAL).await;
        assert!(!in_use.is_current(LOOK_INTERVAL).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_does_not_end_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let in_use = Arc::new(InUse::default());
        in_use.use_files(noted(&folder.path().join("secret")));
        let start = Instant::now();
        in_use
            .state
            .send_modify(|state| state.looks_since = Some(start));
        for _ in 0..3 {
            in_use.until_current(LOOK_INTERVAL).await;
            assert_eq!(start.elapsed(), LOOK_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_were_read_in_vain_are_not_asked_for_before_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "one").unwrap();
        let in_use = Arc::new(InUse::default());
        in_use.use_files(noted(&file));
        fs::remove_file(&file).unwrap();
        assert!(!in_use.is_current(Duration::ZERO).await);
        let again = in_use.state.borrow().files.noted_again();
        in_use.tried(again);
        tokio::time::advance(TRIED_INTERVAL / 2).await;
        assert!(in_use.is_current(Duration::ZERO).await);
        tokio::time::advance(TRIED_INTERVAL / 2).await;
        assert!(!in_use.is_current(Duration::ZERO).await);
        in_use.tried(noted(&file));
        assert!(in_use.is_current(Duration::ZERO).await);
        fs::write(&file, "two").unwrap();
        assert!(!in_use.is_current(Duration::ZERO).await);
    }
}
