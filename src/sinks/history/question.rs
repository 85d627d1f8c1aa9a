//! What a person asks a history, as one statement for each database. It reads the promised views,
//! and the table of the words for states. A question never changes a row.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::model::Severity;

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
    /// Those of this owner.
    OfClient(String),
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
    /// Only states that are neither ok nor info.
    pub in_trouble: bool,
    /// Only states that may have changed since, unheard.
    pub uncertain: bool,
    /// Only statuses that have changed the state.
    pub changed: bool,
    /// The province.
    pub province: Option<String>,
    /// What a person looks for: a device, the beginning of a serial number or a part of a place.
    pub text: Option<String>,
    /// Only the devices behind this one.
    pub after: Option<After>,
    /// The topic's name.
    pub topic: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// A place in the order of [`Question::Devices`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// How much the device's state matters.
    pub severity: Severity,
    /// Since when it is in it.
    pub since: Timestamp,
    /// The device.
    pub device: DeviceKey,
}

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

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn time(name: &'static str) -> Field {
    field(name, Kind::Time)
}

const fn number(name: &'static str) -> Field {
    field(name, Kind::Number)
}

const fn integer(name: &'static str) -> Field {
    field(name, Kind::Integer)
}

const fn boolean(name: &'static str) -> Field {
    field(name, Kind::Boolean)
}

/// One list of several.
const fn joined<const N: usize>(lists: &[&[Field]]) -> [Field; N] {
    let mut all = [text(""); N];
    let (mut list, mut count) = (0, 0);
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            all[count] = lists[list][at];
            (at, count) = (at + 1, count + 1);
        }
        list += 1;
    }
    assert!(count == N, "a list is as long as it says");
    all
}

const DEVICE: &[Field] = &[text("stream"), text("client_id"), text("device_id")];

const PLACE: &[Field] = &[
    text("province"),
    text("city"),
    text("district"),
    text("detail"),
    text("coordinate_system"),
    number("longitude"),
    number("latitude"),
    number("wgs84_longitude"),
    number("wgs84_latitude"),
];

const SHARES: &[Field] = &[
    number("percent"),
    number("available_seconds"),
    number("known_seconds"),
    number("uncertain_seconds"),
    integer("faults"),
];

const TROUBLES: &[Field] = &[integer("devices"), integer("critical"), integer("warning")];

static WORDS: [Field; 2] = [text("word"), text("state")];

static DEVICES: [Field; 22] = joined(&[
    DEVICE,
    &[
        text("serial"),
        text("state"),
        text("severity"),
        time("state_since"),
        time("last_seen"),
        boolean("certain"),
        text("new_state"),
        text("topic"),
    ],
    PLACE,
    &[time("first_seen"), text("event_id")],
]);

static EVENTS: [Field; 27] = joined(&[
    &[
        integer("sequence"),
        time("received_at"),
        text("stream"),
        text("topic"),
        text("client_id"),
        text("device_id"),
        text("serial"),
        text("old_state"),
        text("new_state"),
        text("state"),
        text("severity"),
        boolean("changed"),
        boolean("missed_transition"),
    ],
    PLACE,
    &[
        time("occurred_at"),
        text("via"),
        text("event_id"),
        text("origin"),
        text("payload"),
    ],
]);

static SEQUENCES: [Field; 2] = [integer("first"), integer("last")];

static FAULTS: [Field; 9] = joined(&[
    DEVICE,
    &[
        text("state"),
        time("since"),
        time("until"),
        number("seconds"),
        number("uncertain_seconds"),
        boolean("certain"),
    ],
]);

static GAPS: [Field; 5] = [
    text("topic"),
    time("since"),
    time("until"),
    number("seconds"),
    text("cause"),
];

static INTERVALS: [Field; 9] = joined(&[
    DEVICE,
    &[
        text("state"),
        text("severity"),
        time("since"),
        time("until"),
        boolean("certain"),
        text("cause"),
    ],
]);

static BY_DEVICE: [Field; 8] = joined(&[DEVICE, SHARES]);

static BY_DAY: [Field; 6] = joined(&[&[text("day")], SHARES]);

static STATES: [Field; 5] = [
    text("state"),
    text("new_state"),
    text("severity"),
    integer("devices"),
    integer("uncertain"),
];

static GROUPS: [Field; 6] = joined(&[
    &[text("name")],
    TROUBLES,
    &[number("longitude"), number("latitude")],
]);

static CELLS: [Field; 5] = joined(&[&[integer("map_row"), integer("map_column")], TROUBLES]);

/// What is in trouble first.
const BY_SEVERITY: &str = "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 \
     WHEN 'unknown' THEN 2 WHEN 'info' THEN 3 ELSE 4 END";

/// The same as a number.
fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 0,
        Severity::Warning => 1,
        Severity::Unknown => 2,
        Severity::Info => 3,
        Severity::Ok => 4,
    }
}

/// How many devices of a group there are, and how many of them are in trouble.
const COUNTS: &str = "count(*) AS devices, \
     sum(CASE severity WHEN 'critical' THEN 1 ELSE 0 END) AS critical, \
     sum(CASE severity WHEN 'warning' THEN 1 ELSE 0 END) AS warning";

/// What a text may be a part of.
const PLACES: [&str; 4] = ["province", "city", "district", "detail"];

impl Question {
    /// The columns of the answer.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Question::Devices => &DEVICES,
            Question::Events(_) | Question::EventsBetween(..) => &EVENTS,
            Question::Sequences => &SEQUENCES,
            Question::Words => &WORDS,
            Question::Faults => &FAULTS,
            Question::Gaps => &GAPS,
            Question::Intervals | Question::NewestIntervals => &INTERVALS,
            Question::Availability(_, By::Device) => &BY_DEVICE,
            Question::Availability(_, By::Day) => &BY_DAY,
            Question::States => &STATES,
            Question::Groups(_) => &GROUPS,
            Question::Cells { .. } => &CELLS,
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
            Devices::OfClient(client_id) => self.equals("client_id", &Some(client_id.clone())),
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
        if filter.in_trouble {
            let condition = "severity IN ('critical', 'warning', 'unknown')";
            self.conditions.push(condition.to_owned());
        }
    }

    /// What a page asks of devices besides.
    fn looked_for(&mut self, filter: &Filter) {
        if filter.uncertain {
            self.conditions.push("NOT certain".to_owned());
        }
        self.equals("province", &filter.province);
        if let Some(text) = &filter.text {
            let mut escaped = text.replace('\\', "\\\\");
            escaped = escaped.replace('%', "\\%").replace('_', "\\_");
            let whole = self.text(text);
            let (begins, part) = (format!("{escaped}%"), format!("%{escaped}%"));
            let (begins, part) = (self.text(&begins), self.text(&part));
            let places = PLACES.map(|place| format!("{place} LIKE {part} ESCAPE '\\'"));
            self.conditions.push(format!(
                "(device_id = {whole} OR client_id = {whole} \
                 OR client_id || '/' || device_id = {whole} \
                 OR serial LIKE {begins} ESCAPE '\\' OR {})",
                places.join(" OR ")
            ));
        }
        if let Some(After {
            severity,
            since,
            device,
        }) = &filter.after
        {
            let (rank, since) = (rank(*severity), self.time(*since));
            let ids = [&device.client_id, &device.device_id, &device.stream];
            let ids = ids.map(|id| self.text(id)).join(", ");
            self.conditions.push(format!(
                "({BY_SEVERITY} > {rank} OR ({BY_SEVERITY} = {rank} AND (state_since < {since} \
                 OR (state_since = {since} AND (client_id, device_id, stream) > ({ids})))))"
            ));
        }
    }

    fn of_event(&mut self, filter: &Filter) {
        self.of_device(filter);
        self.of_status(filter);
        self.from("received_at", filter.since);
        self.before("received_at", filter.until);
        if filter.changed {
            self.conditions.push("changed".to_owned());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_one_order() {
        let mut severities = Severity::ALL;
        severities.sort_by_key(|severity| rank(*severity));
        let names = severities.map(Severity::as_str);
        assert_eq!(names, ["critical", "warning", "unknown", "info", "ok"]);
        for severity in severities {
            let said = format!("WHEN '{}' THEN {}", severity.as_str(), rank(severity));
            assert!(
                severity == Severity::Ok || BY_SEVERITY.contains(&said),
                "{said}"
            );
        }
    }

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
