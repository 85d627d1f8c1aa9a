//! What one entry of the journal means to one sink.

use std::sync::Arc;

use super::settings::{Confirmations, Settings};
use super::statuses::Statuses;
use crate::journal::{Entry, EntryContent};
use crate::model::{CoverageEvent, Event, EventKind, JournalIds, Origin};
use crate::pipeline::Expression;

/// A decoded entry.
#[derive(Debug)]
pub(super) enum Decoded {
    /// To be delivered.
    Event(Event),
    /// Not for this sink, whatever its `when` says.
    Filtered,
    /// A status for which its `when` does not hold.
    Unwanted,
    /// Undecodable at intake: for no sink.
    Undecodable,
    /// To be dead-lettered, with the reason.
    Unreadable(String),
    /// It was dead-lettered before the last start.
    DeadLetter,
    /// The journal's `when_full` policy evicted this many entries, up to this position.
    Evicted(u64),
    /// This many entries, up to this position, were removed after the sink had read them once.
    Removed(u64),
}

/// Decodes entries for one sink.
pub(super) type Decode = Box<dyn Fn(&Entry) -> Decoded + Send + Sync>;

/// By a sink's settings.
pub(super) fn decode_for(settings: Settings, journal: JournalIds, statuses: Statuses) -> Decode {
    let statuses = statuses.for_sink();
    Box::new(move |entry| decode(&settings, &journal, &statuses, entry))
}

/// The event that an entry of a journal is to a sink; `None`: it is none for it, or cannot be read.
pub fn event_of(
    settings: &Settings,
    journal: &JournalIds,
    statuses: &Statuses,
    entry: &Entry,
) -> Option<Event> {
    match decode(settings, journal, statuses, entry) {
        Decoded::Event(event) => Some(event),
        _ => None,
    }
}

fn decode(
    settings: &Settings,
    journal: &JournalIds,
    statuses: &Statuses,
    entry: &Entry,
) -> Decoded {
    let (kind, previous) = match &entry.content {
        EntryContent::Undecodable { .. } => return Decoded::Undecodable,
        EntryContent::Status { repeat: true, .. } | EntryContent::Alarm => {
            return Decoded::Filtered;
        }
        // It is no event: only a history has a use for it.
        EntryContent::Resync { confirms: true, .. }
            if settings.confirmations == Confirmations::Filtered =>
        {
            return Decoded::Filtered;
        }
        EntryContent::Status { previous, .. } | EntryContent::Resync { previous, .. } => {
            (EventKind::Status, previous.as_deref())
        }
        EntryContent::Coverage => (EventKind::Coverage, None),
    };
    if settings.unwanted(&entry.topic, kind).is_some() {
        return Decoded::Filtered;
    }
    let origin = journal.origin(entry.position);
    match kind {
        EventKind::Status => status(settings, statuses, entry, origin, previous),
        EventKind::Coverage => coverage(entry, origin),
    }
}

fn status(
    settings: &Settings,
    statuses: &Statuses,
    entry: &Entry,
    origin: Origin,
    previous: Option<&str>,
) -> Decoded {
    if settings.when.as_ref().and_then(Expression::constant) == Some(false) {
        return Decoded::Unwanted;
    }
    let status = match statuses.status(entry, origin, previous) {
        Ok(status) => status,
        Err(reason) => return Decoded::Unreadable(reason),
    };
    let when = settings.when.as_ref();
    match when.map_or(Ok(true), |when| when.holds(&status)) {
        Ok(true) => Decoded::Event(Event::Status(settings.omit.apply(status))),
        Ok(false) => Decoded::Unwanted,
        Err(error) => Decoded::Unreadable(format!("`when` cannot be evaluated: {error}")),
    }
}

/// What the daemon observed itself needs no mapping: a topic that left the configuration still has
/// its end.
fn coverage(entry: &Entry, origin: Origin) -> Decoded {
    match serde_json::from_slice(&entry.body) {
        Ok(coverage) => {
            let (event_id, origin_text) = (origin.to_string(), origin.to_string());
            let event = CoverageEvent {
                event_id,
                topic: Arc::clone(&entry.topic),
                coverage,
                received_at: entry.received_at,
                origin: origin_text,
                position: entry.position,
            };
            Decoded::Event(event.into())
        }
        Err(error) => Decoded::Unreadable(format!("this coverage cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::journal::Start;
    use crate::model::{Omit, Position};
    use crate::pipeline::{Decoder, Decoders, Mapping};
    use crate::retry::Retry;

    const STATUS: EntryContent = EntryContent::Status {
        previous: None,
        repeat: false,
    };

    fn decoded(kinds: &[EventKind], when: Option<&str>, topic: &str, entry: Written) -> Decoded {
        decoded_by(Confirmations::Filtered, kinds, when, topic, entry)
    }

    fn decoded_by(
        confirmations: Confirmations,
        kinds: &[EventKind],
        when: Option<&str>,
        topic: &str,
        entry: Written,
    ) -> Decoded {
        let Written { body, content } = entry;
        let decoder = Decoder::new("map-1".into(), Mapping::default(), Arc::default());
        let settings = Settings {
            name: "site".into(),
            kinds: kinds.iter().copied().collect(),
            topics: Some(["map-1".into(), "gone".into()].into()),
            when: when.map(|when| Expression::parse(when).unwrap()),
            omit: Omit::read(["detail", "payload"]).unwrap(),
            start: Start::Oldest,
            retry: Retry::default(),
            confirmations,
        };
        let decoders = Decoders::new(Arc::new(HashMap::from([("map-1".into(), decoder)])));
        let decode = decode_for(settings, Uuid::nil().into(), Statuses::new(decoders));
        decode(&Entry {
            position: Position(1),
            topic: topic.into(),
            received_at: Timestamp::UNIX_EPOCH,
            body: body.into(),
            content,
            places: None,
        })
    }

    struct Written {
        body: &'static str,
        content: EntryContent,
    }

    fn check(topic: &str, content: EntryContent, expected: &str) {
        let entry = Written {
            body: "[{",
            content,
        };
        let decoded = format!("{:?}", decoded(&EventKind::ALL, None, topic, entry));
        assert!(
            decoded.contains(expected),
            "{topic}: {decoded}, not {expected}"
        );
    }

    #[test]
    fn entry_is_decoded_by_its_verdict_its_topic_and_its_decoder() {
        let reason = "not JSON".into();
        check("map-1", EntryContent::Undecodable { reason }, "Undecodable");
        check("other", STATUS, "Filtered");
        check(
            "gone",
            STATUS,
            "topic gone is no longer in the configuration",
        );
        check("map-1", STATUS, "can no longer be decoded");
        check("map-1", EntryContent::Coverage, "coverage cannot be read");
    }

    #[test]
    fn sink_gets_the_kinds_that_it_wants_and_no_repeat() {
        let status = |content| Written {
            body: r#"{"deviceId":1,"newState":"x"}"#,
            content,
        };
        let repeat = EntryContent::Status {
            previous: None,
            repeat: true,
        };
        let coverage = || Written {
            body: r#"{"heard":false,"at":"2026-01-02T03:04:05Z","cause":"silent"}"#,
            content: EntryContent::Coverage,
        };
        let alarm = || Written {
            body: "{}",
            content: EntryContent::Alarm,
        };
        let both = &EventKind::ALL[..];
        let (only_status, only_coverage) = (&[EventKind::Status][..], &[EventKind::Coverage][..]);
        for (kinds, when, topic, entry, wanted) in [
            (both, None, "map-1", status(STATUS), true),
            (only_status, None, "map-1", status(STATUS), true),
            (only_coverage, None, "map-1", status(STATUS), false),
            (both, None, "map-1", status(repeat), false),
            (both, None, "map-1", coverage(), true),
            (only_coverage, None, "gone", coverage(), true),
            (only_status, None, "map-1", coverage(), false),
            (both, None, "other", coverage(), false),
            (both, Some("false"), "map-1", coverage(), true),
            (both, Some("changed"), "map-1", coverage(), true),
            (both, Some("changed"), "map-1", status(STATUS), false),
            (both, None, "map-1", alarm(), false),
        ] {
            let is_judged = when.is_some() && matches!(entry.content, STATUS);
            let case = format!("{kinds:?} {when:?} {topic} {:?}", entry.content);
            let decoded = decoded(kinds, when, topic, entry);
            match decoded {
                Decoded::Event(_) => assert!(wanted, "{case}"),
                Decoded::Filtered => assert!(!wanted && !is_judged, "{case}"),
                Decoded::Unwanted => assert!(!wanted && is_judged, "{case}"),
                other => panic!("{case}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_a_snapshot_confirms_is_for_histories_and_when_may_ask_how_a_status_came() {
        use Confirmations::{Filtered, Wanted};
        let status = |content| Written {
            body: r#"{"deviceId":1,"oldState":"a","newState":"x"}"#,
            content,
        };
        let resync = |previous: &str, confirms| EntryContent::Resync {
            previous: Some(previous.into()),
            confirms,
        };
        let resynced = "via == 'resync' and not missed_transition";
        for (confirmations, content, when, expected) in [
            (Filtered, resync("b", false), None, "Event"),
            (Filtered, resync("x", true), None, "Filtered"),
            (Wanted, resync("x", true), None, "Event"),
            (Wanted, resync("x", true), Some("changed"), "Unwanted"),
            (Wanted, resync("b", false), Some("changed"), "Event"),
            (Wanted, resync("b", false), Some(resynced), "Event"),
            (
                Wanted,
                resync("b", false),
                Some("via == 'live'"),
                "Unwanted",
            ),
            (Filtered, STATUS, Some("via == 'live'"), "Event"),
            (Filtered, STATUS, Some(resynced), "Unwanted"),
        ] {
            let case = format!("{confirmations:?} {content:?} {when:?}");
            let kinds = [EventKind::Status];
            let entry = status(content);
            let decoded = decoded_by(confirmations, &kinds, when, "map-1", entry);
            let decoded = format!("{decoded:?}");
            assert!(decoded.starts_with(expected), "{case}: {decoded}");
        }
    }

    #[test]
    fn coverage_is_what_the_entry_says_under_the_entrys_own_id() {
        let entry = Written {
            body: r#"{"heard":false,"at":"2026-01-02T03:04:05Z","cause":"silent"}"#,
            content: EntryContent::Coverage,
        };
        let Decoded::Event(event) = decoded(&EventKind::ALL, None, "gone", entry) else {
            panic!("no event")
        };
        let json = String::from_utf8(event.to_json()).unwrap();
        let id = format!("{}-1", Uuid::nil().simple());
        let expected = format!(
            r#"{{"kind":"coverage","event_id":"{id}","topic":"gone","heard":false,"cause":"silent","at":"2026-01-02T03:04:05Z","received_at":"1970-01-01T00:00:00Z","origin":"{id}"}}"#
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_omitted_is_absent_and_when_has_seen_it() {
        let entry = Written {
            body: r#"{"clientId":1,"deviceId":1,"newState":"ok","address":{"city":"盐城市","detail":"人民政府"}}"#,
            content: STATUS,
        };
        let when = Some("detail == '人民政府' and payload.deviceId == 1");
        let Decoded::Event(event) = decoded(&EventKind::ALL, when, "map-1", entry) else {
            panic!("no event")
        };
        let json = String::from_utf8(event.to_json()).unwrap();
        assert!(
            json.contains(r#""city":"盐城市","district":null,"detail":null"#),
            "{json}"
        );
        assert!(json.ends_with(r#""payload":null}"#), "{json}");
    }
}
