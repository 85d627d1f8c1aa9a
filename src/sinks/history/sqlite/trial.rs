//! A test event in a history's file: it is stored as any other, in a transaction that is rolled back.
//! A file that is no history yet is left as it is.

use sqlx::{ConnectOptions, Connection};

use super::Settings;
use super::connect::storing;
use super::probe::{Found, probe};
use super::store::begin;
use crate::sinks::Batch;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::store::fill;

/// What came of it, in words for a person.
///
/// # Errors
/// The file cannot be used, or takes no such rows.
pub(super) async fn trial(settings: &Settings, batch: Batch<'_>) -> Result<String, sqlx::Error> {
    let found = probe(&settings.path).await?;
    if found != Found::History {
        return Ok(format!("{found}; no row was tried before that"));
    }
    let mut connection = storing(&settings.path).connect().await?;
    let mut recorder = Recorder::new(settings.zone.clone());
    let tried = async {
        let mut transaction = begin(&mut connection, &mut recorder).await?;
        let filled = fill(&mut *transaction, &mut recorder, &settings.name, batch).await;
        transaction.rollback().await?;
        filled
    };
    let tried = tried.await;
    connection.close().await?;
    let rows = tried?.text();
    Ok(format!("{rows}, then rolled back: nothing of it stays"))
}
