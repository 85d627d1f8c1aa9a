//! `config show` and `config schema`: what the configuration says, and what it may say.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::config_file::config_file;
use super::exit::BAD_CONFIGURATION;
use super::print::{self, harmless, say, table, tell};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value_os_t = config_file(), hide_default_value = true)]
    config: PathBuf,
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
    let all = match config::written(&args.config) {
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
    let rows = lines.map(|line| [line.key, "=", line.value, "#", line.from].map(harmless));
    for line in table(rows) {
        say!("{line}");
    }
    say!("\nEvery other key has its default: config.toml of the project lists them.");
    Ok(ExitCode::SUCCESS)
}

/// Prints the JSON Schema.
pub(super) fn schema() -> anyhow::Result<ExitCode> {
    print::json(&config::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
