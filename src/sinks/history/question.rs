//! What a person asks a history, as one statement for each database. It reads the promised views,
//! and the tables of the words for states, of topics and of serial numbers. A question never changes
//! a row.
//!
//! - `filter`: which rows; `field`: the columns of an answer
//! - `asked`: a statement's conditions; `availability`: its sums of days

mod asked;
mod availability;
mod field;
mod filter;

use self::asked::{Asked, BY_SEVERITY};
pub use self::availability::{By, Days};
pub use self::field::{Field, Kind, Value, field};
pub use self::filter::{After, DeviceKey, Devices, Filter};
use super::dialect::Dialect;
use super::statements::Bind;

/// In which order events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// What was stored last first.
    Newest,
    /// As they were stored.
    Stored,
    /// What was received last first: for one device both databases have an index.
    Received,
}

/// What devices are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Their province.
    Province,
    /// Their owner.
    Client,
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// The newest status of each device: what is in trouble first.
    Devices,
    /// Statuses.
    Events(Order),
    /// The statuses stored after the first sequence, up to the second, in order.
    EventsBetween(i64, i64),
    /// The first and the last sequence; the first of those that were received since a time.
    Sequences,
    /// Times in critical states, the newest first.
    Faults,
    /// Times in which a topic was not heard, the newest first.
    Gaps,
    /// The timeline of devices, in order.
    Intervals,
    /// The words for states with their names and severities, the newest meaning of a word last.
    Words,
    /// The names of a kind in order, or whether there is this one.
    Known(Known, Option<String>),
    /// The same, the newest piece first.
    NewestIntervals,
    /// How long devices were well.
    Availability(Days, By),
    /// How many devices are in each state: what is in trouble first.
    States,
    /// How many devices of each group there are, and how many of them are in trouble.
    Groups(Group),
    /// How many devices are in each cell of a map, a row of which is so high and a cell so wide, in
    /// degrees of WGS-84. Every second row begins half a cell later.
    Cells {
        /// The width.
        width: f64,
        /// The height.
        height: f64,
    },
}

/// What a history knows by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Topics that were heard, or had a gap.
    Topics,
    /// The streams of devices.
    Streams,
    /// Devices, as `client/device` or, without a client, by their ids alone.
    Devices,
    /// The serial numbers that devices have, or had while their statuses are kept.
    Serials,
}

impl Known {
    /// Rows with a `name`.
    fn from(self) -> &'static str {
        match self {
            Known::Topics => {
                "(SELECT topic AS name FROM topic UNION SELECT topic FROM coverage) AS known"
            }
            Known::Streams => "(SELECT DISTINCT stream AS name FROM device_current) AS known",
            Known::Devices => {
                "(SELECT DISTINCT CASE WHEN client_id = '' THEN device_id \
                 ELSE client_id || '/' || device_id END AS name FROM device_current) AS known"
            }
            Known::Serials => {
                "(SELECT DISTINCT serial AS name FROM profile WHERE serial <> '') AS known"
            }
        }
    }
}

/// A statement, its parameters, and the columns of its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) binds: Vec<Bind>,
    pub(super) fields: &'static [Field],
}

/// How many devices of a group there are, and how many of them are in trouble.
const COUNTS: &str = "count(*) AS devices, \
     sum(CASE severity WHEN 'critical' THEN 1 ELSE 0 END) AS critical, \
     sum(CASE severity WHEN 'warning' THEN 1 ELSE 0 END) AS warning";

impl Question {
    /// The columns of the answer.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Question::Devices => &field::DEVICES,
            Question::Events(_) | Question::EventsBetween(..) => &field::EVENTS,
            Question::Sequences => &field::SEQUENCES,
            Question::Words => &field::WORDS,
            Question::Known(..) => &field::KNOWN,
            Question::Faults => &field::FAULTS,
            Question::Gaps => &field::GAPS,
            Question::Intervals | Question::NewestIntervals => &field::INTERVALS,
            Question::Availability(_, By::Device) => &field::BY_DEVICE,
            Question::Availability(_, By::Day) => &field::BY_DAY,
            Question::States => &field::STATES,
            Question::Groups(_) => &field::GROUPS,
            Question::Cells { .. } => &field::CELLS,
        }
    }

    /// The statement that asks it; `limit`: the most rows.
    pub(super) fn statement(
        &self,
        dialect: Dialect,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Statement {
        let mut asked = Asked {
            dialect,
            binds: Vec::new(),
            conditions: Vec::new(),
        };
        let (from, order) = match self {
            Question::Devices => {
                asked.of_device(filter);
                asked.of_status(filter);
                asked.from("last_seen", filter.since);
                asked.before("last_seen", filter.until);
                asked.looked_for(filter);
                let order =
                    format!("{BY_SEVERITY}, state_since DESC, client_id, device_id, stream");
                ("device_current".to_owned(), order)
            }
            Question::Events(order) => {
                asked.of_event(filter);
                let order = match order {
                    Order::Newest => "sequence DESC",
                    Order::Stored => "sequence",
                    Order::Received => "received_at DESC, sequence DESC",
                };
                ("status_event".to_owned(), order.to_owned())
            }
            Question::EventsBetween(after, last) => {
                asked.of_event(filter);
                let (after, last) = (asked.integer(*after), asked.integer(*last));
                asked
                    .conditions
                    .push(format!("sequence > {after} AND sequence <= {last}"));
                ("status_event".to_owned(), "sequence".to_owned())
            }
            // By the index: neither database finds it so for min and max over a view. The sum keeps
            // both from looking through all of the rows in their order for the first of a time.
            Question::Sequences => {
                let end = |order| {
                    format!("(SELECT sequence FROM status_event ORDER BY sequence {order} LIMIT 1)")
                };
                let first = match filter.since {
                    None => end("ASC"),
                    Some(since) => format!(
                        "(SELECT min(sequence + 0) FROM status_event WHERE received_at >= {})",
                        asked.time(since)
                    ),
                };
                let last = end("DESC");
                let from = format!("(SELECT {first} AS first, {last} AS last) AS ends");
                (from, "1".to_owned())
            }
            Question::Words => ("state".to_owned(), "state_key".to_owned()),
            Question::Known(what, name) => {
                asked.equals("name", name);
                (what.from().to_owned(), "name".to_owned())
            }
            Question::Faults => {
                asked.of_device(filter);
                asked.of_state(filter);
                asked.overlaps(filter);
                (
                    "fault_episode".to_owned(),
                    "since DESC, client_id, device_id".to_owned(),
                )
            }
            Question::Gaps => {
                asked.equals("topic", &filter.topic);
                asked.overlaps(filter);
                ("coverage_gap".to_owned(), "since DESC, topic".to_owned())
            }
            Question::Intervals => {
                asked.of_device(filter);
                asked.overlaps(filter);
                let order = "client_id, device_id, stream, since, until";
                ("state_interval".to_owned(), order.to_owned())
            }
            Question::NewestIntervals => {
                asked.of_device(filter);
                asked.overlaps(filter);
                ("state_interval".to_owned(), "since DESC".to_owned())
            }
            Question::States => {
                let from = "(SELECT state, min(new_state) AS new_state, severity, count(*) AS devices, \
                     sum(CASE WHEN certain THEN 0 ELSE 1 END) AS uncertain \
                     FROM device_current GROUP BY state, severity) AS states";
                (from.to_owned(), format!("{BY_SEVERITY}, devices DESC"))
            }
            Question::Groups(group) => {
                let column = match group {
                    Group::Province => "province",
                    Group::Client => "client_id",
                };
                let from = format!(
                    "(SELECT {column} AS name, {COUNTS}, avg(wgs84_longitude) AS longitude, \
                     avg(wgs84_latitude) AS latitude FROM device_current WHERE {column} <> '' \
                     GROUP BY {column}) AS groups_of_devices"
                );
                (
                    from,
                    "critical + warning DESC, devices DESC, name".to_owned(),
                )
            }
            Question::Cells { width, height } => {
                let from = format!(
                    "(SELECT map_row, map_column, {COUNTS} FROM (SELECT map_row, severity, \
                     CAST(round(x / {width} - 0.5 * abs(map_row % 2)) AS integer) AS map_column \
                     FROM (SELECT severity, wgs84_longitude AS x, \
                     CAST(round(wgs84_latitude / {height}) AS integer) AS map_row \
                     FROM device_current WHERE wgs84_longitude IS NOT NULL \
                     AND wgs84_latitude IS NOT NULL) AS placed) AS in_rows \
                     GROUP BY map_row, map_column) AS cells"
                );
                (from, "devices DESC".to_owned())
            }
            Question::Availability(days, by) => {
                let from = asked.availability(days, *by, filter);
                let order = match by {
                    By::Device => "percent IS NULL, percent, client_id, device_id, stream",
                    By::Day => "day",
                };
                (from, order.to_owned())
            }
        };
        let columns: Vec<String> = self
            .fields()
            .iter()
            .map(|field| field.read(dialect))
            .collect();
        let conditions = match asked.conditions.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let limit = limit.map(|limit| {
            let limit = asked.integer(i64::try_from(limit).unwrap_or(i64::MAX));
            format!(" LIMIT {limit}")
        });
        Statement {
            sql: format!(
                "SELECT {} FROM {from}{conditions} ORDER BY {order}{}",
                columns.join(", "),
                limit.unwrap_or_default()
            ),
            binds: asked.binds,
            fields: self.fields(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_looks_for_is_no_pattern() {
        let filter = Filter {
            text: Some("a%_\\".to_owned()),
            ..Filter::default()
        };
        let statement = Question::Devices.statement(Dialect::Sqlite, &filter, Some(51));
        let texts = ["a%_\\", "a\\%\\_\\\\%", "%a\\%\\_\\\\%"];
        let texts = texts.map(|text| Bind::Text(text.to_owned()));
        assert_eq!(statement.binds[..3], texts);
        assert_eq!(statement.binds[3], Bind::Integer(51));
    }
}
