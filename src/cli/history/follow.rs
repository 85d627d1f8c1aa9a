//! `stomp-bridge history events --follow`: statuses as they come.

use std::time::Duration;

use super::answer::{OutputArgs, Shape, View, heading, look, say_left_out, table};
use super::below::Below;
use super::format::{Format, Printer};
use super::place::History;
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

/// Polls by sequence: what is stored later has a higher one.
pub(super) async fn follow(
    history: &mut History,
    (filter, wanted): (Filter, Wanted<'_>),
    output: &OutputArgs,
    shape: fn() -> Shape,
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
