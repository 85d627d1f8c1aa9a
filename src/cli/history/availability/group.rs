//! The availability of groups: the sums of their devices.

use std::collections::BTreeMap;

use super::{Figures, heads};
use crate::cli::history::answer::{
    OutputArgs, View, head, heading, look, number_head, print_table, say_cut,
};
use crate::cli::history::format::{Format, Printer};
use crate::cli::history::place::History;
use crate::cli::history::table::{Cell, Table, Widths};
use crate::cli::history::unknown::Wanted;
use crate::sinks::history::question::{Field, Filter, Kind, Question, Value, field};
use crate::sinks::history::row::Row;

/// The columns of an availability by group.
const BY_GROUP: &[Field] = &[
    field("group", Kind::Text),
    field("devices", Kind::Integer),
    field("percent", Kind::Number),
    field("available_seconds", Kind::Number),
    field("known_seconds", Kind::Number),
    field("uncertain_seconds", Kind::Number),
    field("faults", Kind::Integer),
];

/// The sums of the devices of each group.
pub(super) async fn by_group(
    history: &mut History,
    question: &Question,
    (filter, wanted): (&Filter, Wanted<'_>),
    output: &OutputArgs,
) -> anyhow::Result<()> {
    let History { reader, labels, .. } = history;
    let fields = question.fields();
    let mut groups: BTreeMap<String, (usize, Figures)> = BTreeMap::new();
    let mut each = |values: Vec<Value>| {
        let row = Row::new(fields, &values);
        let label = labels.of_row(&row).cloned().unwrap_or_default();
        let group = label.group.as_deref().unwrap_or("").to_owned();
        let (devices, figures) = groups.entry(group).or_default();
        *devices += 1;
        figures.add(&row);
    };
    reader.each(question, filter, None, &mut each).await?;
    let mut groups: Vec<(String, (usize, Figures))> = groups.into_iter().collect();
    let percent = |figures: &Figures| figures.percent().unwrap_or(f64::INFINITY);
    groups.sort_by(|(_, (_, a)), (_, (_, b))| percent(a).total_cmp(&percent(b)));
    let count = groups.len();
    if count == 0 && output.format() == Format::Table {
        wanted.check(history).await?;
    }
    let History { reader, labels, .. } = history;
    groups.truncate(output.limit().unwrap_or(usize::MAX));
    let view = View {
        labels,
        zone: reader.zone(),
        look: look(),
    };
    match output.format() {
        Format::Table => {
            heading(reader.name(), &reader.zone_name(), filter, &view);
            let rows = groups.iter().map(|(group, (devices, figures))| {
                let name = if group.is_empty() { "(none)" } else { group };
                let first = [Cell::text(name), Cell::text(&devices.to_string())];
                first.into_iter().chain(figures.cells()).collect()
            });
            let table = Table {
                rows: rows.collect(),
                heads: heads(vec![head("GROUP", 0), number_head("DEVICES", 3)]),
                above: Widths::default(),
            };
            print_table(&table, "groups", &view.look);
        }
        format => {
            let rows = groups.iter().map(|(group, (devices, figures))| {
                let percent = figures.percent().map_or(Value::Null, Value::Number);
                vec![
                    Value::Text(group.clone()),
                    Value::Integer(i64::try_from(*devices).unwrap_or(i64::MAX)),
                    percent,
                    Value::Number(figures.available),
                    Value::Number(figures.known),
                    Value::Number(figures.uncertain),
                    Value::Integer(figures.faults),
                ]
            });
            let mut printer = Printer::begin(format, BY_GROUP, labels);
            rows.for_each(|values| printer.row(&Row::new(BY_GROUP, &values)));
            printer.end();
            if count == 0 {
                wanted.check(history).await?;
            }
        }
    }
    say_cut(count, output.limit(), "groups");
    Ok(())
}
