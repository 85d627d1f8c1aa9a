//! `stomp-bridge history devices`: the newest state of each device.

use clap::Args;
use jiff::Timestamp;

use super::answer::{self, MapOutputArgs, Shape, View, device_cell, head, label_cells, time_cell};
use super::filter::{DeviceArgs, Serials, SpanArgs, StatusArgs};
use super::place::PlaceArgs;
use super::table::Cell;
use crate::sinks::history::question::{Filter, Question};
use crate::sinks::history::row::Row;

#[derive(Debug, Args)]
pub(super) struct DevicesArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    status: StatusArgs,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    output: MapOutputArgs,
}

pub(super) async fn devices(args: &DevicesArgs) -> anyhow::Result<()> {
    let mut history = args.place.open().await?;
    let mut filter = Filter::default();
    args.span.narrow(&history, Timestamp::now(), &mut filter)?;
    args.status.narrow(&mut filter);
    args.device
        .narrow(&mut history, &mut filter, Serials::Asked)
        .await?;
    let shape = Shape {
        heads: vec![
            head("DEVICE", 0),
            head("NAME", 1),
            head("STATE", 0),
            head("SINCE", 2),
            head("CERTAIN", 3),
            head("HEARD", 4),
            head("GROUP", 5),
            head("CITY", 6),
            head("TOPIC", 7),
            head("SERIAL", 8),
            head("STREAM", 9),
        ],
        row,
        noun: "devices",
    };
    answer::print(
        &mut history,
        &Question::Devices,
        (&filter, args.status.wanted(&args.device)),
        &args.output.output(),
        shape,
    )
    .await
}

fn row(row: &Row<'_>, view: &View<'_>) -> Vec<Cell> {
    let [name, group] = label_cells(row, view);
    vec![
        device_cell(row),
        name,
        Cell::of(row.severity(), row.text("state")),
        time_cell(row.time("state_since"), view),
        Cell::text(if row.is("certain") { "" } else { "no" }),
        time_cell(row.time("last_seen"), view),
        group,
        Cell::text(row.text("city")),
        Cell::text(row.text("topic")),
        Cell::text(row.text("serial")),
        Cell::text(row.text("stream")),
    ]
}
