//! A topic's event key: the values that make a status unique, so that one which is delivered again
//! is known.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::pipeline::Pointer;
use crate::pipeline::pointer::Finder;
use crate::pipeline::scalar::text;

/// How much of its hash an event id keeps, in bytes: no two keys meet by chance.
const ID_BYTES: usize = 16;

/// Where the values stand in a status.
#[derive(Debug)]
pub(super) struct EventKey(Finder);

/// The hash of one status's values.
pub(super) struct KeyHash([u8; 32]);

impl EventKey {
    /// `None`: the topic has none.
    pub(super) fn new(pointers: &[Pointer]) -> Option<EventKey> {
        let values = || Finder::new(pointers.iter().map(Some));
        (!pointers.is_empty()).then(|| EventKey(values()))
    }

    /// `None`: one of the values is missing.
    pub(super) fn hash(&self, json: &str) -> Option<KeyHash> {
        let mut hash = Sha256::new();
        for found in self.0.find(json).ok()? {
            let value = found.filter(|found| *found != "null")?;
            // Kind, length and text, so that no two lists of values give the same bytes. A text is
            // hashed without its escapes, since one character may have several.
            let kind = value.as_bytes().first().copied()?;
            let value = text(Some(value))
                .ok()
                .flatten()
                .unwrap_or(Cow::Borrowed(value));
            hash.update([kind]);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value.as_bytes());
        }
        Some(KeyHash(hash.finalize().into()))
    }
}

impl KeyHash {
    /// Its beginning: enough to tell the statuses of one device from each other.
    pub(super) fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// `<stream>-<the hash>`.
    pub(super) fn event_id(&self, stream: &str) -> String {
        let digits = hex(self.0.into_iter().take(ID_BYTES));
        format!("{stream}-{digits}")
    }
}
