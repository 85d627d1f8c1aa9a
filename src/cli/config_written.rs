//! `config show` and `config schema`: what the configuration says, and what it may say.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::config_file::ConfigArgs;
use super::exit::BAD_CONFIGURATION;
use super::print::{self, harmless, say, table, tell};
use super::terminal::{columns, hanging};
use crate::config::{self, LeftOut};

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// List the keys that are left out, too, each with its default.
    #[arg(long)]
    defaults: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints every value with its origin.
pub(super) fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Line<'a> {
        key: &'a str,
        value: &'a str,
        from: &'a str,
    }
    let left_out = match args.defaults {
        true => LeftOut::Listed,
        false => LeftOut::Hidden,
    };
    let all = match config::written(&args.config.file, left_out) {
        Ok(all) => all,
        Err(problems) => {
            tell!("{problems}");
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
    };
    let lines = all.iter().map(|one| Line {
        key: &one.key,
        value: &one.value,
        from: &one.origin,
    });
    if args.json {
        print::json(&lines.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = lines.map(|line| [line.key, line.value, line.from].map(harmless));
    for line in fitted(columns(), &rows.collect::<Vec<_>>()) {
        say!("{line}");
    }
    let rest = match args.defaults {
        true => "A key without a line is not set: config.toml of the project says what it does.",
        false => "Every other key has its default: --defaults lists them.",
    };
    say!("\n{}", hanging(rest, 2, columns()).join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// In three columns; where the terminal is too narrow for them, each value's origin stands below it.
fn fitted(columns: Option<usize>, rows: &[[String; 3]]) -> Vec<String> {
    let lines = table(rows.iter().map(|[key, value, from]| {
        [
            key.clone(),
            "=".to_owned(),
            value.clone(),
            "#".to_owned(),
            from.clone(),
        ]
    }));
    let is_wide = |columns: usize| lines.iter().any(|line| line.width() > columns);
    if !columns.is_some_and(is_wide) {
        return lines;
    }
    let below = |[key, value, from]: &[String; 3]| {
        let mut lines = hanging(&format!("{key} = {value}"), 4, columns);
        lines.extend(hanging(&format!("    # {from}"), 6, columns));
        lines
    };
    rows.iter().flat_map(below).collect()
}

/// Prints the JSON Schema.
pub(super) fn schema() -> anyhow::Result<ExitCode> {
    print::json(&config::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
