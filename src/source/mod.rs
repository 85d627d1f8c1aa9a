//! One connected life of the STOMP side after another: dial, connect, subscribe, and intake (batch, journal, ACK).
//!
//! A failure never ends it, but for a journal that has ended and a bound on attempts that somebody has set.

mod address;
mod backoff;
mod client;
mod clock;
mod connection;
mod guarantee;
mod intake;
mod names;
mod outline;
mod pass;
mod settings;
mod signin;
mod silence;
mod status;
mod weakness;
mod wording;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::backoff::Backoff;
use self::connection::{Connection, Ended};
use self::intake::Intake;
use self::silence::Silence;
use crate::journal::{self, Journal};
use crate::pipeline::Decoder;

pub use address::Address;
pub use client::{Client, ClientError, Crossing, Watch};
pub use guarantee::{Broker, guarantee};
pub use names::in_short;
pub use pass::Pass;
pub use settings::{OVERSIZE_BYTES_MAX, Reconnect, Settings, Topic};
pub use signin::{Extract, Signin, SigninError};
pub use status::{Counters, Link, LinkState, Profile, Status};
pub use weakness::{Detection, Weakness};
pub use wording::{Part, Wording, percent_encoded};

/// Why the source ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// `source.reconnect.attempts` is used up.
    #[error("gave up after {attempts} attempts, the bound in source.reconnect.attempts; the last: {error}")]
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

/// Keeps one connection, as long as it is not stopped.
///
/// # Errors
/// See [`SourceError`].
pub async fn run(
    settings: Settings,
    decoders: Arc<HashMap<Arc<str>, Decoder>>,
    journal: Journal,
    status: Arc<Status>,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let last_states = journal.last_states().await?;
    let mut intake =
        Intake::new(&settings.topics, &decoders, last_states, status.clone(), Silence::new(settings.silence));
    let mut backoff = Backoff::new(settings.reconnect.clone());
    let mut targets = settings.urls.iter().cycle();
    while !stop.is_cancelled() {
        let Some(address) = targets.next() else { break };
        status.counters.attempts.fetch_add(1, Relaxed);
        status.enter(LinkState::Connecting);
        let ended = one_life(&settings, address, &journal, &mut intake, &status, &mut backoff, &stop).await;
        status.enter(LinkState::Connecting);
        let wait = match &ended {
            Ended::Stopped => break,
            Ended::Journal(_) => None,
            // No failure: at once, since nothing is heard meanwhile.
            Ended::Quiet(_) => Some(Duration::ZERO),
            Ended::Refused(_) => backoff.next_refused(fastrand::f64()),
            Ended::Lost(_) => backoff.next(fastrand::f64()),
        };
        let error = ended.to_string();
        status.failed(&error);
        let wait = match (wait, ended) {
            (_, Ended::Journal(error)) => return Err(error.into()),
            (None, _) => return Err(SourceError::GaveUp { attempts: backoff.failures(), error }),
            (Some(wait), _) => wait,
        };
        let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        warn!(url = %address, failures = backoff.failures(), retry_in_ms, error, "not connected");
        tokio::select! {
            () = stop.cancelled() => {}
            () = status.turning(tokio::time::sleep(wait)) => {}
        }
    }
    status.enter(LinkState::Stopped);
    info!("source stopped");
    Ok(())
}

async fn one_life(
    settings: &Settings,
    address: &Address,
    journal: &Journal,
    intake: &mut Intake,
    status: &Arc<Status>,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> Ended {
    info!(url = %address, "connecting");
    let signed_in = tokio::select! {
        biased;
        () = stop.cancelled() => return Ended::Stopped,
        signed_in = status.turning(settings.sign_in()) => signed_in,
    };
    let pass = match signed_in {
        Ok(pass) => pass,
        Err(error) => return error.into(),
    };
    let open = async {
        let attempt = settings.attempt(address, pass.clone())?;
        Connection::open(settings, attempt, journal, intake, status).await
    };
    let opened = tokio::select! {
        biased;
        () = stop.cancelled() => return Ended::Stopped,
        opened = open => opened,
    };
    let ended = match opened {
        Ok(mut connection) => {
            let ended = connection.run(stop).await;
            if let Some(at) = connection.subscribed_at {
                backoff.lived(clock::now().saturating_duration_since(at));
            }
            ended
        }
        Err(ended) => ended,
    };
    // From here on it is for the log and the status.
    ended.hushed(&pass)
}
