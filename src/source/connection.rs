//! One connection: from dialling to the end of the socket. One task, one `select!`. It goes on
//! reading during a commit and a write, so neither a slow disk nor a slow peer stops the
//! heart-beats.

mod credit;
mod incoming;
mod link;
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
use tracing::info;

use credit::Queues;

use super::admission::Admission;
use super::agreed::{Agreed, Dialled};
use super::broker::Broker;
use super::clock;
use super::commit::Commit;
use super::disconnect::DisconnectReason;
use super::intake::{BATCH_MAX, Intake, Owed};
use super::link_proof::LinkProof;
use super::reload::{Inbox, ReloadRequest};
use super::rest::Rest;
use super::resync::Resyncs;
use super::server_window::ServerWindow;
use super::settings::Attempt;
use super::signin::Credentials;
use super::sockjs_heartbeats::{Below, SockJsHeartbeats, SockJsPeriod};
use super::status::{LinkState, Status, TURN};
use super::subscriptions::Subscriptions;
use super::undeliverable::BreakPoint;
use super::writer::Writer;
use crate::duration;
use crate::faults::{self, Failpoint, Mutation};
use crate::journal::{self, Bound, Log};
use crate::model::CoverageCause;
use crate::stomp::{AckId, Connected, Options, Outgoing, Session, SessionError};
use crate::transport::{Receiver, SockJsTransport, TransportError, dial};

/// The longest wait for the commit before DISCONNECT, and again for the server's answer to it: the
/// rest comes again. A server needs one round trip. The longest stop waits for a commit, for the
/// last ACKs (`LAST_ACKS_MAX`) and for the transport's close (1 s). That is 4.5 s of the 5 s that a
/// stop gives the source.
const GOODBYE: Duration = Duration::from_millis(1500);

/// The longest pause of reading for a pending commit: with a full journal it may take hours.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection that was subscribed for so long has passed the message that ended those before.
const PASSED: Duration = Duration::from_secs(30);

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

/// A connection that stood for this long was live, though no message came.
pub(super) const LIVE_MIN: Duration = Duration::from_secs(5);

/// How a connection ended.
pub(super) struct Ended {
    pub(super) reason: DisconnectReason,
    /// How long it was live: subscribed, and not just dropped. `None`: it was not.
    pub(super) live: Option<Duration>,
    /// The transport of SockJS that has brought CONNECTED.
    pub(super) sockjs: Option<SockJsTransport>,
    /// What it has shown of the server's SockJS.
    pub(super) sockjs_period: Option<SockJsPeriod>,
}

impl Ended {
    /// There was no connection.
    pub(super) fn before(reason: DisconnectReason) -> Ended {
        Ended {
            reason,
            live: None,
            sockjs: None,
            sockjs_period: None,
        }
    }
}

/// Signs of life below STOMP, for servers that send no heart-beats (Spring's simple broker, unless
/// told to).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probing {
    /// The transport has none.
    Impossible,
    /// It has: whether they are needed is not known before CONNECTED.
    Possible,
    /// The next question is due then.
    Due(Instant),
    /// They are needed, and there are none: whatever comes, on whatever level, is a sign of life.
    Listening,
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
    /// Dials and sends CONNECT.
    pub(super) async fn open(
        wanted: &'a mut ReloadRequest,
        attempt: Attempt,
        (journal, intake, commit): (&'a Log, &'a mut Intake, &'a mut Commit),
        status: &'a Arc<Status>,
        admission: &'a mut Admission,
        resyncs: &'a mut Resyncs,
    ) -> Result<Connection<'a>, DisconnectReason> {
        let (receiver, sender) = status.turning(dial(&attempt.target)).await?;
        let now = clock::now();
        let settings = &wanted.settings;
        let sockjs = sender.sockjs_transport();
        let sockjs_heartbeats = sockjs.map(|_| {
            let below = if sender.can_probe() {
                Below::Pings
            } else {
                Below::Nothing
            };
            SockJsHeartbeats::new(attempt.sockjs_period, below, now)
        });
        let (probing, silence_max) = if sender.can_probe() {
            (Probing::Possible, Some(settings.probe_interval() * 5 / 2))
        } else if sockjs_heartbeats.is_some() {
            (Probing::Impossible, None)
        } else {
            (Probing::Impossible, settings.silence)
        };
        let session = Session::new(
            Options {
                silence_max,
                ..attempt.options
            },
            now,
        );
        admission.begin(&settings.topics, now);
        let admitted = admission.admitted(&settings.topics);
        for topic in &admitted {
            // What has no value for a placeholder need not connect.
            topic.subscribe(&attempt.credentials)?;
        }
        intake.keep(&settings.topics);
        // What a refused reload has fallen back to is acknowledged as it is subscribed.
        for topic in &admitted {
            intake.change(topic, &wanted.decoders);
        }
        Ok(Connection {
            wanted,
            journal,
            intake,
            commit,
            status,
            session,
            receiver,
            server_window: ServerWindow::default(),
            server_waits: false,
            sockjs,
            writer: Writer::new(sender),
            proof: LinkProof::new(Timestamp::now(), now),
            admission,
            resyncs,
            refused: None,
            heard: false,
            left_at: None,
            proving: Fuse::terminated(),
            subscriptions: Subscriptions::new(),
            queues: Queues::new(now),
            acknowledged: false,
            peer_silent: false,
            complete: None,
            withheld: BTreeSet::new(),
            stage: Stage::Living,
            give_up_at: None,
            probing,
            sockjs_heartbeats,
            broker: Broker::Unknown,
            dialled: Dialled::new(&attempt.target.url, sockjs),
            agreed: None,
            connected: false,
            credentials: attempt.credentials,
            subscribed_at: None,
            break_point: None,
            left: BTreeMap::new(),
            rest: Rest::default(),
            unread: None,
            events_left: false,
            end: None,
        })
    }

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

    /// The topics are heard no more: the entries that say so come behind all that was read.
    fn cease(&mut self, ended: &DisconnectReason) {
        self.resyncs.link_ended(self.intake.live());
        let cause = match ended {
            DisconnectReason::Stopped => CoverageCause::DaemonStopped,
            DisconnectReason::Reloaded => CoverageCause::Unsubscribed,
            DisconnectReason::Refused(_) | DisconnectReason::SignInRefused(_) => {
                CoverageCause::Refused
            }
            DisconnectReason::Lost(_)
            | DisconnectReason::Busy { .. }
            | DisconnectReason::TopicRefused(_) => CoverageCause::ConnectionLost,
            DisconnectReason::Quiet(_) => CoverageCause::Silent,
            // The next start finds them heard until the last proof.
            DisconnectReason::Journal(_) => return,
        };
        // The link may have been dead since, also where we end it ourselves; and what comes behind
        // our DISCONNECT is not taken.
        let last_byte = self.proof.last_byte();
        let at = self.left_at.map_or(last_byte, |left| left.min(last_byte));
        let (at, cause) = self.gap(at, cause);
        if let Some(refused) = &self.refused {
            self.intake.refused(refused, at);
        }
        self.intake.all_ceased(at, cause);
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

    fn connected(&mut self, connected: &Connected) -> Result<(), DisconnectReason> {
        self.status.counters.connections.fetch_add(1, Relaxed);
        self.status.enter(LinkState::Connected);
        self.broker = Broker::of(connected.server.as_deref(), connected.session.as_deref());
        info!(
            broker = self.broker.as_str(),
            version = connected.version.as_str(),
            server = connected.server.as_deref().unwrap_or("unnamed"),
            heartbeat_out = duration::or_off(connected.heartbeat.outgoing),
            heartbeat_in = duration::or_off(connected.heartbeat.incoming),
            "connected"
        );
        self.connected = true;
        self.agreed = Some(Agreed::new(self.dialled.clone(), connected));
        self.status.trouble_is_over();
        self.admission.accept();
        if connected.heartbeat.incoming.is_none() {
            let now = clock::now();
            self.probing = match self.probing {
                Probing::Possible => Probing::Due(now + self.wanted.settings.probe_interval()),
                _ => Probing::Listening,
            };
            if let Some(heartbeats) = &mut self.sockjs_heartbeats {
                heartbeats.need(now);
            }
        }
        self.assign()?;
        self.tell_profile();
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

    /// A deadline has come. What has already arrived counts first: only then is the silence real.
    fn tick(&mut self) -> Result<(), DisconnectReason> {
        self.receive_all()?;
        if !self.may_read() {
            self.unread(clock::now());
        }
        let now = clock::now();
        if matches!(self.probing, Probing::Due(at) if at <= now) {
            self.probing = Probing::Due(now + self.wanted.settings.probe_interval());
            self.writer.probe();
        }
        self.watch_silences(now);
        if self.subscribed_at.is_some_and(|at| now >= at + PASSED) {
            self.status.undeliverable(None);
        }
        self.trust_quiet_topics(now)?;
        if self.retry_due().is_some_and(|due| due <= now) {
            self.count_topics()?;
        }
        if self.room_due().is_some_and(|due| due <= now) {
            self.watch_room()?;
        }
        let ticked = self.session.tick(now);
        self.peer_silent |= matches!(ticked, Err(SessionError::Silent { .. }));
        let ended = ticked.map_err(|error| match error {
            SessionError::Silent { silence } if self.probing == Probing::Listening => {
                // As it is configured, and not to the microsecond.
                DisconnectReason::Quiet(self.wanted.settings.silence.unwrap_or(silence))
            }
            error => self.by_session(&error),
        });
        // What came before the silence was read too.
        let taken = self.take_events();
        ended.and(taken)?;
        self.watch_sockjs(now)
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

    fn start_committing(&mut self) {
        if self.intake.is_empty() || !self.commit.takes(self.intake.entries()) {
            return;
        }
        let (batch, mut owed) = self.intake.next_batch();
        if batch.entries.is_empty() {
            // Messages without a status: nothing is to be on disk before their ACKs.
            self.acknowledge(&owed);
            return self.start_writing();
        }
        if faults::makes(Mutation::AckBeforeCommit) {
            self.acknowledge(&std::mem::take(&mut owed));
            self.start_writing();
        }
        let now = clock::now();
        if self.commit.begin(self.journal, batch, owed, now) {
            self.proof.carried(now);
        }
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

    fn acknowledge(&mut self, owed: &Owed) {
        for ack in owed.acks() {
            if !self.subscriptions.hold(ack) {
                self.acknowledge_one(ack);
            }
        }
    }

    fn acknowledge_one(&mut self, ack: &AckId) {
        self.session.ack(ack);
        self.acknowledged(1);
    }

    /// Counts queued ACKs.
    fn acknowledged(&mut self, count: usize) {
        self.acknowledged |= count > 0;
        self.status
            .counters
            .acknowledged
            .fetch_add(count as u64, Relaxed);
    }

    fn reach_ack_written(&self) {
        if self.status.counters.acknowledged.load(Relaxed) > 0 {
            faults::reach(Failpoint::AckWritten);
        }
    }

    /// Entries that were taken in so far, written or not.
    fn taken(&self) -> u64 {
        self.commit.begun() + self.intake.entries() as u64
    }

    /// The newest of them, as [`Subscriptions`] counts them.
    fn newest(&self) -> u64 {
        self.taken().saturating_sub(1)
    }

    /// Whether anything that came from the server is not on disk yet.
    fn has_received(&self) -> bool {
        self.intake.has_received() || self.commit.has_received()
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
