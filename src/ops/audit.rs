//! Checks the delivery accounting. Every received message is journaled or waits to be. Every
//! journaled entry is delivered, filtered, dead-lettered or pending for each sink. What does not
//! balance is an error of ours, and said once.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::turns::TURN_MAX;
use super::view::View;
use crate::journal::{Error, Reader, SinkAccounting};
use crate::next_turn::NextTurn;

/// Between two audits.
const INTERVAL: Duration = Duration::from_secs(60);

/// What came in since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// Statuses, and bodies that could not be taken apart.
    pub received: u64,
    /// Those in the journal that can be decoded.
    pub accepted: u64,
    /// Those in the journal that cannot.
    pub undecodable: u64,
    /// Received, and on their way to the disk: not acknowledged yet.
    pub waiting: i64,
    /// Journaled, then removed by `when_full = "drop_oldest"` before every sink had them.
    pub evicted: u64,
}

impl Intake {
    /// As it is now.
    pub fn of(view: &View) -> Intake {
        // The journal first: messages received meanwhile count as waiting.
        let journal = view.journal.log.status();
        let counters = &view.source.counters;
        let received = counters.accepted.load(Relaxed) + counters.undecodable.load(Relaxed);
        let undecodable = journal.undecodable.saturating_sub(journal.parts);
        let waiting = received as i64 - (journal.accepted + undecodable) as i64;
        Intake {
            received,
            accepted: journal.accepted,
            undecodable,
            waiting,
            evicted: journal.evicted,
        }
    }

    /// Whether more was journaled than was received.
    ///
    /// # Errors
    /// Both sides.
    pub fn check(&self) -> Result<(), String> {
        match self.waiting {
            0.. => Ok(()),
            _ => Err(format!(
                "{} received, but {} and {} undecodable journaled",
                self.received, self.accepted, self.undecodable
            )),
        }
    }
}

/// Audits now and then, until stopped.
///
/// # Errors
/// The journal cannot be read.
pub async fn watch(view: View, stop: CancellationToken) -> Result<(), Error> {
    now_and_then(&view.turns.audit, &stop, || audit(&view)).await
}

async fn audit(view: &View) -> Result<(), Error> {
    match accounts(view).await {
        Ok(accounts) => {
            let errors = accounting_errors(&Intake::of(view), &accounts);
            view.audit.replace(errors);
            Ok(())
        }
        // Too many open files, as a rule: the journal's own connection lives on, and says what ails
        // the disk.
        Err(error) if view.journal.log.path().exists() => {
            warn!(%error, "audit skipped: the journal could not be read; the next is in a minute");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Does it at once and after each [`INTERVAL`], until stopped; `turn` says until when it is done at
/// the latest.
async fn now_and_then<Audit: Future<Output = Result<(), Error>>>(
    turn: &NextTurn,
    stop: &CancellationToken,
    mut audit: impl FnMut() -> Audit,
) -> Result<(), Error> {
    let mut interval = tokio::time::interval(INTERVAL);
    // One that took long is not made up for by several at once.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.within(INTERVAL + TURN_MAX);
        tokio::select! {
            () = stop.cancelled() => {
                turn.whenever();
                return Ok(());
            }
            _ = interval.tick() => {}
        }
        audit().await?;
    }
}

async fn accounts(view: &View) -> Result<Vec<SinkAccounting>, Error> {
    view.journal.log.reader().await?.accounts().await
}

/// The last audit, once nothing moves.
///
/// # Errors
/// The journal cannot be read.
pub async fn close(view: &View) -> Result<(), Error> {
    let intake = Intake::of(view);
    let accounts = Reader::open(view.journal.log.path())
        .await?
        .accounts()
        .await?;
    let mut accounting_errors = accounting_errors(&intake, &accounts);
    if intake.waiting > 0 {
        accounting_errors.insert(format!(
            "intake: {} were received but not journaled, nor acknowledged",
            intake.waiting
        ));
    }
    view.audit.replace(accounting_errors);
    Ok(())
}

fn accounting_errors(intake: &Intake, accounts: &[SinkAccounting]) -> BTreeSet<String> {
    let intake = intake.check().err().map(|error| format!("intake: {error}"));
    let sinks = accounts.iter().filter_map(|account| {
        let error = account.check().err()?;
        Some(format!("sink {}: {error}", account.sink))
    });
    intake.into_iter().chain(sinks).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_audit_that_hangs_is_overdue_and_one_that_has_ended_is_not() {
        let far = Instant::now() + 2 * (INTERVAL + TURN_MAX);
        let (turn, stop) = (NextTurn::default(), CancellationToken::new());
        let mut audits = 0;
        let audit = || {
            audits += 1;
            let hangs = audits == 3;
            async move {
                match hangs {
                    true => std::future::pending().await,
                    false => Ok(()),
                }
            }
        };
        let watched = now_and_then(&turn, &stop, audit);
        let hung = tokio::time::timeout(10 * INTERVAL, watched).await;
        assert!(hung.is_err() && audits == 3, "{audits} audits");
        assert!(!turn.is_overdue(Instant::now()) && turn.is_overdue(far));

        stop.cancel();
        let ended = now_and_then(&turn, &stop, || async { Ok(()) }).await;
        assert!(ended.is_ok() && !turn.is_overdue(far));
    }
}
