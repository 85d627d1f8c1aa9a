//! What can go wrong with the journal, by what the caller does about it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::model::Position;

/// What somebody has done to the journal's files while the daemon wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The file itself was removed, moved or replaced.
    Journal,
    /// The file itself became smaller.
    Truncated,
    /// The `-wal` was removed, moved or replaced.
    Wal,
    /// The `-wal` was emptied.
    WalTruncated,
    /// The `-wal` was cut short.
    WalCut,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Taken::Journal => {
                "its file was removed, moved or replaced: bring it back with its -wal, or the next \
                 start begins a new journal"
            }
            Taken::Truncated => "its file was truncated: restore it from a backup",
            Taken::Wal => {
                "its -wal was removed, moved or replaced: what that held was copied to the file \
                 itself as far as possible; start again"
            }
            Taken::WalCut => {
                "its -wal was cut short: start again, and see whether the daemon calls the journal \
                 a stale copy"
            }
            Taken::WalTruncated => {
                "its -wal was emptied: start again, and see whether the daemon calls the journal \
                 a stale copy"
            }
        })
    }
}

/// Why the journal could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or another part of this one) writes this journal.
    #[error(
        "the journal {path} is in use: stop the other stomp-bridge, or give this one a journal.path of its own"
    )]
    InUse {
        /// The journal's file.
        path: PathBuf,
    },
    /// The folder, the file or its lock cannot be made or opened.
    #[error(
        "the journal {path} cannot be opened: check journal.path, and that the daemon may write \
         to its folder"
    )]
    Open {
        /// The journal's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// This user may not read the file, or what SQLite has beside it.
    #[error("this user may not read the journal {path}: run this as the daemon's user, or as root")]
    Denied {
        /// The journal's file.
        path: PathBuf,
    },
    /// SQLite reads it by a `-shm`, which is not there and which this user cannot make.
    #[error(
        "SQLite cannot read the journal {path}: there is no -shm beside it, and this user may not \
         make one; run this as the daemon's user, or copy {path} and its -wal to a folder of yours, \
         and name the copy with --journal"
    )]
    Unshared {
        /// The journal's file.
        path: PathBuf,
    },
    /// The file belongs to another program, such as another SQLite file.
    #[error(
        "{path} is not a journal of stomp-bridge, but something else: give journal.path a file of its own"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite does not know the file, but a process has left its mark for a journal there: the first
    /// page is not what it was.
    #[error(
        "{path} was a journal of stomp-bridge (its -lock says so), and its beginning is damaged: \
         restore it from a backup, or move it, its -wal and its -lock away to begin a new one"
    )]
    BeginningDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The file is the same journal as before, but ends earlier: its next positions were given
    /// before (invariant I4).
    #[error(
        "the journal {path} is a stale copy: it ends at {head}, and it was at {known} before; \
         restore the newer one, or give this one a new id by `stomp-bridge journal reset-id`"
    )]
    OlderCopy {
        /// The journal's file.
        path: PathBuf,
        /// The file's last position.
        head: Position,
        /// A position that the file had before.
        known: Position,
    },
    /// A sink has an entry of this journal that is not in it: the file is a stale copy, and a sink
    /// noticed it.
    #[error(
        "the journal {path} is a stale copy: the sink {sink} has position {position} from another \
         copy of it; restore the newer one with its -lock, or give this one a new id by \
         `stomp-bridge journal reset-id`"
    )]
    OtherCopy {
        /// The journal's file.
        path: PathBuf,
        /// The sink.
        sink: Box<str>,
        /// The position that the sink has.
        position: Position,
    },
    /// [`Error::OtherCopy`] was the reason of an earlier stop: the journal is fenced.
    #[error(
        "the journal {path} is a stale copy: an earlier start found it out by a sink; restore the \
         newer one with its -lock, or give this one a new id by `stomp-bridge journal reset-id`"
    )]
    Fenced {
        /// The journal's file.
        path: PathBuf,
    },
    /// The file does not hold together: a disk or a program other than us has damaged it.
    #[error(
        "the journal {path} is damaged ({found}): restore it, or move it and its -wal away to begin a new one and \
         look with `sqlite3 {path} .recover` for what it still holds"
    )]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// The first finding of SQLite's check.
        found: String,
    },
    /// The file has the layout of another version.
    #[error(
        "the journal {path} has the layout of {of}: deliver what it holds with that version, then \
         move it and its -wal away to begin a new one"
    )]
    OtherLayout {
        /// The journal's file.
        path: PathBuf,
        /// Which version that was, in words.
        of: &'static str,
    },
    /// The file was made by a newer version.
    #[error(
        "{path} has the layout of a newer stomp-bridge, and nothing was changed: run that version \
         again, or move {path} and its -wal away to begin a new journal"
    )]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The file is a backup, which no daemon may write.
    #[error(
        "{path} is a backup of a journal, not a journal: move it away, and make a journal of it by \
         `stomp-bridge journal restore`"
    )]
    Backup {
        /// The file.
        path: PathBuf,
    },
    /// The file is no backup, or cannot be read.
    #[error("{path} is no backup that `stomp-bridge journal backup` has made: name another file")]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: Option<io::Error>,
    },
    /// The backup does not hold together, or its end is missing.
    #[error(
        "the backup {path} is damaged ({found}): restore another one, or look with `sqlite3 {path} \
         .recover` for what this one still holds"
    )]
    BackupDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// There is a file where another is to be made.
    #[error(
        "{path} is there already, and nothing is written over: move it away, or name another file"
    )]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// Another process makes the same copy.
    #[error("another process is writing {path}: wait for its end, or name another file")]
    BeingWritten {
        /// The file, until it is whole.
        path: PathBuf,
    },
    /// A copy would lie in a folder that is not there.
    #[error("there is no folder {folder}: make it, or name another file")]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A copy cannot be written.
    #[error("{path} cannot be written: check its folder, its owner and the space on its disk")]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An entry is of a kind that this version does not know.
    #[error(
        "the journal holds an entry of the kind {kind}, which a newer stomp-bridge has written: \
         run that version again"
    )]
    UnknownKind {
        /// The kind's name.
        kind: String,
    },
    /// The tables could not be made.
    #[error("the tables of the journal {path} cannot be made")]
    Migrate {
        /// The journal's file.
        path: PathBuf,
        /// What the migration said.
        source: sqlx::migrate::MigrateError,
    },
    /// The SQLite that was linked has known corruption bugs.
    #[error("SQLite {found} may corrupt a journal: build with the bundled one, {wanted} or newer")]
    SqliteTooOld {
        /// The version that was linked.
        found: String,
        /// The oldest one with the fix.
        wanted: &'static str,
    },
    /// SQLite failed. From the writer this is final: a failed sync is never retried.
    #[error("the journal failed to {doing}: {}", words(cause))]
    Sqlite {
        /// The action that failed, as in "failed to …".
        doing: &'static str,
        /// What SQLite said. It stands in the message: sqlx would repeat it as a cause of its own.
        cause: sqlx::Error,
    },
    /// The disk failed to sync the WAL. That is final, like any failed sync.
    #[error("the journal failed to sync its -wal file")]
    Sync {
        /// What the operating system said.
        source: io::Error,
    },
    /// Somebody has taken the files away from under the writer. Nothing is acknowledged from then
    /// on.
    #[error("the journal {path} cannot be written any longer: {what}")]
    Taken {
        /// The journal's file.
        path: PathBuf,
        /// What was done.
        what: Taken,
    },
    /// The journal is no stale copy, as far as can be known: a new id would make every event come
    /// again under another one.
    #[error(
        "the journal {path} is no stale copy as far as the daemon knows, and nothing was changed: \
         with a new id, histories would store what it holds a second time; where you know that it \
         is a copy of a journal that goes on elsewhere, add --force"
    )]
    NotStale {
        /// The journal's file.
        path: PathBuf,
    },
    /// The writer has ended, so nothing is accepted. Its own error says why.
    #[error("the journal is closed")]
    Closed,
}

impl Error {
    /// Whether the file is none of ours, or none of this version's, or its beginning is damaged:
    /// another start with it is of no use.
    pub fn is_of_no_use(&self) -> bool {
        matches!(
            self,
            Error::Foreign { .. }
                | Error::BeginningDamaged { .. }
                | Error::OtherLayout { .. }
                | Error::Newer { .. }
                | Error::Backup { .. }
                | Error::UnknownKind { .. }
        )
    }

    /// SQLITE_NOTADB: the file has content, and it is no database's.
    pub(super) fn is_no_database(&self) -> bool {
        self.sqlite_code().as_deref() == Some("26")
    }

    /// SQLITE_CORRUPT: it is a database, and does not hold together.
    pub(super) fn is_corrupt(&self) -> bool {
        self.sqlite_code().as_deref() == Some("11")
    }

    /// SQLITE_READONLY or SQLITE_CANTOPEN, whichever it is: of the file, or of the `-shm` that a
    /// reader needs.
    pub(super) fn is_not_opened(&self) -> bool {
        let code = self.sqlite_code();
        let code = code.and_then(|code| code.parse::<i32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 8 | 14))
    }

    fn sqlite_code(&self) -> Option<Cow<'_, str>> {
        match self {
            Error::Sqlite {
                cause: sqlx::Error::Database(error),
                ..
            } => error.code(),
            _ => None,
        }
    }

    /// The disk has no room: SQLite has undone what it was doing, and the same may succeed later.
    pub(super) fn is_out_of_space(&self) -> bool {
        // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: the WAL's index cannot grow. An ENOSPC from a sync
        // is not among them: SQLite reports that as any other I/O error.
        matches!(self.sqlite_code().as_deref(), Some("13" | "4874"))
    }
}

/// What a row says to be the kind of its entry, and this version does not know. [`failed`] makes an
/// [`Error::UnknownKind`] of it.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no kind of entry")]
pub(super) struct UnknownKind(pub(super) String);

/// Turns sqlx's error into one that names the failed action.
pub(super) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |cause| {
        if let sqlx::Error::Decode(error) = &cause
            && let Some(UnknownKind(kind)) = error.downcast_ref()
        {
            return Error::UnknownKind { kind: kind.clone() };
        }
        Error::Sqlite { doing, cause }
    }
}

/// SQLite's own words, with its code; those of the library around it say nothing more.
fn words(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => match error.code() {
            Some(code) => format!("{} (code {code})", error.message()),
            None => error.message().to_owned(),
        },
        None => error.to_string(),
    }
}
