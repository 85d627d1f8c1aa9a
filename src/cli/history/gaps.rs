//! `stomp-bridge history gaps`: when a topic was not heard.

use clap::Args;
use jiff::Timestamp;

use super::answer::{self, OutputArgs, Shape, View, head, lasted_cell, number_head, time_cell};
use super::filter::SpanArgs;
use super::place::PlaceArgs;
use super::table::{Cell, Head};
use super::unknown::Wanted;
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
        heads: heads(),
        row,
        noun: "gaps",
    };
    let wanted = Wanted {
        topic: args.topic.as_deref(),
        ..Wanted::default()
    };
    let asked = (&filter, wanted);
    answer::print(&mut history, &Question::Gaps, asked, &args.output, shape).await
}

fn heads() -> Vec<Head> {
    vec![
        head("TOPIC", 0),
        head("SINCE", 0),
        number_head("LASTED", 2),
        head("CAUSE", 1),
        head("UNTIL", 3),
    ]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::history::table::{Look, Table};

    #[test]
    fn a_narrow_terminal_shows_when_how_long_and_why() {
        let time = || Cell::or_short("2026-11-30 22:53:40".to_owned(), "11-30 22:53".to_owned());
        let cells = [
            Cell::text("map-1"),
            time(),
            Cell::text("5m12s"),
            Cell::text("connection_lost"),
            time(),
        ];
        let table = Table {
            heads: heads(),
            rows: vec![cells.to_vec()],
            ..Table::default()
        };
        let look = Look {
            columns: Some(40),
            has_colours: false,
            has_unicode: true,
        };
        let drawn = table.lines(&look);
        assert_eq!(drawn.left_out, ["UNTIL"]);
        assert_eq!(drawn.lines[1], "map-1  11-30 22:53   5m12s  connection_…");
    }
}
