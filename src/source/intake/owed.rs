//! The ACKs that are due once a batch is durable.

use std::collections::HashMap;
use std::sync::Arc;

use crate::stomp::{AckId, AckMode};

/// The ACKs that are due once a batch is durable, in order.
#[derive(Debug, Default)]
pub(in crate::source) struct Owed {
    pub(super) acks: Vec<Due>,
}

/// One ACK.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) topic: Arc<str>,
    pub(super) ack: AckMode,
    pub(super) id: AckId,
    /// It is due once so many entries of what waits are durable.
    pub(super) entries: usize,
}

impl Owed {
    /// Messages that wait for an ACK.
    pub(in crate::source) fn messages(&self) -> usize {
        self.acks.len()
    }

    /// The ACKs to send, one for each message. In `client` mode only a subscription's last one,
    /// which stands for all before it (STOMP 1.2, section SUBSCRIBE, ack).
    pub(in crate::source) fn acks(&self) -> impl Iterator<Item = &AckId> {
        let mut last = HashMap::new();
        for (index, due) in self.acks.iter().enumerate() {
            if due.ack == AckMode::Client {
                last.insert(Arc::clone(&due.topic), index);
            }
        }
        self.acks
            .iter()
            .enumerate()
            .filter_map(move |(index, due)| {
                let wanted = due.ack != AckMode::Client || last.get(&due.topic) == Some(&index);
                wanted.then_some(&due.id)
            })
    }
}
