//! `stomp-bridge sinks list`: each sink of the configuration and of the journal, and how it is.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::print::{fitted, harmless, json, say};
use super::target::Target;
use super::terminal::columns;
use crate::config::Plan;
use crate::ops::status;
use crate::sinks::Condition;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One sink, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Listed {
    /// `None`: the configuration does not have it, or cannot be read.
    r#type: Option<&'static str>,
    /// `None`: no daemon runs.
    state: Option<Condition>,
    /// Entries that it has yet to get; `None`: the journal does not know it.
    pending: Option<u64>,
    dead_letters: Option<u64>,
}

type Sinks = BTreeMap<String, Listed>;

pub(super) async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let plan = args.target.plan();
    let mut sinks = Sinks::new();
    if let Ok(plan) = &plan {
        configured(&mut sinks, plan);
    }
    if let Ok(mut reader) = args.target.reader().await {
        for account in reader.accounts().await? {
            let sink = sinks.entry(account.sink.to_string()).or_default();
            sink.pending = Some(account.pending);
            sink.dead_letters = Some(account.waiting);
        }
    }
    if args.target.may_run()
        && let Ok(report) = args.target.get::<status::Report>("/status").await
    {
        running(&mut sinks, &report);
    }
    if sinks.is_empty() {
        // Neither says anything: why is what helps.
        plan?;
    }
    match args.json {
        true => json(&sinks)?,
        false => lines(&sinks, columns())
            .iter()
            .for_each(|line| say!("{line}")),
    }
    Ok(())
}

fn configured(sinks: &mut Sinks, plan: &Plan) {
    for (delivery, settings) in &plan.sinks {
        let sink = sinks.entry(delivery.name.to_string()).or_default();
        sink.r#type = Some(settings.type_name());
    }
}

fn running(sinks: &mut Sinks, report: &status::Report) {
    for sink in &report.sinks {
        let listed = sinks.entry(sink.name.clone()).or_default();
        listed.pending = Some(sink.account.pending);
        listed.dead_letters = Some(sink.account.waiting);
        listed.state = Some(sink.state);
    }
}

fn lines(sinks: &Sinks, columns: Option<usize>) -> Vec<String> {
    let head = ["SINK", "TYPE", "STATE", "LAG", "DLQ"].map(str::to_owned);
    let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let rows = sinks.iter().map(|(name, sink)| {
        [
            harmless(name),
            sink.r#type.unwrap_or("-").to_owned(),
            sink.state.map_or("-", Condition::as_str).to_owned(),
            count(sink.pending),
            count(sink.dead_letters),
        ]
    });
    fitted(columns, std::iter::once(head).chain(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_listed_with_what_is_known_of_it() {
        let known = Listed {
            r#type: Some("mqtt"),
            state: Some(Condition::Up),
            pending: Some(3),
            dead_letters: Some(0),
        };
        let sinks: Sinks = [
            ("site".to_owned(), known),
            ("历史".to_owned(), Listed::default()),
        ]
        .into();
        let expected = [
            "SINK  TYPE  STATE  LAG  DLQ",
            "site  mqtt  up     3    0",
            "历史  -     -      -    -",
        ];
        assert_eq!(lines(&sinks, None), expected);
    }
}
