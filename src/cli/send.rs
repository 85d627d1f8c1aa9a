//! `stomp-bridge send`: one message to the source's server, from the configuration alone.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;

use super::connection::{Interrupt, connect, plan, verb};
use crate::config::Plan;
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
    /// Wait until the server confirms the message; Spring's simple broker never does.
    #[arg(long)]
    receipt: bool,
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
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

pub(super) fn send(args: &SendArgs, filter: &str) -> ExitCode {
    let plan = match plan(&args.config, filter) {
        Ok(plan) => plan,
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
    while receipt.is_some() {
        let event = tokio::select! {
            event = client.next() => event?,
            () = interrupt.asked() => bail!("interrupted: whether the message has arrived is not known"),
        };
        match event {
            Event::Receipt {
                confirmed: Confirmation::Silence,
                ..
            } => bail!(
                "the server has not confirmed the message, which may have arrived; Spring's \
                 simple broker confirms none: leave --receipt out"
            ),
            Event::Receipt { .. } => break,
            _ => {}
        }
    }
    let how = match client.disconnect().await {
        _ if args.receipt => "confirmed",
        Ok(Farewell::Error(error)) => bail!("the server refused it: {error}"),
        // A receipt for DISCONNECT says that all before it was processed.
        Ok(Farewell::Receipt) => "confirmed",
        Ok(_) => "not confirmed",
        Err(error) => {
            return Err(error)
                .context("the connection broke, and whether the message has arrived is not known");
        }
    };
    writeln!(std::io::stdout(), "sent to {}, {how}", args.destination)
        .context("write to standard output")
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
