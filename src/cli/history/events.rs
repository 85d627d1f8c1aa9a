//! `stomp-bridge history events`: statuses, the newest first; or as they come.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::answer::{
    self, OutputArgs, Shape, View, device_cell, head, heading, label_cells, look, say_left_out,
    table, time_cell,
};
use super::below::Below;
use super::filter::{DeviceArgs, Serials, SpanArgs, StatusArgs};
use super::format::{Format, Printer};
use super::place::{History, PlaceArgs};
use super::table::Cell;
use super::unknown::Wanted;
use crate::cli::print::{say, tell};
use crate::sinks::history::question::{Filter, Order, Question, Value};
use crate::sinks::history::row::Row;

/// How often a history is asked whether something has come.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Statuses of one question, so that a busy history fills no memory.
const PAGE: i64 = 10_000;
/// Rows that are shown before those that come.
const BEFORE: usize = 10;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    status: StatusArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// Go on with the statuses that come, until Ctrl-C; they stand in the order of storing. The
    /// last 10 come first, or as --limit says.
    #[arg(long, conflicts_with = "until")]
    follow: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn events(args: &EventsArgs) -> anyhow::Result<()> {
    let mut history = args.place.open().await?;
    let mut filter = Filter::default();
    args.span.narrow(&history, Timestamp::now(), &mut filter)?;
    args.status.narrow(&mut filter);
    args.device
        .narrow(&mut history, &mut filter, Serials::Asked)
        .await?;
    if args.output.format() == Format::Table {
        history.labels.learn_states(&mut history.reader).await;
    }
    let wanted = args.status.wanted(&args.device);
    if args.follow {
        return follow(&mut history, (filter, wanted), &args.output).await;
    }
    let question = Question::Events(Order::Newest);
    let asked = (&filter, wanted);
    answer::print(&mut history, &question, asked, &args.output, shape()).await
}

fn shape() -> Shape {
    Shape {
        heads: vec![
            head("TIME", 1),
            head("DEVICE", 0),
            head("NAME", 2),
            head("STATE", 0),
            head("BEFORE", 3),
            head("NOTE", 4),
            head("GROUP", 5),
            head("TOPIC", 6),
            head("CITY", 7),
            head("SERIAL", 8),
        ],
        row,
        noun: "statuses",
    }
}

fn row(row: &Row<'_>, view: &View<'_>) -> Vec<Cell> {
    let [name, group] = label_cells(row, view);
    let note = if row.is("missed_transition") {
        "missed"
    } else if row.text("via") == "resync" {
        "resync"
    } else if row.is("changed") {
        "changed"
    } else {
        ""
    };
    vec![
        time_cell(row.time("received_at"), view),
        device_cell(row),
        name,
        Cell::of(row.severity(), row.text("state")),
        Cell::text(view.labels.state(row.text("old_state"))),
        Cell::text(note),
        group,
        Cell::text(row.text("topic")),
        Cell::text(row.text("city")),
        Cell::text(row.text("serial")),
    ]
}

/// Polls by sequence: what is stored later has a higher one.
async fn follow(
    history: &mut History,
    (filter, wanted): (Filter, Wanted<'_>),
    output: &OutputArgs,
) -> anyhow::Result<()> {
    let before = output.limit.map_or(BEFORE, |limit| limit.get());
    let mut last = newest(history).await?;
    let question = Question::Events(Order::Newest);
    let mut rows = history
        .reader
        .rows(&question, &filter, Some(before))
        .await?;
    if rows.is_empty()
        && let Some(unknown) = wanted.unknown(history).await
    {
        tell!("{unknown}; --follow waits for it");
    }
    rows.reverse();
    // Those that were stored between the two questions come now.
    rows.retain(|values| Row::new(question.fields(), values).integer("sequence") <= Some(last));
    let History { reader, labels, .. } = history;
    let view = View {
        labels,
        zone: reader.zone(),
        look: look(),
    };
    let mut printer = match output.format() {
        Format::Table => {
            heading(reader.name(), &reader.zone_name(), &filter, &view);
            None
        }
        format => Some(Printer::begin(format, question.fields(), labels)),
    };
    let mut below = Below::default();
    loop {
        match &mut printer {
            Some(printer) => {
                rows.iter()
                    .for_each(|values| printer.row(&Row::new(question.fields(), values)));
                printer.flush();
            }
            None if rows.is_empty() => {}
            None => {
                let table = table(&rows, &question, shape(), &view);
                let next = below.next(table, &view.look);
                next.lines.iter().for_each(|line| say!("{line}"));
                say_left_out(&next.left_out);
            }
        }
        rows = loop {
            let after = last;
            let sequences = reader
                .rows(&Question::Sequences, &Filter::default(), None)
                .await?;
            let newest = newest_of(&sequences);
            if newest > after {
                last = newest.min(after.saturating_add(PAGE));
                break reader
                    .rows(&Question::EventsBetween(after, last), &filter, None)
                    .await?;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        };
    }
}

async fn newest(history: &mut History) -> anyhow::Result<i64> {
    let rows = history
        .reader
        .rows(&Question::Sequences, &Filter::default(), None)
        .await?;
    Ok(newest_of(&rows))
}

/// The last sequence; 0 where there is none.
fn newest_of(rows: &[Vec<Value>]) -> i64 {
    let row = rows
        .first()
        .map(|values| Row::new(Question::Sequences.fields(), values));
    row.and_then(|row| row.integer("last")).unwrap_or(0)
}
