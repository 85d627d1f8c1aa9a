//! Events made by hand, and batches of them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::{
    Coordinates, Coverage, CoverageCause, CoverageEvent, Event, EventKind, Origin, Payload, Place,
    Position, StatusEvent,
};
use stomp_bridge::paced::Interval;
use stomp_bridge::pipeline::Template;
use stomp_bridge::sinks::{Batch, Built, Reason, Settings, Sink, build};
use uuid::Uuid;

pub(crate) const JOURNAL: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);

/// A status of the platform's own message, with every field, as the decoder would give it.
pub(crate) fn event(position: i64) -> StatusEvent {
    let origin = Origin {
        journal: JOURNAL,
        position: Position(position),
    };
    let start: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
    let payload = format!(r#"{{"deviceId":{position}, "oldState":"正常","newState":"故障"}}"#);
    StatusEvent {
        event_id: origin.to_string(),
        topic: "map-1".into(),
        device_id: position.to_string(),
        serial: Some("5223980739804501806b36caddcca2e0".to_owned()),
        missed_transition: false,
        place: Place {
            province: Some("江苏省".to_owned()),
            city: Some("盐城市".to_owned()),
            district: Some("射阳县".to_owned()),
            detail: Some("人民政府".to_owned()),
            coordinate_system: Some("baidu".to_owned()),
            raw: Some(Coordinates {
                longitude: 120.332_826_011_797_27,
                latitude: 33.772_274_094_206_24,
            }),
            wgs84: Some(Coordinates {
                longitude: 120.321_5,
                latitude: 33.768_25,
            }),
        },
        received_at: start + SignedDuration::from_millis(position),
        origin: origin.to_string(),
        position: Position(position),
        payload: raw(&payload),
        ..StatusEvent::sample()
    }
}

pub(crate) fn events(positions: std::ops::RangeInclusive<i64>) -> Vec<StatusEvent> {
    positions.map(event).collect()
}

/// One status of one device, which a test tells apart by its state.
pub(crate) fn status(journal: Uuid, position: i64, device: &str, state: &str) -> StatusEvent {
    let origin = Origin {
        journal,
        position: Position(position),
    }
    .to_string();
    StatusEvent {
        event_id: origin.clone(),
        origin,
        device_id: device.to_owned(),
        state: state.to_owned(),
        ..event(position)
    }
}

pub(crate) fn raw(json: &str) -> Payload {
    Payload::parse(json).unwrap()
}

/// A topic that began to be heard, or ceased by a cause, in the journal of that id.
pub(crate) fn coverage(
    journal: Uuid,
    position: i64,
    topic: &str,
    at: &str,
    cause: Option<CoverageCause>,
) -> CoverageEvent {
    let origin = Origin {
        journal,
        position: Position(position),
    }
    .to_string();
    let at: Timestamp = at.parse().unwrap();
    CoverageEvent {
        event_id: origin.clone(),
        topic: topic.into(),
        coverage: Coverage {
            heard: cause.is_none(),
            at,
            cause,
        },
        received_at: at + SignedDuration::from_millis(7),
        origin,
        position: Position(position),
    }
}

/// The batch of these events, through the last of them. They are never freed: tests end soon.
pub(crate) fn batch<E: Clone + Into<Event>>(events: &[E]) -> Batch<'static> {
    let events: Vec<Event> = events.iter().cloned().map(Into::into).collect();
    let events: &'static [Event] = events.leak();
    Batch {
        journal: JOURNAL,
        events,
        through: events.last().unwrap().position(),
        reason: Reason::Log,
    }
}

/// As it is by default.
const COMMIT_INTERVAL: Duration = Duration::from_millis(5);

/// A sink that is built and whose driver runs.
pub(crate) fn start(settings: Settings) -> Box<dyn Sink> {
    let Built { sink, driver, .. } = build(settings, &Interval::new(COMMIT_INTERVAL)).unwrap();
    if let Some(driver) = driver {
        tokio::spawn(driver);
    }
    sink
}

/// A template of statuses.
pub(crate) fn template(source: &str) -> Template {
    Template::parse(source, &[EventKind::Status].into()).unwrap()
}
