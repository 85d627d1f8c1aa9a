//! What one entry of the journal means to one sink.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::settings::Settings;
use crate::journal::{Entry, EntryContent};
use crate::model::{Event, Origin};
use crate::pipeline::{Decoder, Decoders, Expression};

/// A decoded entry.
#[derive(Debug)]
pub(super) enum Decoded {
    /// To be delivered.
    Event(Box<Event>),
    /// Not for this sink.
    Filtered,
    /// Undecodable at intake: for no sink.
    Undecodable,
    /// To be dead-lettered, with the reason.
    Unreadable(String),
    /// It was dead-lettered before the last start.
    DeadLetter,
    /// So many entries, up to this position, were evicted by the journal's policy.
    Evicted(u64),
    /// So many entries, up to this position, were removed since the sink has read them for the
    /// first time.
    Removed(u64),
}

/// Decodes entries for one sink.
pub(super) type Decode = Box<dyn Fn(&Entry) -> Decoded + Send + Sync>;

/// By a sink's settings and the decoders of the topics, as they are when an entry is read.
pub(super) fn decode_for(settings: Settings, journal: Uuid, decoders: Decoders) -> Decode {
    Box::new(move |entry| decode(&settings, journal, &decoders.current(), entry))
}

fn decode(
    settings: &Settings,
    journal: Uuid,
    decoders: &HashMap<Arc<str>, Decoder>,
    entry: &Entry,
) -> Decoded {
    let previous = match &entry.content {
        EntryContent::Status { repeat: true, .. }
        | EntryContent::Coverage
        | EntryContent::Alarm => return Decoded::Filtered,
        EntryContent::Undecodable { .. } => return Decoded::Undecodable,
        EntryContent::Status { previous, .. } => previous,
    };
    let foreign = settings
        .topics
        .as_ref()
        .is_some_and(|topics| !topics.contains(&entry.topic));
    if foreign || settings.when.as_ref().and_then(Expression::constant) == Some(false) {
        return Decoded::Filtered;
    }
    let Some(decoder) = decoders.get(&entry.topic) else {
        let topic = &entry.topic;
        return Decoded::Unreadable(format!(
            "topic {topic} is no longer in the configuration: add it to decode this"
        ));
    };
    let origin = Origin {
        journal,
        position: entry.position,
    };
    let event = match decoder.event(&entry.body, origin, entry.received_at, previous.as_deref()) {
        Ok(event) => event,
        Err(undecodable) => {
            return Decoded::Unreadable(format!("can no longer be decoded: {undecodable}"));
        }
    };
    match settings
        .when
        .as_ref()
        .map_or(Ok(true), |when| when.holds(&event))
    {
        Ok(true) => Decoded::Event(Box::new(event)),
        Ok(false) => Decoded::Filtered,
        Err(error) => Decoded::Unreadable(format!("`when` cannot be evaluated: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::journal::Start;
    use crate::model::Position;
    use crate::pipeline::{Mapping, States};
    use crate::retry::Retry;

    fn check(topic: &str, content: EntryContent, expected: &str) {
        let mapping = Mapping::default();
        let decoder = Decoder::new("map-1".into(), mapping, Arc::new(States::default()));
        let settings = Settings {
            name: "site".into(),
            topics: Some(["map-1".into(), "gone".into()].into()),
            when: None,
            start: Start::Oldest,
            retry: Retry::default(),
        };
        let decoders = Decoders::new(Arc::new(HashMap::from([("map-1".into(), decoder)])));
        let decode = decode_for(settings, Uuid::nil(), decoders);
        let entry = Entry {
            position: Position(1),
            topic: topic.into(),
            received_at: Timestamp::UNIX_EPOCH,
            body: "[{".into(),
            content,
        };
        let decoded = format!("{:?}", decode(&entry));
        assert!(
            decoded.contains(expected),
            "{topic}: {decoded}, not {expected}"
        );
    }

    #[test]
    fn entry_is_decoded_by_its_verdict_its_topic_and_its_decoder() {
        let accepted = EntryContent::Status {
            previous: None,
            repeat: false,
        };
        check(
            "map-1",
            EntryContent::Undecodable {
                reason: "not JSON".into(),
            },
            "Undecodable",
        );
        check("other", accepted.clone(), "Filtered");
        check(
            "gone",
            accepted.clone(),
            "topic gone is no longer in the configuration",
        );
        check("map-1", accepted, "can no longer be decoded");
    }
}
