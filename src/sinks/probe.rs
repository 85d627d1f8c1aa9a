//! Whether the other side of a sink would accept events now. Nothing is sent to it and nothing of it
//! is changed, so a daemon that uses it goes on undisturbed.

use futures_util::FutureExt;
use uuid::Uuid;

use super::answer::{Answer, redacted};
use super::error::BuildError;
use super::settings::{Settings, build};
use super::sink::Sink;
use super::trouble::Trouble;
use super::{history, mqtt};
use crate::paced::Interval;

/// What was found.
///
/// # Errors
/// Why it would accept nothing, and what to do.
pub async fn probe(settings: Settings) -> Result<Answer, String> {
    let found = match settings {
        Settings::Sqlite(settings) => history::sqlite::probe(&settings).await.map(Answer::plain),
        Settings::Postgres(settings) => history::postgres::probe(&settings).await,
        Settings::Mqtt(settings) => broker(settings).await.map(Answer::plain),
        settings @ Settings::Webhook(_) => receiver(settings).await.map(Answer::plain),
    };
    redacted(found)
}

/// Settings to connect as somebody else: a second connection with the daemon's client id would end
/// the daemon's. There is no availability and no last will, since nobody leaves.
pub(super) fn as_somebody_else(settings: mqtt::Settings) -> mqtt::Settings {
    mqtt::Settings {
        client_id: Some(format!("stompbridge{:012x}", fastrand::u64(..) >> 16)),
        status_topic: None,
        ..settings
    }
}

async fn broker(settings: mqtt::Settings) -> Result<String, String> {
    let settings = as_somebody_else(settings);
    let built = build(Settings::Mqtt(settings), &Interval::default()).map_err(in_words)?;
    let (opened, ()) = tokio::join!(
        open_and_close(built.sink),
        built
            .driver
            .unwrap_or_else(|| std::future::ready(()).boxed()),
    );
    opened.map_err(in_short)?;
    Ok("the broker accepts the connection; nothing was published".to_owned())
}

async fn open_and_close(mut sink: Box<dyn Sink>) -> Result<(), Trouble> {
    let opened = sink.open(Uuid::nil()).await;
    sink.close().await;
    opened.map(|_| ())
}

async fn receiver(settings: Settings) -> Result<String, String> {
    let mut sink = build(settings, &Interval::default())
        .map_err(in_words)?
        .sink;
    sink.idle().await.map_err(in_short)?;
    Ok("the receiver accepts connections; nothing was sent".to_owned())
}

pub(super) fn in_words(error: BuildError) -> String {
    error.to_string()
}

pub(super) fn in_short(trouble: Trouble) -> String {
    match trouble {
        Trouble::Retry { error, .. }
        | Trouble::Unclear { error }
        | Trouble::Refused { error, .. }
        | Trouble::Disabled { error } => error,
    }
}
