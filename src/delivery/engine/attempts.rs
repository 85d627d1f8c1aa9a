//! The attempts in flight: how one begins, and what its end leads to.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Engine;
use crate::delivery::attempt::Attempt;
use crate::faults::{self, Failpoint, Mutation};
use crate::journal::{self, DeliveryProof, Passed};
use crate::model::{Event, Position};
use crate::sinks::{Reason, Sink, Trouble, Undelivered};

/// An attempt that has ended.
pub(super) struct Ended {
    sink: Box<dyn Sink>,
    attempt: Box<Attempt>,
    outcome: Result<(), Undelivered>,
}

impl Engine {
    pub(in crate::delivery) fn begin(&mut self, attempt: Box<Attempt>) {
        if faults::makes(Mutation::CursorBeforeDelivery)
            && let Some(through) = attempt.through().filter(|to| *to > self.progress.cursor)
        {
            let passed = Passed {
                delivered: (through.0 - self.progress.cursor.0).unsigned_abs(),
                ..Passed::default()
            };
            self.log
                .journal
                .cursors
                .pass(&self.log.sink, through, passed);
            self.progress.cursor = through;
        }
        let mut sink = self
            .sinks
            .pop()
            .expect("there are as many sinks as attempts at once");
        let (journal, cursor) = (self.log.journal.log.uuid(), self.progress.cursor);
        let saved =
            faults::makes(Mutation::CursorBeforeDelivery).then(|| self.log.journal.cursors.clone());
        self.under_way.push(Box::pin(async move {
            if let Some(cursors) = saved {
                // What a save at this moment would write.
                let _ = cursors.save().await;
            }
            faults::reach(Failpoint::BeforeDeliver);
            let outcome = sink.attempt(attempt.batch(journal, cursor)).await;
            let outcome = outcome.map_err(|undelivered| Undelivered {
                trouble: undelivered.trouble.redacted(),
                ..undelivered
            });
            Box::new(Ended {
                sink,
                attempt,
                outcome,
            })
        }));
    }

    /// An attempt has ended: updates the accounting, the cursor and the log.
    pub(super) async fn ended(&mut self, ended: Box<Ended>) -> Result<(), journal::Error> {
        let Ended {
            mut sink,
            attempt,
            outcome,
        } = *ended;
        self.prove(&attempt, &outcome, sink.answer());
        self.report.health().warns(sink.warning());
        self.sinks.push(sink);
        self.gathers_until = attempt.began + self.capabilities.attempt_interval;
        self.idle_at = self.next_idle();
        if outcome.is_ok() {
            faults::reach(Failpoint::AfterDeliver);
            let through = attempt.through().unwrap_or_default();
            self.progress.confirmed = self.progress.confirmed.max(through);
        }
        if attempt.reason == Reason::Log {
            self.report.confirmed(attempt.confirmed(&outcome));
        }
        let outcome = outcome.map_err(|undelivered| mutated(undelivered, attempt.count));
        let finished = self
            .scheduler
            .finished(*attempt, outcome, Instant::now(), fastrand::f64());
        self.settle(&finished).await?;
        self.advance();
        if let Some(news) = &finished.news {
            self.report.news(news, self.scheduler.is_stuck());
        }
        Ok(())
    }

    /// Keeps what was confirmed.
    fn prove(&self, attempt: &Attempt, outcome: &Result<(), Undelivered>, answer: Option<String>) {
        let confirmed = match outcome {
            Ok(()) => attempt.count,
            Err(undelivered) => undelivered.confirmed.min(attempt.count),
        };
        let positions = attempt.waiting().iter().take(confirmed);
        let positions: Vec<Position> = positions.map(Event::position).collect();
        let (Some(from), Some(to)) = (positions.first(), positions.last()) else {
            return;
        };
        let is_run = (to.0 - from.0).unsigned_abs() + 1 == positions.len() as u64;
        self.log.journal.cursors.prove(DeliveryProof {
            sink: Arc::clone(&self.log.sink),
            from: *from,
            to: *to,
            positions: (!is_run).then_some(positions),
            confirmed_at: Timestamp::now(),
            attempts: attempt.failures.count.saturating_add(1),
            answer: answer.unwrap_or_default(),
        });
    }
}

/// What a test wants to be found.
fn mutated(undelivered: Undelivered, count: usize) -> Undelivered {
    let left = count - undelivered.confirmed.min(count);
    let taken_for_delivered = match &undelivered.trouble {
        Trouble::Retry { .. } | Trouble::Unclear { .. } => {
            if faults::makes(Mutation::DropBatchOnReconnect) {
                left
            } else if faults::makes(Mutation::SkipAfterRetry) {
                left.min(1)
            } else {
                0
            }
        }
        Trouble::Refused { index: None, .. } if faults::makes(Mutation::LoseBisectHalf) => left / 2,
        Trouble::Refused { .. } | Trouble::Disabled { .. } => 0,
    };
    Undelivered {
        confirmed: undelivered.confirmed + taken_for_delivered,
        ..undelivered
    }
}
