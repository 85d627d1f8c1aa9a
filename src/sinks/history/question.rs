//! What a person asks a history, as one statement for each database. It reads the promised views,
//! and the table of the words for states. A question never changes a row.

use jiff::Timestamp;
use jiff::civil::Date;

/// What a column of an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// An instant.
    Time,
    /// A number with a fraction, such as seconds.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As the view has it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// It is not there.
    Null,
    /// A text.
    Text(String),
    /// An instant.
    Time(Timestamp),
    /// A number with a fraction.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
}

/// A device, as a history tells it from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// The stream of its topics.
    pub stream: String,
    /// The owner of the device.
    pub client_id: String,
    /// The device.
    pub device_id: String,
}

/// Which devices are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Devices {
    /// Every device.
    #[default]
    All,
    /// The device of this id, of every client where none is given.
    One {
        /// The owner.
        client_id: Option<String>,
        /// The device.
        device_id: String,
    },
    /// Those of a list, in whichever stream: client and device.
    Listed(Vec<(String, String)>),
    /// Those of a list, each in its stream.
    Keys(Vec<DeviceKey>),
}

impl Devices {
    /// Those of a list, in whichever stream: client and device. One of them is found by an index.
    pub fn listed(devices: Vec<(String, String)>) -> Devices {
        match <[(String, String); 1]>::try_from(devices) {
            Ok([(client_id, device_id)]) => Devices::One {
                client_id: Some(client_id),
                device_id,
            },
            Err(devices) => Devices::Listed(devices),
        }
    }

    /// A device, in whichever stream.
    pub fn one(key: &DeviceKey) -> Devices {
        Devices::One {
            client_id: Some(key.client_id.clone()),
            device_id: key.device_id.clone(),
        }
    }
}

/// Which rows are asked for. What a question has no column for is ignored by it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// The devices.
    pub devices: Devices,
    /// The stream of the devices.
    pub stream: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The state, by its name or by the word as sent.
    pub state: Option<String>,
    /// The severity.
    pub severity: Option<String>,
    /// The topic's name.
    pub topic: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// In which order events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Newest,
    /// As they were stored.
    Stored,
}

/// The days of an availability: whole days of the history's zone, and the part of the last one that
/// has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Days {
    /// The first day.
    pub first: Date,
    /// The day after the last one.
    pub end: Date,
    /// From when on a state that lasts is not in `state_daily` yet, up to when it counts, and on
    /// which day; `None`: all days are past.
    pub today: Option<(Date, Timestamp, Timestamp)>,
}

/// What an availability is summed up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Each device, the worst first.
    Device,
    /// Each day.
    Day,
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
    /// The first and the last sequence.
    Sequences,
    /// Times in critical states, the newest first.
    Faults,
    /// Times in which a topic was not heard, the newest first.
    Gaps,
    /// The timeline of devices, in order.
    Intervals,
    /// The words for states with their names, the newest meaning of a word last.
    Words,
    /// How long devices were well.
    Availability(Days, By),
}

/// One database's ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bind {
    Text(String),
    Integer(i64),
}

/// A statement, its parameters, and the columns of its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) binds: Vec<Bind>,
    pub(super) fields: &'static [Field],
}

/// A column of that name.
pub const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const DEVICES: &[Field] = &[
    field("stream", Kind::Text),
    field("client_id", Kind::Text),
    field("device_id", Kind::Text),
    field("serial", Kind::Text),
    field("state", Kind::Text),
    field("severity", Kind::Text),
    field("state_since", Kind::Time),
    field("last_seen", Kind::Time),
    field("certain", Kind::Boolean),
    field("new_state", Kind::Text),
    field("topic", Kind::Text),
    field("province", Kind::Text),
    field("city", Kind::Text),
    field("district", Kind::Text),
    field("detail", Kind::Text),
    field("coordinate_system", Kind::Text),
    field("longitude", Kind::Number),
    field("latitude", Kind::Number),
    field("wgs84_longitude", Kind::Number),
    field("wgs84_latitude", Kind::Number),
    field("first_seen", Kind::Time),
    field("event_id", Kind::Text),
];

const EVENTS: &[Field] = &[
    field("sequence", Kind::Integer),
    field("received_at", Kind::Time),
    field("stream", Kind::Text),
    field("topic", Kind::Text),
    field("client_id", Kind::Text),
    field("device_id", Kind::Text),
    field("serial", Kind::Text),
    field("old_state", Kind::Text),
    field("new_state", Kind::Text),
    field("state", Kind::Text),
    field("severity", Kind::Text),
    field("changed", Kind::Boolean),
    field("missed_transition", Kind::Boolean),
    field("province", Kind::Text),
    field("city", Kind::Text),
    field("district", Kind::Text),
    field("detail", Kind::Text),
    field("coordinate_system", Kind::Text),
    field("longitude", Kind::Number),
    field("latitude", Kind::Number),
    field("wgs84_longitude", Kind::Number),
    field("wgs84_latitude", Kind::Number),
    field("occurred_at", Kind::Time),
    field("via", Kind::Text),
    field("event_id", Kind::Text),
    field("origin", Kind::Text),
    field("payload", Kind::Text),
];

const SEQUENCES: &[Field] = &[field("first", Kind::Integer), field("last", Kind::Integer)];

const WORDS: &[Field] = &[field("word", Kind::Text), field("state", Kind::Text)];

const FAULTS: &[Field] = &[
    field("stream", Kind::Text),
    field("client_id", Kind::Text),
    field("device_id", Kind::Text),
    field("state", Kind::Text),
    field("since", Kind::Time),
    field("until", Kind::Time),
    field("seconds", Kind::Number),
    field("uncertain_seconds", Kind::Number),
    field("certain", Kind::Boolean),
];

const GAPS: &[Field] = &[
    field("topic", Kind::Text),
    field("since", Kind::Time),
    field("until", Kind::Time),
    field("seconds", Kind::Number),
    field("cause", Kind::Text),
];

const INTERVALS: &[Field] = &[
    field("stream", Kind::Text),
    field("client_id", Kind::Text),
    field("device_id", Kind::Text),
    field("state", Kind::Text),
    field("severity", Kind::Text),
    field("since", Kind::Time),
    field("until", Kind::Time),
    field("certain", Kind::Boolean),
];

const BY_DEVICE: &[Field] = &[
    field("stream", Kind::Text),
    field("client_id", Kind::Text),
    field("device_id", Kind::Text),
    field("percent", Kind::Number),
    field("available_seconds", Kind::Number),
    field("known_seconds", Kind::Number),
    field("uncertain_seconds", Kind::Number),
    field("faults", Kind::Integer),
];

const BY_DAY: &[Field] = &[
    field("day", Kind::Text),
    field("percent", Kind::Number),
    field("available_seconds", Kind::Number),
    field("known_seconds", Kind::Number),
    field("uncertain_seconds", Kind::Number),
    field("faults", Kind::Integer),
];

/// What is in trouble first.
const BY_SEVERITY: &str = "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 \
     WHEN 'unknown' THEN 2 WHEN 'info' THEN 3 ELSE 4 END";

impl Question {
    /// The columns of the answer.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Question::Devices => DEVICES,
            Question::Events(_) | Question::EventsBetween(..) => EVENTS,
            Question::Sequences => SEQUENCES,
            Question::Words => WORDS,
            Question::Faults => FAULTS,
            Question::Gaps => GAPS,
            Question::Intervals => INTERVALS,
            Question::Availability(_, By::Device) => BY_DEVICE,
            Question::Availability(_, By::Day) => BY_DAY,
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
                let order =
                    format!("{BY_SEVERITY}, state_since DESC, client_id, device_id, stream");
                ("device_current".to_owned(), order)
            }
            Question::Events(order) => {
                asked.of_event(filter);
                let order = match order {
                    Order::Newest => "sequence DESC",
                    Order::Stored => "sequence",
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
            // By the index: neither database finds it so for min and max over a view.
            Question::Sequences => {
                let end = |order| {
                    format!("(SELECT sequence FROM status_event ORDER BY sequence {order} LIMIT 1)")
                };
                let (first, last) = (end("ASC"), end("DESC"));
                let from = format!("(SELECT {first} AS first, {last} AS last) AS ends");
                (from, "1".to_owned())
            }
            Question::Words => ("state".to_owned(), "state_key".to_owned()),
            Question::Faults => {
                asked.of_device(filter);
                asked.equals("state", &filter.state);
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
            .map(|field| dialect.read(*field))
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

/// A statement as it is put together.
struct Asked {
    dialect: Dialect,
    binds: Vec<Bind>,
    conditions: Vec<String>,
}

impl Asked {
    /// The place of a parameter.
    fn bind(&mut self, bind: Bind) -> usize {
        self.binds.push(bind);
        self.binds.len()
    }

    fn text(&mut self, text: &str) -> String {
        let place = self.bind(Bind::Text(text.to_owned()));
        self.dialect.typed(place, "text")
    }

    fn integer(&mut self, integer: i64) -> String {
        let place = self.bind(Bind::Integer(integer));
        self.dialect.typed(place, "bigint")
    }

    fn time(&mut self, time: Timestamp) -> String {
        let place = self.bind(Bind::Text(format!("{time:.6}")));
        self.dialect.typed(place, "timestamptz")
    }

    fn date(&mut self, date: Date) -> String {
        let place = self.bind(Bind::Text(date.to_string()));
        self.dialect.typed(place, "date")
    }

    fn equals(&mut self, column: &str, wanted: &Option<String>) {
        if let Some(wanted) = wanted {
            let wanted = self.text(wanted);
            self.conditions.push(format!("{column} = {wanted}"));
        }
    }

    fn from(&mut self, column: &str, since: Option<Timestamp>) {
        if let Some(since) = since {
            let since = self.time(since);
            self.conditions.push(format!("{column} >= {since}"));
        }
    }

    fn before(&mut self, column: &str, until: Option<Timestamp>) {
        if let Some(until) = until {
            let until = self.time(until);
            self.conditions.push(format!("{column} < {until}"));
        }
    }

    /// What lasted in the asked time, or still lasts.
    fn overlaps(&mut self, filter: &Filter) {
        if let Some(since) = filter.since {
            let since = self.time(since);
            self.conditions
                .push(format!("(until IS NULL OR until > {since})"));
        }
        self.before("since", filter.until);
    }

    fn of_device(&mut self, filter: &Filter) {
        self.equals("stream", &filter.stream);
        match &filter.devices {
            Devices::All => {}
            Devices::One {
                client_id,
                device_id,
            } => {
                self.equals("client_id", client_id);
                self.equals("device_id", &Some(device_id.clone()));
            }
            Devices::Listed(listed) => {
                let rows: Vec<[&str; 2]> = listed
                    .iter()
                    .map(|(client, device)| [&**client, device])
                    .collect();
                self.among("client_id, device_id", 2, serde_json::json!(rows));
            }
            Devices::Keys(keys) => {
                let rows: Vec<[&str; 3]> = keys
                    .iter()
                    .map(|key| [&*key.stream, &*key.client_id, &*key.device_id])
                    .collect();
                self.among("stream, client_id, device_id", 3, serde_json::json!(rows));
            }
        }
    }

    /// The columns are one of the rows of a JSON array, which is one parameter.
    fn among(&mut self, columns: &str, count: usize, rows: serde_json::Value) {
        let place = self.bind(Bind::Text(rows.to_string()));
        let nth = |nth| match self.dialect {
            Dialect::Sqlite => format!("json_extract(value, '$[{nth}]')"),
            Dialect::Postgres => format!("value ->> {nth}"),
        };
        let each: Vec<String> = (0..count).map(nth).collect();
        let rows = match self.dialect {
            Dialect::Sqlite => format!("json_each(${place})"),
            Dialect::Postgres => format!("json_array_elements(${place}::text::json) AS r (value)"),
        };
        self.conditions.push(format!(
            "({columns}) IN (SELECT {} FROM {rows})",
            each.join(", ")
        ));
    }

    fn of_status(&mut self, filter: &Filter) {
        self.equals("serial", &filter.serial);
        self.equals("severity", &filter.severity);
        self.equals("topic", &filter.topic);
        if let Some(state) = &filter.state {
            let state = self.text(state);
            self.conditions
                .push(format!("(state = {state} OR new_state = {state})"));
        }
    }

    fn of_event(&mut self, filter: &Filter) {
        self.of_device(filter);
        self.of_status(filter);
        self.from("received_at", filter.since);
        self.before("received_at", filter.until);
    }

    /// The sums by device or day, of `state_daily` and of the states that last since midnight.
    fn availability(&mut self, days: &Days, by: By, filter: &Filter) -> String {
        let keys = match by {
            By::Device => "stream, client_id, device_id",
            By::Day => "day",
        };
        let columns =
            "day, stream, client_id, device_id, severity, seconds, uncertain_seconds, entered";
        let mut parts = Vec::new();
        self.of_device(filter);
        let (first, end) = (self.date(days.first), self.date(days.end));
        self.conditions
            .push(format!("day >= {first} AND day < {end}"));
        let conditions = std::mem::take(&mut self.conditions);
        parts.push(format!(
            "SELECT {columns} FROM state_daily WHERE {}",
            conditions.join(" AND ")
        ));
        if let Some((day, midnight, now)) = days.today {
            parts.push(self.lasting(day, midnight, now, filter));
        }
        let sum =
            |seconds: &str, when: &str| format!("sum(CASE WHEN {when} THEN {seconds} ELSE 0 END)");
        let available = sum("seconds", "severity IN ('ok', 'info')");
        let known = sum("seconds", "severity <> 'unknown'");
        let faults = sum("entered", "severity = 'critical'");
        format!(
            "(SELECT {keys}, 100 * {available} / nullif({known}, 0) AS percent, \
             {available} AS available_seconds, {known} AS known_seconds, \
             sum(uncertain_seconds) AS uncertain_seconds, {faults} AS faults \
             FROM ({}) AS parts GROUP BY {keys}) AS sums",
            parts.join(" UNION ALL ")
        )
    }

    /// The states that last, as rows of `state_daily`: from midnight on they are not in it yet.
    fn lasting(
        &mut self,
        day: Date,
        midnight: Timestamp,
        now: Timestamp,
        filter: &Filter,
    ) -> String {
        let (day, midnight, now) = (self.date(day), self.time(midnight), self.time(now));
        self.of_device(filter);
        self.conditions.push(format!("lasting AND since < {now}"));
        let conditions = std::mem::take(&mut self.conditions).join(" AND ");
        let (least, most) = self.dialect.least_and_most();
        let pieces = format!(
            "SELECT stream, client_id, device_id, severity, certain, \
             {most}(since, {midnight}) AS begins, {least}(coalesce(until, {now}), {now}) AS ends \
             FROM state_interval WHERE {conditions}"
        );
        // A gap that began before midnight leaves nothing certain.
        let lasted = self
            .dialect
            .seconds("begins", &format!("{most}(begins, ends)"));
        let of = |certain: &str| format!("CASE WHEN {certain} THEN {lasted} ELSE 0 END");
        let (certain, uncertain) = (of("certain"), of("NOT certain"));
        format!(
            "SELECT {day} AS day, stream, client_id, device_id, severity, {certain}, {uncertain}, 0 \
             FROM ({pieces}) AS pieces"
        )
    }
}

impl Dialect {
    /// The functions that give the earliest and the latest of some times.
    fn least_and_most(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Sqlite => ("min", "max"),
            Dialect::Postgres => ("least", "greatest"),
        }
    }

    /// The seconds between two times.
    fn seconds(self, from: &str, to: &str) -> String {
        match self {
            Dialect::Sqlite => format!("(julianday({to}) - julianday({from})) * 86400"),
            Dialect::Postgres => {
                format!("extract(epoch FROM {to} - {from})::double precision")
            }
        }
    }

    /// A parameter; Postgres asks for its type.
    fn typed(self, place: usize, kind: &str) -> String {
        match (self, kind) {
            (Dialect::Sqlite, _) => format!("${place}"),
            // The parameter itself is a text.
            (Dialect::Postgres, "timestamptz" | "date") => format!("${place}::text::{kind}"),
            (Dialect::Postgres, _) => format!("${place}::{kind}"),
        }
    }

    /// A column so that both databases give the same. It has no name of its own: Postgres would
    /// order by that and not by the view's column.
    fn read(self, field: Field) -> String {
        let name = field.name;
        match (self, field.kind) {
            (Dialect::Sqlite, Kind::Number) => format!("CAST({name} AS REAL)"),
            (Dialect::Postgres, Kind::Text) => format!("{name}::text"),
            (Dialect::Postgres, Kind::Time) => {
                format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            (Dialect::Postgres, Kind::Number) => format!("{name}::double precision"),
            (Dialect::Postgres, Kind::Integer) => format!("{name}::bigint"),
            (Dialect::Sqlite, _) | (Dialect::Postgres, Kind::Boolean) => name.to_owned(),
        }
    }
}

impl Value {
    /// The text of a text.
    pub fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            _ => "",
        }
    }
}
