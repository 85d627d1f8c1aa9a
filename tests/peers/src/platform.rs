//! The platform's own messages, as many as a test wants, and what the sinks have made of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const STATES: [&str; 3] = ["正常", "故障", "离线"];

/// The message number `n` (from 0) of `devices`, which report in turn. `eventId` is
/// `<run>-<n>`; `n` is the number itself, so a device's messages carry growing ones.
pub fn message(run: &str, n: usize, devices: usize) -> String {
    let device = n % devices + 1;
    let turn = n / devices;
    let state = |turn: usize| STATES[(turn + device) % STATES.len()];
    // A message is not always a change: the first status of a device repeats its state.
    let (old, new) = (state(turn.saturating_sub(1)), state(turn));
    format!(
        r#"{{"clientId":1,"deviceId":{device},"sn":"5223980739804501806b36caddcc{device:04}","eventId":"{run}-{n}","n":{n},"address":{{"id":63,"clientId":0,"province":"江苏省","city":"盐城市","district":"射阳县","detail":"人民政府","coordinateSysm":"baidu","latitude":33.77227409420624,"longitude":120.33282601179727,"createTime":"2020-12-09 11:16:16","updateTime":"2020-12-09 11:16:16"}},"oldState":"{old}","newState":"{new}"}}"#
    )
}

/// The messages of a range of numbers.
pub fn messages(
    run: &str,
    numbers: std::ops::Range<usize>,
    devices: usize,
) -> impl Iterator<Item = String> + use<> {
    let run = run.to_owned();
    numbers.map(move |n| message(&run, n, devices))
}

/// One event as a sink has it, as far as it says which message it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The event's `event_id`.
    pub event_id: String,
    /// The event's `device_id`.
    pub device_id: String,
    /// The event's journal position, from its `origin`.
    pub position: i64,
    /// The message's own `n`.
    pub n: usize,
}

impl Delivered {
    /// From an event's JSON form; `None` where it is not one, or not one of a message of
    /// [`message`].
    pub fn from_json(body: &[u8]) -> Option<Delivered> {
        let event: Value = serde_json::from_slice(body).ok()?;
        Delivered::from_parts(
            event["event_id"].as_str()?,
            event["device_id"].as_str()?,
            event["origin"].as_str()?,
            &event["payload"],
        )
    }

    /// From an event's columns.
    pub fn from_parts(
        event_id: &str,
        device_id: &str,
        origin: &str,
        payload: &Value,
    ) -> Option<Delivered> {
        Some(Delivered {
            event_id: event_id.to_owned(),
            device_id: device_id.to_owned(),
            position: origin.rsplit_once('-')?.1.parse().ok()?,
            n: usize::try_from(payload["n"].as_u64()?).ok()?,
        })
    }
}

/// The numbers that have arrived.
pub fn numbers(delivered: &[Delivered]) -> BTreeSet<usize> {
    delivered.iter().map(|d| d.n).collect()
}

/// Panics unless every number below `count` has arrived and no other; says which are missing.
pub fn assert_complete(sink: &str, delivered: &[Delivered], count: usize) {
    let have = numbers(delivered);
    let wanted: BTreeSet<usize> = (0..count).collect();
    let missing: Vec<_> = wanted.difference(&have).take(20).collect();
    let strange: Vec<_> = have.difference(&wanted).take(20).collect();
    assert!(
        missing.is_empty() && strange.is_empty(),
        "{sink} has {} of {count} messages; missing {missing:?}, never sent {strange:?}",
        have.len()
    );
}

/// Panics unless the first arrivals of each device's messages are in the order in which they were
/// sent.
pub fn assert_ordered(sink: &str, delivered: &[Delivered]) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for d in delivered.iter().filter(|d| seen.insert(d.n)) {
        if let Some(before) = last.insert(&d.device_id, d.n) {
            assert!(
                before < d.n,
                "{sink}: device {} has message {} after {before}",
                d.device_id,
                d.n
            );
        }
    }
}
