//! The end of a connection, whatever its reason. Messages read are committed and acknowledged, and
//! only then is the socket closed. A server redelivers unacknowledged messages, and their statuses
//! would become other events. No message is acknowledged before it is on disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Connection, Stage};
use crate::journal;
use crate::source::clock;

/// The last ACKs are written and the server has closed within this time of the commit. A distant
/// server needs two round trips, perhaps a packet sent twice; a dead link answers never, and is
/// only then dialled again. With `GOODBYE` before it and the transport's close behind it, it fits
/// into the 5 s that a stop gives the source.
const LAST_ACKS_MAX: Duration = Duration::from_secs(2);

/// The same for a server that has missed its heart-beats. The kernel sends the bytes that it took,
/// and nobody waits for an answer of a dead link.
const SILENT_ACKS_MAX: Duration = Duration::from_millis(200);

/// What of it a server has to answer DISCONNECT by closing. Most do at once; the rest of the time
/// is for one that closes only after us.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How long to wait for the commit of the entries that say that no topic is heard: most commits
/// take less. No ACK depends on them, and a full journal takes them later, with the next
/// connection's entries.
const COVERAGE_MAX: Duration = Duration::from_millis(200);

impl Connection<'_> {
    /// Commits everything that was read and writes its ACKs, as far as the server still takes
    /// them. Gives the time by which the socket is to be closed.
    ///
    /// DISCONNECT follows the ACKs, and then we wait for the server. A proxy between may drop our
    /// bytes as soon as we close (nginx's `proxy_half_close off`).
    ///
    /// Waits for a full journal to take messages, since there is no room for another connection's
    /// either; once `stop` asks to, no longer than [`LAST_ACKS_MAX`].
    pub(super) async fn settle(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Instant, journal::Error> {
        self.receiver.suspend_pacing();
        let mut close_by = None;
        let mut readable = true;
        let mut said_goodbye = false;
        let mut coverage_by: Option<Instant> = None;
        loop {
            let now = clock::now();
            let in_time = coverage_by.is_none_or(|at| now < at);
            // A commit that begins is also polled once, and then it is the journal's.
            if in_time {
                self.bound_journal();
                self.start_committing();
            }
            let committed = !self.has_received();
            if committed {
                coverage_by.get_or_insert(now + COVERAGE_MAX);
            }
            let kept = self.intake.is_empty() && !self.commit.is_under_way();
            let waits = committed && !kept && in_time;
            if committed && !self.writer.has_failed() && !said_goodbye {
                said_goodbye = true;
                self.acknowledge_held();
                if self.acknowledged {
                    self.session.leave(self.last_to_leave().as_deref(), now);
                }
            }
            self.start_writing();
            if committed || stop.is_cancelled() {
                close_by.get_or_insert(match self.stage {
                    // The server had its time to answer DISCONNECT, and nothing follows that.
                    Stage::Leaving | Stage::Left => self.give_up_at.unwrap_or(now),
                    Stage::Living | Stage::Finishing if self.peer_silent => now + SILENT_ACKS_MAX,
                    Stage::Living | Stage::Finishing => now + LAST_ACKS_MAX,
                });
            }
            let awaited = self.is_close_awaited() && readable;
            if committed
                && !waits
                && (!self.writer.is_busy() && !awaited || self.stage == Stage::Left)
            {
                return Ok(close_by.unwrap_or(now));
            }
            // Once all is written, the rest of the time is for the close.
            let written = committed && !self.writer.is_busy();
            let give_up_at = close_by.map(|at| if written { at - FAREWELL_MAX } else { at });
            // A session that has failed has no deadline.
            let beat_at = self.session.deadline().filter(|_| !committed);
            tokio::select! {
                biased;
                (outcome, owed) = self.commit.done(), if self.commit.is_under_way() => {
                    outcome?;
                    if !self.writer.has_failed() {
                        self.acknowledge(&owed);
                    }
                }
                written = self.writer.written(&mut self.session), if self.writer.is_busy() => {
                    match written {
                        Ok(()) => self.reach_ack_written(),
                        Err(error) => debug!(%error, "last ACKs cannot be written"),
                    }
                }
                () = stop.cancelled(), if close_by.is_none() => {}
                () = sleep_until(coverage_by.unwrap_or(now).into()), if waits => {}
                () = sleep_until(beat_at.unwrap_or(now).into()), if beat_at.is_some() => self.beat(),
                () = sleep_until(give_up_at.unwrap_or(now).into()), if give_up_at.is_some() => {
                    if !committed {
                        self.leave_to_journal();
                    }
                    return Ok(close_by.unwrap_or(now));
                }
                // A server may read nothing until it has written everything. What it sends now
                // comes again, or was lost in any case. Its close says that it has read ours.
                received = self.receiver.receive(), if committed && readable => {
                    readable = received.is_ok();
                }
            }
        }
    }

    /// A commit may take hours where the journal is full, and the server hears of us meanwhile.
    /// What it sends is not read, so its silence means nothing.
    pub(super) fn beat(&mut self) {
        let now = clock::now();
        self.session.alive(now);
        if let Err(error) = self.session.tick(now) {
            debug!(%error, "the session has ended before its last ACKs");
        }
    }

    /// Whether the server is to show that it has read our ACKs.
    fn is_close_awaited(&self) -> bool {
        self.acknowledged && !self.peer_silent && !self.writer.has_failed()
    }

    /// The ACKs of topics that are being left: they wait for nothing now.
    pub(super) fn acknowledge_held(&mut self) {
        for ack in self.subscriptions.release() {
            self.acknowledge_one(&ack);
        }
    }

    /// Whose UNSUBSCRIBE stands between the last ACKs and DISCONNECT, for a server that would forget
    /// them.
    pub(super) fn last_to_leave(&self) -> Option<Arc<str>> {
        let forgets = self.broker.forgets_acks_at_disconnect() && self.acknowledged;
        forgets.then(|| self.subscriptions.a_kept_one()).flatten()
    }

    /// There is no time to wait for a commit. The journal still writes the queued batch, which
    /// stays unacknowledged.
    fn leave_to_journal(&mut self) {
        if self.intake.entries() > 0 {
            let (batch, _) = self.intake.drain();
            let entries = batch.entries.len();
            if let Err(error) = self.journal.append_last(batch) {
                warn!(%error, entries, "the last messages were not journaled: without acks they are lost");
            }
        }
    }

    /// Closes the socket. Where ACKs were written, the server is given until `close_by` to read
    /// them, unless it has confirmed our DISCONNECT.
    pub(super) async fn close(mut self, close_by: Instant) {
        let awaited = self.is_close_awaited() && self.stage != Stage::Left;
        if awaited && close_by > clock::now() {
            let closed = self.writer.close_with(self.receiver);
            // A timeout is the server's loss: it has not read in time.
            let _ = timeout_at(close_by.into(), closed).await;
        } else {
            self.writer.close().await;
        }
    }
}
