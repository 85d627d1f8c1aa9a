//! What a delivery says and counts when its sink is in trouble, and when that is over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Delivery, Next};
use crate::journal;
use crate::model::Position;

impl Delivery {
    /// The sink's other side answers, whoever has heard of it first.
    pub(super) fn up(&mut self, news: &str) {
        self.health.up();
        if !std::mem::replace(&mut self.up, true) {
            info!(sink = %self.name, position = %self.cursor, "{news}");
        }
    }

    pub(super) fn retry(&mut self, error: &str, after: Option<Duration>) -> Next {
        let wait = self.backoff.next(after);
        self.waits(error, wait);
        Next::Reopen(wait)
    }

    pub(super) fn waits(&mut self, error: &str, wait: Duration) {
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
        self.health.in_trouble(error);
        self.up = false;
        if self.trouble.worth_a_line(error, Instant::now()) {
            warn!(
                sink = %self.name, error, again_in_ms = wait.as_millis() as u64, position = %self.cursor,
                "delivery waits for the sink; the journal keeps its entries: check that it is up and lets us in"
            );
        }
    }

    /// The sink refuses too much for that to be the events' fault.
    pub(super) fn distrusts(&mut self, error: &str, wait: Duration) {
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
        self.health.in_trouble(error);
        self.up = false;
        if self.trouble.worth_a_line("refused", Instant::now()) {
            error!(
                sink = %self.name, error, again_in_ms = wait.as_millis() as u64, position = %self.cursor,
                "the sink refuses more than a fifth: taken for its own trouble, so no more is dead-lettered than one event at a \
                 time; the journal keeps the rest: mend what it does not take, then `dlq redrive`"
            );
        }
    }

    pub(super) fn disabled(&mut self, error: &str) -> Next {
        self.health.in_trouble(error);
        self.up = false;
        error!(
            sink = %self.name, error, position = %self.cursor,
            "the sink wants nothing any more; the journal keeps its entries: correct or remove the sink, then reload; \
             where only its receiver was mended, restart"
        );
        Next::Hold
    }

    /// The journal has been replaced by a stale copy of itself: positions are given that were
    /// given before (I4), so nothing more may be taken in.
    pub(super) async fn fence(&mut self, position: Position) -> journal::Error {
        let error = self.journal.fence(&self.name, position).await;
        self.health.in_trouble(&error.to_string());
        error
    }

    pub(super) fn complain(&mut self, position: Position, error: &str) {
        if self.refusal.worth_a_line(error, Instant::now()) {
            warn!(sink = %self.name, %position, error, "event dead-lettered for this sink alone; the others get it");
        }
    }
}
