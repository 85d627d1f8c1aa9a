//! The end of the daemon's log: from a file, or from systemd's journal.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::cli::error_words::of_system;
use crate::cli::number::whole;

/// Lines of a log are some hundred bytes; what is read of a file to find the last ones.
const LINE_BYTES: u64 = 1024;

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// The file that the daemon's log goes to; by default systemd's journal is asked.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// The daemon's unit, as systemd calls it.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "stomp-bridge.service",
        conflicts_with = "log_file"
    )]
    unit: String,
    /// How many lines of the log.
    #[arg(long, value_name = "COUNT", default_value_t = 2000, allow_negative_numbers = true, value_parser = whole::<u32>(0, 100_000))]
    lines: u32,
}

/// The last lines, or why there are none.
pub(super) fn read(args: &LogArgs) -> String {
    match &args.log_file {
        Some(file) => last_lines(file, args.lines)
            .unwrap_or_else(|error| format!("no log: {}: {}\n", file.display(), of_system(&error))),
        None => of_systemd(args),
    }
}

fn last_lines(file: &Path, lines: u32) -> io::Result<String> {
    let mut file = File::open(file)?;
    let size = file.metadata()?.len();
    let wanted = u64::from(lines) * LINE_BYTES;
    file.seek(SeekFrom::Start(size.saturating_sub(wanted)))?;
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut last: Vec<&str> = text.lines().rev().take(lines as usize).collect();
    // The first one of a part of the file is a part of a line.
    if size > wanted && text.lines().count() <= lines as usize {
        last.pop();
    }
    last.reverse();
    Ok(last.join("\n") + "\n")
}

fn of_systemd(args: &LogArgs) -> String {
    let lines = args.lines.to_string();
    let asked = Command::new("journalctl")
        .args(["--unit", &args.unit, "--lines", &lines])
        .args(["--no-pager", "--quiet", "--output", "short-iso"])
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = match said.trim() {
                "" => "it has no line of it",
                said => said,
            };
            format!(
                "no log: journalctl was asked for {}: {said}; name the unit with --unit, or the file of \
                 the log with --log-file, and run this as root\n",
                args.unit
            )
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            "no log: there is no journalctl here; name the file of the log with --log-file\n"
                .to_owned()
        }
        Err(error) => format!("no log: journalctl: {}\n", of_system(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_has_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let check = |text: &str, lines, expected: &str| {
            std::fs::write(&file, text).unwrap();
            assert_eq!(
                last_lines(&file, lines).unwrap(),
                expected,
                "{lines} of {text:.20}"
            );
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 5, "a\nb\nc\n");
        check("", 5, "\n");
        let long = format!("{}\nb\nc\n", "x".repeat(3 * LINE_BYTES as usize));
        check(&long, 3, "b\nc\n");
        assert!(last_lines(&folder.path().join("absent"), 1).is_err());
    }
}
