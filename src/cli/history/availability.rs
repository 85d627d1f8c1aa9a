//! `stomp-bridge history availability`: how much of its time each device was well.
//!
//! - `group`: the sums of the groups of [names]

mod group;

use std::collections::{HashMap, HashSet};

use anyhow::bail;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use self::group::by_group;
use super::answer::{
    OutputArgs, Shape, View, device_cell, head, heading, label_cells, lasted, look, number_head,
    print_table, say_cut, say_left_out, table,
};
use super::bar::{Bar, legend};
use super::filter::{DeviceArgs, Serials, SpanArgs};
use super::format::{Format, Printer};
use super::place::{History, PlaceArgs};
use super::table::{Cell, Head, Lines, Look, Table, wrapped};
use super::unknown::Wanted;
use crate::cli::print::{say, tell};
use crate::sinks::history::question::{By, Days, DeviceKey, Devices, Filter, Question, Value};
use crate::sinks::history::row::Row;

/// The days where nobody says it, with today.
const DAYS_DEFAULT: i32 = 7;
/// A state that lasts counts for its last days, as in `state_daily`.
const DAYS_MAX: i32 = 400;
/// The fewest and the most signs of a bar. It gets a quarter of the terminal at least.
const BAR_MIN: usize = 10;
const BAR_MAX: usize = 60;
const BAR_PART: usize = 4;
/// Bars of one table: more of them are nothing to look at.
const BARS_MAX: usize = 1000;
/// Between the table and the bar.
const GAP: &str = "  ";

#[derive(Debug, Args)]
pub(super) struct AvailabilityArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// What a row is.
    #[arg(long, value_name = "BY", value_enum, default_value_t = Rows::Device)]
    by: Rows,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// A device; the worst first.
    Device,
    /// A day, of all devices.
    Day,
    /// A group of [names]; the worst first.
    Group,
}

pub(super) async fn availability(args: &AvailabilityArgs) -> anyhow::Result<()> {
    let mut history = args.place.open().await?;
    if history.reader.is_recounting() {
        tell!(
            "{}: the zone was changed, and days are being counted again: they may still be of the \
             zone before, or missing",
            history.reader.name()
        );
    }
    if args.by == Rows::Group && history.labels.are_absent() {
        bail!("--by group needs the groups of the configuration's [names]");
    }
    let now = Timestamp::now();
    let mut filter = Filter::default();
    args.span.narrow(&history, now, &mut filter)?;
    let window = Window::of(&filter, now, &history.reader.zone())?;
    (filter.since, filter.until) = (Some(window.since), Some(window.until));
    args.device
        .narrow(&mut history, &mut filter, Serials::LookedUp)
        .await?;
    let by = match args.by {
        Rows::Day => By::Day,
        Rows::Device | Rows::Group => By::Device,
    };
    let question = Question::Availability(window.days.clone(), by);
    let asked = (&filter, args.device.wanted());
    match args.by {
        Rows::Group => by_group(&mut history, &question, asked, &args.output).await,
        Rows::Device | Rows::Day => rows(&mut history, &question, asked, &args.output).await,
    }
}

/// Whole days of a zone, as far as they have passed.
#[derive(Debug, PartialEq)]
struct Window {
    days: Days,
    since: Timestamp,
    until: Timestamp,
}

impl Window {
    fn of(filter: &Filter, now: Timestamp, zone: &TimeZone) -> anyhow::Result<Window> {
        let day = |time: Timestamp| time.to_zoned(zone.clone()).date();
        let today = day(now);
        let first = match filter.since {
            Some(since) => day(since),
            None => today.checked_sub((DAYS_DEFAULT - 1).days())?,
        };
        let tomorrow = today.tomorrow()?;
        let end = match filter.until {
            // A day of which only a part is asked for counts as a whole.
            Some(until) => day(until.checked_sub(1.nanosecond())?)
                .tomorrow()?
                .min(tomorrow),
            None => tomorrow,
        };
        let midnight = |date: Date| anyhow::Ok(date.to_zoned(zone.clone())?.timestamp());
        let mut spans = Vec::new();
        let mut date = first.max(end.checked_sub(DAYS_MAX.days())?);
        while date < end {
            let tomorrow = date.tomorrow()?;
            spans.push((date, midnight(date)?, midnight(tomorrow)?.min(now)));
            date = tomorrow;
        }
        Ok(Window {
            since: midnight(first)?,
            until: midnight(end)?.min(now),
            days: Days { first, end, spans },
        })
    }
}

async fn rows(
    history: &mut History,
    question: &Question,
    (filter, wanted): (&Filter, Wanted<'_>),
    output: &OutputArgs,
) -> anyhow::Result<()> {
    let limit = output.limit();
    let asked = limit.map(|limit| limit.saturating_add(1));
    let mut rows = history.reader.rows(question, filter, asked).await?;
    let count = rows.len();
    rows.truncate(limit.unwrap_or(usize::MAX));
    if count == 0 && output.format() == Format::Table {
        wanted.check(history).await?;
    }
    let is_by_device = matches!(question, Question::Availability(_, By::Device));
    let noun = if is_by_device { "devices" } else { "days" };
    if output.format() != Format::Table {
        print_rows(output.format(), question, &rows, history);
        if count == 0 {
            wanted.check(history).await?;
        }
    } else if is_by_device {
        print_devices(history, question, filter, &rows).await?;
    } else {
        let History { reader, labels, .. } = history;
        let view = View {
            labels,
            zone: reader.zone(),
            look: look(),
        };
        heading(reader.name(), &reader.zone_name(), filter, &view);
        let shape = Shape {
            heads: heads(vec![head("DAY", 0)]),
            row: |row, _| cells(row, vec![Cell::text(row.text("day"))]),
            noun,
        };
        print_table(&table(&rows, question, shape, &view), noun, &view.look);
    }
    say_cut(count, limit, noun);
    Ok(())
}

fn print_rows(format: Format, question: &Question, rows: &[Vec<Value>], history: &History) {
    let fields = question.fields();
    let mut printer = Printer::begin(format, fields, &history.labels);
    rows.iter()
        .for_each(|values| printer.row(&Row::new(fields, values)));
    printer.end();
}

/// The columns of every table of availabilities.
fn heads(first: Vec<Head>) -> Vec<Head> {
    let figures = [
        number_head("WELL", 0),
        number_head("FAULTS", 1),
        number_head("KNOWN", 2),
        number_head("NOT KNOWN", 3),
    ];
    first.into_iter().chain(figures).collect()
}

fn device_heads() -> Vec<Head> {
    heads(vec![
        head("DEVICE", 0),
        head("STREAM", 4),
        head("NAME", 3),
        head("GROUP", 5),
    ])
}

fn cells(row: &Row<'_>, mut first: Vec<Cell>) -> Vec<Cell> {
    let figures = Figures {
        available: row.number("available_seconds").unwrap_or(0.0),
        known: row.number("known_seconds").unwrap_or(0.0),
        uncertain: row.number("uncertain_seconds").unwrap_or(0.0),
        faults: row.integer("faults").unwrap_or(0),
    };
    first.extend(figures.cells());
    first
}

/// What is known of a device, a day or a group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Figures {
    available: f64,
    known: f64,
    uncertain: f64,
    faults: i64,
}

impl Figures {
    /// `None`: nothing is known.
    fn percent(&self) -> Option<f64> {
        (self.known > 0.0).then(|| 100.0 * self.available / self.known)
    }

    fn cells(&self) -> [Cell; 4] {
        let percent = self.percent().map_or_else(|| "-".to_owned(), shown);
        [
            Cell::text(&percent),
            Cell::text(&self.faults.to_string()),
            Cell::text(&lasted(self.known)),
            match self.uncertain > 0.0 {
                true => Cell::text(&lasted(self.uncertain)),
                false => Cell::default(),
            },
        ]
    }

    fn add(&mut self, row: &Row<'_>) {
        self.available += row.number("available_seconds").unwrap_or(0.0);
        self.known += row.number("known_seconds").unwrap_or(0.0);
        self.uncertain += row.number("uncertain_seconds").unwrap_or(0.0);
        self.faults += row.integer("faults").unwrap_or(0);
    }
}

/// Two digits, and never 100 where something is missing.
fn shown(percent: f64) -> String {
    let cut = (percent * 100.0).floor() / 100.0;
    format!("{cut:.2} %")
}

async fn print_devices(
    history: &mut History,
    question: &Question,
    filter: &Filter,
    rows: &[Vec<Value>],
) -> anyhow::Result<()> {
    let look = look();
    let shape = Shape {
        heads: device_heads(),
        row: |row, view| {
            let [name, group] = label_cells(row, view);
            let stream = Cell::text(row.text("stream"));
            cells(row, vec![device_cell(row), stream, name, group])
        },
        noun: "devices",
    };
    let History { reader, labels, .. } = history;
    let view = View {
        labels,
        zone: reader.zone(),
        look,
    };
    heading(reader.name(), &reader.zone_name(), filter, &view);
    let mut table = table(rows, question, shape, &view);
    let fields = question.fields();
    let streams = rows
        .iter()
        .map(|values| Row::new(fields, values).device().stream);
    if streams.collect::<HashSet<_>>().len() <= 1 {
        table.empty("STREAM");
    }
    let room = (1..=BARS_MAX).contains(&rows.len());
    let Some((lines, columns)) = beside_a_bar(&table, &look).filter(|_| room) else {
        print_table(&table, "devices", &look);
        return Ok(());
    };
    let parts = (columns - GAP.len())
        .saturating_sub(lines.width)
        .min(BAR_MAX);
    let keys: Vec<DeviceKey> = rows
        .iter()
        .map(|values| Row::new(fields, values).device())
        .collect();
    let bars = bars(history, filter, &keys, parts).await?;
    for line in wrapped(&legend(&look), look.columns) {
        say!("{line}");
    }
    for (nth, line) in lines.lines.iter().enumerate() {
        let bar = nth.checked_sub(1).and_then(|nth| bars.get(&keys[nth]));
        let bar = bar.map(|bar| bar.text(&look)).unwrap_or_default();
        let blanks = " ".repeat(lines.width.saturating_sub(width_of(line)));
        say!("{}", format!("{line}{blanks}{GAP}{bar}").trim_end());
    }
    say_left_out(&lines.left_out);
    Ok(())
}

fn width_of(line: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(line)
}

/// The table and the columns of a terminal on which a bar has room beside it. The figures say more
/// than a short timeline: where one of them would be left out, there is no bar.
fn beside_a_bar(table: &Table, look: &Look) -> Option<(Lines, usize)> {
    let columns = look.columns?;
    let bar = BAR_MIN.max(columns / BAR_PART) + GAP.len();
    let narrow = Look {
        columns: Some(columns.checked_sub(bar)?),
        ..*look
    };
    let lines = table.lines(&narrow);
    let is_whole = !["FAULTS", "KNOWN"]
        .into_iter()
        .any(|figure| lines.left_out.contains(&figure));
    (is_whole && lines.width + bar <= columns).then_some((lines, columns))
}

/// The timeline of each of these devices.
async fn bars(
    history: &mut History,
    filter: &Filter,
    keys: &[DeviceKey],
    parts: usize,
) -> anyhow::Result<HashMap<DeviceKey, Bar>> {
    let (Some(since), Some(until)) = (filter.since, filter.until) else {
        return Ok(HashMap::new());
    };
    let question = Question::Intervals;
    let mut bars = HashMap::new();
    // One by one: each is found by an index in both databases.
    for key in keys {
        let wanted = Filter {
            devices: Devices::one(key),
            stream: Some(key.stream.clone()),
            since: filter.since,
            until: filter.until,
            ..Filter::default()
        };
        let mut bar = Bar::new(since, until, parts);
        let mut each =
            |values: Vec<Value>| add_piece(&mut bar, &Row::new(question.fields(), &values));
        let asked = history.reader.each(&question, &wanted, None, &mut each);
        asked.await?;
        bars.insert(key.clone(), bar);
    }
    Ok(bars)
}

/// Adds a piece.
fn add_piece(bar: &mut Bar, row: &Row<'_>) {
    if let Some(since) = row.time("since") {
        bar.add(row.severity(), row.is("certain"), since, row.time("until"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_have_their_place_before_the_stream_and_the_bar() {
        let texts = ["1/7", "map-1", "North pump", "", "82.98 %", "5", "5d1h", ""];
        let table = Table {
            heads: device_heads(),
            rows: vec![texts.map(Cell::text).to_vec()],
            ..Table::default()
        };
        let look = |columns| Look {
            columns: Some(columns),
            has_colours: false,
            has_unicode: true,
        };
        assert!(beside_a_bar(&table, &look(40)).is_none());
        let forty = table.lines(&look(40));
        assert_eq!(forty.left_out, ["STREAM"]);
        assert_eq!(forty.lines[1], "1/7     North p…  82.98 %       5   5d1h");
        let (eighty, _) = beside_a_bar(&table, &look(80)).unwrap();
        assert!(eighty.left_out.is_empty(), "{eighty:?}");
        for columns in 0..40 {
            assert!(beside_a_bar(&table, &look(columns)).is_none(), "{columns}");
        }
    }
}
