//! Which devices have said something since the request for a snapshot began: what they said is newer
//! than the snapshot. It keeps a hash of each, since that is all that is asked.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::pipeline::StatusKey;

/// Devices of one snapshot: as many as the journal knows by default, in some ten MiB.
const DEVICES_MAX: usize = 1_000_000;

/// The devices of each topic whose snapshot is asked for or taken in.
#[derive(Debug, Default)]
pub(in crate::source) struct LiveDevices {
    watched: BTreeMap<Arc<str>, Watched>,
    random: RandomState,
}

#[derive(Debug)]
struct Watched {
    stream: Arc<str>,
    said: HashSet<u64>,
}

impl LiveDevices {
    /// From now on the devices of the topic's stream are watched.
    pub(in crate::source) fn watch(&mut self, topic: &Arc<str>, stream: &Arc<str>) {
        let watched = Watched {
            stream: Arc::clone(stream),
            said: HashSet::new(),
        };
        self.watched.insert(Arc::clone(topic), watched);
    }

    /// Its snapshot is taken in, or never will be.
    pub(in crate::source) fn leave(&mut self, topic: &str) {
        self.watched.remove(topic);
    }

    /// No snapshot is asked for.
    pub(in crate::source) fn leave_all(&mut self) {
        self.watched.clear();
    }

    /// A device has said something.
    pub(in crate::source) fn heard(&mut self, stream: &str, key: &StatusKey) {
        if self.watched.is_empty() {
            return;
        }
        let hash = self.hash(key);
        for watched in self.watched.values_mut() {
            if *watched.stream == *stream && watched.said.len() <= DEVICES_MAX {
                watched.said.insert(hash);
            }
        }
    }

    /// Whether it has, since the topic is watched. Of too many that is not known.
    pub(in crate::source) fn has_said(&self, topic: &str, key: &StatusKey) -> bool {
        self.watched.get(topic).is_none_or(|watched| {
            watched.said.len() > DEVICES_MAX || watched.said.contains(&self.hash(key))
        })
    }

    fn hash(&self, key: &StatusKey) -> u64 {
        self.random.hash_one((&key.client_id, &key.device_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_count_for_the_snapshots_of_their_stream_that_are_under_way() {
        let key = |device: &str| StatusKey {
            client_id: "1".to_owned(),
            device_id: device.to_owned(),
            old_state: None,
            new_state: "x".to_owned(),
            event_key: None,
            shared_hash: None,
        };
        let mut live = LiveDevices::default();
        live.heard("s", &key("1"));
        live.watch(&"a".into(), &"s".into());
        live.watch(&"b".into(), &"other".into());
        live.heard("s", &key("2"));
        let said = ["1", "2"].map(|device| live.has_said("a", &key(device)));
        assert_eq!(said, [false, true]);
        assert!(!live.has_said("b", &key("2")));
        live.watch(&"a".into(), &"s".into());
        assert!(!live.has_said("a", &key("2")), "another request");
        live.leave("a");
        assert!(live.has_said("a", &key("1")), "nobody has watched it");
    }
}
