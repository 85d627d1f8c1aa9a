//! Keeps one connection after another, as long as it is not stopped. A failure never ends it, but
//! for a journal that has ended and a bound on attempts that somebody has set.

mod attempt;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::admission::Admission;
use super::broker::Broker;
use super::busy_addresses::BusyAddresses;
use super::clock;
use super::commit::Commit;
use super::connection::{Ended, LIVE_MIN};
use super::disconnect::DisconnectReason;
use super::intake::Intake;
use super::last_transports::LastTransports;
use super::outage_log::OutageLog;
use super::reload::{Handle, Inbox, ReloadRequest};
use super::resync::Resyncs;
use super::settings::Settings;
use super::signin::{Address, SigninLimit};
use super::sockjs_heartbeats::SockJsPeriod;
use super::status::{LinkState, Status};
use crate::duration::InWords;
use crate::journal::{self, Log};
use crate::paced::Interval;
use crate::pipeline::Decoder;
use crate::retry::Backoff;

/// So many short lives in a row are forgiven: the next connection comes as soon as after a long
/// one.
const SHORT_LIVES_MAX: u32 = 3;

/// Why the source ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// `source.reconnect.attempts` is used up by attempts that did not become live.
    #[error("gave up: source.reconnect.attempts = {attempts} is used up; the last: {error}")]
    GaveUp {
        /// Failures in a row.
        attempts: u32,
        /// The last one.
        error: String,
    },
    /// The journal has ended.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

/// The STOMP side, to be run.
pub struct Source {
    wanted: ReloadRequest,
    inbox: Inbox,
    journal: Log,
    status: Arc<Status>,
    intake: Intake,
    commit: Commit,
    admission: Admission,
    resyncs: Resyncs,
    last_transports: LastTransports,
    sockjs_period: SockJsPeriod,
    busy: BusyAddresses,
    backoff: Backoff,
    /// Lives in a row that were shorter than [`LIVE_MIN`].
    short_lives: u32,
    /// A server has let all topics in, as they are configured now.
    stood: bool,
    read_interval: Interval,
    signins: SigninLimit,
    outage: OutageLog,
}

impl Source {
    /// A source that is not connected yet, and what tells it of reloads. `read_interval` is how
    /// often the socket is read under load; it may be changed at any time.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn new(
        settings: Settings,
        decoders: Arc<HashMap<Arc<str>, Decoder>>,
        journal: Log,
        status: Arc<Status>,
        read_interval: Interval,
    ) -> Result<(Source, Handle), journal::Error> {
        let mut intake = Intake::new(status.clone());
        intake.meet(&settings.topics, &decoders);
        intake.expect(&settings);
        intake.take_over(journal.heard().await?, Timestamp::now());
        if journal.was_left_open() {
            intake.be_careful();
        }
        if !intake.is_empty() {
            // Before whatever a connection brings; it need not be waited for, since a crash leaves
            // it to the next start.
            journal.append_last(intake.drain().0)?;
        }
        let (inbox, handle) = Inbox::new();
        let signins = SigninLimit::default();
        let mut resyncs = Resyncs::new(signins.clone(), Arc::clone(&status));
        resyncs.expect(&settings, &decoders, |_| None, intake.live(), clock::now());
        let backoff = settings.reconnect.backoff();
        let wanted = ReloadRequest { settings, decoders };
        Ok((
            Source {
                wanted,
                inbox,
                journal,
                commit: Commit::new(Arc::clone(&status), clock::now()),
                status,
                intake,
                admission: Admission::default(),
                resyncs,
                last_transports: LastTransports::default(),
                sockjs_period: SockJsPeriod::default(),
                busy: BusyAddresses::default(),
                backoff,
                short_lives: 0,
                stood: false,
                read_interval,
                signins,
                outage: OutageLog::default(),
            },
            handle,
        ))
    }

    /// Keeps one connection, as long as it is not stopped.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), SourceError> {
        let status = self.status.clone();
        let mut turn = 0;
        while !stop.is_cancelled() {
            turn = self.busy.turn(&self.addresses(), turn, clock::now());
            let urls = &self.wanted.settings.urls;
            let address = urls[turn % urls.len()].clone();
            turn += 1;
            status.enter(self.state_without_connection());
            let Ended {
                reason: ended,
                live,
                sockjs,
                sockjs_period,
            } = self.one_connection(&address, &stop).await;
            status.enter(self.state_without_connection());
            if let Some(transport) = sockjs {
                self.last_transports
                    .worked(&address.to_string(), transport, clock::now());
            }
            self.sockjs_period = sockjs_period.unwrap_or(self.sockjs_period);
            let live = live.filter(|live| self.is_a_life(*live));
            if live.is_some() {
                self.backoff.reset();
                self.outage.over();
                self.stood = true;
            }
            self.bound_waits();
            // However well it went, a server that drops us at once is not flooded.
            let wait_min = live.map_or(Duration::ZERO, |live| {
                self.wanted.settings.reconnect.initial.saturating_sub(live)
            });
            let wait = match &ended {
                DisconnectReason::Stopped => break,
                DisconnectReason::Reloaded => {
                    status.trouble_is_over();
                    turn = 0;
                    self.busy.forget();
                    self.backoff = self.wanted.settings.reconnect.backoff();
                    continue;
                }
                DisconnectReason::Journal(_) => None,
                // No failure: at once, since nothing is heard meanwhile.
                DisconnectReason::Quiet(_) => Some(Duration::ZERO),
                DisconnectReason::TopicRefused(_)
                    if self.admission.is_hopeful(&self.wanted.settings.topics) =>
                {
                    // The others wait for us, and nothing was wrong with them.
                    Some(match live {
                        Some(_) => wait_min,
                        None => self.backoff.first(fastrand::f64()),
                    })
                }
                DisconnectReason::Refused(_)
                | DisconnectReason::SignInRefused(_)
                | DisconnectReason::TopicRefused(_) => {
                    self.bounded(|backoff| backoff.next_refused(fastrand::f64()))
                }
                DisconnectReason::Lost(_) if live.is_some() => {
                    Some(self.backoff.first(fastrand::f64()).max(wait_min))
                }
                DisconnectReason::Lost(_) => self.bounded(|backoff| backoff.next(fastrand::f64())),
                DisconnectReason::Busy { after, .. } => {
                    self.bounded(|backoff| backoff.next(fastrand::f64()).max(*after))
                }
            };
            let error = ended.to_string();
            status.failed(&error, ended.refuser());
            let wait = match (wait, ended) {
                (_, DisconnectReason::Journal(error)) => return Err(error.into()),
                (None, _) => {
                    return Err(SourceError::GaveUp {
                        attempts: self.backoff.failures(),
                        error,
                    });
                }
                (Some(wait), _) => {
                    let signin = self.wanted.settings.signin.as_ref();
                    let locked = self.signins.wait(signin, clock::now());
                    status.sign_in_waits(locked.map(|locked| locked.0));
                    wait.max(locked.map_or(Duration::ZERO, |locked| locked.0))
                        .max(self.busy.wait(&self.addresses(), clock::now()))
                }
            };
            self.tell_of_failure(&address, &error, live, wait);
            status.waits(wait, self.backoff.failures());
            tokio::select! {
                () = stop.cancelled() => {}
                // What has been corrected is tried at once.
                wanted = self.inbox.next() => {
                    turn = 0;
                    self.busy.forget();
                    self.reload(wanted);
                }
                () = self.inbox.retry() => {
                    info!("source retry: the wait is over, as an operator asks");
                    self.busy.forget();
                }
                () = status.turning(back_off(wait, &self.journal, &self.status)) => {}
            }
            status.waits_no_longer();
        }
        self.leave_to_journal();
        status.trouble_is_over();
        status.enter(LinkState::Stopped);
        info!("source stopped");
        Ok(())
    }

    /// Logs why there is no connection, in an outage fewer and fewer times.
    fn tell_of_failure(
        &mut self,
        url: &Address,
        error: &str,
        live: Option<Duration>,
        wait: Duration,
    ) {
        if !self
            .outage
            .should_log(&url.to_string(), error, clock::now())
        {
            return;
        }
        let failures = self.backoff.failures();
        let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let live_for = live.map(|live| InWords::about(live).to_string());
        warn!(%url, live_for, failures, retry_in_ms, error, "not connected");
    }

    /// The URLs, as they may be shown.
    fn addresses(&self) -> Vec<String> {
        let urls = self.wanted.settings.urls.iter();
        urls.map(Address::to_string).collect()
    }

    /// The wait after a failure; `None` once the attempts are used up.
    fn bounded(&mut self, wait: impl FnOnce(&mut Backoff) -> Duration) -> Option<Duration> {
        let wait = wait(&mut self.backoff);
        let reconnect = &self.wanted.settings.reconnect;
        (!reconnect.is_used_up(self.backoff.failures())).then_some(wait)
    }

    /// Whether a life is no failure. Two daemons on an account with one session throw each other
    /// out, and each hears a message before: so short lives are no lives from some number on.
    fn is_a_life(&mut self, live: Duration) -> bool {
        if live >= LIVE_MIN {
            self.short_lives = 0;
            return true;
        }
        self.short_lives = self.short_lives.saturating_add(1);
        self.short_lives <= SHORT_LIVES_MAX
    }

    /// No wait is longer than suits the server.
    fn bound_waits(&mut self) {
        let broker = self.status.profile().broker.unwrap_or(Broker::Unknown);
        self.backoff.bound(self.wanted.settings.wait_max(broker));
    }

    /// Whether no connection is made before the journal has room: it would only bring messages that
    /// nobody can take, and that do not come again.
    fn waits_for_room(&self) -> bool {
        let broker = self.status.profile().broker.unwrap_or(Broker::Unknown);
        self.journal.is_full() && broker.loses_unread(&self.wanted.settings.topics)
    }

    fn state_without_connection(&self) -> LinkState {
        match self.waits_for_room() {
            true => LinkState::Paused,
            false => LinkState::Connecting,
        }
    }

    /// What a full journal has not taken yet it writes once it can, or else the next start does.
    fn leave_to_journal(&mut self) {
        if !self.intake.is_empty()
            && let Err(error) = self.journal.append_last(self.intake.drain().0)
        {
            debug!(%error, "the end of what was heard is left to the next start");
        }
    }

    /// While nothing is connected there is no difference to be carried out.
    fn reload(&mut self, wanted: ReloadRequest) -> DisconnectReason {
        self.intake.meet(&wanted.settings.topics, &wanted.decoders);
        self.intake.expect(&wanted.settings);
        let (settings, decoders) = (&wanted.settings, &wanted.decoders);
        let live = self.intake.live();
        self.resyncs
            .expect(settings, decoders, |_| None, live, clock::now());
        self.backoff = wanted.settings.reconnect.backoff();
        let before = std::mem::replace(&mut self.wanted, wanted).settings;
        self.stood = false;
        self.outage.over();
        let settings = &self.wanted.settings;
        if settings.connects_as(&before) {
            self.admission.reload(&before.topics, &settings.topics);
        } else {
            self.admission.forget();
        }
        self.status.refused(self.admission.refused());
        DisconnectReason::Reloaded
    }
}

/// Waits for the next attempt. A state that says that the journal is full ends with that.
async fn back_off(wait: Duration, journal: &Log, status: &Status) {
    let waited = async {
        journal.until_room().await;
        status.enter(LinkState::Connecting);
        std::future::pending::<()>().await;
    };
    // The wait is over.
    let _ = tokio::time::timeout(wait, waited).await;
}
