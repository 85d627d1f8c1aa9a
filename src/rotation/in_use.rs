//! Whether the secrets in use are those that their files have. Who connects asks before, and who
//! reads the configuration answers. One for the whole process, as the list of secrets is.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::files::SecretFiles;

/// How long a connection waits for secrets that are being read again. It is made with the ones
/// before where that takes longer, such as behind a sink that ends.
const READING_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct InUse {
    files: Mutex<Arc<SecretFiles>>,
    asked: Notify,
    /// How often somebody has looked.
    looks: watch::Sender<u64>,
}

static IN_USE: LazyLock<InUse> = LazyLock::new(InUse::default);

/// The secrets that are used from now on were read from these files.
pub fn use_files(files: SecretFiles) {
    IN_USE.use_files(files);
}

/// Whether every file is as it was when it was read. It is not read: this may be asked before each
/// request.
pub fn is_current() -> bool {
    IN_USE.is_current()
}

/// Before a connection is made: where a file is another by now, waits until it has been read, and
/// until what needs it has been told, or for two seconds.
pub async fn until_current() {
    IN_USE.until_current().await;
}

/// Waits until somebody wants the files to be read. Cancel-safe.
pub async fn asked() {
    IN_USE.asked.notified().await;
}

/// The files have been looked at: whoever waits for that goes on.
pub fn looked() {
    IN_USE.looks.send_modify(|looks| *looks += 1);
}

impl InUse {
    fn use_files(&self, files: SecretFiles) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(files);
    }

    fn is_current(&self) -> bool {
        // Nobody waits for a slow file system but who asks.
        let files = Arc::clone(&self.files.lock().unwrap_or_else(PoisonError::into_inner));
        !files.have_changed()
    }

    async fn until_current(&self) {
        if self.is_current() {
            return;
        }
        let mut looks = self.looks.subscribe();
        self.asked.notify_one();
        // The sender lives as long as the process.
        let _ = timeout(READING_MAX, looks.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_a_changed_file_and_not_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let noted = || {
            let mut files = SecretFiles::default();
            files.note(&file);
            files
        };
        let in_use = InUse::default();
        in_use.use_files(noted());
        let start = Instant::now();
        in_use.until_current().await;
        fs::write(&file, "one").unwrap();
        let reader = async {
            in_use.asked.notified().await;
            in_use.use_files(noted());
            in_use.looks.send_modify(|looks| *looks += 1);
        };
        tokio::join!(in_use.until_current(), reader);
        assert!(in_use.is_current());
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Nobody reads it.
        fs::write(&file, "another").unwrap();
        in_use.until_current().await;
        assert_eq!(start.elapsed(), READING_MAX);
    }
}
