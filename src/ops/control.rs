//! What an operator may change while the daemon runs, or on a journal that no daemon has: redrive,
//! drop, replay, forget.
//!
//! Over HTTP it is `POST /control`, for anybody who can read the file beside the journal: its owner
//! alone (mode 0600). The file has the address and a token that each start makes. Requests from
//! other machines are refused.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::redecoded::{self, Outcome, Redecoded};
use crate::journal::{self, ForgottenDevice, ForgottenSink, Journal, Replay, Which};
use crate::model::Position;
use crate::secret::{Lifetime, protect};
use crate::sqlite_file::beside;

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum AdminCommand {
    /// Deliver a sink's dead letters again.
    Redrive {
        /// Its name.
        sink: String,
        /// Which entries.
        which: Which,
    },
    /// Drop a sink's dead letters.
    Drop {
        /// Its name.
        sink: String,
        /// Which entries.
        which: Which,
    },
    /// Deliver undecodable entries to every sink, since they can be decoded by now. One that is a
    /// single status stays where it is. The statuses of any other are appended, so that each has its
    /// own position and so its own id.
    RedriveUndecodable {
        /// Which entries.
        entries: Vec<Redecoded>,
    },
    /// Decode undecodable entries again, as the running daemon is configured, and deliver those that
    /// can be decoded by now to every sink.
    DecodeAgain {
        /// Which entries.
        which: Which,
    },
    /// Settle undecodable entries: no list has them.
    DropUndecodable {
        /// Which entries.
        which: Which,
    },
    /// Deliver a slice of the log to one sink again.
    Replay {
        /// Its name.
        sink: String,
        /// Only entries received at or after it.
        since: Option<Timestamp>,
        /// Only entries received before it.
        until: Option<Timestamp>,
        /// Only this device's.
        device_id: Option<String>,
    },
    /// Give up a sink that has left the configuration.
    Forget {
        /// Its name.
        sink: String,
    },
    /// Forget the last states of devices: each counts as never seen.
    ForgetDevices {
        /// Which devices.
        devices: Vec<ForgottenDevice>,
    },
    /// Deliver to a sink now, though it is disabled or waits for its next attempt.
    RetrySink {
        /// Its name.
        sink: String,
    },
    /// Connect to the source's server now, though it waits for its next attempt.
    RetrySource,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// How many entries (of `Forget`: sinks) were changed; of a replay how many entries it looks
    /// at.
    pub entries: u64,
    /// Of `RetrySource`: the attempt comes then and not now, since the limit on refused sign-ins
    /// holds. Of `RetrySink`: since the sink's `rate` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Of `RetrySource`: there is no wait to end, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needless: Option<String>,
    /// Of `Replay`: how many entries the sink's replay before it had yet to look through. That has
    /// ended with it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub replaced: u64,
    /// Of `DecodeAgain` and `RedriveUndecodable`: how many entries stay undecodable, as far as they
    /// were looked at.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left: u64,
    /// Why the first of those does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Reply {
    /// So many entries were changed.
    pub fn of(entries: u64) -> Reply {
        Reply {
            entries,
            not_before: None,
            needless: None,
            replaced: 0,
            left: 0,
            why: None,
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It makes no sense as things are.
    #[error("{0}")]
    Senseless(String),
    /// The journal has failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

/// Carries a command out. Durable on return; the sink's own delivery delivers the entries later.
///
/// # Errors
/// See [`Refusal`].
pub async fn execute(journal: &Journal, command: AdminCommand) -> Result<Reply, Refusal> {
    let entries = match command {
        AdminCommand::Redrive { sink, which } => {
            journal.admin.redrive(known(journal, &sink)?, which).await?
        }
        AdminCommand::Drop { sink, which } => {
            journal.admin.discard(known(journal, &sink)?, which).await?
        }
        AdminCommand::RedriveUndecodable { entries } => {
            return redrive_undecodable(journal, entries).await;
        }
        AdminCommand::DropUndecodable { which } => journal.admin.discard_undecodable(which).await?,
        AdminCommand::Replay {
            sink,
            since,
            until,
            device_id,
        } => {
            if !journal.cursors.is_configured(&sink) {
                return Err(Refusal::Senseless(format!(
                    "there is no sink {sink} in the configuration"
                )));
            }
            let status = journal.log.status();
            let through = journal.cursors.cursor(&sink).unwrap_or(status.head);
            let done = status
                .oldest
                .map_or(through, |oldest| Position(oldest.0 - 1))
                .min(through);
            let replay = Replay {
                done,
                through,
                since,
                until,
                device_id,
            };
            return Ok(Reply {
                replaced: journal.admin.begin_replay(&sink, replay).await?,
                ..Reply::of((through.0 - done.0).unsigned_abs())
            });
        }
        AdminCommand::Forget { sink } => match journal.admin.forget(&sink).await? {
            ForgottenSink::Forgotten => 1,
            ForgottenSink::Unknown => return Err(unknown_to(journal, &sink)),
            ForgottenSink::Configured => {
                let error = format!(
                    "the sink {sink} is in the configuration: take it out, reload, then forget it"
                );
                return Err(Refusal::Senseless(error));
            }
        },
        AdminCommand::ForgetDevices { devices } => journal.admin.forget_devices(devices).await?,
        AdminCommand::DecodeAgain { .. } => {
            let error = "no stomp-bridge runs on this journal: decode them by `stomp-bridge dlq \
                         redrive --undecodable`";
            return Err(Refusal::Senseless(error.to_owned()));
        }
        AdminCommand::RetrySink { .. } | AdminCommand::RetrySource => {
            let error = "no stomp-bridge runs on this journal, so nothing waits for an attempt: \
                         start it with `stomp-bridge run`";
            return Err(Refusal::Senseless(error.to_owned()));
        }
    };
    Ok(Reply::of(entries))
}

fn known<'a>(journal: &Journal, sink: &'a str) -> Result<&'a str, Refusal> {
    match journal.cursors.cursor(sink) {
        Some(_) => Ok(sink),
        None => Err(unknown_to(journal, sink)),
    }
}

fn unknown_to(journal: &Journal, sink: &str) -> Refusal {
    let sinks = journal.log.status().sinks;
    let known = sinks.iter().map(|known| &*known.name);
    Refusal::Senseless(unknown(sink, known))
}

async fn redrive_undecodable(journal: &Journal, entries: Vec<Redecoded>) -> Result<Reply, Refusal> {
    let Outcome { entries, refused } = redecoded::redrive(journal, entries).await?;
    let left = refused.len() as u64;
    let why = refused.into_iter().next().map(|(_, why)| why);
    match (entries, why) {
        (0, Some(why)) => Err(Refusal::Senseless(why)),
        (entries, why) => Ok(Reply {
            left,
            why,
            ..Reply::of(entries)
        }),
    }
}

/// What there is to say of a sink that is none of these.
pub fn unknown<'a>(sink: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!(
        "the journal knows no sink {sink}: it knows {}",
        known.collect::<Vec<_>>().join(", ")
    )
}

/// The content of the file beside the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// Where the running daemon listens.
    pub http: SocketAddr,
    /// What it wants to see.
    pub token: String,
    /// The certificate that it shows, where it speaks TLS.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
}

impl Access {
    /// The file of a journal.
    pub fn path(journal: &Path) -> PathBuf {
        beside(journal, "-control")
    }

    /// Makes a new token, which nothing shows.
    pub fn new(http: SocketAddr) -> Access {
        let token = Uuid::new_v4().simple().to_string();
        protect(&token, Lifetime::Configured);
        Access {
            http,
            token,
            cert_file: None,
        }
    }

    /// Writes it to a file for its owner alone, in place of an older one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn grant(&self, journal: &Path) -> io::Result<()> {
        let path = Access::path(journal);
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }

    /// What a running daemon has written; `None`: none runs. One that ended without a goodbye has
    /// left its file, and somebody else may have its port now.
    ///
    /// # Errors
    /// There is a file, but it cannot be read.
    pub fn read(journal: &Path) -> io::Result<Option<Access>> {
        match fs::read(Access::path(journal)) {
            Ok(_) if !journal::is_held(journal) => Ok(None),
            Ok(text) => {
                let access: Access = serde_json::from_slice(&text)?;
                protect(&access.token, Lifetime::Configured);
                Ok(Some(access))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The end of the granted time.
    pub fn revoke(journal: &Path) {
        let _ = fs::remove_file(Access::path(journal));
    }

    /// Whether a request's `Authorization` is `Bearer` and the token. Takes as long for a near miss
    /// as for any other.
    pub fn allows(&self, authorization: Option<&str>) -> bool {
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        let expected = digest(&format!("Bearer {}", self.token));
        authorization.is_some_and(|given| digest(given) == expected)
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::journal::{NewBatch, NewContent, NewEntry, Passed, Start};
    use crate::secret::redact;

    #[tokio::test]
    async fn a_replay_says_what_the_one_before_it_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let settings = journal::Settings::new(folder.path().join("journal.db"));
        let (journal, writer) = Journal::open(&settings).await.unwrap();
        let stop = CancellationToken::new();
        let writer = tokio::spawn(writer.run(stop.clone()));
        let sinks = [("site".into(), Start::Oldest)];
        journal.cursors.register_sinks(&sinks).await.unwrap();
        let entry = NewEntry {
            topic: "map-1".into(),
            received_at: Timestamp::now(),
            body: "{}".into(),
            content: NewContent::sample(),
        };
        let entries = vec![entry; 5];
        let head = journal.log.append(NewBatch { entries }).await.unwrap();
        let passed = Passed {
            delivered: 5,
            ..Passed::default()
        };
        journal.cursors.pass("site", head, passed);
        let replay = async |device: &str| {
            let replay = AdminCommand::Replay {
                sink: "site".to_owned(),
                since: None,
                until: None,
                device_id: Some(device.to_owned()),
            };
            let reply = execute(&journal, replay).await.unwrap();
            (reply.entries, reply.replaced)
        };
        assert_eq!(replay("1").await, (5, 0));
        let running = journal.cursors.replay("site").unwrap();
        let replayed = journal.cursors.replayed("site", &running, Position(2));
        replayed.await.unwrap();
        assert_eq!(replay("2").await, (5, 3));
        let running = journal.cursors.replay("site").unwrap();
        let ended = journal.cursors.replayed("site", &running, head);
        ended.await.unwrap();
        assert_eq!(replay("3").await, (5, 0));
        stop.cancel();
        writer.await.unwrap().unwrap();
    }

    #[test]
    fn the_token_is_a_secret_to_who_makes_it_and_to_who_reads_it() {
        let access = Access::new(([127, 0, 0, 1], 1).into());
        assert_eq!(redact(&access.token), "…");
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let token = "0123456789abcdef-of-another-process".to_owned();
        let other = Access { token, ..access };
        other.grant(&journal).unwrap();
        // Its daemon was killed.
        assert!(Access::read(&journal).unwrap().is_none());
        let lock = fs::File::create(folder.path().join("journal.db-lock")).unwrap();
        assert!(Access::read(&journal).unwrap().is_none());
        lock.lock().unwrap();
        assert_eq!(redact(&other.token), other.token);
        let read = Access::read(&journal).unwrap().expect("a file");
        assert_eq!((&read.token, &*redact(&read.token)), (&other.token, "…"));
    }
}
