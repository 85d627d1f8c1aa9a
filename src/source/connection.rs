//! One connection: from dialling to the end of the socket. One task, one `select!`. It goes on
//! reading during a commit and a write, so neither a slow disk nor a slow peer stops the
//! heart-beats.

mod acknowledge;
mod credit;
mod ended;
mod incoming;
mod link;
mod open;
mod paused;
mod refusal;
mod resync;
mod settle;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};
use jiff::Timestamp;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use credit::Queues;
pub(super) use ended::{Ended, LIVE_MIN};
use link::Probing;

use super::admission::Admission;
use super::agreed::{Agreed, Dialled};
use super::broker::Broker;
use super::clock;
use super::commit::Commit;
use super::disconnect::DisconnectReason;
use super::intake::{BATCH_MAX, Intake};
use super::link_proof::LinkProof;
use super::reload::{Inbox, ReloadRequest};
use super::rest::Rest;
use super::resync::Resyncs;
use super::server_window::ServerWindow;
use super::signin::Credentials;
use super::sockjs_heartbeats::SockJsHeartbeats;
use super::status::{LinkState, Status, TURN};
use super::subscriptions::Subscriptions;
use super::undeliverable::BreakPoint;
use super::writer::Writer;
use crate::faults::{self, Mutation};
use crate::journal::{self, Bound, Log};
use crate::stomp::{Outgoing, Session};
use crate::transport::{Receiver, SockJsTransport, TransportError};

/// The longest wait for the commit before DISCONNECT, and again for the server's answer to it: the
/// rest comes again. A server needs one round trip. The longest stop waits for a commit, for the
/// last ACKs (`LAST_ACKS_MAX`) and for the transport's close (1 s). That is 4.5 s of the 5 s that a
/// stop gives the source.
const GOODBYE: Duration = Duration::from_millis(1500);

/// The longest pause of reading for a pending commit: with a full journal it may take hours.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An open connection.
pub(super) struct Connection<'a> {
    wanted: &'a mut ReloadRequest,
    journal: &'a Log,
    intake: &'a mut Intake,
    commit: &'a mut Commit,
    status: &'a Arc<Status>,
    session: Session,
    receiver: Receiver,
    server_window: ServerWindow,
    /// It sends nothing more before it gets ACKs.
    server_waits: bool,
    writer: Writer,
    sockjs: Option<SockJsTransport>,
    proof: LinkProof,
    admission: &'a mut Admission,
    resyncs: &'a mut Resyncs,
    /// The topic whose refusal ends the connection.
    refused: Option<Arc<str>>,
    /// A message has come.
    heard: bool,
    /// Since then messages are no longer taken: DISCONNECT is queued.
    left_at: Option<Timestamp>,
    /// The journal is being told of the last sign of life.
    proving: Fuse<BoxFuture<'static, Result<(), journal::Error>>>,
    subscriptions: Subscriptions,
    queues: Queues,
    /// ACKs were queued on this connection.
    acknowledged: bool,
    /// The server has missed its heart-beats.
    peer_silent: bool,
    /// How many topics stand, if all do.
    complete: Option<usize>,
    /// Topics whose messages the server withholds, as far as they were named in the log.
    withheld: BTreeSet<Arc<str>>,
    stage: Stage,
    /// Of `Finishing`: the commit is waited for until then; of `Leaving`: the server.
    give_up_at: Option<Instant>,
    probing: Probing,
    /// SockJS's own signs of life.
    sockjs_heartbeats: Option<SockJsHeartbeats>,
    /// Unknown before CONNECTED.
    broker: Broker,
    dialled: Dialled,
    /// Since CONNECTED.
    agreed: Option<Agreed>,
    connected: bool,
    /// What the sign-in has given for this connection.
    credentials: Credentials,
    /// When every topic was subscribed, but for refused and doubtful ones.
    subscribed_at: Option<Instant>,
    /// What was read there has ended the connection.
    break_point: Option<BreakPoint>,
    /// Topics that were unsubscribed, and when.
    left: BTreeMap<Arc<str>, Instant>,
    rest: Rest,
    /// It has ended, and what arrived before is not read yet; when that was noticed.
    unread: Option<Timestamp>,
    /// The session holds messages that the intake has had no room for.
    events_left: bool,
    /// The stream has ended so, behind what is left.
    end: Option<TransportError>,
}

/// What is done with the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    /// What comes stays where it is.
    Rests,
}

/// Where the life stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Living,
    /// To end in order: received messages are being committed and acknowledged.
    Finishing,
    /// DISCONNECT is queued or sent.
    Leaving,
    /// The server has let us go.
    Left,
}

impl<'a> Connection<'a> {
    /// Lives until the connection ends, `stop` asks for it, or there is a reload request that it
    /// cannot carry out.
    pub(super) async fn run(mut self, inbox: &Inbox, stop: &CancellationToken) -> Ended {
        let status = Arc::clone(self.status);
        let Some(lived) = unless_stopped_early(self.live(inbox, stop), stop, &status).await else {
            return Ended::before(DisconnectReason::Stopped);
        };
        let mut ended = match lived {
            Ok(()) if stop.is_cancelled() => DisconnectReason::Stopped,
            Ok(()) => DisconnectReason::Reloaded,
            Err(ended) => ended,
        };
        let now = clock::now();
        self.intake.pause_silences(now);
        if self.unread.is_some() {
            ended = self.read_what_has_arrived(ended, stop).await;
            // A SUBSCRIBE may have been answered there.
            self.intake.pause_silences(clock::now());
        }
        if self.events_left
            && !matches!(ended, DisconnectReason::Journal(_))
            && let Err(error) = self.take_what_is_left(stop).await
        {
            ended = DisconnectReason::Journal(error);
        }
        let failed = !matches!(
            ended,
            DisconnectReason::Stopped | DisconnectReason::Reloaded | DisconnectReason::Journal(_)
        );
        // Else the supervisor says so soon.
        if failed && self.unread.is_none() && self.has_received() && self.journal.is_full() {
            self.tell_lost(&ended);
        }
        if self.connected {
            self.status.ended_at(self.break_point.take());
        }
        self.cease(&ended);
        self.status.hold_back(0, true);
        self.status.leaves(BTreeSet::new());
        self.status.enter(self.state_after_the_end());
        let stood = self
            .subscribed_at
            .map(|at| now.saturating_duration_since(at));
        // What ends each connection at the same message is no life, however much came before it.
        let stuck = self.status.link().undeliverable.is_some();
        let live = stood.filter(|stood| !stuck && (self.heard || *stood >= LIVE_MIN));
        let sockjs = self.sockjs.filter(|_| self.connected);
        let heartbeats = self.sockjs_heartbeats.as_ref();
        let sockjs_period = heartbeats.map(SockJsHeartbeats::period);
        let settled = match ended {
            // Nothing can be committed from now on.
            DisconnectReason::Journal(error) => Err(error),
            ended => status
                .turning(self.settle(stop))
                .await
                .map(|close_by| (close_by, ended)),
        };
        self.journal.bound_by(Bound::Size);
        let reason = match settled {
            Err(error) => {
                self.writer.close().await;
                DisconnectReason::Journal(error)
            }
            Ok((close_by, ended)) => {
                self.close(close_by).await;
                match ended {
                    DisconnectReason::Lost(_)
                    | DisconnectReason::Busy { .. }
                    | DisconnectReason::Refused(_)
                    | DisconnectReason::SignInRefused(_)
                    | DisconnectReason::TopicRefused(_)
                    | DisconnectReason::Quiet(_)
                        if stop.is_cancelled() =>
                    {
                        DisconnectReason::Stopped
                    }
                    ended => ended,
                }
            }
        };
        Ended {
            reason,
            live,
            sockjs,
            sockjs_period,
        }
    }

    async fn live(
        &mut self,
        inbox: &Inbox,
        stop: &CancellationToken,
    ) -> Result<(), DisconnectReason> {
        while self.stage != Stage::Left {
            self.status.turn();
            self.leave_topics()?;
            if let Some(topics) = self.subscriptions.leaving_anew() {
                self.status.leaves(topics);
            }
            self.start_writing();
            self.bound_journal();
            self.start_committing();
            self.watch_rest();
            self.leave_when_done();
            self.start_proving();
            let now = clock::now();
            self.start_resyncs(now);
            if self.stage == Stage::Finishing {
                self.give_up_at.get_or_insert(now + GOODBYE);
            }
            let turn = now + TURN;
            let probe_at = if let Probing::Due(at) = self.probing {
                Some(at)
            } else {
                None
            };
            let dues = [
                self.session.deadline(),
                self.give_up_at,
                probe_at,
                self.intake.silence_due(now),
                self.sockjs_due(),
                self.subscriptions.due(now),
                self.retry_due(),
                self.room_due(),
                self.resync_due(),
            ];
            let due = dues.into_iter().flatten().fold(turn, Instant::min);
            let reading = match self.may_read() {
                true => Reading::On,
                false => Reading::Rests,
            };
            let takes_more = self.events_left && self.may_take();
            let takes_snapshot = self.takes_snapshot();
            let takes_answers = self.stage == Stage::Living && reading == Reading::On;
            let listens = reading == Reading::On || self.stage == Stage::Living;
            tokio::select! {
                biased;
                () = stop.cancelled(), if self.stage == Stage::Living => self.stage = Stage::Finishing,
                wanted = inbox.next(), if self.stage == Stage::Living => self.reload(wanted)?,
                (outcome, mut owed) = self.commit.done(), if self.commit.is_under_way() => {
                    outcome?;
                    if faults::makes(Mutation::AckOfAnother) {
                        self.intake.owe_less(&mut owed);
                    }
                    if self.server_waits {
                        self.receiver.hurry();
                    }
                    let watched = self.watch_room();
                    self.trust(&owed);
                    self.acknowledge(&owed);
                    watched?;
                }
                proven = &mut self.proving, if !self.proving.is_terminated() => proven?,
                written = self.writer.written(&mut self.session) => {
                    if let Err(error) = written {
                        self.receive_all()?;
                        self.unread = (!self.may_read()).then(Timestamp::now);
                        return Err(error.into());
                    }
                    self.reach_ack_written();
                }
                // Before the socket, which may always have more: a flood must not stop our
                // heart-beats.
                () = sleep_until(due.into()) => {
                    if self.give_up_at.is_some_and(|at| at <= clock::now()) {
                        return Ok(());
                    }
                    self.tick()?;
                }
                () = std::future::ready(()), if takes_more => {
                    self.take_more()?;
                    tokio::task::yield_now().await;
                }
                answered = self.resyncs.answered(), if takes_answers => {
                    self.take_answer(answered)?;
                }
                () = std::future::ready(()), if takes_snapshot => {
                    self.take_part();
                    tokio::task::yield_now().await;
                }
                arrived = arrives(&mut self.receiver, reading), if listens => {
                    let Some(received) = arrived else { return Err(self.ended_unread()) };
                    self.receive_some(received)?;
                    if self.intake.entries() >= BATCH_MAX {
                        self.start_committing();
                        // In a flood the socket always has more, and this task never waits.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the socket is to be read.
    fn may_read(&self) -> bool {
        let now = clock::now();
        let pauses = self.subscriptions.wants_a_pause(now)
            && self.commit.is_under_way()
            && now.duration_since(self.commit.since()) < PAUSE_MAX;
        self.has_room() && !self.events_left && !pauses
    }

    fn start_writing(&mut self) {
        let counters = &self.status.counters;
        let count = |outgoing: &Outgoing| {
            let (frames, bytes) = (outgoing.frames_count(), outgoing.bytes.len());
            counters.frames_sent.fetch_add(frames as u64, Relaxed);
            counters.bytes_sent.fetch_add(bytes as u64, Relaxed);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.writer.start(&mut self.session, count);
    }

    /// Writes the last sign of life to the journal, where it is time. No timer of its own: heart-beats
    /// wake the connection often enough. The coverage entries must be on disk before it: else a gap
    /// would be too short after a crash.
    fn start_proving(&mut self) {
        let taken = self.intake.is_empty() && !self.events_left;
        let settled = taken && !self.commit.is_under_way();
        let can = settled && self.proving.is_terminated() && self.intake.hears();
        if can && let Some(at) = self.proof.take(clock::now()) {
            let journal = self.journal.clone();
            self.proving = async move { journal.link_proven(at).await }.boxed().fuse();
        }
    }

    /// Once all is committed and its ACKs are queued, DISCONNECT follows them.
    fn leave_when_done(&mut self) {
        if self.stage == Stage::Finishing && !self.events_left && !self.has_received() {
            self.acknowledge_held();
            let now = clock::now();
            self.session.leave(self.last_to_leave().as_deref(), now);
            self.stage = Stage::Leaving;
            self.receiver.suspend_pacing();
            self.left_at = Some(Timestamp::now());
            // However late the commit ended, the ACKs have their time.
            self.give_up_at = Some(now + GOODBYE);
            self.start_writing();
        }
    }
}

/// The next bytes, or while reading rests `None` once the server has ended the connection.
/// Cancel-safe.
async fn arrives(
    receiver: &mut Receiver,
    reading: Reading,
) -> Option<Result<Bytes, TransportError>> {
    match reading {
        Reading::On => Some(receiver.receive().await),
        Reading::Rests => {
            receiver.ended().await;
            None
        }
    }
}

/// Lives a connection's life; `None`: a stop came before CONNECTED, when there is nothing to commit
/// and nobody to say goodbye to.
async fn unless_stopped_early<T>(
    life: impl Future<Output = T>,
    stop: &CancellationToken,
    status: &Status,
) -> Option<T> {
    let stopped_early = async {
        stop.cancelled().await;
        if status.link().state != LinkState::Connecting {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // What has come by now counts first.
        biased;
        lived = life => Some(lived),
        () = stopped_early => None,
    }
}
