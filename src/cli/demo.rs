//! `stomp-bridge demo`: a small STOMP broker, simulated devices and the whole daemon; nothing else
//! needed.

use std::io::{ErrorKind, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::exit::{fail, refuse};
use super::number::whole;
use super::print::{is_broken_pipe, say};
use super::runtime::runtime;
use super::{live, log};
use crate::app::{App, Signals};
use crate::config::{self, Plan};
use crate::demo::{Broker, Devices};
use crate::duration::InWords;
use crate::journal::{EntryContent, Journal};
use crate::model::Position;

/// Entries that the live lines read at once, and their bytes.
const ENTRIES_MAX: usize = 256;
const BYTES_MAX: usize = 1024 * 1024;

/// What lies in a demo's folder.
const FILES: [&str; 3] = ["config.toml", "journal.db", "history.db"];

/// The name of the sink that the demo waits for.
const HISTORY: &str = "history";

/// How long the history may take to store the printed statuses, and how often the demo looks.
const HISTORY_MAX: Duration = Duration::from_secs(30);
const HISTORY_LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where config.toml, the journal and history.db go; a new temporary folder if not given.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Stop after this number of messages.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = whole::<u64>(0, u64::MAX))]
    messages: Option<u64>,
}

pub(super) fn demo(args: &DemoArgs, log: Option<&str>) -> ExitCode {
    // The live lines are the show; the log speaks up only when something is wrong.
    let _log = match log::start(log, "warn") {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let outcome = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(show(args));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn show(args: &DemoArgs) -> anyhow::Result<()> {
    let signals = Signals::catch()?;
    let dir = folder(args.dir.as_deref())?;
    let broker = Broker::bind(([127, 0, 0, 1], 0).into())
        .await
        .context("open a port on 127.0.0.1")?;
    let config = dir.join("config.toml");
    std::fs::write(&config, configuration(broker.url_sockjs().as_str()))
        .with_context(|| format!("write {}", config.display()))?;
    let plan = config::load(&config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let decoders = plan.decoders.clone();
    let stop = CancellationToken::new();
    let mut app = start(plan, &config).await?;
    let next = Next {
        config: config.clone(),
        page: format!("http://{}/", app.http()),
    };
    // A program, or one who has asked for a number, gets every line, and reads these first.
    let is_watched = args.messages.is_none() && std::io::stdout().is_terminal();
    let head = next.head(&broker, &dir);
    let commands = match is_watched {
        true => Vec::new(),
        false => next.commands(),
    };
    for line in head.iter().chain(&commands) {
        say!("{line}");
    }
    let pace = is_watched.then(Pace::default);
    let publisher = broker.publisher();
    let token = stop.clone();
    app.accompany("demo broker", async move {
        broker.run(token).await;
        Ok(())
    });
    let token = stop.clone();
    app.accompany("demo devices", async move {
        Devices::new(fastrand::u64(..)).run(publisher, token).await;
        Ok(())
    });
    let journal = app.view().journal.clone();
    let (token, messages) = (app.stopper(), args.messages);
    app.accompany("live lines", async move {
        let lines = async {
            match print_live(&journal, decoders, messages, (pace, &next)).await {
                Ok(last) => stored(&journal, last).await,
                // A reader that has enough, such as `head`, is no failure.
                Err(error) if is_broken_pipe(&error) => Ok(()),
                Err(error) => Err(error),
            }
        };
        tokio::select! {
            () = token.cancelled() => Ok(()),
            printed = lines => {
                token.cancel();
                printed
            }
        }
    });
    let outcome = app.run(signals).await;
    stop.cancel();
    outcome?;
    farewell(&dir);
    Ok(())
}

async fn start(plan: Plan, config: &Path) -> anyhow::Result<App> {
    App::start(plan, config).await.context("start the daemon")
}

fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = match given {
        Some(dir) => std::path::absolute(dir)?,
        None => std::env::temp_dir().join(format!("stomp-bridge-demo-{:016x}", fastrand::u64(..))),
    };
    // The journal holds what the devices say: nobody else's business.
    let mut builder = std::fs::DirBuilder::new();
    // Everybody may make a folder where temporary ones are: one that is there is somebody else's.
    let made = builder.recursive(given.is_some()).mode(0o700).create(&dir);
    made.with_context(|| format!("create {}", dir.display()))?;
    refuse_foreign(&dir)?;
    Ok(dir)
}

/// The demo writes its configuration, and its daemon uses the journal: somebody else's would be
/// lost.
fn refuse_foreign(dir: &Path) -> anyhow::Result<()> {
    let config = dir.join("config.toml");
    let is_ours = match std::fs::read_to_string(&config) {
        Ok(text) => is_unchanged(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("read {}", config.display())),
    };
    let taken = FILES.iter().find(|file| dir.join(file).exists());
    if let (false, Some(file)) = (is_ours, taken) {
        bail!(
            "{} has a {file} that is not the demo's, or was changed since: name another folder \
             with --dir, or start the daemon there by `stomp-bridge run`",
            dir.display()
        );
    }
    Ok(())
}

/// Whether it is what a demo has written: the broker stands in the first line, too.
fn is_unchanged(text: &str) -> bool {
    let url = text.lines().find_map(|line| line.strip_prefix("url = \""));
    let url = url.and_then(|rest| rest.strip_suffix('"'));
    url.is_some_and(|url| configuration(url) == text)
}

/// What the demo runs on is a configuration like anybody's.
fn configuration(url: &str) -> String {
    let topics: String = Devices::CLIENTS
        .iter()
        .map(|client| format!("[topics.map-{client}]\ndestination = \"/topic/state/{client}\"\n"))
        .collect();
    format!(
        r#"# Written by `stomp-bridge demo`, whose broker was at {url}
[source]
url = "{url}"

{topics}
[states]
"正常" = {{ name = "normal", severity = "ok" }}
"故障" = {{ name = "fault", severity = "critical" }}
"离线" = {{ name = "offline", severity = "warning" }}

[journal]
path = "journal.db"

[sinks.history]
type = "sqlite"
path = "history.db"

[http]
listen = "127.0.0.1:0"
"#
    )
}

/// Prints a line for each status that has reached the journal, from where it stands now, until
/// `count` are printed; gives the last one's position.
async fn print_live(
    journal: &Journal,
    decoders: Arc<std::collections::HashMap<Arc<str>, crate::pipeline::Decoder>>,
    count: Option<u64>,
    (mut pace, next): (Option<Pace>, &Next),
) -> anyhow::Result<Position> {
    let mut head = journal.log.head();
    let mut reader = journal.log.reader().await?;
    let mut position = *head.borrow();
    let mut left = count.unwrap_or(u64::MAX);
    loop {
        for entry in reader.read_after(position, ENTRIES_MAX, BYTES_MAX).await? {
            position = entry.position;
            let EntryContent::Status {
                previous,
                repeat: false,
            } = &entry.content
            else {
                // The demo asks for no snapshots.
                continue;
            };
            let Some(decoder) = decoders.get(&entry.topic) else {
                continue;
            };
            let origin = journal.log.ids().origin(position);
            if let Ok(event) =
                decoder.event(&entry.body, origin, entry.received_at, previous.as_deref())
            {
                match pace
                    .as_mut()
                    .map_or(Line::Shown, |pace| pace.next(event.changed, Instant::now()))
                {
                    Line::Shown => live::print(&event, decoder)?,
                    Line::LastOfAll => {
                        live::print(&event, decoder)?;
                        say!("\nFrom here on a change a second is shown.");
                        next.commands().iter().for_each(|line| say!("{line}"));
                    }
                    Line::Skipped => {}
                }
                left -= 1;
                if left == 0 {
                    return Ok(position);
                }
            }
        }
        if *head.borrow_and_update() <= position {
            head.changed().await?;
        }
    }
}

/// What somebody may type or open while the demo runs.
struct Next {
    config: PathBuf,
    page: String,
}

impl Next {
    /// What there is.
    fn head(&self, broker: &Broker, dir: &Path) -> Vec<String> {
        let config = self.config.display();
        vec![
            format!("broker   {} (SockJS)", broker.url_sockjs()),
            format!("         {} and {}", broker.url_ws(), broker.url_stomp()),
            format!("page     {}", self.page),
            format!("config   {config}"),
            format!("history  {}", dir.join("history.db").display()),
            "devices  12: 正常 (normal), 故障 (fault), 离线 (offline); Ctrl-C ends it".to_owned(),
            String::new(),
        ]
    }

    /// What to do next.
    fn commands(&self) -> Vec<String> {
        let config = self.config.display();
        vec![
            format!("Open {}, or type in another terminal:", self.page),
            format!("  stomp-bridge status --watch --config {config}"),
            format!("  stomp-bridge tap --changed --config {config}"),
            String::new(),
        ]
    }
}

/// On a terminal every status is shown at first, then a change a second at most: nobody reads thirty
/// lines a second.
#[derive(Debug, Default)]
struct Pace {
    lines: u32,
    /// When the last change was shown.
    shown: Option<Instant>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Shown,
    /// It is shown, and few changes alone after it.
    LastOfAll,
    Skipped,
}

/// The head of the demo, these and what may be typed are on a screen of 24 lines.
const LINES_OF_ALL: u32 = 8;

/// Between two changes that are shown.
const CHANGE_INTERVAL: Duration = Duration::from_secs(1);

impl Pace {
    fn next(&mut self, changed: bool, now: Instant) -> Line {
        self.lines = self.lines.saturating_add(1);
        let is_due = |shown: Instant| now.duration_since(shown) >= CHANGE_INTERVAL;
        match self.lines {
            LINES_OF_ALL => {
                self.shown = Some(now);
                Line::LastOfAll
            }
            lines if lines < LINES_OF_ALL => Line::Shown,
            _ if changed && self.shown.is_none_or(is_due) => {
                self.shown = Some(now);
                Line::Shown
            }
            _ => Line::Skipped,
        }
    }
}

/// Waits until the history has everything up to `last`, so that the user can query the printed
/// statuses.
async fn stored(journal: &Journal, last: Position) -> anyhow::Result<()> {
    let reached = async {
        while journal
            .log
            .status()
            .sinks
            .iter()
            .any(|sink| *sink.name == *HISTORY && sink.cursor < last)
        {
            tokio::time::sleep(HISTORY_LOOK).await;
        }
    };
    tokio::time::timeout(HISTORY_MAX, reached)
        .await
        .with_context(|| {
            format!(
                "the history has not stored all messages within {}; the log above says why",
                InWords(HISTORY_MAX)
            )
        })
}

fn farewell(dir: &Path) {
    let (history, config) = (dir.join("history.db"), dir.join("config.toml"));
    say!("\nThe history stays in {}. Try:\n", history.display());
    say!("  stomp-bridge history faults --file {}", history.display());
    say!("  stomp-bridge why 1/1 --config {}", config.display());
    let queries = [
        "select client_id, device_id, state, severity, city from device_current",
        "select state, count(*) from status_event group by state",
        "select received_at, device_id, old_state, new_state from status_event where changed order by 1 desc limit 5",
    ];
    for query in queries {
        say!("  sqlite3 {} \"{query}\"", history.display());
    }
    say!(
        "\nYour own platform, whose first messages tell what to write into config.toml:\n\n  \
         stomp-bridge init\n  stomp-bridge run\n\nThese devices again, with their history:\n\n  \
         stomp-bridge demo --dir {}",
        dir.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_first_lines_a_change_a_second_is_shown() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let lines: Vec<Line> = (0..LINES_OF_ALL).map(|_| pace.next(false, start)).collect();
        let (last, first) = lines.split_last().expect("lines");
        assert!(first.iter().all(|line| *line == Line::Shown));
        assert_eq!(*last, Line::LastOfAll);
        for (milliseconds, changed, expected) in [
            (900, true, Line::Skipped),
            (1000, false, Line::Skipped),
            (1100, true, Line::Shown),
            (2000, true, Line::Skipped),
            (2100, true, Line::Shown),
        ] {
            let now = start + Duration::from_millis(milliseconds);
            assert_eq!(pace.next(changed, now), expected, "at {milliseconds} ms");
        }
    }
}
