//! `stomp-bridge history faults`: the times of devices in critical states.

use clap::Args;
use jiff::Timestamp;

use super::answer::{
    self, OutputArgs, Shape, View, device_cell, head, label_cells, lasted_cell, number_head,
    time_cell,
};
use super::filter::{DeviceArgs, Serials, SpanArgs};
use super::labels::names_of;
use super::place::PlaceArgs;
use super::table::Cell;
use super::unknown::Wanted;
use crate::model::Severity;
use crate::sinks::history::question::{Filter, Question};
use crate::sinks::history::row::Row;

#[derive(Debug, Args)]
pub(super) struct FaultsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Only times that ended in this state, by its name or by the word as sent.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn faults(args: &FaultsArgs) -> anyhow::Result<()> {
    let mut history = args.place.open().await?;
    let mut filter = Filter::default();
    if let Some(state) = &args.state {
        filter.state = Some(state.clone());
        filter.state_names = names_of(&mut history.reader, state).await;
    }
    args.span.narrow(&history, Timestamp::now(), &mut filter)?;
    args.device
        .narrow(&mut history, &mut filter, Serials::LookedUp)
        .await?;
    let wanted = Wanted {
        fault: args.state.as_deref(),
        ..args.device.wanted()
    };
    let shape = Shape {
        heads: vec![
            head("DEVICE", 0),
            head("NAME", 2),
            head("STATE", 1),
            head("SINCE", 0),
            number_head("LASTED", 1),
            head("UNTIL", 3),
            number_head("NOT KNOWN", 4),
            head("GROUP", 5),
            head("STREAM", 6),
        ],
        row,
        noun: "faults",
    };
    answer::print(
        &mut history,
        &Question::Faults,
        (&filter, wanted),
        &args.output,
        shape,
    )
    .await
}

fn row(row: &Row<'_>, view: &View<'_>) -> Vec<Cell> {
    let [name, group] = label_cells(row, view);
    let until = match row.time("until") {
        Some(until) => time_cell(Some(until), view),
        None => Cell::text("lasts"),
    };
    let uncertain = row
        .number("uncertain_seconds")
        .filter(|seconds| *seconds > 0.0);
    vec![
        device_cell(row),
        name,
        Cell::of(Severity::Critical, row.text("state")),
        time_cell(row.time("since"), view),
        lasted_cell(row.number("seconds")),
        until,
        lasted_cell(uncertain),
        group,
        Cell::text(row.text("stream")),
    ]
}
