use super::*;
use crate::journal::{EntryContent, NewContent, NewEntry, Unchanged};

fn settings(devices_max: u64) -> Settings {
    Settings {
        devices_max,
        ..Settings::new("/nowhere".into())
    }
}

/// With an empty table, and a log that ends at `head`.
fn opened(devices_max: u64, head: Position) -> LastStates {
    let size = TableSize::default();
    LastStates::new(&settings(devices_max), size, Vec::new(), Position(0), head)
}

fn unknown(known: &LastStates, entries: &[NewEntry]) -> usize {
    let statuses = entries.iter().filter_map(|entry| match &entry.content {
        NewContent::Status { stream, key, .. } => Some((stream, key)),
        _ => None,
    });
    known.unknown(statuses).len()
}

fn empty(devices_max: u64) -> LastStates {
    opened(devices_max, Position(0))
}

/// A status of device 1 at a second, by a topic of the stream `s`.
fn status(topic: &str, second: i64, old: Option<&str>, new: &str, key: Option<u64>) -> NewEntry {
    NewEntry {
        topic: topic.into(),
        received_at: Timestamp::from_second(second).unwrap(),
        body: bytes::Bytes::new(),
        content: NewContent::Status {
            stream: "s".into(),
            key: StatusKey {
                client_id: String::new(),
                device_id: "1".to_owned(),
                old_state: old.map(str::to_owned),
                new_state: new.to_owned(),
                event_key: key,
                shared_hash: None,
            },
            places: None,
        },
    }
}

/// By a topic of a stream with several topics, whose content always has the same hash.
fn shared(topic: &str, new: &str) -> NewEntry {
    let mut entry = status(topic, 1, None, new, None);
    if let NewContent::Status { key, .. } = &mut entry.content {
        key.shared_hash = Some(7);
    }
    entry
}

fn told(known: &mut LastStates, entry: NewEntry) -> (Option<String>, bool) {
    let resolved = known.resolve(Position(0), vec![entry]);
    known.settle();
    match &resolved.entries[0].content {
        EntryContent::Status { previous, repeat } => {
            (previous.as_deref().map(str::to_owned), *repeat)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn previous_is_what_we_knew_where_the_status_says_another() {
    let mut known = empty(10);
    for (old, new, expected) in [
        (Some("ok"), "ok", None),
        (Some("ok"), "fault", None),
        (Some(" fault "), "ok ", None),
        // A transition passed us by.
        (Some("fault"), "ok", Some("ok")),
        (None, "ok", Some("ok")),
        (None, "fault", Some("ok")),
    ] {
        let (previous, repeat) = told(&mut known, status("t", 1, old, new, None));
        assert_eq!(
            (previous.as_deref(), repeat),
            (expected, false),
            "{old:?} {new}"
        );
    }
}

#[test]
fn a_redelivered_key_is_a_repeat_and_moves_nothing() {
    let mut known = empty(10);
    assert_eq!(
        told(&mut known, status("t", 1, None, "ok", Some(1))),
        (None, false)
    );
    told(&mut known, status("t", 2, Some("ok"), "fault", Some(2)));
    assert_eq!(
        told(&mut known, status("t", 3, None, "ok", Some(1))),
        (None, true)
    );
    let next = told(&mut known, status("t", 4, Some("fault"), "ok", Some(3)));
    assert_eq!(next, (None, false), "the last state is still fault");
    // Only the last eight are kept.
    (4..11).for_each(|key| drop(told(&mut known, status("t", 5, None, "ok", Some(key)))));
    assert!(!told(&mut known, status("t", 6, None, "ok", Some(1))).1);
    assert!(told(&mut known, status("t", 6, None, "ok", Some(10))).1);
}

#[test]
fn what_another_topic_brought_is_a_repeat_and_moves_nothing() {
    let mut known = empty(10);
    assert_eq!(told(&mut known, shared("a", "ok")), (None, false));
    assert_eq!(told(&mut known, shared("b", "fault")), (None, true));
    let next = told(&mut known, status("a", 2, Some("ok"), "fault", None));
    assert_eq!(next, (None, false), "the last state was still ok");
}

fn snapshot(second: i64, new: &str, key: Option<u64>, unchanged: Unchanged) -> NewEntry {
    let entry = status("t", second, None, new, key);
    let NewContent::Status { stream, key, .. } = entry.content else {
        panic!("no status")
    };
    NewEntry {
        content: NewContent::Resync {
            stream,
            key,
            unchanged,
        },
        ..entry
    }
}

/// `None`: it makes no entry.
fn resynced(known: &mut LastStates, entry: NewEntry) -> Option<(Option<String>, bool)> {
    let resolved = known.resolve(Position(7), vec![entry]);
    known.settle();
    let content = &resolved.entries.first()?.content;
    let EntryContent::Resync { previous, confirms } = content else {
        panic!("{content:?}")
    };
    Some((previous.as_deref().map(str::to_owned), *confirms))
}

#[test]
fn of_a_snapshot_what_differs_makes_an_entry_and_what_we_knew_where_it_is_asked_for() {
    use Unchanged::{Confirms, Dropped};
    let mut known = empty(10);
    let after = |state: &str| Some((Some(state.to_owned()), false));
    for (new, unchanged, expected) in [
        ("ok", Dropped, Some((None, false))),
        ("ok", Dropped, None),
        (" ok ", Confirms, Some((Some("ok".to_owned()), true))),
        ("fault", Dropped, after("ok")),
        ("ok", Confirms, after("fault")),
    ] {
        let entry = snapshot(1, new, None, unchanged);
        assert_eq!(resynced(&mut known, entry), expected, "{new} {unchanged:?}");
    }
}

#[test]
fn positions_follow_each_other_where_a_snapshot_makes_no_entry() {
    let mut known = empty(10);
    let same = || snapshot(1, "ok", None, Unchanged::Dropped);
    let entries = vec![
        same(),
        same(),
        status("t", 2, None, "fault", None),
        same(),
        same(),
    ];
    let resolved = known.resolve(Position(7), entries);
    let positions: Vec<i64> = (resolved.entries.iter())
        .map(|entry| entry.position.0)
        .collect();
    assert_eq!(positions, [8, 9, 10]);
    assert_eq!(resolved.dropped, [1, 4]);
}

#[test]
fn what_a_message_has_said_by_its_key_a_snapshot_does_not_say_again() {
    let mut known = empty(10);
    told(&mut known, status("t", 1, None, "ok", Some(1)));
    told(&mut known, status("t", 2, Some("ok"), "fault", Some(2)));
    let stale = snapshot(3, "ok", Some(1), Unchanged::Confirms);
    assert_eq!(resynced(&mut known, stale), None);
    let same = snapshot(3, "fault", Some(2), Unchanged::Confirms);
    assert!(resynced(&mut known, same).unwrap().1);
    // And the other way round.
    let newer = snapshot(4, "ok", Some(3), Unchanged::Dropped);
    assert!(!resynced(&mut known, newer).unwrap().1);
    let redelivered = status("t", 5, Some("fault"), "ok", Some(3));
    assert!(told(&mut known, redelivered.clone()).1);
    assert!(told(&mut known, redelivered).1);
}

#[test]
fn the_change_that_a_snapshot_brought_is_a_repeat_once_and_soon_after_it() {
    for (second, old, new, expected) in [
        (60, "ok", "fault", true),
        (62, "ok", "fault", false),
        (2, "off", "fault", false),
        (2, "ok", "off", false),
    ] {
        let mut known = empty(10);
        told(&mut known, status("t", 0, None, "ok", None));
        resynced(&mut known, snapshot(1, "fault", None, Unchanged::Dropped));
        let (_, repeat) = told(&mut known, status("t", second, Some(old), new, None));
        assert_eq!(repeat, expected, "{second} {old} {new}");
        let (_, repeat) = told(&mut known, status("t", second, Some(old), new, None));
        assert!(!repeat, "{second} {old} {new}");
    }
}

#[test]
fn behind_another_gap_the_change_that_a_snapshot_brought_is_none() {
    let gap = |topic: &str| NewEntry {
        content: NewContent::Coverage,
        ..status(topic, 2, None, "", None)
    };
    for (topic, expected) in [
        ("t", (Some("fault".to_owned()), false)),
        ("u", (None, true)),
    ] {
        let mut known = empty(10);
        known.resolve(Position(0), vec![gap("t")]);
        told(&mut known, status("t", 0, None, "ok", None));
        resynced(&mut known, snapshot(1, "fault", None, Unchanged::Dropped));
        known.resolve(Position(0), vec![gap(topic)]);
        let again = told(&mut known, status("t", 3, Some("ok"), "fault", None));
        assert_eq!(again, expected, "{topic}");
    }
}

#[test]
fn only_what_changes_waits_and_each_device_once() {
    let mut known = empty(10);
    let mut head = Position(0);
    for (second, new, key, expected) in [
        (0, "ok", None, 1),
        (3599, "ok", None, 0),
        (3600, "ok", None, 1),
        (3601, "fault", None, 1),
        (3602, "fault", Some(1), 1),
    ] {
        known.resolve(head, vec![status("t", second, None, new, key)]);
        head.0 += 1;
        assert!(known.waits(head), "the position at least");
        assert_eq!(known.waiting_rows().len(), expected, "{second} {new}");
        known.mark_saved(head);
        assert!(!known.waits(head) && known.waiting_rows().is_empty());
    }
    let twice = [
        status("t", 9000, None, "a", None),
        status("t", 9001, None, "b", None),
    ];
    known.resolve(head, twice.into());
    let [(_, last)] = known.waiting_rows()[..] else {
        panic!("one device is one row")
    };
    assert_eq!((&*last.state, known.size().rows), ("b", 1));
}

#[test]
fn what_the_log_has_beyond_the_table_is_read_again_before_anything_is_written() {
    let mut known = opened(10, Position(7));
    assert_eq!(known.held(), Some(Position(0)));
    known.resolve(Position(7), vec![status("t", 1, None, "ok", Some(1))]);
    assert!(!known.waits(Position(8)) && known.waiting_rows().is_empty());
    assert_eq!((known.excess(), known.is_full()), (0, false));

    let mut known = opened(10, Position(7));
    assert_eq!(known.catch_up(), Some(Position(0)));
    assert_eq!((known.catch_up(), known.held()), (None, None));
    let NewContent::Status { stream, key, .. } = status("t", 1, None, "ok", Some(1)).content else {
        panic!("a status")
    };
    known.learn_again(stream, key, Timestamp::UNIX_EPOCH);
    assert!(known.waits(Position(7)) && known.waiting_rows().len() == 1);
    assert!(told(&mut known, status("t", 2, None, "ok", Some(1))).1);
}

#[test]
fn number_and_memory_are_bounded() {
    let mut known = empty(100);
    let entry = |device: usize| {
        let mut entry = status("t", 0, None, "ok", None);
        if let NewContent::Status { key, .. } = &mut entry.content {
            key.device_id = device.to_string();
        }
        entry
    };
    let entries = (0..100).map(entry).collect();
    known.resolve(Position(0), entries);
    known.mark_saved(Position(100));
    assert_eq!(known.excess(), 0);
    known.resolve(Position(100), vec![entry(100)]);
    assert_eq!(known.excess(), 2);
    let new: Vec<Row> = known
        .waiting_rows()
        .into_iter()
        .map(|(key, last)| (key.clone(), last.clone()))
        .collect();
    known.mark_saved(Position(101));
    known.evicted(&new);
    assert_eq!((known.size().rows, known.excess()), (100, 0));
    assert_eq!(
        unknown(&known, &[entry(100)]),
        0,
        "all that there are stand in memory"
    );

    let mut large = empty(u64::MAX / 100);
    let count = 2 * LastStates::preloaded_max();
    large.resolve(Position(0), (0..WAITING_MAX - 1).map(entry).collect());
    assert!(!large.is_full());
    large.resolve(Position(0), (0..count).map(entry).collect());
    large.settle();
    assert!(
        large.is_full() && large.cache_bytes > CACHE_BYTES_MAX,
        "what waits stays in memory"
    );
    assert_eq!(large.waiting_rows().len(), count);
    large.mark_saved(Position(1));
    large.settle();
    assert!(large.cache_bytes <= CACHE_BYTES_MAX && !large.is_full());
    assert_eq!(unknown(&large, &[entry(0), entry(0), entry(count - 1)]), 1);
}

#[test]
fn bound_is_told_before_it_is_reached_by_number_and_by_bytes() {
    let mut known = empty(100);
    for (rows, bytes, expected) in [
        (79, 0, None),
        (80, 0, Some(80)),
        (81, 0, None),
        (81, TABLE_BYTES_MAX - 1, Some(95)),
        (100, TABLE_BYTES_MAX, None),
    ] {
        known.size = TableSize { rows, bytes };
        assert_eq!(known.reached(), expected, "{rows} {bytes}");
    }
    known.size = TableSize {
        rows: 10,
        bytes: TABLE_BYTES_MAX + 1,
    };
    assert_eq!(known.excess(), EVICTED_MAX, "its bytes are a bound, too");
}

#[test]
fn device_that_is_looked_up_is_no_reason_to_save() {
    let row = |device: usize| {
        let key = DeviceKey {
            stream: "s".into(),
            client_id: "".into(),
            device_id: device.to_string().into(),
        };
        let last = LastState {
            state: "ok".into(),
            keys: Vec::new(),
            heard_at: Timestamp::UNIX_EPOCH,
        };
        (key, last)
    };
    let mut known = empty(u64::MAX / 100);
    known.found((0..LastStates::preloaded_max()).map(row));
    known.settle();
    // As a commit does it: looks up, resolves, asks what to save.
    for device in [1, 2, 3] {
        known.found([row(device)]);
        let mut entry = status("t", 0, None, "fault", None);
        if let NewContent::Status { key, .. } = &mut entry.content {
            key.device_id = device.to_string();
        }
        known.resolve(Position(0), vec![entry]);
        assert!(!known.is_full(), "device {device}");
        assert!(known.cache_bytes <= CACHE_BYTES_MAX, "device {device}");
    }
    assert_eq!(known.waiting_rows().len(), 3);
}

#[test]
fn memory_is_counted_as_it_is_given_back() {
    let mut known = empty(10);
    known.resolve(Position(0), vec![status("t", 0, None, "a", None)]);
    known.resolve(
        Position(1),
        vec![status("t", 0, None, "a long state", None)],
    );
    let row = known.waiting_rows()[0];
    let row = (row.0.clone(), row.1.clone());
    known.evicted(&[row]);
    assert_eq!((known.cache_bytes, known.size()), (0, TableSize::default()));
}
