//! The decoders of all topics, which a reload replaces at one stroke.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Decoder, StatusKey};
use crate::model::Via;

/// The decoders of all topics, by name. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Decoders(Arc<RwLock<ByTopic>>);

/// Of one moment.
type ByTopic = Arc<HashMap<Arc<str>, Decoder>>;

impl Decoders {
    /// Decoders by the names of their topics.
    pub fn new(by_topic: Arc<HashMap<Arc<str>, Decoder>>) -> Decoders {
        Decoders(Arc::new(RwLock::new(by_topic)))
    }

    /// Those that hold now.
    pub fn current(&self) -> Arc<HashMap<Arc<str>, Decoder>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The stream and the device of a status's own bytes, and what they say of it. `None`: there is
    /// no such topic, or its decoder cannot read them.
    pub fn status_key(&self, topic: &str, via: Via, raw: &[u8]) -> Option<(Arc<str>, StatusKey)> {
        let current = self.current();
        let decoder = current.get(topic)?;
        let key = match via {
            Via::Live => decoder.status_key(raw),
            Via::Resync => decoder.of_snapshots().status_key(raw),
        };
        Some((Arc::clone(decoder.stream()), key.ok()?))
    }

    /// From now on these hold. A removed topic keeps its decoder while the process lives, and one
    /// without snapshots what has read them, since their entries may still wait for delivery.
    pub fn replace(&self, by_topic: Arc<HashMap<Arc<str>, Decoder>>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = by_topic;
        for (topic, decoder) in current.iter() {
            let kept = match next.get(topic) {
                Some(next) => next.or_snapshot_of(decoder),
                None => Some(decoder.clone()),
            };
            if let Some(kept) = kept {
                Arc::make_mut(&mut next).insert(Arc::clone(topic), kept);
            }
        }
        *current = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Mapping, State, States};

    fn of(topics: &[&str], fault: &str) -> Arc<HashMap<Arc<str>, Decoder>> {
        let state = State {
            name: fault.to_owned(),
            severity: crate::model::Severity::Critical,
        };
        let states = Arc::new(States {
            words: HashMap::from([("故障".to_owned(), state)]),
        });
        let decoder = |topic: &&str| {
            let name: Arc<str> = Arc::from(*topic);
            (
                Arc::clone(&name),
                Decoder::new(name, Mapping::default(), Arc::clone(&states)),
            )
        };
        Arc::new(topics.iter().map(decoder).collect())
    }

    #[test]
    fn what_was_received_of_a_topic_that_is_gone_can_still_be_read() {
        let decoders = Decoders::new(of(&["stays", "goes"], "fault"));
        let seen = decoders.clone();
        decoders.replace(of(&["stays", "comes"], "broken"));
        let current = seen.current();
        let name = |topic: &str| current[topic].state_name("故障").to_owned();
        assert_eq!(
            [name("stays"), name("comes"), name("goes")],
            ["broken", "broken", "fault"]
        );
    }
}
