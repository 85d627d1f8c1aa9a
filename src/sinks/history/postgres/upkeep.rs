//! The steps of the upkeep, each a transaction.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::session::{Purpose, Session, end};
use super::statements::Writing;
use super::store::take_turn;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::upkeep::{Before, Stepped, Upkeep, work};

/// One step; `now` is believed, and all that was received before it is stored.
pub(super) async fn step(
    upkeep: &mut Upkeep,
    connection: &mut PgConnection,
    session: &Session,
    recorder: &mut Recorder,
    now: Timestamp,
    before: Before,
) -> Result<Stepped, sqlx::Error> {
    if upkeep.waits() {
        return Ok(Stepped::Waits);
    }
    let Some(next) = upkeep.next(recorder, now) else {
        return Ok(Stepped::Done);
    };
    let mut transaction = session.begin(connection, Purpose::Upkeep).await?;
    let worked = async {
        let mut on = Writing::few(&mut transaction);
        take_turn(&mut on, recorder).await?;
        work(&mut on, upkeep, recorder, next, before).await
    };
    let worked = worked.await;
    end(transaction, worked).await.map(|()| Stepped::More)
}
