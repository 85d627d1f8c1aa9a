//! A test event in a database: it is stored as any other, in a transaction that is rolled back; where
//! the tables are missing, they are made in the same one.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::connect::{CONNECT_TIMEOUT, connect};
use super::failure::{Failure, bounded};
use super::migrations::{is_complete, make};
use super::partitions::Partitions;
use super::server::Server;
use super::session::{Purpose, Session, abandon};
use super::statements::Way;
use super::store::fill;
use super::{MIGRATE_TIMEOUT, Settings};
use crate::model::Event;
use crate::sinks::Batch;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::rows::RowsStored;

/// Whether the tables are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tables {
    There,
    Missing,
}

/// What came of it, in words for a person.
///
/// # Errors
/// It cannot be reached, or takes no such rows.
pub(super) async fn trial(
    server: &Server,
    settings: &Settings,
    batch: Batch<'_>,
) -> Result<String, Failure> {
    let (mut connection, _) = connect(server).await?;
    let session = Session::new(settings.schema.as_deref());
    let complete = is_complete(&mut connection, &session);
    let tables = match bounded(CONNECT_TIMEOUT, complete).await? {
        true => Tables::There,
        false => Tables::Missing,
    };
    let tried = async {
        let mut transaction = match tables {
            Tables::There => session.begin(&mut connection, Purpose::Store).await?,
            Tables::Missing => session.begin(&mut connection, Purpose::Migrate).await?,
        };
        let filled = stored(&mut transaction, settings, tables, batch).await;
        abandon(transaction).await;
        filled
    };
    let rows = bounded(MIGRATE_TIMEOUT, tried).await?.text();
    let made = match tables {
        Tables::There => "",
        Tables::Missing => "tables made, ",
    };
    Ok(format!(
        "{made}{rows}, then rolled back: nothing of it stays"
    ))
}

async fn stored(
    transaction: &mut PgConnection,
    settings: &Settings,
    tables: Tables,
    batch: Batch<'_>,
) -> Result<RowsStored, Failure> {
    let mut recorder = Recorder::new(settings.zone.clone());
    let mut partitions = Partitions::new(settings.retention);
    if tables == Tables::Missing {
        make(transaction, settings.schema.as_deref()).await?;
        partitions.set_unit(transaction).await?;
    }
    let newest = batch.events.iter().map(Event::received_at);
    let at = newest.max().unwrap_or_else(Timestamp::now);
    partitions.make_one(transaction, at).await?;
    let memory = (&mut recorder, &mut partitions);
    let rows = fill(transaction, memory, (&settings.name, batch), Way::Insert);
    Ok(rows.await?)
}
