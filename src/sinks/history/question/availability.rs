//! How long devices were well: the sums of whole days, and of the states that last since midnight.

use jiff::Timestamp;
use jiff::civil::Date;

use super::asked::Asked;
use super::filter::Filter;

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

impl Asked {
    /// The sums by device or day, of `state_daily` and of the states that last since midnight.
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
