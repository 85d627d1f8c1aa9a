//! A full journal: when reading rests, what is read when the connection ends meanwhile, and the gap
//! that follows. Nothing is read that has no room in memory.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Connection, Stage};
use crate::model::CoverageCause;
use crate::source::clock;
use crate::source::disconnect::DisconnectReason;
use crate::source::status::{LinkState, TURN};
use crate::source::topic::Topic;

/// Bytes of bodies that may wait for the journal, where the server would not send them again: a crash
/// loses them. One message more may exceed it.
const UNJOURNALED_BYTES_MAX: usize = 1024 * 1024;

/// The end of a connection that has ended is read within this time of the bytes before it.
const LEFT_MAX: Duration = Duration::from_secs(1);

/// More than the kernel holds of one connection: beyond it the server still sends, and only our
/// writes fail.
const LEFT_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Connection<'_> {
    /// Whether what is read now has room.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.intake.bytes() + self.commit.bytes();
        let rests = waiting >= UNJOURNALED_BYTES_MAX || self.is_overdrawn();
        self.intake.has_room() && !(rests && self.loses_unread())
    }

    /// Whether the intake takes what was read already. A few bytes may be a compressed body of many, and
    /// there may be several of them in one read.
    pub(super) fn may_take(&self) -> bool {
        // Where all comes again nothing is stored.
        self.intake.has_room() || (self.unread.is_some() && !self.loses_unread())
    }

    /// Whether more was journaled beyond the size of the log than the windows of the queues may bring.
    /// The rest is of others, whose messages nobody counts: they are not read before there is room.
    fn is_overdrawn(&self) -> bool {
        self.journal.is_full()
            && self.subscriptions.any_kept()
            && self.journal.beyond_bytes() > self.queues.credit.need()
    }

    fn loses_unread(&self) -> bool {
        self.broker.loses_unread(&self.wanted.settings.topics)
    }

    /// Whether the journal is full, and the server sends what it does not keep.
    fn waits_for_room(&self) -> bool {
        self.journal.is_full() && self.loses_unread()
    }

    /// The link's state where it has ended.
    pub(super) fn state_after_the_end(&self) -> LinkState {
        match self.journal.is_full() && (self.has_received() || self.waits_for_room()) {
            true => LinkState::Paused,
            false => LinkState::Connecting,
        }
    }

    /// Notes and says where reading begins to rest for a full journal, and where it goes on.
    pub(super) fn watch_rest(&mut self) {
        let now = clock::now();
        if !self.has_room() && self.journal.is_full() {
            if self.rest.begin(self.proof.last_byte(), now) {
                warn!(
                    "source paused: the journal is full, and the server is not read until the \
                     sinks have caught up; see which one is behind, or raise journal.max_bytes"
                );
                self.status.enter(LinkState::Paused);
            }
        } else if self.rest.end(now) {
            info!("source continues: the journal has free space again");
            self.status.enter(match self.complete {
                // Others wait at the server still.
                _ if self.status.held_back() > 0 => LinkState::Paused,
                Some(_) => LinkState::Subscribed,
                None => LinkState::Connected,
            });
        }
    }

    /// The connection is over, and the next one waits for the journal, perhaps for hours.
    pub(super) fn tell_lost(&self, ended: &DisconnectReason) {
        warn!(error = %ended, "connection lost: what was read waits for the journal");
        self.status.failed(&ended.to_string(), ended.refuser());
    }

    /// The server has ended a connection that was not read.
    pub(super) fn ended_unread(&mut self) -> DisconnectReason {
        self.unread = Some(Timestamp::now());
        DisconnectReason::Lost("the server has ended the connection while it was not read".into())
    }

    /// Whether a message that is read after the end, or behind our DISCONNECT, is sent again, on the
    /// next connection. It could not be acknowledged on this one.
    pub(super) fn comes_again(&self, topic: &str) -> bool {
        let known = |known: &&Topic| &*known.name == topic;
        (self.unread.is_some() || self.stage == Stage::Leaving)
            && self
                .wanted
                .settings
                .topics
                .iter()
                .find(known)
                .is_some_and(|topic| !self.broker.loses_unread(std::slice::from_ref(topic)))
    }

    /// A connection that was not read has ended. The kernel holds what has arrived: where that comes
    /// only once, it is read as the journal has room for it, up to the end, and not once `stop` asks
    /// to. Gives the reason that the end itself tells, where it is reached.
    pub(super) async fn read_what_has_arrived(
        &mut self,
        ended: DisconnectReason,
        stop: &CancellationToken,
    ) -> DisconnectReason {
        // Where all comes again nothing is stored, so that there is always room; but the reason of the
        // end stands behind it.
        let loses = self.loses_unread();
        if loses {
            self.tell_lost(&ended);
            self.status.enter(self.state_after_the_end());
        }
        self.receiver.suspend_pacing();
        let mut left_bytes = LEFT_BYTES_MAX;
        loop {
            self.status.turn();
            self.start_committing();
            if self.events_left && self.may_take() {
                if let Err(ended) = self.take_more() {
                    return ended;
                }
                continue;
            }
            let reads = !self.events_left && (!loses || self.may_read());
            tokio::select! {
                biased;
                () = stop.cancelled() => return ended,
                (outcome, owed) = self.commit.done(), if self.commit.is_under_way() => match outcome {
                    Ok(_) if self.writer.has_failed() => {}
                    Ok(_) => self.acknowledge(&owed),
                    Err(error) => return DisconnectReason::Journal(error),
                },
                received = timeout(LEFT_MAX, self.receiver.receive()), if reads => {
                    let Ok(received) = received else { return ended };
                    let bytes = received.as_ref().map_or(0, |bytes| bytes.len());
                    if let Err(ended) = self.received(received) {
                        return ended;
                    }
                    let Some(left) = left_bytes.checked_sub(bytes) else { return ended };
                    left_bytes = left;
                }
                () = sleep(TURN), if !reads => {}
            }
        }
    }

    /// The gap that begins at the end of the connection, where a full journal has made it: messages
    /// were not read, or no other connection is made before there is room.
    pub(super) fn gap(&self, at: Timestamp, cause: CoverageCause) -> (Timestamp, CoverageCause) {
        use CoverageCause::{DaemonStopped, JournalFull, Refused, Unsubscribed};
        let heard_until = self.rest.heard_until(clock::now());
        // What was read later had come before.
        let at = self.unread.map_or(at, |ended| ended.min(at));
        match (cause, heard_until) {
            (Refused, _) => (at, cause),
            (DaemonStopped | Unsubscribed, _) if !self.rest.is_on() => (at, cause),
            (_, Some(heard_until)) => (at.min(heard_until), JournalFull),
            _ if self.waits_for_room() => (at, JournalFull),
            _ => (at, cause),
        }
    }
}
