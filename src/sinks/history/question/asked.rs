//! A statement as it is put together: its conditions, and their parameters.

use jiff::Timestamp;
use jiff::civil::Date;

use super::filter::{After, Devices, Filter};
use crate::model::Severity;
use crate::sinks::history::dialect::Dialect;
use crate::sinks::history::statements::Bind;

/// What is in trouble first.
pub(super) const BY_SEVERITY: &str = "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 \
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

/// What a text may be a part of.
const PLACES: [&str; 4] = ["province", "city", "district", "detail"];

/// A statement as it is put together.
pub(super) struct Asked {
    pub(super) dialect: Dialect,
    pub(super) binds: Vec<Bind>,
    pub(super) conditions: Vec<String>,
}

impl Asked {
    /// The place of a parameter.
    fn bind(&mut self, bind: Bind) -> usize {
        self.binds.push(bind);
        self.binds.len()
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        let place = self.bind(Bind::Text(text.to_owned()));
        self.dialect.typed(place, "text")
    }

    pub(super) fn integer(&mut self, integer: i64) -> String {
        let place = self.bind(Bind::Integer(integer));
        self.dialect.typed(place, "bigint")
    }

    pub(super) fn time(&mut self, time: Timestamp) -> String {
        let place = self.bind(Bind::Text(format!("{time:.6}")));
        self.dialect.typed(place, "timestamptz")
    }

    pub(super) fn date(&mut self, date: Date) -> String {
        let place = self.bind(Bind::Text(date.to_string()));
        self.dialect.typed(place, "date")
    }

    pub(super) fn equals(&mut self, column: &str, wanted: &Option<String>) {
        if let Some(wanted) = wanted {
            let wanted = self.text(wanted);
            self.conditions.push(format!("{column} = {wanted}"));
        }
    }

    pub(super) fn from(&mut self, column: &str, since: Option<Timestamp>) {
        if let Some(since) = since {
            let since = self.time(since);
            self.conditions.push(format!("{column} >= {since}"));
        }
    }

    pub(super) fn before(&mut self, column: &str, until: Option<Timestamp>) {
        if let Some(until) = until {
            let until = self.time(until);
            self.conditions.push(format!("{column} < {until}"));
        }
    }

    /// What lasted in the asked time, or still lasts.
    pub(super) fn overlaps(&mut self, filter: &Filter) {
        if let Some(since) = filter.since {
            let since = self.time(since);
            self.conditions
                .push(format!("(until IS NULL OR until > {since})"));
        }
        self.before("since", filter.until);
    }

    pub(super) fn of_device(&mut self, filter: &Filter) {
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

    pub(super) fn of_status(&mut self, filter: &Filter) {
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

    /// The state, by its name alone.
    pub(super) fn of_state(&mut self, filter: &Filter) {
        let names: Vec<String> = filter
            .state
            .iter()
            .chain(&filter.state_names)
            .map(|name| self.text(name))
            .collect();
        if filter.state.is_some() {
            self.conditions
                .push(format!("state IN ({})", names.join(", ")));
        }
    }

    /// What a page asks of devices besides.
    pub(super) fn looked_for(&mut self, filter: &Filter) {
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
            let serial = self.dialect.like("serial", &begins);
            let places = PLACES.map(|place| self.dialect.like(place, &part));
            self.conditions.push(format!(
                "(device_id = {whole} OR client_id = {whole} \
                 OR client_id || '/' || device_id = {whole} OR {serial} OR {})",
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

    pub(super) fn of_event(&mut self, filter: &Filter) {
        self.of_device(filter);
        self.of_status(filter);
        self.from("received_at", filter.since);
        self.before("received_at", filter.until);
        if filter.changed {
            self.conditions.push("changed".to_owned());
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
}
