//! Gives a stale copy of a journal a new id, so that it may go on. It will give positions that were
//! given before; with the new id they are other origins.

use sqlx::Connection;
use uuid::Uuid;

use super::error::failed;
use super::lock::{Left, Mark};
use super::{Error, Settings, disk, earlier_ids, file};
use crate::model::Position;

/// The ids of a journal whose id was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetId {
    /// The id before.
    pub before: Uuid,
    /// The id now.
    pub now: Uuid,
}

/// What has to hold before a journal gets a new id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// What lies beside it says that it is a stale copy, or says nothing of this journal.
    Wanted,
    /// The operator's word is enough.
    Waived,
}

/// Gives the journal a new id, and keeps all that is in it: entries, cursors and dead letters.
/// Durable on return.
///
/// # Errors
/// [`Error::InUse`] where a process writes it, [`Error::NotStale`] where the proof is wanted and is
/// not there; the others as they say.
pub async fn reset_id(settings: &Settings, proof: Proof) -> Result<ResetId, Error> {
    let mut opened = file::open(settings).await?;
    let (state, _) = disk::load(&mut opened.connection, settings).await?;
    let may_be_stale = opened
        .mark
        .is_none_or(|mark| mark.may_be_stale(opened.uuid, state.head()));
    if proof == Proof::Wanted && !may_be_stale {
        file::close(opened.connection).await?;
        return Err(Error::NotStale { path: opened.path });
    }
    let now = Uuid::new_v4();
    const RENEWING: &str = "write its id";
    let transaction = opened.connection.begin().await;
    let mut transaction = transaction.map_err(failed(RENEWING))?;
    file::write_id(&mut transaction, now).await?;
    earlier_ids::forget(&mut transaction).await?;
    transaction.commit().await.map_err(failed(RENEWING))?;
    file::close(opened.connection).await?;
    // Open, so that the next start checks the copy.
    opened.lock.mark(Mark {
        journal: now,
        head: Position::START,
        left: Left::Open,
    })?;
    Ok(ResetId {
        before: opened.uuid,
        now,
    })
}
