//! One attempt, and the connection that it leads to: it waits for its place, signs in, connects and
//! lives.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Source;
use crate::journal::{self, Log};
use crate::rotation;
use crate::source::broker::Broker;
use crate::source::clock;
use crate::source::commit::Commit;
use crate::source::connection::{Connection, Ended};
use crate::source::disconnect::DisconnectReason;
use crate::source::intake::Intake;
use crate::source::settings::Settings;
use crate::source::signin::{Address, Credentials, SigninError, SigninLimit};
use crate::source::status::{LinkState, Refuser, Status};

/// Where a server answers no SUBSCRIBE, topics that it has let in before count as subscribed after
/// this time without a refusal: with the longest wait between attempts the source is ready
/// within 6 s of the server's return.
const KNOWN_TOPICS_TIMEOUT: Duration = Duration::from_millis(900);

impl Source {
    pub(super) async fn one_connection(
        &mut self,
        address: &Address,
        stop: &CancellationToken,
    ) -> Ended {
        let waits = self.waits_for_room();
        let prepared = async {
            wait_for_place(&mut self.commit, &self.intake).await?;
            if waits {
                wait_for_room(&mut self.commit, &self.journal, &self.status).await?;
            }
            rotation::until_current().await;
            self.status.enter(LinkState::Connecting);
            self.status.counters.attempts.fetch_add(1, Relaxed);
            if self.outage.is_outage() {
                debug!(url = %address, "connecting");
            } else {
                info!(url = %address, "connecting");
            }
            sign_in(&self.wanted.settings, &self.signins, &self.status).await
        };
        let signed_in: Result<_, DisconnectReason> = tokio::select! {
            biased;
            () = stop.cancelled() => return Ended::before(DisconnectReason::Stopped),
            wanted = self.inbox.next() => {
                self.status.waits_no_longer();
                return Ended::before(self.reload(wanted));
            }
            signed_in = self.status.turning(prepared) => signed_in,
        };
        let credentials = match signed_in {
            Ok(credentials) => credentials,
            Err(ended) => return Ended::before(ended),
        };
        let open = async {
            let settings = &self.wanted.settings;
            let mut attempt =
                settings.attempt(address, credentials.clone(), self.read_interval.clone())?;
            attempt.target.sockjs_first = self
                .last_transports
                .first(&address.to_string(), clock::now());
            attempt.sockjs_period = self.sockjs_period;
            let broker = self.status.profile().broker;
            if self.stood && broker.is_some_and(Broker::confirms_nothing) {
                attempt.options.receipt_timeout = KNOWN_TOPICS_TIMEOUT;
            }
            Connection::open(
                &mut self.wanted,
                attempt,
                (&self.journal, &mut self.intake, &mut self.commit),
                &self.status,
                &mut self.admission,
                &mut self.resyncs,
            )
            .await
        };
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Ended::before(DisconnectReason::Stopped),
            wanted = self.inbox.next() => Err(wanted),
            opened = open => Ok(opened),
        };
        let ended = match opened {
            Ok(Ok(connection)) => connection.run(&self.inbox, stop).await,
            // Another address may have time for us.
            Ok(Err(DisconnectReason::Busy { text, after })) => {
                let until = clock::now() + after;
                self.busy.put_off(&address.to_string(), until);
                Ended::before(DisconnectReason::Lost(text))
            }
            Ok(Err(ended)) => Ended::before(ended),
            Err(wanted) => Ended::before(self.reload(wanted)),
        };
        // From here on it is for the log and the status.
        Ended {
            reason: ended.reason.redacted(&credentials),
            ..ended
        }
    }
}

/// A full journal leaves entries in the intake; another connection brings more of them.
async fn wait_for_place(commit: &mut Commit, intake: &Intake) -> Result<(), journal::Error> {
    while commit.is_under_way() && !intake.has_room() {
        commit.done().await.0?;
    }
    Ok(())
}

/// Waits until a full journal has room.
async fn wait_for_room(
    commit: &mut Commit,
    journal: &Log,
    status: &Status,
) -> Result<(), journal::Error> {
    info!(
        "source paused: the journal is full, and the next connection waits until the sinks have \
         caught up"
    );
    status.enter(LinkState::Paused);
    while journal.is_full() {
        tokio::select! {
            (outcome, _) = commit.done(), if commit.is_under_way() => {
                outcome?;
            }
            () = journal.until_room() => {}
        }
    }
    Ok(())
}

/// Signs in, where there is a sign-in, and counts a refusal of what was sent.
async fn sign_in(
    settings: &Settings,
    limit: &SigninLimit,
    status: &Status,
) -> Result<Credentials, DisconnectReason> {
    let Some(signin) = &settings.signin else {
        status.sign_in_waits(None);
        return Ok(settings.sign_in().await?);
    };
    // The waits between attempts are long enough; a reload ends them.
    let wait = limit.wait(Some(signin), clock::now());
    status.sign_in_waits(wait.map(|wait| wait.0));
    if let Some(wait) = wait {
        let reason = wait.to_string();
        warn!(reason, "sign-in waits");
        status.failed(&reason, Some(Refuser::SignIn));
        status.waits_to_sign_in();
        tokio::time::sleep(wait.0).await;
        status.sign_in_waits(None);
        status.waits_no_longer();
        status.trouble_is_over();
    }
    let refused = match settings.sign_in().await {
        Err(SigninError::Refused(refused)) => refused,
        outcome => {
            let credentials = outcome?;
            status.signed_in();
            return Ok(credentials);
        }
    };
    limit.refused(signin, clock::now());
    let refused = match limit.wait(Some(signin), clock::now()) {
        Some(wait) => format!("{refused}; {wait}"),
        None => refused,
    };
    Err(SigninError::Refused(refused).into())
}
