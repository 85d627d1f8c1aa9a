//! What a history has to know of what is stored, whichever database it is in.

use std::collections::HashSet;

use jiff::Timestamp;

use super::device::{Device, DeviceText, select, state, time};
use super::gaps::{Begins, GAPS_MAX, Heard};
use super::recorder::{Base, Kept, Keys, Recorder, journal_of};
use super::statements::{Bind, Statements};
use super::stored::{
    GapText, HeardText, KeptText, PieceText, gap, select_heard, select_kept, select_pieces,
};
use super::timeline::{Gap, Piece};
use crate::model::CoverageEvent;

/// The recorder begins with what is stored, which is of this version.
pub(super) async fn load(
    on: &mut impl Statements,
    recorder: &mut Recorder,
    version: i64,
) -> Result<(), sqlx::Error> {
    let base = base(on, &recorder.held()).await?;
    recorder.load(version, base);
    Ok(())
}

/// What every batch asks for; `held`: the devices that were known.
async fn base<On: Statements>(on: &mut On, held: &[i64]) -> Result<Base, sqlx::Error> {
    let (_, most) = On::DIALECT.least_and_most();
    let journals = format!(
        "SELECT CAST(j.journal_key AS bigint), j.journal, {most}( \
             coalesce((SELECT max(e.position) FROM event AS e WHERE e.journal_key = j.journal_key), 0), \
             coalesce((SELECT max(c.position) FROM bridge_cursor AS c WHERE c.journal = j.journal), 0)) \
         FROM journal AS j"
    );
    let topics = "SELECT CAST(topic_key AS bigint), topic FROM topic";
    let states = "SELECT CAST(min(state_key) AS bigint), state, severity FROM state \
         GROUP BY state, severity";
    let states: Vec<(i64, String, String)> = on.rows(states, vec![]).await?;
    let recounted = "SELECT value FROM history_setting WHERE name = 'recounted_below'";
    let recounted: Vec<(String,)> = on.rows(recounted, vec![]).await?;
    let recounted = recounted.first().and_then(|(text,)| text.parse().ok());
    Ok(Base {
        journals: on.rows(&journals, vec![]).await?,
        topics: on.rows(topics, vec![]).await?,
        states: states
            .iter()
            .map(|(key, name, severity)| state(*key, name, severity))
            .collect(),
        gaps: gaps(on).await?,
        last: last(on).await?,
        recounted_below: recounted.unwrap_or(i64::MAX),
        robbed: robbed(on, held).await?,
    })
}

/// The newest gaps of all topics; where there are more, also the first one since each device was
/// heard. Each with its topic.
async fn gaps<On: Statements>(on: &mut On) -> Result<Vec<(String, Gap)>, sqlx::Error> {
    let (at, begins_gap) = (On::DIALECT.as_text("g.at"), On::DIALECT.is("begins_gap"));
    let newest = format!(
        "SELECT g.topic, {at}, g.cause, g.origin FROM coverage AS g WHERE {begins_gap} \
         ORDER BY g.at DESC LIMIT $1"
    );
    let mut gaps: Vec<GapText> = on.rows(&newest, vec![GAPS_MAX.into()]).await?;
    if let Some((_, oldest, ..)) = gaps.last()
        && gaps.len() >= GAPS_MAX as usize
    {
        let older = format!(
            "SELECT DISTINCT g.topic, {at}, g.cause, g.origin FROM device_row AS d \
             JOIN topic AS t ON t.topic_key = d.topic_key \
             JOIN journal AS j ON j.journal_key = d.journal_key \
             JOIN coverage AS g ON g.event_id = ( \
                 SELECT c.event_id FROM coverage AS c WHERE c.topic = t.topic AND {begins_gap} \
                 AND c.at >= d.last_seen AND {} ORDER BY c.at LIMIT 1) \
             WHERE g.at <= {}",
            On::DIALECT.is_no_earlier_gap(),
            On::DIALECT.time(1)
        );
        let older: Vec<GapText> = on.rows(&older, vec![oldest.as_str().into()]).await?;
        let known: HashSet<GapText> = gaps.iter().cloned().collect();
        gaps.extend(older.into_iter().filter(|gap| !known.contains(gap)));
    }
    Ok(gaps.into_iter().filter_map(gap).collect())
}

/// The keys that were given last. A key whose row was deleted is not given again while another row
/// has it.
async fn last<On: Statements>(on: &mut On) -> Result<Keys, sqlx::Error> {
    let (_, most) = On::DIALECT.least_and_most();
    let newest = |table: &str, key: &str| format!("coalesce((SELECT max({key}) FROM {table}), 0)");
    let newest_device = |table, sequence| {
        format!(
            "coalesce(({}), 0)",
            On::DIALECT.newest_device(table, sequence)
        )
    };
    let last = format!(
        "SELECT {most}({}, coalesce(({}), 0)), CAST({most}({}, {}, {}) AS bigint), \
         CAST({} AS bigint), CAST({} AS bigint), CAST({} AS bigint)",
        newest("event", "sequence"),
        On::DIALECT.last_sequence(),
        newest("device_row", "device_key"),
        newest_device("state_interval_row", "ends_sequence"),
        newest_device("event", "sequence"),
        newest("state", "state_key"),
        newest("profile", "profile_key"),
        newest("payload", "payload_key")
    );
    let (sequence, device, state, profile, payload) = on.row(&last, vec![]).await?;
    Ok(Keys {
        sequence,
        device,
        state,
        profile,
        payload,
    })
}

/// The devices of these that have lost their rows by hand: who forgets a device leaves nothing of it.
async fn robbed<On: Statements>(on: &mut On, held: &[i64]) -> Result<HashSet<i64>, sqlx::Error> {
    if held.is_empty() {
        return Ok(HashSet::new());
    }
    let robbed = format!(
        "SELECT h.value FROM {} AS h \
         WHERE NOT EXISTS (SELECT 1 FROM device_row AS d WHERE d.device_key = h.value) \
         AND (EXISTS (SELECT 1 FROM event AS e WHERE e.device_key = h.value) \
             OR EXISTS (SELECT 1 FROM state_interval_row AS i WHERE i.device_key = h.value))",
        On::DIALECT.rows(1)
    );
    let robbed: Vec<(i64,)> = on
        .rows(&robbed, vec![Bind::Integers(held.to_vec())])
        .await?;
    Ok(robbed.into_iter().map(|(key,)| key).collect())
}

/// Which of these rows of `coverage` are there.
pub(super) async fn covered<On: Statements>(
    on: &mut On,
    ids: Vec<String>,
) -> Result<HashSet<String>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let is_one = On::DIALECT.listed("event_id", 1);
    let covered = format!("SELECT event_id FROM coverage WHERE {is_one}");
    let covered: Vec<(String,)> = on.rows(&covered, vec![Bind::Texts(ids)]).await?;
    Ok(covered.into_iter().map(|(id,)| id).collect())
}

/// All rows of a topic, and what each says of gaps so far.
pub(super) async fn heard<On: Statements>(
    on: &mut On,
    topic: &str,
) -> Result<Vec<(Heard, Begins)>, sqlx::Error> {
    let heard = select_heard(|time| On::DIALECT.as_text(time));
    let heard = format!("{heard} WHERE topic = $1");
    let rows: Vec<HeardText> = on.rows(&heard, vec![topic.into()]).await?;
    Ok(rows.into_iter().filter_map(HeardText::heard).collect())
}

/// Where the journal of this event has said nothing of its topic before: up to when another one has,
/// or has brought a status by it.
pub(super) async fn heard_elsewhere<On: Statements>(
    on: &mut On,
    event: &CoverageEvent,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let received_at = On::DIALECT.time(2);
    let until = format!(
        "SELECT {} FROM ( \
             SELECT max(at) AS at FROM coverage WHERE topic = $1 AND at <= {received_at} \
             UNION ALL SELECT max(d.last_seen) FROM topic AS t \
             JOIN device_row AS d ON d.topic_key = t.topic_key \
             WHERE t.topic = $1 AND d.last_seen <= {received_at}) AS heard \
         WHERE NOT EXISTS (SELECT 1 FROM coverage WHERE topic = $1 AND origin LIKE $3 || '-%')",
        On::DIALECT.as_text("max(at)")
    );
    let binds = vec![
        (&*event.topic).into(),
        event.received_at.into(),
        journal_of(&event.origin).into(),
    ];
    let (until,): (Option<String>,) = on.row(&until, binds).await?;
    Ok(until.as_deref().and_then(time))
}

/// The devices that follow one, as far as their open piece began before `until` and is not counted
/// up to it.
pub(super) async fn unswept<On: Statements>(
    on: &mut On,
    after: i64,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Device>, sqlx::Error> {
    let end = On::DIALECT.time(2);
    let devices = format!(
        "{} WHERE d.device_key > $1 AND d.piece_since < {end} \
         AND (d.counted_until IS NULL OR d.counted_until < {end}) ORDER BY d.device_key LIMIT $3",
        select("device_row AS d", |time| On::DIALECT.as_text(time))
    );
    let binds = vec![after.into(), until.into(), limit.into()];
    devices_of(on, &devices, binds).await
}

/// The devices from one on.
pub(super) async fn devices_from<On: Statements>(
    on: &mut On,
    from: i64,
    limit: u32,
) -> Result<Vec<Device>, sqlx::Error> {
    let devices = format!(
        "{} WHERE d.device_key >= $1 ORDER BY d.device_key LIMIT $2",
        select("device_row AS d", |time| On::DIALECT.as_text(time))
    );
    devices_of(on, &devices, vec![from.into(), limit.into()]).await
}

async fn devices_of(
    on: &mut impl Statements,
    sql: &str,
    binds: Vec<Bind>,
) -> Result<Vec<Device>, sqlx::Error> {
    let rows: Vec<DeviceText> = on.rows(sql, binds).await?;
    Ok(rows.into_iter().filter_map(DeviceText::device).collect())
}

/// A part of a device's timeline, from which it can be made again.
pub(super) struct Part {
    pub(super) kept: Vec<Kept>,
    pub(super) closed: Vec<Piece>,
    /// Nothing is kept before it.
    pub(super) from_first: bool,
}

/// The part of a device's timeline from the last event before `late`.
pub(super) async fn part<On: Statements>(
    on: &mut On,
    device: i64,
    late: Timestamp,
) -> Result<Part, sqlx::Error> {
    let begins = format!(
        "SELECT {} FROM event WHERE device_key = $1 AND coalesce(placed_at, received_at) < {}",
        On::DIALECT.as_text("max(coalesce(placed_at, received_at))"),
        On::DIALECT.time(2)
    );
    let (begins,): (Option<String>,) = on.row(&begins, vec![device.into(), late.into()]).await?;
    let from_first = begins.is_none();
    let begins = begins.unwrap_or_else(|| On::DIALECT.before_all().to_owned());
    let kept = format!(
        "{} WHERE e.device_key = $1 AND coalesce(e.placed_at, e.received_at) >= {} \
         ORDER BY coalesce(e.placed_at, e.received_at), e.position, e.sequence",
        select_kept(|time| On::DIALECT.as_text(time)),
        On::DIALECT.time(2)
    );
    let binds = vec![device.into(), begins.as_str().into()];
    let kept: Vec<KeptText> = on.rows(&kept, binds).await?;
    Ok(Part {
        kept: kept.into_iter().filter_map(KeptText::kept).collect(),
        closed: pieces_until(on, device, &begins).await?,
        from_first,
    })
}

/// The closed pieces of a device, in order.
pub(super) async fn pieces<On: Statements>(
    on: &mut On,
    device: i64,
) -> Result<Vec<Piece>, sqlx::Error> {
    pieces_until(on, device, On::DIALECT.before_all()).await
}

/// Those that last up to a time or longer.
async fn pieces_until<On: Statements>(
    on: &mut On,
    device: i64,
    until: &str,
) -> Result<Vec<Piece>, sqlx::Error> {
    let pieces = format!(
        "{} WHERE i.device_key = $1 AND i.until >= {} ORDER BY i.since, i.ends_sequence",
        select_pieces(|time| On::DIALECT.as_text(time)),
        On::DIALECT.time(2)
    );
    let rows: Vec<PieceText> = on.rows(&pieces, vec![device.into(), until.into()]).await?;
    Ok(rows.into_iter().filter_map(PieceText::piece).collect())
}
