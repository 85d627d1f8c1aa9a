//! The one writer of a connection: one write at a time, while its owner goes on reading.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};

use super::clock;
use crate::stomp::{Outgoing, Session};
use crate::transport::{self, Receiver, Sender, TransportError};

/// The writing half of a connection.
pub(super) struct Writer {
    /// Here while nothing is being written, else inside `writing`.
    sender: Option<Sender>,
    writing: Fuse<BoxFuture<'static, Written>>,
    /// A write has failed: nothing may follow, since half a frame may be on the wire.
    failed: bool,
}

/// A write that has ended, and the sender back.
type Written = (Sender, Wrote, Result<(), TransportError>);

/// What a write was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrote {
    /// STOMP: it counts as a heart-beat of ours.
    Frames,
    /// The transport's own question for a sign of life.
    Probe,
}

impl Writer {
    pub(super) fn new(sender: Sender) -> Writer {
        Writer {
            sender: Some(sender),
            writing: Fuse::terminated(),
            failed: false,
        }
    }

    /// Whether a write is pending.
    pub(super) fn is_busy(&self) -> bool {
        !self.writing.is_terminated()
    }

    /// Whether a write has failed: nothing more is written.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Begins to write the session's queued bytes, unless a write is pending or has failed. `watch`
    /// sees them.
    ///
    /// # Errors
    /// Those of `watch`: nothing is written then, nor ever after.
    pub(super) fn start<E>(
        &mut self,
        session: &mut Session,
        watch: impl FnOnce(&Outgoing) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.failed {
            return Ok(());
        }
        let Some(mut sender) = self.sender.take() else {
            return Ok(());
        };
        let Some(outgoing) = session.take_outgoing() else {
            self.sender = Some(sender);
            return Ok(());
        };
        watch(&outgoing)?;
        let writing = async move {
            let outcome = sender.send(outgoing.bytes, &outgoing.ends).await;
            (sender, Wrote::Frames, outcome)
        };
        self.writing = writing.boxed().fuse();
        Ok(())
    }

    /// Asks the server for a sign of life, unless a write is pending.
    pub(super) fn probe(&mut self) {
        let Some(mut sender) = self.sender.take() else {
            return;
        };
        let probing = async move {
            let outcome = sender.probe().await;
            (sender, Wrote::Probe, outcome)
        };
        self.writing = probing.boxed().fuse();
    }

    /// Waits for the end of the pending write; never returns if there is none. Cancel-safe.
    pub(super) async fn written(&mut self, session: &mut Session) -> Result<(), TransportError> {
        let (sender, wrote, outcome) = (&mut self.writing).await;
        self.sender = Some(sender);
        self.failed = outcome.is_err();
        if wrote == Wrote::Frames {
            session.sent(clock::now());
        }
        outcome
    }

    /// Says goodbye as the transport has it, unless a write is stuck.
    pub(super) async fn close(&mut self) {
        if let Some(mut sender) = self.sender.take() {
            sender.close().await;
        }
    }

    /// The same, and then waits for the server to close, too: see [`transport::close`].
    pub(super) async fn close_with(self, receiver: Receiver) {
        if let Some(sender) = self.sender {
            transport::close(receiver, sender).await;
        }
    }
}
