//! What a bundle has: texts, each of which has passed the list of secrets.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jiff::Zoned;
use serde_json::Value;

use super::log_lines::{self, LogArgs};
use crate::app::try_build;
use crate::cli::error_words::in_words;
use crate::cli::print::{harmless, table};
use crate::cli::target::Target;
use crate::config::{self, LeftOut};
use crate::secret::redact;

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// What it is, in some words.
    pub(super) what: &'static str,
    /// Without secrets.
    pub(super) text: String,
    /// Also in the summary.
    pub(super) is_shown_whole: bool,
}

impl Part {
    fn new(name: &'static str, what: &'static str, text: &str) -> Part {
        Part {
            name,
            what,
            text: redact(text).into_owned(),
            is_shown_whole: false,
        }
    }
}

/// Everything that can be had. What cannot says why in its place: a bundle is asked for where
/// something is wrong.
pub(super) async fn gather(target: &Target, log: &LogArgs) -> Vec<Part> {
    // First: every secret of the configuration has to be known before anything is read.
    let problems = target.plan().and_then(|plan| try_build(&plan)).err();
    let status = target.get::<Value>("/status").await;
    let status = match status.map(|status| serde_json::to_string_pretty(&status)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("no status: {}", in_words(&error)),
    };
    let metrics = match target.get_text("/metrics").await {
        Ok(metrics) => metrics,
        Err(error) => format!("no metrics: {}", in_words(&error)),
    };
    let configuration = configuration(target, problems.as_ref().map(in_words));
    vec![
        Part::new(
            "versions.txt",
            "versions of the program and the system",
            &versions(),
        ),
        Part {
            is_shown_whole: true,
            ..Part::new(
                "configuration.txt",
                "every value that is set, with its origin; … stands for a secret",
                &configuration,
            )
        },
        Part::new("files.txt", "sizes of the journal's files", &files(target)),
        Part::new("status.json", "what `stomp-bridge status` knows", &status),
        Part::new("metrics.txt", "counters since the daemon's start", &metrics),
        Part::new(
            "log.txt",
            "the last lines of the log",
            &log_lines::read(log),
        ),
    ]
}

fn versions() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let release = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().unwrap_or_default().to_owned();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let rows = [
        ["stomp-bridge", env!("STOMP_BRIDGE_VERSION")],
        ["system", release.unwrap_or_default().trim_matches('"')],
        ["kernel", kernel.trim()],
        ["architecture", std::env::consts::ARCH],
        ["processors", &processors.to_string()],
        ["memory", memory.trim_start_matches("MemTotal:").trim()],
        ["time", &Zoned::now().to_string()],
    ];
    let rows = rows.map(|row| row.map(str::to_owned));
    table(rows).join("\n") + "\n"
}

fn configuration(target: &Target, problems: Option<String>) -> String {
    let mut text = String::new();
    match config::written(target.config(), LeftOut::Hidden) {
        Ok(all) => {
            let rows = all
                .iter()
                .map(|one| ["", &one.key, "=", &one.value, "#", &one.origin].map(harmless));
            for line in table(rows) {
                let _ = writeln!(text, "{}", line.trim_start());
            }
        }
        Err(problems) => {
            let _ = writeln!(text, "{problems}");
        }
    }
    if let Some(problems) = problems {
        let _ = writeln!(text, "\nIt cannot be used:\n{problems}");
    }
    text
}

/// The journal, and what lies beside it.
fn files(target: &Target) -> String {
    let journal = match target.journal_path() {
        Ok(journal) => journal,
        Err(error) => return format!("no journal: {}\n", in_words(&error)),
    };
    let size = |path: &Path| match fs::metadata(path) {
        Ok(found) => format!("{} bytes", found.len()),
        Err(error) => error.to_string(),
    };
    let beside = ["", "-wal", "-shm", "-lock", "-control"].map(|suffix| {
        let mut path = journal.clone().into_os_string();
        path.push(suffix);
        path
    });
    let mut rows: Vec<[String; 2]> = beside
        .iter()
        .map(|path| [path.to_string_lossy().into_owned(), size(Path::new(path))])
        .collect();
    let folder = journal.parent().unwrap_or(Path::new("/"));
    if let Ok(system) = rustix::fs::statvfs(folder) {
        let free = system.f_bavail * system.f_frsize;
        rows.push(["free on its disk".to_owned(), format!("{free} bytes")]);
    }
    table(rows).join("\n") + "\n"
}
