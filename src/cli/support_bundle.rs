//! `stomp-bridge support-bundle`: what somebody needs to know who is asked for help, as one file. It is
//! shown before it is written, and holds no secret that the configuration has.
//!
//! - `parts`: what is in it; `log_lines`: the end of the log; `archive`: the file

mod archive;
mod log_lines;
mod parts;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use self::log_lines::LogArgs;
use self::parts::Part;
use super::print::{bytes, counted, harmless, say, table, tell};
use super::target::Target;

/// Lines of a part that a summary shows; the configuration is shown whole.
const LINES_SHOWN: usize = 4;

#[derive(Debug, Args)]
pub(super) struct SupportBundleArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    log: LogArgs,
    /// The archive to write; there must be no such file.
    #[arg(value_name = "FILE.tar.gz", required_unless_present = "print")]
    to: Option<PathBuf>,
    /// Write it without a question.
    #[arg(long, conflicts_with = "print")]
    yes: bool,
    /// Print all that would be in it, and write nothing.
    #[arg(long)]
    print: bool,
}

pub(super) async fn support_bundle(args: &SupportBundleArgs) -> anyhow::Result<ExitCode> {
    let to = args.to.as_deref().filter(|_| !args.print);
    if let Some(to) = to
        && to.try_exists().unwrap_or(true)
    {
        bail!(
            "{} is there already, and nothing is written over: name another file",
            to.display()
        );
    }
    let parts = parts::gather(&args.target, &args.log).await;
    let Some(to) = to else {
        parts.iter().for_each(whole);
        return Ok(ExitCode::SUCCESS);
    };
    summary(&parts);
    if !args.yes && !is_wanted(to, &parts)? {
        say!("nothing was written");
        return Ok(ExitCode::FAILURE);
    }
    let size = archive::write(to, &parts)?;
    say!(
        "{} is written, {}; its owner alone can read it",
        to.display(),
        bytes(size)
    );
    Ok(ExitCode::SUCCESS)
}

fn summary(parts: &[Part]) {
    for part in parts {
        let lines = match part.is_shown_whole {
            true => usize::MAX,
            false => LINES_SHOWN,
        };
        say!("== {}: {}", part.name, part.what);
        for line in part.text.lines().take(lines) {
            say!("{}", harmless(line));
        }
        if let more @ 1.. = part.text.lines().count().saturating_sub(lines) {
            say!("… {}", counted(more as u64, "more line", "more lines"));
        }
        say!("");
    }
    let rows = parts.iter().map(|part| {
        let size = bytes(part.text.len() as u64);
        [format!("  {}", part.name), size, part.what.to_owned()]
    });
    for line in table(rows) {
        say!("{line}");
    }
    say!("Names of hosts, topics, sinks and devices are in it; payloads and secrets are not.");
}

fn whole(part: &Part) {
    say!("== {}: {}", part.name, part.what);
    for line in part.text.lines() {
        say!("{}", harmless(line));
    }
    say!("");
}

/// What a person answers; without a terminal nobody can.
fn is_wanted(to: &Path, parts: &[Part]) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        tell!(
            "there is no terminal to ask on: add --yes to write it, or --print to read all of it"
        );
        return Ok(false);
    }
    loop {
        write!(
            io::stderr(),
            "Write {}? y: yes, s: show all of it, n: no [n] ",
            to.display()
        )?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "s" | "show" => parts.iter().for_each(whole),
            _ => return Ok(false),
        }
    }
}
