//! `stomp-bridge doctor`: each layer on the way to the server, then each sink. It writes nothing,
//! acknowledges nothing, and takes no message away from the daemon. Only a sink that is named gets a
//! test event.

mod clock;
mod daemon;
mod layers;
mod report;
mod sinks;
mod source;
mod topics;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::daemon::Daemon;
pub(super) use self::report::{Form, Report};
use super::connection::{Interrupt, verb_code};
use super::error_words::in_words;
use super::exit::{BAD_CONFIGURATION, refuse};
use super::log;
use super::number::{WAIT_SECONDS_MAX, whole};
use super::print::{json, tell};
use super::received::chosen;
use super::sink_test::sink;
use super::target::Target;
use crate::app::try_build;
use crate::config::{self, Plan};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    looks: Looks,
    /// Send this sink a test event, as `sinks test` does; may be given several times.
    #[arg(long = "send-test", value_name = "SINK")]
    send_tests: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How the server is looked at.
#[derive(Debug, Args)]
pub(super) struct Looks {
    /// Only this topic of the configuration; may be given several times.
    #[arg(long = "topic", value_name = "NAME")]
    topics: Vec<String>,
    /// How long each topic's first message is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS, allow_negative_numbers = true, value_parser = whole::<u64>(0, WAIT_SECONDS_MAX))]
    wait: u64,
    /// Sign in beside a running daemon: a platform that allows an account one session ends the
    /// daemon's.
    #[arg(long)]
    own_connection: bool,
}

/// A platform whose devices are many speaks within this time.
const WAIT_SECONDS: u64 = 10;

impl Default for Looks {
    fn default() -> Looks {
        Looks {
            topics: Vec::new(),
            wait: WAIT_SECONDS,
            own_connection: false,
        }
    }
}

pub(super) fn doctor(args: &DoctorArgs, option: Option<&str>) -> ExitCode {
    // What a part would log of its trouble is the answer.
    let _log = match log::start(option, "off") {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let plan = match config::load(args.target.config()) {
        Ok(plan) => plan,
        Err(problems) => {
            tell!("{problems}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    if let Err(error) = try_build(&plan) {
        tell!("{}: {}", args.target.config().display(), in_words(&error));
        return ExitCode::from(BAD_CONFIGURATION);
    }
    verb_code(examine(args, &plan))
}

async fn examine(args: &DoctorArgs, plan: &Plan) -> anyhow::Result<ExitCode> {
    let form = match args.json {
        true => Form::Json,
        false => Form::Text,
    };
    let Some(report) = connect(&args.target, plan, (&args.looks, &args.send_tests), form).await?
    else {
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        json(&report)?;
    }
    Ok(match report.ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// All of it; as a text it is printed as it comes. `None`: somebody has pressed Ctrl-C.
///
/// # Errors
/// A topic or a sink that was named is not there.
pub(super) async fn connect(
    target: &Target,
    plan: &Plan,
    (looks, send_tests): (&Looks, &[String]),
    form: Form,
) -> anyhow::Result<Option<Report>> {
    let topics = chosen(plan, &looks.topics)?;
    for name in send_tests {
        sink(plan, name)?;
    }
    let wait = Duration::from_secs(looks.wait);
    let mut interrupt = Interrupt::listen()?;
    let mut report = Report::new(form);
    let look = async {
        let daemon = daemon::look(&mut report, target).await;
        let signs_in_beside = plan.source.signin.is_some() && !looks.own_connection;
        match daemon {
            Daemon::Connected if signs_in_beside => source::leave_alone(&mut report),
            Daemon::Unconnected(why) if signs_in_beside => source::leave_to_it(&mut report, &why),
            _ => source::look(&mut report, plan, &topics, wait).await,
        }
        sinks::look(&mut report, plan, send_tests).await;
    };
    tokio::select! {
        () = look => {}
        () = interrupt.asked() => return Ok(None),
    }
    report.end();
    Ok(Some(report))
}
