//! systemd's notifications: READY, RELOADING, STOPPING, STATUS, and a watchdog that is fed only
//! while every task's loop turns. Without `$NOTIFY_SOCKET` all of it does nothing.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::progress::Progress;
use super::view::View;
use crate::duration::InWords;
use crate::excerpt::beginning;
use crate::secret::redact;
use crate::source::LinkState;

/// Between two looks at what `systemctl status` is to say, unless the watchdog looks more often.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What systemd is to wait longer than we do: opening the journal comes before, and its answer
/// after.
const START_MORE: Duration = Duration::from_secs(30);

/// A line of `systemctl status`: more of it helps nobody.
const STATUS_CHARS_MAX: usize = 240;

/// The configuration was read again, or nothing was changed: `systemctl reload` returns.
pub fn reloaded(view: &View) {
    notify(&[NotifyState::Ready, NotifyState::Status(&status_line(view))]);
}

/// The configuration is being read again. Until [`reloaded`] is said, `systemctl reload` waits.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "the monotonic clock cannot be read"),
    }
}

/// The daemon has begun to stop.
pub fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("stopping: the journal keeps what no sink has confirmed yet"),
    ]);
}

/// Says READY once the first subscription stands, or after `ready_timeout` that the daemon goes on
/// without it. From then on it says how the daemon is, and feeds the watchdog, until it is stopped.
pub async fn report(view: View, ready_timeout: Duration, stop: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return stop.cancelled().await;
    }
    let told = stop
        .run_until_cancelled(tell_ready(&view, ready_timeout))
        .await;
    if told.is_some() {
        stop.run_until_cancelled(look(&view)).await;
    }
}

/// The journal is open by now.
async fn tell_ready(view: &View, ready_timeout: Duration) {
    let more = (ready_timeout + START_MORE).as_micros();
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    notify(&[
        NotifyState::ExtendTimeoutUsec(more),
        NotifyState::Status(&status_line(view)),
    ]);
    let mut states = view.source.states();
    let deadline = tokio::time::Instant::now() + ready_timeout;
    loop {
        let state = *states.borrow_and_update();
        if stands(state) {
            break;
        }
        notify(&[NotifyState::Status(&status_line(view))]);
        tokio::select! {
            // The sender lives as long as the view.
            _ = states.changed() => {}
            () = sleep_until(deadline) => {
                warn!(
                    state = state.as_str(),
                    "degraded: no subscription stands after ready_timeout ({}); systemd takes the \
                     daemon for started, and it goes on trying: see by `stomp-bridge status`",
                    InWords(ready_timeout)
                );
                break;
            }
        }
    }
    notify(&[NotifyState::Ready, NotifyState::Status(&status_line(view))]);
}

/// Whether every topic is subscribed, but for those that the server refuses.
fn stands(state: LinkState) -> bool {
    match state {
        LinkState::Subscribed | LinkState::Receiving | LinkState::Silent => true,
        LinkState::Connecting | LinkState::Connected | LinkState::Paused | LinkState::Stopped => {
            false
        }
    }
}

/// Feeds the watchdog and says how the daemon is, without an end.
async fn look(view: &View) {
    let watchdog = sd_notify::watchdog_enabled();
    let interval = watchdog.map_or(LOOK_INTERVAL, |interval| {
        (interval / 3).clamp(Duration::from_millis(100), LOOK_INTERVAL)
    });
    let (mut states, mut watch) = (view.source.states(), Watchdog::default());
    let mut said = String::new();
    let mut next = tokio::time::Instant::now();
    loop {
        tokio::select! {
            // The sender lives as long as the view. What follows at once needs no line of its own.
            _ = states.changed() => sleep(Duration::from_millis(100)).await,
            () = sleep_until(next) => {
                next = tokio::time::Instant::now() + interval;
                if watchdog.is_some() && watch.is_well(view) {
                    notify(&[NotifyState::Watchdog]);
                }
            }
        }
        states.mark_unchanged();
        let line = status_line(view);
        if line != said && *states.borrow() != LinkState::Stopped {
            notify(&[NotifyState::Status(&line)]);
            said = line;
        }
    }
}

/// What of the loops hangs, and that it is said once.
#[derive(Debug, Default)]
struct Watchdog {
    progress: Progress,
    said: Vec<String>,
}

impl Watchdog {
    /// Whether it may be fed.
    fn is_well(&mut self, view: &View) -> bool {
        let hanging = self.progress.hanging(view, Instant::now());
        if !hanging.is_empty() && hanging != self.said {
            error!(
                hanging = hanging.join(", "),
                "watchdog not fed: a loop hangs; systemd restarts the daemon unless it goes on"
            );
        }
        self.said = hanging;
        self.said.is_empty()
    }
}

/// How the daemon is, in one line for `systemctl status`.
fn status_line(view: &View) -> String {
    let reasons = view.verdict().reasons();
    if let Some((first, others)) = reasons.split_first() {
        let more = match others.len() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let room = STATUS_CHARS_MAX - more.chars().count();
        let text = format!("not ready: {}", redact(first));
        return one_line(&format!("{}{more}", beginning(&text, room)));
    }
    let sinks = view.sinks.all().len();
    let link = view.source.link();
    let last = link.last_message.map_or("none yet".to_owned(), |at| {
        // To the second, in UTC.
        let at = at.round(jiff::Unit::Second).unwrap_or(at);
        at.to_string()
    });
    let head = view.journal.log.status().head;
    format!(
        "ready: topics {}, sinks up {sinks}, last message {last}, journal head {}",
        view.source.topics().len(),
        head.0
    )
}

/// Without what would end the line: systemd takes what follows for another notification.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|character| match character.is_control() {
        true => ' ',
        false => character,
    });
    plain.collect()
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd was not notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_text_ends_no_line_and_so_says_nothing_to_systemd() {
        let text = "not ready: the server said \"a\nSTOPPING=1\r\n\u{1b}[31m\"";
        let line = one_line(text);
        assert!(!line.chars().any(char::is_control), "{line}");
        assert_eq!(line.chars().count(), text.chars().count());
    }

    #[test]
    fn the_first_subscription_stands_once_every_topic_is_subscribed() {
        let standing = LinkState::ALL.into_iter().filter(|state| stands(*state));
        let expected = [
            LinkState::Subscribed,
            LinkState::Receiving,
            LinkState::Silent,
        ];
        assert_eq!(standing.collect::<Vec<_>>(), expected);
    }
}
