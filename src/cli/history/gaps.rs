//! `stomp-bridge history gaps`: when a topic was not heard.

use clap::Args;
use jiff::Timestamp;

use super::answer::{self, OutputArgs, Shape, View, head, lasted_cell, number_head, time_cell};
use super::filter::SpanArgs;
use super::place::PlaceArgs;
use super::table::Cell;
use crate::sinks::history::question::{Filter, Question};
use crate::sinks::history::row::Row;

#[derive(Debug, Args)]
pub(super) struct GapsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only this topic, by its name.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn gaps(args: &GapsArgs) -> anyhow::Result<()> {
    let mut history = args.place.open().await?;
    let mut filter = Filter {
        topic: args.topic.clone(),
        ..Filter::default()
    };
    args.span.narrow(&history, Timestamp::now(), &mut filter)?;
    let shape = Shape {
        heads: vec![
            head("TOPIC", 0),
            head("SINCE", 0),
            number_head("LASTED", 1),
            head("CAUSE", 2),
            head("UNTIL", 3),
        ],
        row,
        noun: "gaps",
    };
    answer::print(&mut history, &Question::Gaps, &filter, &args.output, shape).await
}

fn row(row: &Row<'_>, view: &View<'_>) -> Vec<Cell> {
    let until = match row.time("until") {
        Some(until) => time_cell(Some(until), view),
        None => Cell::text("lasts"),
    };
    vec![
        Cell::text(row.text("topic")),
        time_cell(row.time("since"), view),
        lasted_cell(row.number("seconds")),
        Cell::text(row.text("cause")),
        until,
    ]
}
