//! The partitions of `event` and `payload`: which there are, and what becomes of them. It reads and
//! asks; the functions of the database act, with the rights of the role that made the tables.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::PgConnection;

use super::session::{Purpose, Session, end, query, query_as, query_scalar, quoted};
use crate::model::Event;

/// A shorter retention has days: a month would outlive it by too much.
const MONTHS_FROM: Duration = Duration::from_secs(60 * 86_400);

/// 0001-01-01T00:00:00Z: the database has no partition for anything before.
const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// What a new partition of `event` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Month,
}

impl Unit {
    fn of(retention: Option<Duration>) -> Unit {
        match retention {
            Some(keep) if keep < MONTHS_FROM => Unit::Day,
            _ => Unit::Month,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Month => "month",
        }
    }

    /// How long before its first row a partition is made.
    fn ahead(self) -> SignedDuration {
        match self {
            Unit::Day => SignedDuration::from_hours(24),
            Unit::Month => SignedDuration::from_hours(7 * 24),
        }
    }
}

/// Times in microseconds: a partition of the year 9999 ends where no [`Timestamp`] is.
pub(super) type Times = Range<i64>;

/// What the database has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    event: Vec<Times>,
    payload: Vec<Times>,
    /// DEFAULT partitions, which somebody else has made: the table and the name.
    defaults: Vec<(String, String)>,
    /// Where the newest partition ended that was dropped.
    floor: Option<Timestamp>,
}

/// Days that are remembered to be in a DEFAULT partition.
const DAYS_MAX: usize = 1000;

/// The partitions of a history, as far as they are known. Another daemon, or a person, may have made
/// or dropped some since: then a row finds none, and they are to be read again.
#[derive(Debug)]
pub(super) struct Partitions {
    unit: Unit,
    known: Option<Known>,
    /// Days of which no partition can be made: a DEFAULT partition has rows of them.
    in_default: BTreeSet<Date>,
    /// What is wrong with the tables, as it was known last.
    problem: Option<String>,
}

impl Partitions {
    /// Of a history with this retention; nothing is known.
    pub(super) fn new(retention: Option<Duration>) -> Partitions {
        Partitions {
            unit: Unit::of(retention),
            known: None,
            in_default: BTreeSet::new(),
            problem: None,
        }
    }

    /// What somebody should mend, although rows are stored.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// What is known may be wrong.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// Says in the database what a new partition is.
    pub(super) async fn set_unit(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        query(
            "INSERT INTO history_setting AS h (name, value) VALUES ('statuses_partition', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE h.value <> $1",
        )
        .bind(self.unit.as_str())
        .execute(connection)
        .await
        .map(drop)
    }

    /// Reads them where they are not known; gives the time before which no row is stored.
    pub(super) async fn load(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Timestamp, sqlx::Error> {
        let known = match self.known.take() {
            Some(known) => known,
            None => read(connection).await?,
        };
        let floor = known.floor.map_or(FIRST, |floor| floor.max(FIRST));
        if known.defaults.is_empty() {
            self.in_default.clear();
        }
        self.problem = problem_of(&known.defaults);
        self.known = Some(known);
        Ok(floor)
    }

    /// Makes those of these events that are missing, each in a transaction of its own: it holds
    /// nobody up, and however many they are, the next attempt goes on with the others.
    pub(super) async fn make_for(
        &mut self,
        connection: &mut PgConnection,
        session: &Session,
        events: &[Event],
    ) -> Result<(), sqlx::Error> {
        for event in events {
            let Event::Status(status) = event else {
                continue;
            };
            if !self.lacks(status.received_at) {
                continue;
            }
            let mut transaction = session.begin(connection, Purpose::Store).await?;
            let made = self.make_one(&mut transaction, status.received_at).await;
            if made.is_err() {
                self.forget();
            }
            end(transaction, made).await?;
        }
        Ok(())
    }

    /// Makes that of a time, where it is missing.
    pub(super) async fn make_one(
        &mut self,
        connection: &mut PgConnection,
        at: Timestamp,
    ) -> Result<(), sqlx::Error> {
        self.load(connection).await?;
        if self.lacks(at) {
            self.make_day(connection, day(at)).await?;
        }
        Ok(())
    }

    async fn make_day(
        &mut self,
        connection: &mut PgConnection,
        day: Date,
    ) -> Result<(), sqlx::Error> {
        make(connection, day).await?;
        self.forget();
        self.load(connection).await?;
        let has_default = |known: &Known| !known.defaults.is_empty();
        let begins = day.to_zoned(TimeZone::UTC).map(|begins| begins.timestamp());
        if self.known.as_ref().is_some_and(has_default)
            && begins.is_ok_and(|begins| !self.has(begins))
        {
            if self.in_default.len() >= DAYS_MAX {
                self.in_default.clear();
            }
            self.in_default.insert(day);
        }
        Ok(())
    }

    /// Whether a row of this time is to be stored, and has no partition as far as is known.
    pub(super) fn lacks(&self, at: Timestamp) -> bool {
        let floor = self.known.as_ref().and_then(|known| known.floor);
        at >= floor.unwrap_or(FIRST).max(FIRST) && !self.has(at)
    }

    /// The days whose partitions are missing now and will be needed soon. Nothing where none are
    /// known.
    pub(super) fn missing_ahead(&self, now: Timestamp) -> Vec<Date> {
        if self.known.is_none() {
            return Vec::new();
        }
        let ahead = now.checked_add(self.unit.ahead()).ok();
        let wanted = [Some(now), ahead].into_iter().flatten();
        wanted.filter(|at| !self.has(*at)).map(day).collect()
    }

    /// Makes those of these days.
    pub(super) async fn make_ahead(
        &mut self,
        connection: &mut PgConnection,
        days: &[Date],
    ) -> Result<(), sqlx::Error> {
        for day in days {
            self.make_day(connection, *day).await?;
        }
        Ok(())
    }

    fn has(&self, at: Timestamp) -> bool {
        if !self.in_default.is_empty() && self.in_default.contains(&day(at)) {
            return true;
        }
        let at = at.as_microsecond();
        // Most rows are of the newest.
        let has = |times: &[Times]| times.iter().rev().any(|times| times.contains(&at));
        self.known
            .as_ref()
            .is_some_and(|known| has(&known.event) && has(&known.payload))
    }

    /// The oldest partition of `event` whose rows were all received before a time.
    pub(super) fn oldest_before(&self, before: Timestamp) -> Option<Times> {
        let known = self.known.as_ref()?;
        let oldest = known.event.first()?;
        (oldest.end <= before.as_microsecond()).then(|| oldest.clone())
    }

    /// Whether a partition of `payload` is past that time, and no event refers to it.
    pub(super) fn has_payloads_before(&self, before: Timestamp) -> bool {
        let Some(known) = self.known.as_ref().filter(|it| it.defaults.is_empty()) else {
            return false;
        };
        let events = known.event.first().map_or(i64::MAX, |times| times.start);
        let until = events.min(before.as_microsecond());
        known
            .payload
            .first()
            .is_some_and(|times| times.end <= until)
    }
}

/// That there are DEFAULT partitions, what follows, and what to do.
fn problem_of(defaults: &[(String, String)]) -> Option<String> {
    if defaults.is_empty() {
        return None;
    }
    let names: Vec<&str> = defaults.iter().map(|(_, name)| &**name).collect();
    let detach = |(table, name): &(String, String)| {
        format!("ALTER TABLE {table} DETACH PARTITION {}", quoted(name))
    };
    let detach: Vec<String> = defaults.iter().map(detach).collect();
    Some(format!(
        "{} is a DEFAULT partition, which the daemon has not made: no retention deletes its rows, \
         and while it has rows of a time, none is made for that time; keep them elsewhere, delete \
         them there, and run {}",
        names.join(", "),
        detach.join("; ")
    ))
}

/// Drops the oldest partition that has nothing from this time on; gives its name.
pub(super) async fn drop_before(
    connection: &mut PgConnection,
    before: Timestamp,
) -> Result<Option<String>, sqlx::Error> {
    query_scalar("SELECT bridge_drop_before($1::date)")
        .bind(day(before).to_string())
        .fetch_one(connection)
        .await
}

/// Adds to the statuses that were not stored.
pub(super) async fn count_too_old(
    connection: &mut PgConnection,
    statuses: u64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO history_setting AS h (name, value) VALUES ('statuses_too_old', $1::text) \
         ON CONFLICT (name) DO UPDATE SET value = (h.value::bigint + $1)::text",
    )
    .bind(i64::try_from(statuses).unwrap_or(i64::MAX))
    .execute(connection)
    .await
    .map(drop)
}

async fn make(connection: &mut PgConnection, day: Date) -> Result<(), sqlx::Error> {
    query("SELECT bridge_make_partition($1::date)")
        .bind(day.to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// Parent, name, and its times in microseconds.
type Listed = (String, String, Option<i64>, Option<i64>);

async fn read(connection: &mut PgConnection) -> Result<Known, sqlx::Error> {
    let sql = "SELECT parent, name, (extract(epoch FROM since) * 1000000)::bigint, \
               (extract(epoch FROM until) * 1000000)::bigint FROM bridge_partitions() ORDER BY since";
    let rows: Vec<Listed> = query_as(sql).fetch_all(&mut *connection).await?;
    let floor: Option<String> =
        query_scalar("SELECT value FROM history_setting WHERE name = 'statuses_since'")
            .fetch_optional(connection)
            .await?;
    let mut known = Known {
        floor: floor.and_then(|day| midnight(&day)),
        ..Known::default()
    };
    for (parent, name, since, until) in rows {
        match (parent.as_str(), since.zip(until)) {
            (_, None) => known.defaults.push((parent, name)),
            ("event", Some((since, until))) => known.event.push(since..until),
            (_, Some((since, until))) => known.payload.push(since..until),
        }
    }
    Ok(known)
}

/// The day of a time, in UTC.
fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// When a day began, in UTC; `None`: it is none.
fn midnight(day: &str) -> Option<Timestamp> {
    let day: Date = day.parse().ok()?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn times(since: &str, until: &str) -> Times {
        at(since).as_microsecond()..at(until).as_microsecond()
    }

    #[test]
    fn short_retentions_have_days_and_others_months() {
        for (keep, expected) in [
            (Some(7 * DAY), Unit::Day),
            (Some(60 * DAY - Duration::from_secs(1)), Unit::Day),
            (Some(60 * DAY), Unit::Month),
            (None, Unit::Month),
        ] {
            assert_eq!(Unit::of(keep), expected, "{keep:?}");
        }
    }

    #[test]
    fn what_is_missing_soon_is_a_day_of_the_partition_that_is_missing() {
        let mut partitions = Partitions::new(None);
        let now = at("2026-11-26T23:59:59Z");
        assert_eq!(partitions.missing_ahead(now), [], "nothing is known");
        let november = times("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        partitions.known = Some(Known {
            event: vec![november.clone()],
            payload: vec![november.clone()],
            ..Known::default()
        });
        assert_eq!(partitions.missing_ahead(at("2026-11-23T23:59:59Z")), []);
        let december = jiff::civil::date(2026, 12, 3);
        assert_eq!(partitions.missing_ahead(now), [december]);
        assert_eq!(partitions.missing_ahead(Timestamp::MAX).len(), 1);
        partitions.known.as_mut().unwrap().payload.clear();
        assert_eq!(partitions.missing_ahead(now).len(), 2);
    }

    #[test]
    fn a_partition_may_go_once_all_its_rows_are_too_old_and_payloads_once_no_event_is_as_old() {
        let mut partitions = Partitions::new(Some(7 * DAY));
        let first = times("2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z");
        let second = times("2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z");
        partitions.known = Some(Known {
            event: vec![first.clone(), second],
            payload: vec![times("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")],
            ..Known::default()
        });
        assert_eq!(
            partitions.oldest_before(at("2026-11-29T23:59:59.999999Z")),
            None
        );
        assert_eq!(
            partitions.oldest_before(at("2026-11-30T00:00:00Z")),
            Some(first)
        );
        let december = at("2026-12-02T00:00:00Z");
        assert!(!partitions.has_payloads_before(december));
        partitions.known.as_mut().unwrap().event.clear();
        assert!(partitions.has_payloads_before(december));
        let defaults = vec![("event".to_owned(), "others".to_owned())];
        let known = partitions.known.as_mut().unwrap();
        let before = std::mem::replace(&mut known.defaults, defaults);
        assert!(
            !partitions.has_payloads_before(december),
            "it may have their events"
        );
        partitions.known.as_mut().unwrap().defaults = before;
        assert!(!partitions.has_payloads_before(at("2026-11-30T00:00:00Z")));
    }

    #[test]
    fn a_day_is_written_and_read_in_utc_and_what_is_none_is_none() {
        assert_eq!(midnight("2026-11-30"), Some(at("2026-11-30T00:00:00Z")));
        assert_eq!(midnight("soon"), None);
        assert_eq!(day(at("9999-12-30T22:00:00Z")).to_string(), "9999-12-30");
        assert_eq!(day(FIRST).to_string(), "0001-01-01");
    }
}
