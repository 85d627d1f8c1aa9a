//! What is asked of a history about devices, as SQL on the promised views that both databases
//! understand, and what comes back. Every answer is bounded.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::snapshot::StateNow;
use crate::journal::KnownDevice;
use crate::model::Severity;
use crate::secret::redact;
use crate::sinks::{Look, LookRow};

/// Devices of a page.
pub(super) const DEVICES_MAX: usize = 50;

/// Rows of a table of provinces or clients.
const SUMS_MAX: usize = 10;

/// Provinces whose names may stand on the map.
const PROVINCES_MAX: usize = 60;

/// Cells of the map.
const CELLS_MAX: usize = 4000;

/// Pieces of one device's timeline.
const PIECES_MAX: usize = 400;

/// Events of one device.
const EVENTS_MAX: usize = 20;

/// The width of a cell of the map, in degrees of longitude, and the distance of two rows in degrees
/// of latitude: hexagons, where a degree of longitude is 0.82 of one of latitude.
pub(super) const CELL: (f64, f64) = (1.6, 1.136);

/// The order of severities: what matters most comes first.
const RANK: &str = "CASE severity WHEN 'critical' THEN 4 WHEN 'warning' THEN 3 WHEN 'unknown' THEN 2 \
     WHEN 'info' THEN 1 ELSE 0 END";

/// Which devices are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// `trouble`, `all`, or the name of a state.
    pub(super) state: String,
    pub(super) uncertain: bool,
    pub(super) client: Option<String>,
    pub(super) province: Option<String>,
    /// A device, a serial or a place.
    pub(super) text: Option<String>,
    pub(super) after: Option<Key>,
}

/// Where a page ends, in the order of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    rank: u8,
    since: String,
    client: String,
    device: String,
    stream: String,
}

impl Key {
    /// As a URL has it.
    pub(super) fn text(&self) -> String {
        let Key {
            rank,
            since,
            client,
            device,
            stream,
        } = self;
        serde_json::json!([rank, since, client, device, stream]).to_string()
    }

    /// From a URL.
    pub(super) fn parse(text: &str) -> Option<Key> {
        let (rank, since, client, device, stream) = serde_json::from_str(text).ok()?;
        let key = Key {
            rank,
            since,
            client,
            device,
            stream,
        };
        (rank <= 4).then_some(key)
    }
}

/// A device, as a list has it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Device {
    pub(super) stream: String,
    pub(super) client_id: String,
    pub(super) device_id: String,
    pub(super) serial: Option<String>,
    /// The vocabulary's name.
    pub(super) state: String,
    /// As sent.
    pub(super) word: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    /// Its topic was heard all the time since.
    pub(super) certain: bool,
    #[schema(value_type = Option<String>)]
    pub(super) since: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    pub(super) last_seen: Option<Timestamp>,
    /// Province, city, district and the rest.
    pub(super) place: Vec<String>,
    #[serde(skip)]
    key: Option<Key>,
}

impl Device {
    /// One of which the journal alone knows.
    pub(super) fn known(known: KnownDevice, state: StateNow) -> Device {
        Device {
            stream: known.stream,
            client_id: known.client_id,
            device_id: known.device_id,
            serial: None,
            state: state.state,
            word: state.word,
            severity: state.severity,
            certain: true,
            since: None,
            last_seen: Some(known.heard_at),
            place: Vec::new(),
            key: None,
        }
    }

    /// Its place in the order.
    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

/// How many devices are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StateSum {
    pub(super) state: String,
    pub(super) word: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    pub(super) devices: u64,
    pub(super) uncertain: u64,
}

/// Devices of a province or of a client.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Sum {
    pub(super) name: String,
    pub(super) devices: u64,
    pub(super) critical: u64,
    pub(super) warning: u64,
    /// The mean of their coordinates.
    pub(super) middle: Option<(f64, f64)>,
}

/// A cell of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Cell {
    pub(super) row: i64,
    pub(super) column: i64,
    pub(super) devices: u64,
    pub(super) critical: u64,
    pub(super) warning: u64,
}

/// A piece of one device's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Piece {
    pub(super) state: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    #[schema(value_type = String)]
    pub(super) since: Timestamp,
    #[schema(value_type = Option<String>)]
    pub(super) until: Option<Timestamp>,
    /// Why it is uncertain.
    pub(super) cause: Option<String>,
}

/// A status of one device.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct DeviceEvent {
    pub(super) event_id: String,
    #[schema(value_type = String)]
    pub(super) at: Timestamp,
    pub(super) old_state: Option<String>,
    pub(super) state: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    pub(super) missed_transition: bool,
    /// `<journal>-<position>`.
    pub(super) origin: String,
}

/// What only the page of one device shows.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Profile {
    pub(super) topic: String,
    pub(super) coordinate_system: Option<String>,
    pub(super) sent: Option<(f64, f64)>,
    pub(super) wgs84: Option<(f64, f64)>,
}

/// A query that grows.
struct Query<'a> {
    look: &'a Look,
    conditions: Vec<String>,
    parameters: Vec<String>,
}

impl<'a> Query<'a> {
    fn new(look: &'a Look) -> Query<'a> {
        Query {
            look,
            conditions: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// Adds a parameter and gives its place.
    fn parameter(&mut self, value: &str) -> String {
        self.parameters.push(value.to_owned());
        format!("${}", self.parameters.len())
    }

    fn equal(&mut self, column: &str, value: &str) {
        let place = self.parameter(value);
        self.conditions.push(format!("{column} = {place}"));
    }

    fn conditions(&self) -> String {
        match self.conditions.is_empty() {
            true => "1 = 1".to_owned(),
            false => self.conditions.join(" AND "),
        }
    }

    fn filter(&mut self, filter: &Filter) {
        match filter.state.as_str() {
            "all" => {}
            "trouble" => {
                self.conditions
                    .push("severity IN ('critical', 'warning', 'unknown')".to_owned());
            }
            "unknown" => self.conditions.push("severity = 'unknown'".to_owned()),
            state => self.equal("state", state),
        }
        if filter.uncertain {
            self.conditions.push("NOT certain".to_owned());
        }
        if let Some(client) = &filter.client {
            self.equal("client_id", client);
        }
        if let Some(province) = &filter.province {
            self.equal("province", province);
        }
        if let Some(text) = &filter.text {
            self.text(text);
        }
    }

    /// A device by its name or its client's and its own, a serial's beginning, or a part of a place.
    fn text(&mut self, text: &str) {
        let escaped = text
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        let whole = self.parameter(text);
        let begins = self.parameter(&format!("{escaped}%"));
        let part = self.parameter(&format!("%{escaped}%"));
        let like = |column: &str, place: &str| format!("{column} LIKE {place} ESCAPE '\\'");
        let mut ways = vec![
            format!("device_id = {whole}"),
            format!("client_id || '/' || device_id = {whole}"),
            like("serial", &begins),
        ];
        let places = ["province", "city", "district", "detail"];
        ways.extend(places.map(|column| like(column, &part)));
        self.conditions.push(format!("({})", ways.join(" OR ")));
    }

    /// Only what comes after a place in the order of devices.
    fn after(&mut self, key: &Key) {
        self.parameters.push(key.since.clone());
        let since = self.look.time_parameter(self.parameters.len());
        let client = self.parameter(&key.client);
        let device = self.parameter(&key.device);
        let stream = self.parameter(&key.stream);
        let rank = key.rank;
        self.conditions.push(format!(
            "({RANK} < {rank} OR ({RANK} = {rank} AND (state_since < {since} OR \
             (state_since = {since} AND (client_id, device_id, stream) > \
             ({client}, {device}, {stream})))))"
        ));
    }

    async fn rows(&self, sql: &str) -> Result<Vec<LookRow>, String> {
        self.look.rows(sql, &self.parameters).await
    }
}

/// A column as a text.
fn text(column: &str) -> String {
    format!("CAST({column} AS text)")
}

fn columns(names: &[&str]) -> String {
    let texts: Vec<String> = names.iter().map(|name| text(name)).collect();
    texts.join(", ")
}

const DEVICE: [&str; 14] = [
    "stream",
    "client_id",
    "device_id",
    "serial",
    "state",
    "new_state",
    "severity",
    "CASE WHEN certain THEN 1 ELSE 0 END",
    "state_since",
    "last_seen",
    "province",
    "city",
    "district",
    "detail",
];

/// The next devices, the worst first, then those that changed last; one more than a page has.
pub(super) async fn devices(look: &Look, filter: &Filter) -> Result<Vec<Device>, String> {
    let mut query = Query::new(look);
    query.filter(filter);
    if let Some(after) = &filter.after {
        query.after(after);
    }
    let (columns, conditions) = (columns(&DEVICE), query.conditions());
    let limit = DEVICES_MAX + 1;
    let sql = format!(
        "SELECT {columns} FROM device_current WHERE {conditions} ORDER BY {RANK} DESC, \
         state_since DESC, client_id, device_id, stream LIMIT {limit}"
    );
    let rows = query.rows(&sql).await?;
    Ok(rows.into_iter().filter_map(device).collect())
}

fn device(row: LookRow) -> Option<Device> {
    let mut values = row.into_iter();
    let mut next = || values.next().flatten();
    let (stream, client_id, device_id) = (next()?, next().unwrap_or_default(), next()?);
    let (serial, state, word) = (
        next(),
        next().unwrap_or_default(),
        next().unwrap_or_default(),
    );
    let severity = severity(next().as_deref());
    let certain = next().as_deref() == Some("1");
    let (since, last_seen) = (next(), next());
    let place: Vec<String> = (0..4)
        .filter_map(|_| next())
        .filter(|part| !part.is_empty())
        .collect();
    let key = Key {
        rank: rank(severity),
        since: since.clone().unwrap_or_default(),
        client: client_id.clone(),
        device: device_id.clone(),
        stream: stream.clone(),
    };
    Some(Device {
        stream,
        client_id,
        device_id,
        serial: serial.map(|serial| redacted(&serial)),
        state: redacted(&state),
        word: redacted(&word),
        severity,
        certain,
        since: since.as_deref().and_then(time),
        last_seen: last_seen.as_deref().and_then(time),
        place: place.iter().map(|part| redacted(part)).collect(),
        key: Some(key),
    })
}

fn redacted(text: &str) -> String {
    redact(text).into_owned()
}

fn severity(name: Option<&str>) -> Severity {
    let known = Severity::ALL
        .into_iter()
        .find(|known| Some(known.as_str()) == name);
    known.unwrap_or_default()
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 4,
        Severity::Warning => 3,
        Severity::Unknown => 2,
        Severity::Info => 1,
        Severity::Ok => 0,
    }
}

/// A time as either database writes it as a text.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn number(value: Option<String>) -> u64 {
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn decimal(value: Option<String>) -> Option<f64> {
    value?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// How many devices are in each state, the worst first.
pub(super) async fn states(look: &Look) -> Result<Vec<StateSum>, String> {
    let columns = columns(&[
        "state",
        "min(new_state)",
        "severity",
        "count(*)",
        "sum(CASE WHEN certain THEN 0 ELSE 1 END)",
    ]);
    let sql = format!(
        "SELECT {columns} FROM device_current GROUP BY state, severity ORDER BY {RANK} DESC, \
         count(*) DESC LIMIT 1000"
    );
    let rows = look.rows(&sql, &[]).await?;
    let sum = |row: LookRow| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        StateSum {
            state: redacted(&next().unwrap_or_default()),
            word: redacted(&next().unwrap_or_default()),
            severity: severity(next().as_deref()),
            devices: number(next()),
            uncertain: number(next()),
        }
    };
    Ok(rows.into_iter().map(sum).collect())
}

/// What is in trouble, by province: the first few have a row, and all of them a name on the map.
pub(super) async fn provinces(look: &Look) -> Result<Vec<Sum>, String> {
    sums(look, "province", PROVINCES_MAX).await
}

/// The same by client.
pub(super) async fn clients(look: &Look) -> Result<Vec<Sum>, String> {
    sums(look, "client_id", SUMS_MAX).await
}

const CRITICAL: &str = "sum(CASE severity WHEN 'critical' THEN 1 ELSE 0 END)";
const WARNING: &str = "sum(CASE severity WHEN 'warning' THEN 1 ELSE 0 END)";

async fn sums(look: &Look, column: &str, limit: usize) -> Result<Vec<Sum>, String> {
    let columns = columns(&[
        column,
        "count(*)",
        CRITICAL,
        WARNING,
        "avg(wgs84_longitude)",
        "avg(wgs84_latitude)",
    ]);
    let sql = format!(
        "SELECT {columns} FROM device_current WHERE {column} <> '' GROUP BY {column} \
         ORDER BY {CRITICAL} + {WARNING} DESC, count(*) DESC, {column} LIMIT {limit}"
    );
    let rows = look.rows(&sql, &[]).await?;
    let sum = |row: LookRow| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        Sum {
            name: redacted(&next().unwrap_or_default()),
            devices: number(next()),
            critical: number(next()),
            warning: number(next()),
            middle: decimal(next()).zip(decimal(next())),
        }
    };
    Ok(rows.into_iter().map(sum).collect())
}

/// The cells of the map that have devices.
pub(super) async fn cells(look: &Look) -> Result<Vec<Cell>, String> {
    let (width, height) = CELL;
    let columns = columns(&["r", "c", "count(*)", CRITICAL, WARNING]);
    let sql = format!(
        "SELECT {columns} FROM (SELECT r, severity, \
         CAST(round(x / {width} - 0.5 * abs(r % 2)) AS integer) AS c FROM (SELECT severity, \
         wgs84_longitude AS x, CAST(round(wgs84_latitude / {height}) AS integer) AS r \
         FROM device_current WHERE wgs84_longitude IS NOT NULL AND wgs84_latitude IS NOT NULL) AS p) \
         AS q GROUP BY r, c ORDER BY count(*) DESC LIMIT {CELLS_MAX}"
    );
    let rows = look.rows(&sql, &[]).await?;
    let cell = |row: LookRow| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        Some(Cell {
            row: next()?.parse().ok()?,
            column: next()?.parse().ok()?,
            devices: number(next()),
            critical: number(next()),
            warning: number(next()),
        })
    };
    Ok(rows.into_iter().filter_map(cell).collect())
}

fn of_device<'a>(look: &'a Look, [stream, client, device]: [&str; 3]) -> Query<'a> {
    let mut query = Query::new(look);
    query.equal("client_id", client);
    query.equal("device_id", device);
    query.equal("stream", stream);
    query
}

/// One device, and what only its page shows; `None`: the history has no such device.
pub(super) async fn one(look: &Look, key: [&str; 3]) -> Result<Option<(Device, Profile)>, String> {
    let query = of_device(look, key);
    let more = [
        "topic",
        "coordinate_system",
        "longitude",
        "latitude",
        "wgs84_longitude",
        "wgs84_latitude",
    ];
    let columns = columns(&[&DEVICE[..], &more[..]].concat());
    let sql = format!(
        "SELECT {columns} FROM device_current WHERE {}",
        query.conditions()
    );
    let Some(mut row) = query.rows(&sql).await?.pop() else {
        return Ok(None);
    };
    let mut rest = row.split_off(DEVICE.len().min(row.len())).into_iter();
    let mut next = || rest.next().flatten();
    let profile = Profile {
        topic: next().unwrap_or_default(),
        coordinate_system: next().map(|system| redacted(&system)),
        sent: decimal(next()).zip(decimal(next())),
        wgs84: decimal(next()).zip(decimal(next())),
    };
    Ok(device(row).map(|device| (device, profile)))
}

/// The timeline of one device since a moment, the newest piece first.
pub(super) async fn timeline(
    look: &Look,
    key: [&str; 3],
    since: Timestamp,
) -> Result<Vec<Piece>, String> {
    let mut query = of_device(look, key);
    query.parameters.push(format!("{since:.6}"));
    let begin = look.time_parameter(query.parameters.len());
    query
        .conditions
        .push(format!("(until IS NULL OR until > {begin})"));
    let columns = columns(&["state", "severity", "since", "until", "cause"]);
    let sql = format!(
        "SELECT {columns} FROM state_interval WHERE {} ORDER BY since DESC LIMIT {PIECES_MAX}",
        query.conditions()
    );
    let rows = query.rows(&sql).await?;
    let piece = |row: LookRow| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        Some(Piece {
            state: redacted(&next()?),
            severity: severity(next().as_deref()),
            since: time(&next()?)?,
            until: next().as_deref().and_then(time),
            cause: next(),
        })
    };
    Ok(rows.into_iter().filter_map(piece).collect())
}

/// The last changes of one device, the newest first.
pub(super) async fn events(look: &Look, key: [&str; 3]) -> Result<Vec<DeviceEvent>, String> {
    let mut query = of_device(look, key);
    let changed = "(CASE WHEN changed THEN 1 ELSE 0 END) = 1";
    query.conditions.push(changed.to_owned());
    let columns = columns(&[
        "event_id",
        "received_at",
        "old_state",
        "state",
        "severity",
        "CASE WHEN missed_transition THEN 1 ELSE 0 END",
        "origin",
    ]);
    let sql = format!(
        "SELECT {columns} FROM status_event WHERE {} ORDER BY received_at DESC LIMIT {EVENTS_MAX}",
        query.conditions()
    );
    let rows = query.rows(&sql).await?;
    let event = |row: LookRow| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        Some(DeviceEvent {
            event_id: next()?,
            at: time(&next()?)?,
            old_state: next().map(|state| redacted(&state)),
            state: redacted(&next()?),
            severity: severity(next().as_deref()),
            missed_transition: next().as_deref() == Some("1"),
            origin: next().unwrap_or_default(),
        })
    };
    Ok(rows.into_iter().filter_map(event).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_order_comes_back_from_a_url_and_nothing_else_does() {
        let key = Key {
            rank: 4,
            since: "2026-11-28T06:47:58.000000Z".to_owned(),
            client: "1|2".to_owned(),
            device: "\"7\"".to_owned(),
            stream: "platform".to_owned(),
        };
        assert_eq!(Key::parse(&key.text()), Some(key));
        for text in [
            "",
            "[]",
            "[5,\"\",\"\",\"\",\"\"]",
            "[1,2,3,4,5]",
            "{\"a\":1}",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_of_both_databases_are_read() {
        let expected = time("2026-11-28T06:47:58.123456Z");
        assert!(expected.is_some());
        assert_eq!(time("2026-11-28 06:47:58.123456+00"), expected);
        assert_eq!(time("2026-11-28 14:47:58.123456+08"), expected);
    }

    #[test]
    fn severities_have_one_order() {
        let mut severities = Severity::ALL;
        severities.sort_by_key(|severity| std::cmp::Reverse(rank(*severity)));
        let names = severities.map(Severity::as_str);
        assert_eq!(names, ["critical", "warning", "unknown", "info", "ok"]);
        for (place, severity) in severities.into_iter().enumerate() {
            let said = format!("WHEN '{}' THEN {}", severity.as_str(), 4 - place);
            assert!(severity == Severity::Ok || RANK.contains(&said), "{said}");
        }
    }
}
