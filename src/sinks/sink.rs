//! The trait that every kind of sink implements. It makes attempts, and decides nothing else.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::Batch;
use super::capabilities::Capabilities;
use super::newest::Newest;
use super::trouble::{Trouble, Undelivered};
use crate::model::Position;
use crate::paced::Pacing;

/// One destination.
pub trait Sink: Send {
    /// The same for as long as it lives.
    fn capabilities(&self) -> Capabilities;

    /// Connects, again after trouble; whether that makes it up is the delivery's to say. Gives the
    /// cursor that the destination keeps itself; SQL histories write it in the transaction of their
    /// rows. `None`: it keeps none, or none for this journal.
    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>>;

    /// The newest status that the destination has, as [`Sink::open`] has found it; `None`: it does
    /// not say.
    fn newest(&self) -> Option<Newest> {
        None
    }

    /// What an operator should mend although it delivers, such as a right that it lacks to delete
    /// old rows; `None`: nothing is known.
    fn warning(&self) -> Option<String> {
        None
    }

    /// One attempt at these events, in order; returns once the other side has confirmed all of
    /// them. Must be safe to make again with the same events: after an error, and after a crash.
    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// What the other side has said to confirm the last attempt, whole or in part, for who asks what
    /// became of an event; `None`: nothing. It is cut and redacted before it is kept.
    fn answer(&mut self) -> Option<String> {
        None
    }

    /// Another one for the same destination, whose attempts are in flight beside this one's. Only
    /// [`Ordering::PerDevice`](super::Ordering::PerDevice) asks for it.
    fn another(&self) -> Option<Box<dyn Sink>> {
        None
    }

    /// Asks it, while an attempt is in flight, to look for outstanding confirmations at once, since
    /// there are events for the next attempt. `None`: it reads each as it comes.
    fn pacing(&self) -> Option<Pacing> {
        None
    }

    /// An operator wants the next attempt now: whatever the sink waits for by itself is over.
    fn retry_now(&self) {}

    /// Returns once it may have lost the other side while there is nothing to deliver;
    /// [`Sink::idle`] then says. Cancel-safe. Never returns where only `idle` finds out.
    fn may_be_lost(&mut self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    /// Called while there is nothing to deliver. The sink checks whether the other side answers,
    /// without sending it anything. It also does other work, such as deleting rows that are too
    /// old. The interval is [`Capabilities::idle_interval`]; a call takes a second or two if the
    /// other side answers.
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>>;

    /// Something more is to be done beside the deliveries, which should not wait for the interval:
    /// [`Sink::idle`] is called again at once, as soon as there is nothing to deliver.
    fn goes_on(&self) -> bool {
        false
    }

    /// Says goodbye within a second or two; nothing is delivered afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()>;
}

/// A sink, and where it needs one, the task that drives its connection (spawned and supervised by
/// `app`; it ends when the sink is dropped).
pub struct Built {
    /// See [`Sink`].
    pub sink: Box<dyn Sink>,
    /// Must be running for `sink` to make progress.
    pub driver: Option<BoxFuture<'static, ()>>,
    /// Cancelled, the driver makes no further connection: its password may be an old one. The
    /// connection that it has goes on.
    pub ending: CancellationToken,
}
