//! `stomp-bridge history export`: every status. It asks page by page, so that neither memory nor a
//! long read of the database grows with the history.

use clap::Args;
use jiff::Timestamp;

use super::filter::{DeviceArgs, Serials, SpanArgs, StatusArgs};
use super::format::{Format, Printer, WHOLE, one_of};
use super::place::{History, PlaceArgs};
use crate::sinks::history::question::{Filter, Question};
use crate::sinks::history::row::Row;

/// Sequences of one page.
const PAGE: i64 = 10_000;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    status: StatusArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// How to write it.
    #[arg(long, value_name = "FORMAT", value_parser = one_of(WHOLE), default_value = "csv")]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

pub(super) async fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let format = match args.json {
        true => Format::Json,
        false => args.format,
    };
    let mut history = args.place.open().await?;
    let mut filter = Filter::default();
    args.span.narrow(&history, Timestamp::now(), &mut filter)?;
    args.status.narrow(&mut filter);
    args.device
        .narrow(&mut history, &mut filter, Serials::Asked)
        .await?;
    let History { reader, labels, .. } = &mut history;
    let sequences = reader
        .rows(&Question::Sequences, &Filter::default(), None)
        .await?;
    let sequences = sequences
        .first()
        .map(|values| Row::new(Question::Sequences.fields(), values));
    let bounds = sequences.and_then(|row| row.integer("first").zip(row.integer("last")));
    let fields = Question::EventsBetween(0, 0).fields();
    let mut printer = Printer::begin(format, fields, labels);
    if let Some((first, last)) = bounds {
        let mut after = first - 1;
        while after < last {
            let end = after.saturating_add(PAGE).min(last);
            let page = Question::EventsBetween(after, end);
            let mut each = |values: Vec<_>| printer.row(&Row::new(fields, &values));
            reader.each(&page, &filter, None, &mut each).await?;
            after = end;
        }
    }
    let is_empty = printer.rows() == 0;
    printer.end();
    let wanted = args.status.wanted(&args.device);
    match is_empty {
        true => wanted.check(&mut history).await,
        false => Ok(()),
    }
}
