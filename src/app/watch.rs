//! Watches the folders of the configuration and of its file of names, and says when something has
//! happened in one of them. Which file it was is not looked at: editors rename, and Kubernetes swaps
//! a link to a folder beside it.

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

/// Says so in `changes`, until stopped. It says so once at its beginning: a file may have changed
/// since it was read.
pub(super) async fn watch(files: Vec<PathBuf>, changes: mpsc::Sender<()>, stop: CancellationToken) {
    let (happened, mut happenings) = mpsc::channel(1);
    let of_interest = files.clone();
    let seen = move |event: notify::Result<Event>| {
        if event
            .as_ref()
            .is_ok_and(|event| !matters(event, &of_interest))
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
        let files = files.clone();
        // On a network file system a look may not end.
        let look = spawn_blocking(move || watched.follow(&files));
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
    fn follow(mut self, files: &[PathBuf]) -> Watched {
        let folders = folders(files);
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
fn matters(event: &Event, files: &[PathBuf]) -> bool {
    let writes = matches!(
        event.kind,
        EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(_)
    );
    let is_one = |path: &PathBuf| files.iter().any(|it| it.file_name() == path.file_name());
    !writes || event.paths.iter().any(is_one)
}

/// Where the files are named, and where they lie.
fn folders(files: &[PathBuf]) -> Vec<PathBuf> {
    let named = files.iter().filter_map(|it| std::path::absolute(it).ok());
    let real = files.iter().filter_map(|it| it.canonicalize().ok());
    let files = named.chain(real);
    let mut folders: Vec<PathBuf> = files
        .filter_map(|file| file.parent().map(Path::to_owned))
        .collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}
