//! Opens the journal and gives its three handles, which are cheap to clone.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::admin::Admin;
use super::check::Check;
use super::command_sender::CommandSender;
use super::cursors::Cursors;
use super::last_states::{LastStates, Met};
use super::lock::{Left, Mark};
use super::log::{Log, QUEUE_BYTES_MAX};
use super::writer::{Known, Queue, Writer};
use super::{Error, Settings, coverage, disk, entry_rows, file, last_state_rows};
use crate::model::Position;

/// Batches that may wait for a commit: enough for single entries from many callers at once.
const QUEUE_BATCHES_MAX: usize = 1024;

/// Commands that may wait for a commit. Sinks wait for each command, so a few for each sink are
/// enough.
const COMMANDS_MAX: usize = 64;

/// The journal's three handles, one for each of its users; all share one writer.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The log, for the source and for all readers.
    pub log: Log,
    /// The sinks' cursors, for the deliveries.
    pub cursors: Cursors,
    /// The operator's commands.
    pub admin: Admin,
}

impl Journal {
    /// Opens the journal, with its folder and file where they are missing, for this process alone.
    /// The writer must be run for anything to be written, after [`Writer::catch_up`].
    ///
    /// # Errors
    /// [`Error::InUse`] at once where another process has it; the others as they say.
    pub async fn open(settings: &Settings) -> Result<(Journal, Writer), Error> {
        let mut opened = file::open(settings).await?;
        let settings = &Settings {
            path: opened.path.clone(),
            ..settings.clone()
        };
        let (state, begin) = disk::load(&mut opened.connection, settings).await?;
        state.keep_open(opened.lock.journal());
        compare(&settings.path, opened.mark, opened.uuid, state.head())?;
        opened.lock.mark(Mark {
            journal: opened.uuid,
            head: state.head(),
            left: Left::Open,
        })?;
        let unclean = matches!(
            opened.mark,
            Some(Mark {
                left: Left::Open | Left::Fenced,
                ..
            })
        );
        let check = match unclean {
            true => Check::begin(settings.path.clone()).await?,
            false => Check::default(),
        };
        let state = Arc::new(state);
        let (appends, queued_appends) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (commands, queued_commands) = mpsc::channel(COMMANDS_MAX);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        let ended = CancellationToken::new();
        let queue = Queue {
            appends: queued_appends,
            commands: queued_commands,
            room: Arc::clone(&room),
            _ended: ended.clone().drop_guard(),
        };
        let newest = entry_rows::newest(&mut opened.connection).await?;
        let believed_at = match disk::believed_at(&mut opened.connection, newest).await {
            // It is kept once there is room.
            Err(error) if error.is_out_of_space() => newest.unwrap_or_else(Timestamp::now),
            believed_at => believed_at?,
        };
        let evicted = entry_rows::evicted(&mut opened.connection).await?;
        let size = last_state_rows::size(&mut opened.connection).await?;
        let proven_at = coverage::proven_at(&mut opened.connection).await?;
        let known = last_state_rows::newest(&mut opened.connection).await?;
        let saved = last_state_rows::position(&mut opened.connection).await?;
        let mut last_states = LastStates::new(settings, size, known, saved, state.head());
        last_states.count_states(last_state_rows::states(&mut opened.connection).await?);
        state.tell_devices(&mut last_states, 0, Met::default());
        let known = Known {
            state: Arc::clone(&state),
            last_states,
            begin,
            evicted,
            proven_at,
            believed_at,
        };
        let mut writer = Writer::new(settings.clone(), opened, known, queue, check)?;
        // The question for room may come before the writer runs.
        writer.measure().await?;
        let commands = CommandSender {
            queue: commands,
            ended,
        };
        let log = Log {
            path: Arc::new(settings.path.clone()),
            state: Arc::clone(&state),
            unclean,
            appends,
            room,
            commands: commands.clone(),
        };
        let journal = Journal {
            cursors: Cursors {
                path: Arc::clone(&log.path),
                state: Arc::clone(&state),
                commands: commands.clone(),
            },
            admin: Admin {
                state,
                commands,
                log: log.clone(),
            },
            log,
        };
        Ok((journal, writer))
    }
}

/// Compares the journal with the mark that the last process left.
fn compare(path: &Path, mark: Option<Mark>, uuid: Uuid, head: Position) -> Result<(), Error> {
    let Some(mark) = mark else {
        if head == Position::START {
            info!(path = %path.display(), "journal created: there was none at this path");
        }
        return Ok(());
    };
    if mark.journal != uuid {
        warn!(
            journal = %uuid.simple(),
            before = %mark.journal.simple(),
            head = mark.head.0,
            "journal replaced: another one was here before; if it was deleted, its pending \
             entries are lost; if it was moved, stop and bring it back"
        );
    } else if head < mark.head {
        return Err(Error::OlderCopy {
            path: path.to_owned(),
            head,
            known: mark.head,
        });
    } else if head == mark.head && mark.left == Left::Fenced {
        return Err(Error::Fenced {
            path: path.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::journal::NewBatch;
    use crate::journal::group::Append;

    #[tokio::test]
    async fn caller_whose_batch_came_after_the_writers_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            keep: Duration::ZERO,
            ..Settings::new(folder.path().join("journal.db"))
        };
        let (Journal { log, .. }, writer) = Journal::open(&settings).await.unwrap();
        let place = log.appends.reserve().await.unwrap();
        drop(writer);
        let room = Arc::clone(&log.room).acquire_owned().await.unwrap();
        let (done, mut written) = oneshot::channel();
        place.send(Append {
            batch: NewBatch::default(),
            room,
            done,
            redrive: None,
        });
        let answer = log.commands.answer(&mut written).await;
        assert!(matches!(answer, Err(Error::Closed)));
    }
}
