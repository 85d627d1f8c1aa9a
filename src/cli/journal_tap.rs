//! `tap` beside a running daemon: what it has journaled, as it comes. No connection is made, so that
//! nobody's session ends, and queues are seen, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Interrupt;
use super::following::{Following, Waited};
use super::print::tell;
use super::received::Found;
use super::tap_line::Lines;
use super::target::Target;
use crate::journal::EntryContent;
use crate::ops::status;
use crate::pipeline::Decoder;

/// How often the journal is looked at while nothing comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Entries that are read at once, and their bytes.
const ENTRIES_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// The daemon's status; `None`: none runs on this journal.
pub(super) async fn daemon(target: &Target) -> Option<status::Report> {
    if !target.may_run() {
        return None;
    }
    target.get("/status").await.ok()
}

/// Prints what comes, until enough has come or the daemon has gone.
pub(super) async fn follow(
    target: &Target,
    report: &status::Report,
    lines: &mut Lines<'_>,
    decoders: &HashMap<Arc<str>, Decoder>,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let mut reader = target.reader().await?;
    let journal = reader.ids().await?;
    let mut position = report.journal.head;
    let mut following = Following::new(target, LOOK_INTERVAL);
    while lines.wants_more() {
        // Ctrl-C ends it however much comes.
        let entries = tokio::select! {
            entries = reader.read_after(position, ENTRIES_MAX, BYTES_MAX) => entries?,
            () = interrupt.asked() => return Ok(()),
        };
        if entries.is_empty() {
            match following.wait(interrupt).await {
                Waited::Look => {}
                Waited::Wondering => {
                    lines.nothing_yet(&format!("the daemon's link is {}", report.link.state));
                }
                Waited::Ended => {
                    tell!("the daemon has stopped; its journal gets nothing more");
                    return Ok(());
                }
                Waited::Interrupted => return Ok(()),
            }
            continue;
        }
        following.has_come();
        for entry in entries {
            position = entry.position;
            let Some(decoder) = decoders.get(&entry.topic) else {
                continue;
            };
            let origin = journal.origin(position);
            let read = |decoder: &Decoder, previous: Option<&str>| match decoder.event(
                &entry.body,
                origin,
                entry.received_at,
                previous,
            ) {
                Ok(event) => Found::Status(Box::new(event)),
                Err(error) => Found::Nothing {
                    error: error.to_string(),
                    body: (&entry.body[..]).into(),
                },
            };
            let found = match &entry.content {
                EntryContent::Status {
                    previous,
                    repeat: false,
                } => read(decoder, previous.as_deref()),
                EntryContent::Resync { previous, .. } => {
                    read(&decoder.of_snapshots(), previous.as_deref())
                }
                EntryContent::Undecodable { reason } => Found::Nothing {
                    error: reason.to_string(),
                    body: (&entry.body[..]).into(),
                },
                EntryContent::Status { .. } | EntryContent::Coverage | EntryContent::Alarm => {
                    continue;
                }
            };
            lines.print(&entry.topic, decoder, &found)?;
        }
    }
    Ok(())
}
