//! `stomp-bridge init`: a configuration that works, from a few answers and the first messages. It
//! reads no queue, and what it has not been asked for it does not overwrite.

mod answers;
mod draft;
mod fields;
mod listen;
mod words;
mod write;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use self::answers::Answers;
use self::draft::Draft;
use self::listen::Heard;
use self::write::{Existing, write};
use super::check::validate;
use super::connection::{Interrupt, connect, verb_code};
use super::exit::refuse;
use super::log;
use super::number::{WAIT_SECONDS_MAX, whole};
use super::print::{say, tell};
use crate::config::{self, Environment, Plan};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The server's URL: http and https for SockJS, ws and wss for WebSocket, stomp and stomps for
    /// TCP. Asked for where it is not given.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A destination, such as /topic/state/1; may be given several times.
    #[arg(long = "topic", value_name = "DESTINATION")]
    topics: Vec<String>,
    /// CONNECT's login.
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
    /// The file that holds CONNECT's passcode; the configuration names it.
    #[arg(long, value_name = "FILE")]
    passcode_file: Option<PathBuf>,
    /// CONNECT's host: RabbitMQ's virtual host.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// How long messages are listened to.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u64>(0, WAIT_SECONDS_MAX))]
    wait: u64,
    /// Write the configuration without a connection to the server.
    #[arg(long)]
    offline: bool,
    /// Overwrite a configuration that is there.
    #[arg(long)]
    force: bool,
    /// The configuration file to write.
    #[arg(short, long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
}

pub(super) fn init(args: &InitArgs, option: Option<&str>) -> ExitCode {
    let _log = match log::start(option, "error") {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    verb_code(make(args))
}

async fn make(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let existing = match args.force {
        true => Existing::Overwritten,
        false => Existing::Kept,
    };
    existing.allows(&args.config)?;
    let answers = Answers::of(args)?;
    let mut made = answers.write_passcode(&args.config, existing)?;
    let mut draft = Draft::new(&answers, &args.config)?;
    if !args.offline {
        let plan = parsed(&draft.text(), &args.config)?;
        let Some(heard) = listen(args, &plan).await? else {
            bail!("interrupted: nothing was written");
        };
        draft.learn(&heard);
        // A proposal that does not hold is a mistake of ours, and helps nobody.
        if parsed(&draft.text(), &args.config).is_err() {
            draft.forget();
        }
        for line in draft.findings() {
            tell!("{line}");
        }
    }
    write(&args.config, &draft.text(), draft.privacy(), existing)?;
    made.keep();
    say!("written: {}", args.config.display());
    let checked = validate(&args.config);
    if checked == ExitCode::SUCCESS {
        say!("next: {}", next("run", &args.config));
        say!("what the server keeps: {}", next("doctor", &args.config));
    }
    Ok(checked)
}

/// Messages of its topics.
async fn listen(args: &InitArgs, plan: &Plan) -> anyhow::Result<Option<Heard>> {
    let mut interrupt = Interrupt::listen()?;
    let wait = Duration::from_secs(args.wait);
    let quiet = |_: &_| -> crate::source::Observer { Box::new(|_| Ok(())) };
    let connected = connect(&plan.source, quiet, &mut interrupt).await;
    let connected = connected.context(
        "nothing was written; `--offline` writes the configuration without a connection, and \
         `stomp-bridge doctor` then says which layer fails",
    )?;
    let Some(mut client) = connected else {
        return Ok(None);
    };
    tell!("connected; listening for up to {} s", wait.as_secs());
    let heard = tokio::select! {
        heard = listen::listen(&mut client, plan, wait) => heard?,
        () = interrupt.asked() => return Ok(None),
    };
    // Its answer no longer matters.
    let _ = client.disconnect().await;
    Ok(Some(heard))
}

/// What the daemon makes of a text in that file.
fn parsed(text: &str, file: &Path) -> anyhow::Result<Plan> {
    let plan = config::parse(file, text.to_owned(), &Environment::of_process());
    plan.map_err(|problems| anyhow!("{problems}"))
}

/// A command that comes next.
fn next(verb: &str, config: &Path) -> String {
    match config == Path::new("config.toml") {
        true => format!("stomp-bridge {verb}"),
        false => format!("stomp-bridge {verb} --config {}", config.display()),
    }
}
