//! What an operator asks of the running parts: an attempt now, in place of waiting for it. Nothing
//! of it is in the journal.

use jiff::Timestamp;

use super::control::{AdminCommand, Refusal, Reply, execute};
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
        entries: 0,
        not_before: sink.health.report().no_attempt_before,
    })
}

fn retry_source(view: &View) -> Result<Reply, Refusal> {
    let link = view.source.link();
    if link.next_attempt.is_some() {
        view.source_handle.retry();
        let limit = link.no_sign_in_before;
        return Ok(Reply {
            entries: 0,
            not_before: limit.filter(|until| *until > Timestamp::now()),
        });
    }
    let state = link.state.as_str();
    let error = match link.state {
        LinkState::Connecting => "the source connects already".to_owned(),
        LinkState::Paused => {
            format!("the source is {state}: it goes on once the sinks have caught up")
        }
        LinkState::Stopped => "the source has stopped".to_owned(),
        _ => format!("the source is connected ({state}): no attempt waits"),
    };
    Err(Refusal::Senseless(error))
}
