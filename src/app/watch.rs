//! Watches the folder of the configuration, and says when something has happened in it. Which file
//! it was is not looked at: editors rename, and Kubernetes swaps a link to a folder beside it.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// After this time without a change the writer is taken to be done.
const QUIET: Duration = Duration::from_millis(300);

/// In a folder where something happens all the time it is not waited for longer.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// Says so in `changes`, until stopped. It says so once at its beginning: the file may have changed
/// since it was read.
pub(super) async fn watch(config: PathBuf, changes: mpsc::Sender<()>, stop: CancellationToken) {
    let (happened, mut happenings) = mpsc::channel(1);
    let file = config.file_name().map(PathBuf::from);
    let seen = move |event: notify::Result<Event>| {
        if event
            .as_ref()
            .is_ok_and(|event| !matters(event, file.as_deref()))
        {
            return;
        }
        // Where one waits to be seen, it stands for this one too.
        let _ = happened.try_send(());
    };
    let watcher = match notify::recommended_watcher(seen) {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, "configuration not watched: reload it by SIGHUP");
            return stop.cancelled().await;
        }
    };
    let mut watched = Watched {
        watcher,
        folders: Vec::new(),
    };
    loop {
        let config = config.clone();
        // On a network file system a look may not end.
        let look = spawn_blocking(move || watched.follow(&config));
        watched = tokio::select! {
            () = stop.cancelled() => return,
            looked = look => match looked {
                Ok(watched) => watched,
                Err(failed) => resume_unwind(failed.into_panic()),
            },
        };
        // Where one waits to be read, it stands for this one too.
        let _ = changes.try_send(());
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = happenings.recv() => {}
        }
        let give_up_at = Instant::now() + QUIET_MAX;
        loop {
            let quiet_at = (Instant::now() + QUIET).min(give_up_at);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(quiet_at) => break,
                Some(()) = happenings.recv() => {}
            }
        }
    }
}

/// The folders that are watched.
struct Watched {
    watcher: RecommendedWatcher,
    folders: Vec<PathBuf>,
}

impl Watched {
    /// A link may lead elsewhere by now.
    fn follow(mut self, config: &Path) -> Watched {
        let folders = folders(config);
        for folder in folders.iter().filter(|it| !self.folders.contains(it)) {
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => debug!(folder = %folder.display(), "watching"),
                Err(error) => {
                    warn!(folder = %folder.display(), %error, "folder not watched: reload by \
                     SIGHUP")
                }
            }
        }
        for folder in self.folders.iter().filter(|it| !folders.contains(it)) {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(folder);
        }
        Watched { folders, ..self }
    }
}

/// The journal may lie in the same folder, and is written to all the time.
fn matters(event: &Event, file: Option<&Path>) -> bool {
    let writes = matches!(
        event.kind,
        EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(_)
    );
    !writes
        || event
            .paths
            .iter()
            .any(|path| path.file_name() == file.map(Path::as_os_str))
}

/// Where the file is named, and where it lies.
fn folders(config: &Path) -> Vec<PathBuf> {
    let named = std::path::absolute(config).ok();
    let real = config.canonicalize().ok();
    let mut folders: Vec<PathBuf> = [named, real]
        .into_iter()
        .flatten()
        .filter_map(|file| file.parent().map(Path::to_owned))
        .collect();
    folders.dedup();
    folders
}
