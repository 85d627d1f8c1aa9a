//! `stomp-bridge tap`: the messages of the configured topics as they come, from a connection of its
//! own. It writes nothing to the journal, delivers nothing and acknowledges nothing.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::config_file::config_file;
use super::connection::{Interrupt, connect, plan, verb};
use super::frames::{self, Form};
use super::live::{self, printable};
use crate::config::Plan;
use crate::excerpt::beginning;
use crate::model::{Origin, Position, StatusEvent};
use crate::pipeline::Decoder;
use crate::source::{Client, ClientError, Credentials, Observer, Topic, body_of, reads_a_queue};
use crate::stomp::{AckMode, Event, Message, Subscribe};

#[derive(Debug, Args)]
pub(super) struct TapArgs {
    /// The configuration file; by default config.toml, else /etc/stomp-bridge/config.toml.
    #[arg(short, long, value_name = "FILE", default_value_os_t = config_file(), hide_default_value = true)]
    config: PathBuf,
    /// Print the STOMP frames themselves, heart-beats included, as a browser's console does;
    /// secrets are masked.
    #[arg(long)]
    frames: bool,
    /// Only this topic of the configuration; may be given several times.
    #[arg(long = "topic", value_name = "NAME")]
    topics: Vec<String>,
    /// Stop after this number of messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Read queues too, and take the messages away from the daemon and every other consumer.
    #[arg(long)]
    force: bool,
}

pub(super) fn tap(args: &TapArgs, log: Option<&str>) -> ExitCode {
    let (plan, _log) = match plan(&args.config, log) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    verb(show(args, plan))
}

async fn show(args: &TapArgs, plan: Plan) -> anyhow::Result<()> {
    let topics = chosen(&plan, &args.topics)?;
    let form = if args.json { Form::Json } else { Form::Console };
    let limits = plan.source.limits();
    let watch = |credentials: &Credentials| -> Observer {
        if args.frames {
            frames::watch(form, limits, credentials, io::stdout())
        } else {
            Box::new(|_| Ok(()))
        }
    };
    let mut interrupt = Interrupt::listen()?;
    let Some(mut client) = connect(&plan.source, watch, &mut interrupt).await? else {
        return Ok(());
    };
    // Only now, since a sign-in may have a say in the destinations.
    let subscriptions = topics
        .iter()
        .map(|topic| client.subscription(topic))
        .collect::<Result<Vec<_>, _>>()?;
    if !args.force {
        refuse_queues(&topics, &subscriptions)?;
    }
    for subscription in subscriptions {
        client
            .session()
            .subscribe(transient(subscription), std::time::Instant::now());
    }
    let printer = match (args.frames, args.json) {
        (true, _) => Printer::Frames,
        (false, true) => Printer::Json,
        (false, false) => Printer::Lines,
    };
    match follow(
        &mut client,
        &mut interrupt,
        &topics,
        &plan.decoders,
        printer,
        args.count,
    )
    .await
    {
        // A reader of ours that has enough, such as `head`, is no failure.
        Err(error) if is_broken_pipe(&error) => return Ok(()),
        Err(error) if error.is::<ClientError>() && plan.source.signin.is_some() => {
            return Err(error.context(
                "the connection ended; where the platform allows an account one session, another \
                 sign-in of it, such as the daemon's, ends this one",
            ));
        }
        outcome => outcome?,
    }
    // The server's answer to our DISCONNECT no longer matters.
    let _ = client.disconnect().await;
    Ok(())
}

/// The topics of these names, which may be those of tables with a `for`; all of them if none is
/// named.
fn chosen<'a>(plan: &'a Plan, names: &[String]) -> anyhow::Result<Vec<&'a Topic>> {
    let Plan {
        source, families, ..
    } = plan;
    if names.is_empty() {
        return Ok(source.topics.iter().collect());
    }
    let mut wanted = HashSet::new();
    for name in names {
        match families.get(name.as_str()) {
            Some(family) => wanted.extend(family.iter().map(|name| &**name)),
            None if source.topics.iter().any(|topic| *topic.name == **name) => {
                wanted.insert(name.as_str());
            }
            None => {
                let made: HashSet<&str> = families.values().flatten().map(|name| &**name).collect();
                let written = source
                    .topics
                    .iter()
                    .map(|topic| &*topic.name)
                    .filter(|name| !made.contains(name));
                let known: Vec<&str> = families.keys().map(|name| &**name).chain(written).collect();
                bail!(
                    "there is no topic `{name}` in the configuration; it has {}",
                    known.join(", ")
                );
            }
        }
    }
    Ok(source
        .topics
        .iter()
        .filter(|topic| wanted.contains(&*topic.name))
        .collect())
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

/// A subscription that ends with the connection. It has none of the headers that would make it the
/// daemon's durable one (`durable`, `x-queue-name`, `activemq.subscriptionName`, …), whose messages
/// it would take. A selector is kept.
fn transient(mut subscription: Subscribe) -> Subscribe {
    subscription.headers.retain(|(name, _)| name == "selector");
    Subscribe {
        id: format!("tap-{}", subscription.id).into(),
        ack: AckMode::Auto,
        ..subscription
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Printer {
    /// The frames are printed where they cross.
    Frames,
    Lines,
    Json,
}

async fn follow(
    client: &mut Client,
    interrupt: &mut Interrupt,
    topics: &[&Topic],
    decoders: &HashMap<Arc<str>, Decoder>,
    printer: Printer,
    count: Option<u64>,
) -> anyhow::Result<()> {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = client.next() => event?,
            () = interrupt.asked() => return Ok(()),
        };
        match event {
            Event::Subscribed { id, .. } => tracing::info!(subscription = %id, "subscribed"),
            Event::Message(message) if printer == Printer::Frames => {
                drop(message);
                left -= 1;
            }
            Event::Message(message) => {
                let topic = topics
                    .iter()
                    .find(|topic| message.subscription.strip_prefix("tap-") == Some(&*topic.name));
                let Some((topic, decoder)) =
                    topic.and_then(|topic| Some((topic, decoders.get(&topic.name)?)))
                else {
                    continue;
                };
                for status in
                    statuses(&message, decoder).take(usize::try_from(left).unwrap_or(usize::MAX))
                {
                    print(printer, topic, decoder, &status)?;
                    left -= 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What there is of a message: each status, or why there is none and what stands there.
enum Found<'a> {
    Status(Box<StatusEvent>),
    Nothing { error: String, body: Cow<'a, [u8]> },
}

fn statuses<'a>(message: &'a Message, decoder: &'a Decoder) -> impl Iterator<Item = Found<'a>> {
    let received_at = jiff::Timestamp::now();
    // There is no journal: the origin is nobody's.
    let origin = Origin {
        journal: uuid::Uuid::nil(),
        position: Position(0),
    };
    decoder
        .split_message(&body_of(message), received_at)
        .into_iter()
        .filter(|element| !element.ignored)
        .map(move |element| {
            // The reason is the intake's: what is kept is read as UTF-8 later.
            let read = element.outcome.map(|_| &element.raw);
            let event = |raw: &Cow<'_, [u8]>| decoder.event(raw, origin, received_at, None);
            match read.and_then(event) {
                Ok(status) => Found::Status(Box::new(status)),
                Err(undecodable) => Found::Nothing {
                    error: undecodable.to_string(),
                    body: element.raw,
                },
            }
        })
}

/// Characters of a body that are shown where it cannot be decoded.
const EXCERPT_CHARS: usize = 80;

fn print(
    printer: Printer,
    topic: &Topic,
    decoder: &Decoder,
    found: &Found<'_>,
) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Undecoded<'a> {
        topic: &'a str,
        error: &'a str,
        body: &'a str,
    }
    let mut out = io::stdout();
    match (printer, found) {
        (Printer::Json, Found::Status(status)) => {
            let mut status = serde_json::to_value(status)?;
            if let Some(fields) = status.as_object_mut() {
                // Names of journal entries, and there is none.
                fields.retain(|name, _| {
                    !matches!(name.as_str(), "event_id" | "origin" | "missed_transition")
                });
            }
            writeln!(out, "{status}")?;
        }
        (Printer::Json, Found::Nothing { error, body }) => {
            let line = Undecoded {
                topic: &topic.name,
                error,
                body: &String::from_utf8_lossy(body),
            };
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        }
        (_, Found::Status(status)) => live::print(status, decoder)?,
        (_, Found::Nothing { error, body }) => {
            let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
            let body = beginning(&String::from_utf8_lossy(body), EXCERPT_CHARS);
            writeln!(
                out,
                "{time} {} cannot be decoded: {}: {}",
                topic.name,
                printable(error),
                printable(&body)
            )?;
        }
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Observer(error)) => Some(error.kind()),
        _ => error.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};

    fn subscription(destination: &str, headers: &[(&str, &str)]) -> Subscribe {
        Subscribe {
            id: "a".into(),
            destination: destination.to_owned(),
            ack: AckMode::ClientIndividual,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_durable_subscription_of_the_daemon_is_not_touched() {
        let headers = [
            ("durable", "true"),
            ("x-queue-name", "q"),
            ("selector", "a = 1"),
            ("prefetch-count", "9"),
        ];
        let subscribe = transient(subscription("/topic/a", &headers));
        assert_eq!((&*subscribe.id, subscribe.ack), ("tap-a", AckMode::Auto));
        assert_eq!(
            subscribe.headers,
            [("selector".to_owned(), "a = 1".to_owned())]
        );
    }

    #[test]
    fn a_topic_that_is_not_there_is_told_with_those_that_are() {
        let text = "[source]\nurl = \"ws://h\"\n[topics.a]\ndestination = \"/topic/a\"\n\
                    [topics.map]\ndestination = \"/topic/{{ n }}\"\nfor = { n = \"1..3\" }\n";
        let plan = config::parse(
            "config.toml".as_ref(),
            text.to_owned(),
            &Environment::default(),
        )
        .unwrap();
        let chosen = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&plan, &names)
                .map(|topics| topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>())
        };
        let error = chosen(&["b"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no topic `b` in the configuration; it has map, a"
        );
        assert_eq!(chosen(&[]).unwrap(), ["a", "map-1", "map-2", "map-3"]);
        assert_eq!(chosen(&["map"]).unwrap(), ["map-1", "map-2", "map-3"]);
        assert_eq!(chosen(&["map-2", "a", "map-2"]).unwrap(), ["a", "map-2"]);
    }
}
