//! The body of a request: one event, or a batch of them.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::model::Event;
use crate::pipeline::{ListTemplate, Template};

/// How events are put into requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Posting {
    /// One event in each.
    Single {
        /// The body; `None`: the event's JSON.
        body: Option<Template>,
    },
    /// Several.
    Batch {
        /// The body; `None`: a JSON array of the events.
        body: Option<ListTemplate>,
        /// The most events in one; at least 1.
        max: usize,
        /// How long an event may wait for others to go with it.
        wait: Duration,
    },
}

/// A request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its `webhook-id`.
    pub id: String,
    /// As it is sent and signed.
    pub bytes: Vec<u8>,
}

impl Posting {
    /// Events of one request at most, and how long they may wait for each other.
    pub fn size(&self) -> (usize, Duration) {
        match self {
            Posting::Single { .. } => (1, Duration::ZERO),
            Posting::Batch { max, wait, .. } => (*max, *wait),
        }
    }

    /// The request of these events: one, or no more than a batch holds.
    ///
    /// # Errors
    /// What failed in rendering the template.
    pub(in crate::sinks) fn body(&self, events: &[Event]) -> Result<Body, String> {
        match (self, events) {
            (Posting::Single { body }, [event]) => {
                let bytes = match body {
                    Some(template) => template.render(event)?.into_bytes(),
                    None => event.to_json(),
                };
                Ok(Body {
                    id: event.event_id().to_owned(),
                    bytes,
                })
            }
            (Posting::Single { .. }, _) => {
                Err(format!("{} events in a request for one", events.len()))
            }
            (Posting::Batch { body, .. }, _) => {
                let bytes = match body {
                    Some(template) => template.render(events)?.into_bytes(),
                    None => array(events),
                };
                Ok(Body {
                    id: batch_id(events),
                    bytes,
                })
            }
        }
    }
}

fn array(events: &[Event]) -> Vec<u8> {
    let mut bytes = vec![b'['];
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(&event.to_json());
    }
    bytes.push(b']');
    bytes
}

/// `batch-` and 32 hex digits: the same for the same events in the same order.
fn batch_id(events: &[Event]) -> String {
    let mut digest = Sha256::new();
    for event in events {
        // Its length too, so that no two lists of ids are one text.
        digest.update((event.event_id().len() as u64).to_be_bytes());
        digest.update(event.event_id());
    }
    let digits = hex(digest.finalize().into_iter().take(16));
    format!("batch-{digits}")
}
