//! From a question to what is printed: a table with a heading for a person, or rows for a program.

use std::num::NonZeroUsize;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::format::{Format, Printer, WITHOUT_PLACES, one_of};
use super::labels::Labels;
use super::place::History;
use super::table::{Cell, Head, Look, Side, Table, Widths, wrapped};
use super::unknown::Wanted;
use crate::cli::number::whole;
use crate::cli::print::{say, tell};
use crate::cli::terminal::{columns, has_colours, has_unicode};
use crate::model::device_key;
use crate::sinks::history::question::{Filter, Question, Value};
use crate::sinks::history::row::Row;

/// Rows of a table where nobody says it.
pub(super) const ROWS_DEFAULT: usize = 100;
/// A table is in memory.
const ROWS_MAX: usize = 100_000;

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// How to print it.
    #[arg(long, value_name = "FORMAT", value_parser = one_of(WITHOUT_PLACES), default_value = "table")]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// At most this number of rows; by default 100 in a table, and all in other formats.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<NonZeroUsize>(1, u64::MAX))]
    pub(super) limit: Option<NonZeroUsize>,
}

impl OutputArgs {
    /// How to print it.
    pub(super) fn format(&self) -> Format {
        match self.json {
            true => Format::Json,
            false => self.format,
        }
    }

    /// The most rows.
    pub(super) fn limit(&self) -> Option<usize> {
        let limit = self.limit.map(NonZeroUsize::get);
        match self.format() {
            Format::Table => Some(limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX)),
            Format::Csv | Format::Json | Format::Geojson => limit,
        }
    }
}

/// The same of rows that have a place.
#[derive(Debug, Args)]
pub(super) struct MapOutputArgs {
    /// How to print it.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// At most this number of rows; by default 100 in a table, and all in other formats.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<NonZeroUsize>(1, u64::MAX))]
    limit: Option<NonZeroUsize>,
}

impl MapOutputArgs {
    /// The same as those of all rows.
    pub(super) fn output(&self) -> OutputArgs {
        OutputArgs {
            format: self.format,
            json: self.json,
            limit: self.limit,
        }
    }
}

/// What a table is made with.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) labels: &'a Labels,
    pub(super) zone: TimeZone,
    pub(super) look: Look,
}

/// Makes the cells of a row.
pub(super) type MakeRow = fn(&Row<'_>, &View<'_>) -> Vec<Cell>;

/// How an answer looks as a table.
pub(super) struct Shape {
    pub(super) heads: Vec<Head>,
    pub(super) row: MakeRow,
    /// What the rows are, such as `devices`.
    pub(super) noun: &'static str,
}

/// What standard output shows.
pub(super) fn look() -> Look {
    Look {
        columns: columns(),
        has_colours: has_colours(),
        has_unicode: has_unicode(),
    }
}

/// Asks, and prints the answer.
///
/// # Errors
/// The history does not answer, or nothing is found since what is wanted is unknown.
pub(super) async fn print(
    history: &mut History,
    question: &Question,
    (filter, wanted): (&Filter, Wanted<'_>),
    output: &OutputArgs,
    shape: Shape,
) -> anyhow::Result<()> {
    let limit = output.limit();
    let History { reader, labels, .. } = history;
    // One more says that there are more.
    let asked = limit.map(|limit| limit.saturating_add(1));
    if output.format() != Format::Table {
        let fields = question.fields();
        let mut printer = Printer::begin(output.format(), fields, labels);
        let mut each = |values: Vec<Value>| {
            if limit.is_none_or(|limit| printer.rows() < limit) {
                printer.row(&Row::new(fields, &values));
            }
        };
        let mut count = 0;
        let mut counted = |values| {
            count += 1;
            each(values);
        };
        reader.each(question, filter, asked, &mut counted).await?;
        printer.end();
        say_cut(count, limit, shape.noun);
        if count == 0 {
            wanted.check(history).await?;
        }
        return Ok(());
    }
    let mut rows = reader.rows(question, filter, asked).await?;
    let count = rows.len();
    if count == 0 {
        wanted.check(history).await?;
    }
    let History { reader, labels, .. } = history;
    rows.truncate(limit.unwrap_or(usize::MAX));
    let view = View {
        labels,
        zone: reader.zone(),
        look: look(),
    };
    heading(reader.name(), &reader.zone_name(), filter, &view);
    let noun = shape.noun;
    let table = table(&rows, question, shape, &view);
    print_table(&table, noun, &view.look);
    say_cut(count, limit, noun);
    Ok(())
}

/// The rows as cells.
pub(super) fn table(
    rows: &[Vec<Value>],
    question: &Question,
    shape: Shape,
    view: &View<'_>,
) -> Table {
    let fields = question.fields();
    let cells = rows
        .iter()
        .map(|values| (shape.row)(&Row::new(fields, values), view));
    Table {
        rows: cells.collect(),
        heads: shape.heads,
        above: Widths::default(),
    }
}

/// A table, or a sentence where it has no rows.
pub(super) fn print_table(table: &Table, noun: &str, look: &Look) {
    if table.rows.is_empty() {
        say!("no {noun}");
        return;
    }
    let lines = table.lines(look);
    for line in lines.lines {
        say!("{line}");
    }
    say_left_out(&lines.left_out);
}

/// Which history, which zone, which window.
pub(super) fn heading(name: &str, zone: &str, filter: &Filter, view: &View<'_>) {
    let mut words = format!("{name}, times of {zone}");
    if let Some(since) = filter.since {
        words += &format!(", since {}", moment(since, &view.zone));
    }
    if let Some(until) = filter.until {
        words += &format!(", until {}", moment(until, &view.zone));
    }
    for line in wrapped(&words, view.look.columns) {
        say!("{line}");
    }
}

/// A time to the second, where it is not that of a whole minute.
fn moment(time: Timestamp, zone: &TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    let form = match local.second() {
        0 => "%Y-%m-%d %H:%M",
        _ => "%Y-%m-%d %H:%M:%S",
    };
    local.strftime(form).to_string()
}

/// Says where an answer was cut.
pub(super) fn say_cut(count: usize, limit: Option<usize>, noun: &str) {
    if let Some(limit) = limit.filter(|limit| count > *limit) {
        tell_wrapped(&format!(
            "cut at {limit}: there are more {noun}, which --limit shows"
        ));
    }
}

/// Says what a narrow terminal does not show.
pub(super) fn say_left_out(left_out: &[&str]) {
    if left_out.is_empty() {
        return;
    }
    let names = left_out.join(", ");
    let words = format!("left out, since the terminal is narrow: {names}; --format csv has all");
    tell_wrapped(&words);
}

/// A sentence that is the answer.
pub(super) fn say_wrapped(words: &str) {
    for line in wrapped(words, columns()) {
        say!("{line}");
    }
}

/// A remark, beside the answer.
fn tell_wrapped(words: &str) {
    for line in wrapped(words, columns()) {
        tell!("{line}");
    }
}

/// The head of a column.
pub(super) fn head(name: &'static str, rank: u8) -> Head {
    Head {
        name,
        rank,
        side: Side::Left,
    }
}

/// That of a column of numbers.
pub(super) fn number_head(name: &'static str, rank: u8) -> Head {
    Head {
        side: Side::Right,
        ..head(name, rank)
    }
}

/// Client and device.
pub(super) fn device_cell(row: &Row<'_>) -> Cell {
    let key = device_key(row.text("client_id"), row.text("device_id"));
    match row.text("client_id") {
        "" => Cell::text(row.text("device_id")),
        _ => Cell::text(&key),
    }
}

/// What the device is called, and its group.
pub(super) fn label_cells(row: &Row<'_>, view: &View<'_>) -> [Cell; 2] {
    let label = view.labels.of_row(row).cloned().unwrap_or_default();
    [label.name, label.group].map(|text| Cell::text(text.as_deref().unwrap_or("")))
}

/// A time of the history's zone; empty where there is none.
pub(super) fn time_cell(time: Option<Timestamp>, view: &View<'_>) -> Cell {
    let Some(time) = time else {
        return Cell::default();
    };
    let local = time.to_zoned(view.zone.clone());
    let text = |format| local.strftime(format).to_string();
    Cell::or_short(text("%Y-%m-%d %H:%M:%S"), text("%m-%d %H:%M"))
}

/// How long something lasted, in its two largest units; empty where nobody knows it.
pub(super) fn lasted_cell(seconds: Option<f64>) -> Cell {
    let Some(seconds) = seconds else {
        return Cell::default();
    };
    Cell::text(&lasted(seconds))
}

/// `2d3h`, `5m12s`, `7s`.
pub(super) fn lasted(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let first = units
        .iter()
        .position(|(_, unit)| whole >= *unit)
        .unwrap_or(units.len() - 1);
    let (unit, length) = units[first];
    let rest = units
        .get(first + 1)
        .map(|(unit, length)| (unit, whole % units[first].1 / length));
    match rest {
        Some((smaller, count)) if count > 0 => format!("{}{unit}{count}{smaller}", whole / length),
        _ => format!("{}{unit}", whole / length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_a_second_has_two_ends() {
        for (time, expected) in [
            ("2026-11-30T22:53:00.5Z", "2026-11-30 23:53"),
            ("2026-11-30T22:53:40Z", "2026-11-30 23:53:40"),
            ("2026-11-30T23:00:01Z", "2026-12-01 00:00:01"),
        ] {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            assert_eq!(moment(time.parse().unwrap(), &zone), expected);
        }
    }

    #[test]
    fn a_length_has_two_units_at_most() {
        for (seconds, expected) in [
            (-3.0, "0s"),
            (0.4, "0s"),
            (59.6, "1m"),
            (312.0, "5m12s"),
            (3600.0, "1h"),
            (7384.0, "2h3m"),
            (86_400.0 * 12.0 + 3600.0 * 5.0, "12d5h"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(lasted(seconds), expected, "{seconds}");
        }
    }
}
