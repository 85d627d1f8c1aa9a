//! `stomp-bridge tap`: the messages of the configured topics as they come, out of a running daemon's
//! journal, else from a connection of its own. It writes nothing to the journal, delivers nothing
//! and acknowledges nothing.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use tokio::time::sleep;

use super::config_file::ConfigArgs;
use super::connection::{Interrupt, connect, plan, verb};
use super::frames;
use super::journal_tap;
use super::number::whole;
use super::print;
use super::received::{PREFIX, chosen, statuses, transient};
use super::sink_tap;
use super::tap_line::{Filter, Form, Lines, QUIET};
use super::target::Target;
use crate::config::Plan;
use crate::pipeline::Decoder;
use crate::source::{Client, ClientError, Credentials, Observer, Topic, reads_a_queue};
use crate::stomp::{Event, Subscribe};

#[derive(Debug, Args)]
pub(super) struct TapArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Show what this sink sends, as its other side confirms it, in place of what the topics bring: the
    /// request, the publish or the row of each event, and the answer. A daemon must run.
    #[arg(value_name = "SINK", conflicts_with_all = ["frames", "own_connection", "force"])]
    sink: Option<String>,
    /// Print the STOMP frames themselves, heart-beats included, as a browser's console does;
    /// secrets are masked.
    #[arg(long)]
    frames: bool,
    /// Only this topic of the configuration; may be given several times.
    #[arg(long = "topic", value_name = "NAME")]
    topics: Vec<String>,
    /// Stop after this number of messages.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    count: Option<u64>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Only statuses of this device: client and device as in 1/7, a device of any client as in 7, a
    /// name from [names], or a serial number.
    #[arg(long, value_name = "DEVICE", conflicts_with = "frames")]
    device: Option<String>,
    /// Only statuses of this state, by its name or the platform's word.
    #[arg(long, value_name = "STATE", conflicts_with = "frames")]
    state: Option<String>,
    /// Only statuses that changed a state.
    #[arg(long, conflicts_with = "frames")]
    changed: bool,
    /// Connect to the server, though a daemon runs whose journal shows the same.
    #[arg(long)]
    own_connection: bool,
    /// Read queues too, and take the messages away from the daemon and every other consumer.
    #[arg(long)]
    force: bool,
}

pub(super) fn tap(args: &TapArgs, log: Option<&str>) -> ExitCode {
    let (plan, _log) = match plan(&args.config.file, log) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    verb(show(args, plan))
}

async fn show(args: &TapArgs, plan: Plan) -> anyhow::Result<()> {
    let topics = chosen(&plan, &args.topics)?;
    let mut interrupt = Interrupt::listen()?;
    let target = Target::of(&args.config.file);
    let filter = Filter {
        device: args.device.as_deref(),
        state: args.state.as_deref(),
        changed: args.changed,
    };
    if let Some(sink) = &args.sink {
        let names = topics.iter().map(|topic| topic.name.to_string());
        let names: Vec<String> = match args.topics.is_empty() {
            true => Vec::new(),
            false => names.collect(),
        };
        let wanted = sink_tap::Wanted {
            sink,
            topics: &names,
            filter,
            count: args.count,
            json: args.json,
        };
        return sink_tap::follow(&target, &plan, wanted, &mut interrupt).await;
    }
    let daemon = match args.own_connection || args.frames || args.force {
        true => None,
        false => journal_tap::daemon(&target).await,
    };
    let form = match (args.json, &daemon) {
        (false, _) => Form::Text,
        (true, None) => Form::Json,
        (true, Some(_)) => Form::JsonOfEntry,
    };
    let names = topics.iter().map(|topic| &*topic.name);
    let mut lines = Lines::new(form, filter, names, args.count);
    let followed = match &daemon {
        Some(report) => {
            let decoders = &plan.decoders;
            journal_tap::follow(&target, report, &mut lines, decoders, &mut interrupt).await
        }
        None => connected(args, &plan, &topics, &mut lines, &mut interrupt).await,
    };
    match followed {
        // A reader of ours that has enough, such as `head`, is no failure.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        Err(error) if error.is::<ClientError>() && plan.source.signin.is_some() => Err(error
            .context(
                "the connection ended; where the platform allows an account one session, another \
                 sign-in of it, such as the daemon's, ends this one",
            )),
        outcome => outcome,
    }
}

/// Over a connection of its own.
async fn connected(
    args: &TapArgs,
    plan: &Plan,
    topics: &[&Topic],
    lines: &mut Lines<'_>,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let form = match args.json {
        true => frames::Form::Json,
        false => frames::Form::Console,
    };
    let limits = plan.source.limits();
    let watch = |credentials: &Credentials| -> Observer {
        if args.frames {
            frames::watch(form, limits, credentials, io::stdout())
        } else {
            Box::new(|_| Ok(()))
        }
    };
    let Some(mut client) = connect(&plan.source, watch, interrupt).await? else {
        return Ok(());
    };
    // Only now, since a sign-in may have a say in the destinations.
    let subscriptions = topics
        .iter()
        .map(|topic| client.subscription(topic))
        .collect::<Result<Vec<_>, _>>()?;
    if !args.force {
        refuse_queues(topics, &subscriptions)?;
    }
    for subscription in subscriptions {
        client
            .session()
            .subscribe(transient(subscription), std::time::Instant::now());
    }
    let shown = match args.frames {
        true => Shown::Frames,
        false => Shown::Statuses,
    };
    follow(&mut client, interrupt, shown, lines, &plan.decoders).await?;
    // The server's answer to our DISCONNECT no longer matters.
    let _ = client.disconnect().await;
    Ok(())
}

/// A queue gives each message to one consumer: looking at it takes it away from the daemon. There
/// is no header by which all servers would only let us look.
fn refuse_queues(topics: &[&Topic], subscriptions: &[Subscribe]) -> anyhow::Result<()> {
    match topics
        .iter()
        .zip(subscriptions)
        .find(|(_, subscription)| reads_a_queue(subscription))
    {
        None => Ok(()),
        Some((topic, _)) => bail!(
            "topic `{}` reads the queue {}: tap would take its messages away from the daemon; choose others with \
             --topic, or take them with --force",
            topic.name,
            topic.destination
        ),
    }
}

/// Which part of a message is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Its frame, where it crosses.
    Frames,
    Statuses,
}

async fn follow(
    client: &mut Client,
    interrupt: &mut Interrupt,
    shown: Shown,
    lines: &mut Lines<'_>,
    decoders: &HashMap<Arc<str>, Decoder>,
) -> anyhow::Result<()> {
    let mut quiet = pin!(sleep(QUIET));
    let mut is_quiet = shown == Shown::Statuses;
    while lines.wants_more() {
        let event = tokio::select! {
            event = client.next() => event?,
            () = &mut quiet, if is_quiet => {
                is_quiet = false;
                lines.nothing_yet("connected");
                continue;
            }
            () = interrupt.asked() => return Ok(()),
        };
        match event {
            Event::Subscribed { id, .. } => tracing::info!(subscription = %id, "subscribed"),
            Event::Message(message) if shown == Shown::Frames => {
                drop(message);
                lines.count();
            }
            Event::Message(message) => {
                is_quiet = false;
                let topic = message.subscription.strip_prefix(PREFIX);
                let decoder = topic.and_then(|topic| Some((topic, decoders.get(topic)?)));
                if let Some((topic, decoder)) = decoder {
                    for found in statuses(&message, decoder) {
                        lines.print(topic, decoder, &found)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Also where an observer has written.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Observer(error)) => error.kind() == io::ErrorKind::BrokenPipe,
        _ => print::is_broken_pipe(error),
    }
}
