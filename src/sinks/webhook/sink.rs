//! The sink: batches of events, one request each.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::target::Target;
use crate::model::Position;
use crate::sinks::{Batch, Capabilities, Ordering, Rate, Sink, Trouble, Undelivered};

/// One receiver. A clone makes attempts of its own.
#[derive(Clone)]
pub(super) struct Webhook {
    pub(super) target: Arc<Target>,
    pub(super) concurrency: usize,
    pub(super) rate: Option<Rate>,
    /// To the last request that was confirmed.
    pub(super) answer: Option<String>,
}

impl Sink for Webhook {
    fn capabilities(&self) -> Capabilities {
        let (batch_max, batch_wait) = self.target.posting.size();
        Capabilities {
            batch_max,
            ordering: Ordering::PerDevice {
                concurrency: self.concurrency,
                batch_wait,
            },
            rate: self.rate,
            ..Capabilities::default()
        }
    }

    /// There is nothing to open: whether the receiver answers is seen at the first event.
    fn open(&mut self, _journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async { Ok(None) }.boxed()
    }

    fn warning(&self) -> Option<String> {
        self.target.denials.advice()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            self.answer = None;
            let (max, _) = self.target.posting.size();
            for (before, events) in batch.events.chunks(max).enumerate() {
                let confirmed = before * max;
                let posted = self.target.post(events).await;
                let answer = posted.map_err(|trouble| Undelivered { confirmed, trouble })?;
                self.answer = Some(answer);
            }
            Ok(())
        }
        .boxed()
    }

    /// Connects, and sends nothing.
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            let reached = self.target.reach.probe().await;
            reached.map_err(|error| Trouble::Retry {
                error: format!("{}: {error}", self.target.server),
                after: None,
            })
        }
        .boxed()
    }

    fn answer(&mut self) -> Option<String> {
        self.answer.take()
    }

    fn another(&self) -> Option<Box<dyn Sink>> {
        Some(Box::new(self.clone()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
