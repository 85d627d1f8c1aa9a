//! One test event by a sink's real way: its template, its TLS, its sign-in. No journal knows of it, and
//! no cursor moves. Databases store it and roll it back.

use futures_util::FutureExt;
use uuid::Uuid;

use super::answer::{Answer, redacted};
use super::batch::{Batch, Reason};
use super::history;
use super::probe::{as_somebody_else, in_short, in_words};
use super::settings::{Settings, build};
use super::sink::Built;
use crate::model::Event;
use crate::paced::Interval;

/// Sends one event. The daemon's own connection to the other side goes on undisturbed.
///
/// # Errors
/// Why it was not confirmed, and what to do.
pub async fn trial(settings: Settings, event: Event) -> Result<Answer, String> {
    let batch = Batch {
        journal: Uuid::nil(),
        events: std::slice::from_ref(&event),
        through: event.position(),
        // No broker retains it: the topic has another message when the test is long forgotten.
        reason: Reason::Redrive,
    };
    let tried = match settings {
        Settings::Sqlite(settings) => history::sqlite::trial(&settings, batch)
            .await
            .map(Answer::plain),
        Settings::Postgres(settings) => {
            let tried = history::postgres::trial(&settings, batch).await;
            tried.map(Answer::plain)
        }
        Settings::Mqtt(settings) => sent(Settings::Mqtt(as_somebody_else(settings)), batch).await,
        settings @ Settings::Webhook(_) => sent(settings, batch).await,
    };
    redacted(tried)
}

async fn sent(settings: Settings, batch: Batch<'_>) -> Result<Answer, String> {
    let Built { sink, driver, .. } = build(settings, &Interval::default()).map_err(in_words)?;
    let mut sink = sink;
    let attempt = async move {
        let attempted = match sink.open(batch.journal).await {
            Ok(_) => sink.attempt(batch).await.map_err(|it| it.trouble),
            Err(trouble) => Err(trouble),
        };
        let answer = Answer {
            text: sink.answer().unwrap_or_else(|| "confirmed".to_owned()),
            advice: sink.warning(),
        };
        sink.close().await;
        attempted.map(|()| answer)
    };
    let driver = driver.unwrap_or_else(|| std::future::ready(()).boxed());
    let (sent, ()) = tokio::join!(attempt, driver);
    sent.map_err(in_short)
}
