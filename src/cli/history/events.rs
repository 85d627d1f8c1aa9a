//! `stomp-bridge history events`: statuses, the newest first; or as they come.

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;

use super::answer::{self, MapOutputArgs, Shape, View, device_cell, head, label_cells, time_cell};
use super::filter::{DeviceArgs, Serials, SpanArgs, StatusArgs};
use super::follow::follow;
use super::format::Format;
use super::place::PlaceArgs;
use super::table::Cell;
use crate::sinks::history::question::{Filter, Order, Question};
use crate::sinks::history::row::Row;

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
    output: MapOutputArgs,
}

pub(super) async fn events(args: &EventsArgs) -> anyhow::Result<()> {
    let output = args.output.output();
    if args.follow && output.format() == Format::Geojson {
        bail!("a FeatureCollection has an end, and --follow has none: say --format json");
    }
    let mut history = args.place.open().await?;
    let mut filter = Filter::default();
    args.span.narrow(&history, Timestamp::now(), &mut filter)?;
    args.status.narrow(&mut filter);
    args.device
        .narrow(&mut history, &mut filter, Serials::Asked)
        .await?;
    if output.format() == Format::Table {
        history.labels.learn_states(&mut history.reader).await;
    }
    let wanted = args.status.wanted(&args.device);
    if args.follow {
        return follow(&mut history, (filter, wanted), &output, shape).await;
    }
    let question = Question::Events(Order::Newest);
    let asked = (&filter, wanted);
    answer::print(&mut history, &question, asked, &output, shape()).await
}

/// How statuses look as a table.
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
            head("STREAM", 9),
        ],
        row,
        noun: "statuses",
    }
}

fn row(row: &Row<'_>, view: &View<'_>) -> Vec<Cell> {
    let [name, group] = label_cells(row, view);
    let notes = [
        ("missed", row.is("missed_transition")),
        ("resync", row.text("via") == "resync"),
        ("changed", row.is("changed")),
    ];
    let notes = notes.iter().filter(|(_, holds)| *holds);
    let notes: Vec<&str> = notes.map(|(note, _)| *note).collect();
    vec![
        time_cell(row.time("received_at"), view),
        device_cell(row),
        name,
        Cell::of(row.severity(), row.text("state")),
        Cell::text(view.labels.state(row.text("old_state"))),
        Cell::text(&notes.join(", ")),
        group,
        Cell::text(row.text("topic")),
        Cell::text(row.text("city")),
        Cell::text(row.text("serial")),
        Cell::text(row.text("stream")),
    ]
}
