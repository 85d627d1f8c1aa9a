//! The statuses in the answer of a snapshot's request. It asks nobody.

use bytes::Bytes;
use jiff::Timestamp;

use super::error::ResyncError;
use crate::pipeline::{Body, Decoder, StatusKey};

/// One status of a snapshot: its own bytes, and what they say.
pub(in crate::source) type SnapshotStatus = (Bytes, StatusKey);

/// The statuses of one snapshot.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) statuses: Vec<SnapshotStatus>,
    /// How many objects cannot be read, and why the first of them cannot.
    pub(super) unreadable: u64,
    pub(super) reason: Option<String>,
}

impl Snapshot {
    /// Whether there is nothing in it, nor anything that could not be read.
    pub(super) fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.unreadable == 0
    }

    /// What a body holds; what the topic ignores is no status.
    ///
    /// # Errors
    /// None of it can be read.
    pub(super) fn read(
        body: &Body<'_>,
        decoder: &Decoder,
        now: Timestamp,
    ) -> Result<Snapshot, ResyncError> {
        let mut snapshot = Snapshot::default();
        for element in decoder.split_message(body, now) {
            if element.ignored {
                continue;
            }
            match element.outcome {
                // A copy: the body is larger than what is kept of it.
                Ok(key) => snapshot
                    .statuses
                    .push((Bytes::copy_from_slice(&element.raw), key)),
                Err(undecodable) => {
                    snapshot.unreadable += 1;
                    snapshot.reason.get_or_insert(undecodable.reason);
                }
            }
        }
        match &snapshot.reason {
            Some(reason) if snapshot.statuses.is_empty() => Err(ResyncError::failed(format!(
                "no status in the answer can be read: {reason}; see url, items and fields"
            ))),
            _ => Ok(snapshot),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::{Constants, Mapping};

    fn read(items: &str, body: &str) -> Result<Snapshot, ResyncError> {
        let mut mapping = Mapping::default();
        mapping.items = Some(items.parse().unwrap());
        let decoder = Decoder::new("map-1".into(), Mapping::default(), Arc::default())
            .with_snapshot(mapping, Constants::default())
            .of_snapshots();
        Snapshot::read(
            &Body::plain(body.as_bytes()),
            &decoder,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn statuses_are_read_one_by_one_and_what_cannot_be_read_is_counted() {
        let body = r#"{"data":[{"deviceId":1,"newState":"x"},{"deviceId":2},{"deviceId":3,"newState":"y"},7]}"#;
        let snapshot = read("/data", body).unwrap();
        let said: Vec<_> = (snapshot.statuses.iter())
            .map(|(raw, key)| (raw.len(), key.device_id.as_str(), key.new_state.as_str()))
            .collect();
        assert_eq!(said, [(29, "1", "x"), (29, "3", "y")]);
        assert_eq!(snapshot.unreadable, 2);
        let reason = snapshot.reason.unwrap();
        assert!(reason.contains("new_state at /newState"), "{reason}");
    }

    #[test]
    fn a_snapshot_of_which_nothing_can_be_read_is_none_and_an_empty_one_is_one() {
        assert!(read("/data", r#"{"data":[]}"#).unwrap().statuses.is_empty());
        for (body, expected) in [
            ("<html>", "expected JSON"),
            (r#"{"code":401}"#, "expected statuses at /data"),
            (r#"{"data":[{"id":1}]}"#, "expected device"),
        ] {
            let error = read("/data", body).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
