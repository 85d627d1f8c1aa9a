//! How long devices were well: the sums of whole days, and of the states that last since then.

use jiff::Timestamp;
use jiff::civil::Date;

use super::asked::Asked;
use super::filter::Filter;

/// The days of an availability: whole days of the history's zone, and the part of the last one that
/// has passed. A daemon counts a state that lasts once each day is over; where none has run since,
/// all of that time is still to be counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Days {
    /// The first day.
    pub first: Date,
    /// The day after the last one.
    pub end: Date,
    /// When each of them began and ended.
    pub spans: Vec<(Date, Timestamp, Timestamp)>,
}

/// What an availability is summed up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Each device, the worst first.
    Device,
    /// Each day.
    Day,
}

impl Asked {
    /// The sums by device or day, of `state_daily` and of what it does not have yet.
    pub(super) fn availability(&mut self, days: &Days, by: By, filter: &Filter) -> String {
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
        let spans = match (by, days.spans.as_slice()) {
            (By::Device, [(day, begins, _), .., (.., ends)]) => vec![(*day, *begins, *ends)],
            (_, spans) => spans.to_vec(),
        };
        if !spans.is_empty() {
            parts.push(self.lasting(&spans, filter));
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

    /// The states that last, as rows of `state_daily`, as far as it does not have them yet.
    fn lasting(&mut self, spans: &[(Date, Timestamp, Timestamp)], filter: &Filter) -> String {
        let spans: Vec<String> = spans
            .iter()
            .map(|(day, begins, ends)| {
                let (day, begins, ends) = (self.date(*day), self.time(*begins), self.time(*ends));
                format!("({day}, {begins}, {ends})")
            })
            .collect();
        self.of_device(filter);
        self.conditions.push("lasting".to_owned());
        let conditions = std::mem::take(&mut self.conditions).join(" AND ");
        let (least, most) = self.dialect.least_and_most();
        let pieces = format!(
            "SELECT stream, client_id, device_id, severity, certain, \
             {most}(since, coalesce(counted_until, since)) AS since, until \
             FROM state_interval WHERE {conditions}"
        );
        // A gap that began before the last midnight leaves nothing certain.
        let begins = format!("{most}(p.since, d.begins)");
        let ends = format!("{least}(coalesce(p.until, d.ends), d.ends)");
        let lasted = self
            .dialect
            .seconds(&begins, &format!("{most}({begins}, {ends})"));
        let of = |certain: &str| format!("CASE WHEN {certain} THEN {lasted} ELSE 0 END");
        let (certain, uncertain) = (of("p.certain"), of("NOT p.certain"));
        format!(
            "SELECT d.day, p.stream, p.client_id, p.device_id, p.severity, {certain}, {uncertain}, 0 \
             FROM ({pieces}) AS p JOIN {} ON p.since < d.ends",
            self.dialect.table("d", "day, begins, ends", &spans)
        )
    }
}
