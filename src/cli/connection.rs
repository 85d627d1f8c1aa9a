//! What the verbs with a connection of their own share: the configuration, the connection, and
//! Ctrl-C.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error_words::in_words;
use super::exit::{BAD_CONFIGURATION, refuse};
use super::log::{self, Log};
use super::print::tell;
use super::runtime::runtime;
use crate::config::{self, Plan};
use crate::source::{Client, Credentials, Observer, Settings};

/// Starts the log and loads the configuration.
///
/// # Errors
/// The exit code; the problems have been printed.
pub(super) fn plan(config: &Path, option: Option<&str>) -> Result<(Plan, Log), ExitCode> {
    // Standard output is for data; the log speaks up only when something is wrong.
    let log = log::start(option, "warn").map_err(|error| refuse(&error))?;
    let plan = config::load(config).map_err(|problems| {
        tell!("{problems}");
        ExitCode::from(BAD_CONFIGURATION)
    })?;
    Ok((plan, log))
}

/// Runs a verb to its end.
pub(super) fn verb(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    verb_code(async { work.await.map(|()| ExitCode::SUCCESS) })
}

/// The same of one that has an exit code of its own.
pub(super) fn verb_code(work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let outcome = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(work);
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell!("stomp-bridge: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// SIGINT and SIGTERM, from when it is made: they no longer end the process by themselves.
pub(super) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    pub(super) fn listen() -> anyhow::Result<Interrupt> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Interrupt {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them. Cancel-safe.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What a second sign-in does to an account that may have one session only, as many platforms have
/// it.
const ONE_SESSION: &str = "this signs in as the daemon does, for a connection of its own; where the platform allows an \
                           account one session, that ends the daemon's, which then signs in again: a coverage gap for \
                           the daemon, and the end of this; give such tools a configuration with another account";

/// Connects as the daemon would; `None`: somebody has pressed Ctrl-C meanwhile.
pub(super) async fn connect(
    settings: &Settings,
    watch: impl FnMut(&Credentials) -> Observer,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Option<Client>> {
    if settings.signin.is_some() {
        tell!("stomp-bridge: note: {ONE_SESSION}");
    }
    tokio::select! {
        connected = Client::connect(settings, watch) => {
            let (client, connected) = connected.context("connect to the source")?;
            tracing::info!(version = connected.version.as_str(), server = connected.server.as_deref(), "connected");
            Ok(Some(client))
        }
        () = interrupt.asked() => Ok(None),
    }
}
