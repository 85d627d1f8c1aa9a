//! The event that an operator sends to see whether a sink works. Who gets it sees that nothing
//! has happened.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Coverage, CoverageEvent, Event, EventKind, Origin, Payload, Place, Position, Severity,
    StatusEvent, Via,
};

/// The topic of a test event, its client, its device and its states.
const MARK: &str = "test";

/// Its device, whatever else a sink shows of it.
const DEVICE: &str = "stomp-bridge-test";

/// Where a message stands that a person reads.
const DETAIL: &str = "test event of stomp-bridge: nothing has happened";

impl Event {
    /// A test event of this kind. It comes from no journal: `id` is all that tells it from others.
    pub fn test(kind: EventKind, id: Uuid, at: Timestamp) -> Event {
        let event_id = format!("{MARK}-{}", id.simple());
        let origin = Origin {
            journal: Uuid::nil(),
            position: Position(1),
        };
        let topic: Arc<str> = MARK.into();
        match kind {
            EventKind::Status => Event::from(StatusEvent {
                event_id,
                topic: Arc::clone(&topic),
                stream: topic,
                client_id: MARK.to_owned(),
                device_id: DEVICE.to_owned(),
                serial: Some(MARK.to_owned()),
                old_state: Some(MARK.to_owned()),
                new_state: MARK.to_owned(),
                state: MARK.to_owned(),
                severity: Severity::Info,
                changed: true,
                missed_transition: false,
                place: Place {
                    detail: Some(DETAIL.to_owned()),
                    ..Place::default()
                },
                occurred_at: Some(at),
                received_at: at,
                via: Via::Live,
                origin: origin.to_string(),
                position: origin.position,
                payload: payload(),
                label: None,
            }),
            EventKind::Coverage => Event::from(CoverageEvent {
                event_id,
                topic,
                coverage: Coverage {
                    heard: true,
                    at,
                    cause: None,
                },
                received_at: at,
                origin: origin.to_string(),
                position: origin.position,
            }),
        }
    }
}

fn payload() -> Payload {
    let text = serde_json::json!({ "test": DETAIL }).to_string();
    Payload::of_json(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_event_is_marked_wherever_a_sink_looks() {
        let (id, at) = (Uuid::from_u128(7), Timestamp::UNIX_EPOCH);
        for kind in EventKind::ALL {
            let event = Event::test(kind, id, at);
            assert_eq!((event.kind(), &**event.topic()), (kind, MARK));
            assert!(event.event_id().starts_with("test-0000"));
            let other = Event::test(kind, Uuid::from_u128(8), at);
            assert_ne!(event.event_id(), other.event_id());
            // It is no event of any journal.
            assert_ne!(event.event_id(), event.origin());
        }
        let event = Event::test(EventKind::Status, id, at);
        let json: serde_json::Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert_eq!(json["device_id"], DEVICE);
        assert_eq!(json["detail"], DETAIL);
        assert_eq!(json["payload"]["test"], DETAIL);
        assert_eq!(json["severity"], "info");
    }
}
