//! What an operator deletes of a history, whichever database it is in: one transaction's part of it.

use jiff::Timestamp;

use super::kept::{Beside, KeptDevice, Left, STEP_ROWS};
use super::statements::{Bind, Statements};

/// The devices of a name, with what is kept of each.
pub(super) async fn devices(
    on: &mut impl Statements,
    name: &str,
) -> Result<Vec<KeptDevice>, sqlx::Error> {
    let devices = "SELECT CAST(device_key AS bigint), stream, client_id, device_id, \
         (SELECT count(*) FROM event AS e WHERE e.device_key = d.device_key) \
         FROM device_row AS d WHERE device_id = $1 OR client_id || '/' || device_id = $1";
    let rows: Vec<(i64, String, String, String, i64)> = on.rows(devices, vec![name.into()]).await?;
    // As parameters they are found by an index, through the view.
    let intervals = "SELECT count(*) FROM state_interval \
         WHERE stream = $1 AND client_id = $2 AND device_id = $3";
    let mut devices = Vec::new();
    for (key, stream, client_id, device_id, statuses) in rows {
        let names = [&stream, &client_id, &device_id];
        let binds = names.map(|name| name.as_str().into()).to_vec();
        let (intervals,): (i64,) = on.row(intervals, binds).await?;
        devices.push(KeptDevice {
            key,
            stream,
            client_id,
            device_id,
            statuses: statuses.unsigned_abs(),
            intervals: intervals.unsigned_abs(),
        });
    }
    Ok(devices)
}

/// What the device's events refer to, and no other device's: it goes with them.
pub(super) async fn beside(on: &mut impl Statements, device: i64) -> Result<Beside, sqlx::Error> {
    let through = "SELECT CAST(coalesce(max(sequence), 0) AS bigint) FROM event";
    let (through,) = on.row(through, vec![]).await?;
    Ok(Beside {
        through,
        payloads: on.own_payloads(device).await?,
        profiles: profiles(on, device).await?,
    })
}

/// Deletes some of the device's rows; says whether more than one step is left.
pub(super) async fn forget_some<On: Statements>(
    on: &mut On,
    device: i64,
) -> Result<Left, sqlx::Error> {
    let key = On::DIALECT.piece_key();
    let pieces = format!(
        "DELETE FROM state_interval_row WHERE ({key}) IN \
             (SELECT {key} FROM state_interval_row WHERE device_key = $1 LIMIT $2)"
    );
    let is_full = |deleted| deleted >= u64::from(STEP_ROWS);
    keep_last_sequence(on).await?;
    if is_full(on.delete_events(device, STEP_ROWS).await?)
        || is_full(
            on.run(&pieces, vec![device.into(), STEP_ROWS.into()])
                .await?,
        )
    {
        return Ok(Left::Much);
    }
    Ok(Left::Little)
}

/// Deletes all that is left of it.
pub(super) async fn forget_rest<On: Statements>(
    on: &mut On,
    device: i64,
    beside: &Beside,
) -> Result<(), sqlx::Error> {
    let mut profile_keys = profiles(on, device).await?;
    profile_keys.extend(&beside.profiles);
    keep_last_sequence(on).await?;
    while on.delete_events(device, STEP_ROWS).await? > 0 {}
    for table in ["state_interval_row", "state_daily_row", "device_row"] {
        let delete = format!("DELETE FROM {table} WHERE device_key = $1");
        on.run(&delete, vec![device.into()]).await?;
    }
    let delete = format!(
        "DELETE FROM profile WHERE {}",
        On::DIALECT.listed("profile_key", 1)
    );
    on.run(&delete, vec![Bind::Integers(profile_keys)]).await?;
    // Another device may have got one meanwhile.
    let delete = format!(
        "DELETE FROM payload WHERE {} AND payload_key NOT IN \
         (SELECT payload_key FROM event WHERE sequence > $2 AND payload_key IS NOT NULL)",
        On::DIALECT.listed("payload_key", 1)
    );
    let binds = vec![
        Bind::Integers(beside.payloads.clone()),
        beside.through.into(),
    ];
    on.run(&delete, binds).await.map(drop)
}

/// The order of storing goes on from there, also where the newest event goes.
async fn keep_last_sequence<On: Statements>(on: &mut On) -> Result<(), sqlx::Error> {
    match On::DIALECT.keep_last_sequence() {
        Some(keep) => on.run(keep, vec![]).await.map(drop),
        None => Ok(()),
    }
}

/// What is said of the device: no other has the same rows.
async fn profiles(on: &mut impl Statements, device: i64) -> Result<Vec<i64>, sqlx::Error> {
    let profiles = "SELECT profile_key FROM event WHERE device_key = $1 \
         UNION SELECT profile_key FROM device_row WHERE device_key = $1";
    let profiles: Vec<(i64,)> = on.rows(profiles, vec![device.into()]).await?;
    Ok(profiles.into_iter().map(|(key,)| key).collect())
}

/// How many statuses were received before a time.
pub(super) async fn older<On: Statements>(
    on: &mut On,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let time = On::DIALECT.time(1);
    let older = format!("SELECT count(*) FROM event WHERE received_at < {time}");
    let (older,): (i64,) = on.row(&older, vec![before.into()]).await?;
    Ok(older.unsigned_abs())
}
