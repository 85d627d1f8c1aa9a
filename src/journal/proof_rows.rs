//! Reads and writes the table `proof`.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Row};

use super::Error;
use super::error::failed;
use super::insert::Insert;
use super::proof::{DeliveryProof, Kept, ProofRow, ProofSave, ROW_BYTES};
use super::row::timestamp;
use crate::model::Position;

/// The statement of [`save`].
pub(super) fn statement() -> Insert {
    Insert::new(
        "INSERT INTO proof (id, sink, from_position, to_position, steps, confirmed_at, attempts, \
         answer) VALUES ",
        8,
        "",
    )
}

/// What the rows take, as `DeliveryProof::bytes` counts them.
fn bytes() -> String {
    format!(
        "coalesce(sum({ROW_BYTES} + octet_length(sink) + octet_length(answer) \
         + coalesce(octet_length(steps), 0)), 0)"
    )
}

/// What the table holds.
pub(super) async fn kept(connection: &mut SqliteConnection) -> Result<Kept, Error> {
    let text = format!(
        "SELECT coalesce(min(id), 1), coalesce(max(id), 0) + 1, {} FROM proof",
        bytes()
    );
    let (oldest, next, bytes): (i64, i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(text))
        .fetch_one(connection)
        .await
        .map_err(failed("measure its proofs"))?;
    Ok(Kept {
        oldest,
        next,
        bytes: bytes.unsigned_abs(),
    })
}

/// Writes a save; gives the bytes of the rows that go.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    insert: &Insert,
    save: &ProofSave,
) -> Result<u64, Error> {
    let saving = || failed("save the proofs");
    let bind = |ProofRow { id, proof }: &ProofRow, arguments: &mut SqliteArguments| {
        arguments.add(*id)?;
        arguments.add(Arc::clone(&proof.sink))?;
        arguments.add(proof.from.0)?;
        arguments.add(proof.to.0)?;
        arguments.add(proof.positions.as_deref().map(steps))?;
        arguments.add(proof.confirmed_at.as_microsecond())?;
        arguments.add(i64::from(proof.attempts))?;
        arguments.add(proof.answer.as_str())
    };
    let inserted = insert.run(&mut *connection, &save.rows, bind).await;
    inserted.map_err(saving())?;
    let Some(before) = save.remove_before else {
        return Ok(0);
    };
    let text = format!("SELECT {} FROM proof WHERE id < ?", bytes());
    let removed: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
        .bind(before)
        .fetch_one(&mut *connection)
        .await
        .map_err(saving())?;
    sqlx::query("DELETE FROM proof WHERE id < ?")
        .bind(before)
        .execute(connection)
        .await
        .map_err(saving())?;
    Ok(removed.unsigned_abs())
}

/// The proofs that are about one entry, the oldest first. It looks at every row: there is no index,
/// so that a save only appends.
pub(super) async fn of(
    connection: &mut SqliteConnection,
    position: Position,
) -> Result<Vec<DeliveryProof>, Error> {
    const OF: &str = "SELECT sink, from_position, to_position, steps, confirmed_at, attempts, \
         answer FROM proof WHERE from_position <= ?1 AND to_position >= ?1 ORDER BY id";
    let rows = sqlx::query(OF)
        .bind(position.0)
        .try_map(|row: SqliteRow| read(&row, 0))
        .fetch_all(connection)
        .await
        .map_err(failed("read its proofs"))?;
    let is_of = |proof: &DeliveryProof| proof.is_of(position);
    Ok(rows.into_iter().filter(is_of).collect())
}

/// The number of the newest row; 0: there is none.
pub(super) async fn newest(connection: &mut SqliteConnection) -> Result<i64, Error> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM proof")
        .fetch_one(connection)
        .await
        .map_err(failed("read its proofs"))
}

/// The proofs of a sink behind a row, each with the number of its own: at most `proofs_max`.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    sink: &str,
    after: i64,
    proofs_max: u32,
) -> Result<Vec<(i64, DeliveryProof)>, Error> {
    const AFTER: &str = "SELECT id, sink, from_position, to_position, steps, confirmed_at, \
         attempts, answer FROM proof WHERE id > ?1 AND sink = ?2 ORDER BY id LIMIT ?3";
    sqlx::query(AFTER)
        .bind(after)
        .bind(Arc::<str>::from(sink))
        .bind(proofs_max)
        .try_map(|row: SqliteRow| Ok((row.try_get(0)?, read(&row, 1)?)))
        .fetch_all(connection)
        .await
        .map_err(failed("read its proofs"))
}

/// A proof whose columns begin with this one.
fn read(row: &SqliteRow, first: usize) -> Result<DeliveryProof, sqlx::Error> {
    let from = Position(row.try_get(first + 1)?);
    let steps: Option<Vec<u8>> = row.try_get(first + 3)?;
    Ok(DeliveryProof {
        sink: row.try_get::<&str, _>(first)?.into(),
        from,
        to: Position(row.try_get(first + 2)?),
        positions: steps.map(|steps| positions(from, &steps)),
        confirmed_at: timestamp(row.try_get(first + 4)?)?,
        attempts: u32::try_from(row.try_get::<i64, _>(first + 5)?).unwrap_or(u32::MAX),
        answer: row.try_get(first + 6)?,
    })
}

/// From each position to the next, seven bits in a byte, the last byte of a number without its
/// highest bit (LEB128).
fn steps(positions: &[Position]) -> Vec<u8> {
    let mut steps = Vec::with_capacity(positions.len());
    for pair in positions.windows(2) {
        let mut step = (pair[1].0 - pair[0].0).unsigned_abs();
        while step >= 0x80 {
            steps.push(step as u8 | 0x80);
            step >>= 7;
        }
        steps.push(step as u8);
    }
    steps
}

/// The positions that such steps lead to.
fn positions(from: Position, steps: &[u8]) -> Vec<Position> {
    let mut at = from.0;
    let mut positions = vec![from];
    let (mut step, mut shift) = (0_u64, 0_u32);
    for byte in steps {
        let bits = u64::from(byte & 0x7f);
        step |= bits.checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            at = at.saturating_add_unsigned(step);
            positions.push(Position(at));
            (step, shift) = (0, 0);
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_to_the_same_positions() {
        for given in [
            &[7][..],
            &[1, 2, 3],
            &[5, 132, 133, 40_000, i64::MAX / 2],
            &[0, i64::MAX],
        ] {
            let given: Vec<Position> = given.iter().copied().map(Position).collect();
            assert_eq!(positions(given[0], &steps(&given)), given);
        }
        assert_eq!(steps(&[1, 2, 3, 130].map(Position)), [1, 1, 127]);
        // What nobody has written ends, too.
        positions(Position(1), &[0xff; 40]);
    }
}
