//! What an operator asks of the running parts: an attempt now, in place of waiting for it. Nothing
//! of it is in the journal.

use jiff::Timestamp;

use super::control::{AdminCommand, Refusal, Reply, execute};
use super::decode_again::decode_again;
use super::view::View;
use crate::source::LinkState;

/// Carries a command out on a running daemon: on its parts, else on its journal.
///
/// # Errors
/// See [`Refusal`].
pub(super) async fn carry_out(view: &View, command: AdminCommand) -> Result<Reply, Refusal> {
    match command {
        AdminCommand::RetrySink { sink } => retry_sink(view, &sink),
        AdminCommand::RetrySource => retry_source(view),
        AdminCommand::DecodeAgain { which } => decode_again(view, which).await,
        command => execute(&view.journal, command).await,
    }
}

fn retry_sink(view: &View, name: &str) -> Result<Reply, Refusal> {
    let running = view.sinks.all();
    let Some(sink) = running.iter().find(|sink| *sink.name == *name) else {
        let known: Vec<&str> = running.iter().map(|sink| &*sink.name).collect();
        return Err(Refusal::Senseless(format!(
            "there is no sink {name} in the configuration: it has {}",
            known.join(", ")
        )));
    };
    sink.health.ask_retry();
    Ok(Reply {
        not_before: sink.health.report().no_attempt_before,
        ..Reply::of(0)
    })
}

fn retry_source(view: &View) -> Result<Reply, Refusal> {
    let link = view.source.link();
    if link.next_attempt.is_some() {
        view.source_handle.retry();
        let limit = link.no_sign_in_before;
        return Ok(Reply {
            not_before: limit.filter(|until| *until > Timestamp::now()),
            ..Reply::of(0)
        });
    }
    let state = link.state.as_str();
    let error = match link.state {
        LinkState::Paused => {
            format!("the source is {state}: it goes on once the sinks have caught up")
        }
        LinkState::Stopped => "the source has stopped".to_owned(),
        // What was asked for is there, or comes.
        LinkState::Connecting => return Ok(needless("the source connects already")),
        _ => {
            return Ok(needless(&format!(
                "the source is connected already ({state})"
            )));
        }
    };
    Err(Refusal::Senseless(error))
}

fn needless(why: &str) -> Reply {
    Reply {
        needless: Some(why.to_owned()),
        ..Reply::of(0)
    }
}
