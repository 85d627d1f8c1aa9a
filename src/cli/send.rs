//! `stomp-bridge send`: one message to the source's server, from the configuration alone.

use std::io::{Read, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use super::config_file::ConfigArgs;
use super::connection::{Interrupt, connect, plan, verb};
use crate::config::Plan;
use crate::source::Client;
use crate::stomp::{BodyKind, Confirm, Confirmation, Event, Farewell, NewMessage};

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The destination, as the server knows it.
    #[arg(value_name = "DEST")]
    destination: String,
    /// The body; `-` reads it from standard input.
    #[arg(value_name = "BODY")]
    body: String,
    /// A further header; may be given several times.
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Wait until the server confirms the message; Spring's simple broker never does. Without it
    /// the exit code is 0 where the server refuses nothing within a second and ends in order.
    #[arg(long)]
    receipt: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Headers of SEND that are ours to write, and the one that RabbitMQ answers with an ERROR.
const OURS: [&str; 5] = [
    "destination",
    "content-length",
    "receipt",
    "transaction",
    "message-id",
];

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME:VALUE")?;
    match name {
        "" => Err("expected a name before the colon".to_owned()),
        name if OURS.contains(&name) => Err(format!("the header `{name}` cannot be set here")),
        name => Ok((name.to_owned(), value.to_owned())),
    }
}

pub(super) fn send(args: &SendArgs, log: Option<&str>) -> ExitCode {
    let (plan, _log) = match plan(&args.config.file, log) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    verb(deliver(args, plan))
}

async fn deliver(args: &SendArgs, plan: Plan) -> anyhow::Result<()> {
    let body = body(&args.body)?;
    let mut interrupt = Interrupt::listen()?;
    let Some(mut client) = connect(&plan.source, |_| Box::new(|_| Ok(())), &mut interrupt).await?
    else {
        bail!("interrupted: nothing was sent");
    };
    let headers: Vec<(&str, &str)> = args
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let message = NewMessage {
        destination: &args.destination,
        headers: &headers,
        body: &body,
        // ActiveMQ makes a bytes message of what has a content-length, which its other consumers
        // may not expect.
        kind: if std::str::from_utf8(&body).is_ok() {
            BodyKind::Text
        } else {
            BodyKind::Bytes
        },
        confirm: if args.receipt {
            Confirm::Receipt
        } else {
            Confirm::No
        },
        ..NewMessage::default()
    };
    let receipt = client.session().send(&message, Instant::now())?;
    match receipt {
        Some(_) => confirmed(&mut client, &mut interrupt).await?,
        None => not_refused(&mut client, &mut interrupt).await?,
    }
    let farewell = client.disconnect().await;
    // What is confirmed is confirmed, however the connection ends.
    if args.receipt {
        return said(&args.destination, ", confirmed");
    }
    match farewell {
        Ok(Farewell::Receipt | Farewell::Closed) => said(&args.destination, ""),
        Ok(Farewell::Error(error)) => bail!("the server refused it: {error}"),
        Ok(Farewell::Silence | Farewell::NotConnected) => bail!(
            "the server does not answer DISCONNECT: whether the message has arrived is not known"
        ),
        Err(error) => Err(error).context(
            "the connection ended before the server had answered: whether the message has arrived \
             is not known",
        ),
    }
}

/// Waits for the message's receipt.
async fn confirmed(client: &mut Client, interrupt: &mut Interrupt) -> anyhow::Result<()> {
    loop {
        let event = tokio::select! {
            event = client.next() => event?,
            () = interrupt.asked() => bail!(INTERRUPTED),
        };
        match event {
            Event::Receipt {
                confirmed: Confirmation::Silence,
                ..
            } => bail!(
                "the server has not confirmed the message, which may have arrived; Spring's \
                 simple broker confirms none: leave --receipt out"
            ),
            Event::Receipt { .. } => return Ok(()),
            _ => {}
        }
    }
}

/// A server that does not want a message says so by an ERROR, or by closing, within this time.
/// Some forget what they wanted to say when DISCONNECT follows at once.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// A server that reads nothing for longer takes no message; it may still send heart-beats.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// Waits until the message is written and the server has had its time to refuse it.
async fn not_refused(client: &mut Client, interrupt: &mut Interrupt) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut quiet = pin!(tokio::time::sleep(REFUSED_WITHIN));
    loop {
        tokio::select! {
            event = client.next() => {
                event.context("the server did not accept the message")?;
            }
            () = &mut quiet => {
                if !client.is_writing() {
                    return Ok(());
                }
                if began.elapsed() >= WRITTEN_WITHIN {
                    bail!(
                        "the server has not taken all of the message within {} s: whether it has \
                         arrived is not known",
                        WRITTEN_WITHIN.as_secs()
                    );
                }
                quiet.set(tokio::time::sleep(REFUSED_WITHIN));
            }
            () = interrupt.asked() => bail!(INTERRUPTED),
        }
    }
}

const INTERRUPTED: &str = "interrupted: whether the message has arrived is not known";

fn said(destination: &str, how: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "sent to {destination}{how}").context("write to standard output")
}

fn body(argument: &str) -> anyhow::Result<Vec<u8>> {
    if argument != "-" {
        return Ok(argument.as_bytes().to_vec());
    }
    let mut body = Vec::new();
    std::io::stdin()
        .read_to_end(&mut body)
        .context("read the body from standard input")?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_split_at_its_first_colon() {
        let check = |text: &str, expected: Result<(&str, &str), &str>| {
            let found = header(text);
            let found = found
                .as_ref()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .map_err(String::as_str);
            assert_eq!(found, expected, "{text}");
        };
        check(
            "content-type:application/json",
            Ok(("content-type", "application/json")),
        );
        check("x-time:12:30:00", Ok(("x-time", "12:30:00")));
        check("x:", Ok(("x", "")));
        check("x", Err("expected NAME:VALUE"));
        check(":x", Err("expected a name before the colon"));
        check("receipt:1", Err("the header `receipt` cannot be set here"));
        check(
            "message-id:1",
            Err("the header `message-id` cannot be set here"),
        );
    }
}
