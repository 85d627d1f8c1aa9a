//! How long each device was in each state, by the day of a zone. Counts can be taken back, so that
//! a piece that turns out otherwise is counted again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::timeline::{Piece, State, microseconds};
use crate::model::Severity;
use crate::pipeline::{Mapping, ZONE_DEFAULT};

/// The days that one piece is counted for at most, its last ones: a clock that was years ahead once
/// makes no thousand rows of each device.
const DAYS_MAX: i64 = 400;

/// A row of `state_daily_row`: day, device, state.
pub(super) type DailyKey = (Date, i64, i64);

/// What is added to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) certain_us: i64,
    pub(super) uncertain_us: i64,
    pub(super) entered: i64,
}

/// Whether something is counted or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Add,
    Remove,
}

impl Sign {
    fn of(self, amount: i64) -> i64 {
        match self {
            Sign::Add => amount,
            Sign::Remove => -amount,
        }
    }
}

/// A time of one device in one state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stay {
    pub(super) device: i64,
    pub(super) state: i64,
    pub(super) certain: bool,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

/// The days of a zone, and what is to be added to each.
#[derive(Debug)]
pub(super) struct Days {
    zone: TimeZone,
    /// The day that was asked for last, from its beginning to its end.
    last: Option<(Timestamp, Timestamp, Date)>,
    /// Of the words of one state the first one's key: they are counted together.
    keys: HashMap<(Arc<str>, Severity), i64>,
    pub(super) counts: BTreeMap<DailyKey, Counted>,
}

impl Days {
    /// With nothing counted.
    pub(super) fn of(zone: TimeZone) -> Days {
        Days {
            zone,
            last: None,
            keys: HashMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Begins with the states that a history has, of which one may be there by several words.
    pub(super) fn know(&mut self, states: Vec<State>) {
        self.keys.clear();
        for state in states {
            let key = state.key;
            let first = self
                .keys
                .entry((state.state, state.severity))
                .or_insert(key);
            *first = key.min(*first);
        }
    }

    /// The key that a state is counted by.
    pub(super) fn key(&mut self, state: &State) -> i64 {
        let known = (Arc::clone(&state.state), state.severity);
        *self.keys.entry(known).or_insert(state.key)
    }

    /// The name of the zone.
    pub(super) fn zone(&self) -> String {
        name(&self.zone, &Mapping::default().zone)
    }

    /// When the day of this time began.
    pub(super) fn midnight(&mut self, at: Timestamp) -> Timestamp {
        self.day(at).0
    }

    /// A state was entered.
    pub(super) fn enter(&mut self, sign: Sign, device: i64, state: &State, at: Timestamp) {
        let (_, _, day) = self.day(at);
        let state = self.key(state);
        self.counts.entry((day, device, state)).or_default().entered += sign.of(1);
    }

    /// A device was in a state.
    pub(super) fn stay(&mut self, sign: Sign, stay: Stay) {
        let Stay { until, .. } = stay;
        let longest = jiff::SignedDuration::from_hours(24 * DAYS_MAX);
        let mut since = match until.checked_sub(longest) {
            Ok(earliest) => stay.since.max(earliest),
            Err(_) => stay.since,
        };
        while since < until {
            let (_, end, day) = self.day(since);
            // A clock that goes back over midnight has a day that ends before it begins.
            let end = if end > since { end.min(until) } else { until };
            let amount = sign.of(microseconds(since, end));
            let counted = self
                .counts
                .entry((day, stay.device, stay.state))
                .or_default();
            match stay.certain {
                true => counted.certain_us += amount,
                false => counted.uncertain_us += amount,
            }
            since = end;
        }
    }

    /// A closed piece.
    pub(super) fn piece(&mut self, sign: Sign, device: i64, piece: &Piece) {
        let state = self.key(&piece.state);
        self.stay(
            sign,
            Stay {
                device,
                state,
                certain: piece.cause.is_none(),
                since: piece.since,
                until: piece.until,
            },
        );
    }

    /// Beginning, end and date of a time's day. Beyond the calendar, all that is left is one day.
    fn day(&mut self, at: Timestamp) -> (Timestamp, Timestamp, Date) {
        if let Some(day) = self
            .last
            .filter(|(begin, end, _)| *begin <= at && at < *end)
        {
            return day;
        }
        let date = at.to_zoned(self.zone.clone()).date();
        let begin = |date: Date| Some(date.to_zoned(self.zone.clone()).ok()?.timestamp());
        let day = (
            begin(date).unwrap_or(Timestamp::MIN),
            date.tomorrow()
                .ok()
                .and_then(begin)
                .unwrap_or(Timestamp::MAX),
            date,
        );
        self.last = Some(day);
        day
    }
}

/// A zone's name; that of an offset is its offset. The default one, which is an offset where there
/// is no time zone database, has its name there too.
fn name(zone: &TimeZone, default: &TimeZone) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None if zone == default => ZONE_DEFAULT.to_owned(),
        None => format!("{}", zone.to_offset(Timestamp::UNIX_EPOCH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn stay(since: &str, until: &str) -> Stay {
        Stay {
            device: 1,
            state: 2,
            certain: true,
            since: since.parse().unwrap(),
            until: until.parse().unwrap(),
        }
    }

    fn state(key: i64, name: &str) -> State {
        State {
            key,
            state: name.into(),
            severity: Severity::Ok,
        }
    }

    #[test]
    fn words_of_one_state_are_counted_together_by_the_first_ones_key() {
        let mut days = days("UTC");
        days.know(vec![
            state(4, "normal"),
            state(3, "normal"),
            state(5, "open"),
        ]);
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        for state in [
            state(4, "normal"),
            state(5, "open"),
            state(9, "normal"),
            state(7, "new"),
            state(8, "new"),
        ] {
            days.enter(Sign::Add, 1, &state, at);
        }
        let entered: Vec<(i64, i64)> = days
            .counts
            .iter()
            .map(|((.., state), counted)| (*state, counted.entered))
            .collect();
        assert_eq!(entered, [(3, 2), (5, 1), (7, 2)]);
    }

    fn days(zone: &str) -> Days {
        Days::of(TimeZone::get(zone).unwrap())
    }

    /// `day hours` of each row.
    fn hours(days: &Days) -> Vec<String> {
        let counts = days.counts.iter();
        counts
            .map(|((day, ..), counted)| {
                format!("{day} {}", counted.certain_us as f64 / HOUR as f64)
            })
            .collect()
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let mut days = days("Asia/Shanghai");
        days.stay(
            Sign::Add,
            stay("2026-01-01T15:00:00Z", "2026-01-02T16:30:00Z"),
        );
        assert_eq!(
            hours(&days),
            ["2026-01-01 1", "2026-01-02 24", "2026-01-03 0.5"]
        );
        days.stay(
            Sign::Remove,
            stay("2026-01-01T15:00:00Z", "2026-01-02T16:30:00Z"),
        );
        assert!(
            days.counts
                .values()
                .all(|counted| *counted == Counted::default())
        );
    }

    #[test]
    fn the_default_zone_has_its_name_without_a_database() {
        let (shanghai, offset) = (
            TimeZone::get(ZONE_DEFAULT).unwrap(),
            jiff::tz::offset(8).to_time_zone(),
        );
        assert_eq!(name(&shanghai, &shanghai), ZONE_DEFAULT);
        assert_eq!(name(&offset, &shanghai), "+08");
        assert_eq!(name(&offset, &offset), ZONE_DEFAULT, "there is no database");
    }

    #[test]
    fn a_midnight_that_comes_twice_ends_the_count() {
        // The clock went back from 00:01 to 23:01 there.
        let until = "2010-11-08T12:00:00Z";
        // At 03:00 it is 23:30 there for the second time: that day has ended before.
        for (since, expected) in [("02:00", 34), ("03:00", 33)] {
            let mut days = days("America/St_Johns");
            let since = format!("2010-11-07T{since}:00Z");
            days.stay(Sign::Add, stay(&since, until));
            let sum: i64 = days.counts.values().map(|it| it.certain_us).sum();
            assert_eq!(sum, expected * HOUR, "{since}");
        }
    }

    #[test]
    fn a_day_of_another_zone_may_have_23_hours_or_25() {
        let mut days = days("Europe/Berlin");
        days.stay(
            Sign::Add,
            stay("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        );
        days.stay(
            Sign::Add,
            stay("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        );
        assert_eq!(hours(&days), ["2026-03-29 23", "2026-10-25 25"]);
    }

    #[test]
    fn of_a_piece_without_end_the_last_days_are_counted() {
        let mut days = days("UTC");
        days.stay(
            Sign::Add,
            stay("1970-01-01T00:00:00Z", "2036-01-01T00:00:00Z"),
        );
        assert_eq!(days.counts.len(), DAYS_MAX as usize);
        days.stay(
            Sign::Add,
            stay("2036-01-01T00:00:00Z", "9999-12-30T22:00:00Z"),
        );
        days.enter(Sign::Add, 1, &state(2, "normal"), Timestamp::MAX);
    }
}
