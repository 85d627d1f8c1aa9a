//! The tables that grow with the statuses: copied in steps, and followed as they change.

use std::time::{Duration, Instant};

use super::attached::Attached;

/// A step is to take no longer; a row may be large.
const STEP_MAX: Duration = Duration::from_millis(40);
/// Rows of a step, at first and at most.
const ROWS: u32 = 1000;
const ROWS_MAX: u32 = 20_000;
/// Devices or days that are copied again in one step.
const GROUPS: u32 = 20;
/// Those that get what is new of them.
const APPENDED: i64 = 1000;

/// A table that grows with the statuses, and what orders its rows.
pub(super) struct Growing {
    pub(super) name: &'static str,
    pub(super) key: &'static [&'static str],
    /// Of the rows with one first part of the key, new ones are the last by this.
    grows_by: Option<&'static str>,
}

pub(super) const EVENT: Growing = Growing {
    name: "event",
    key: &["sequence"],
    grows_by: None,
};
pub(super) const PAYLOAD: Growing = Growing {
    name: "payload",
    key: &["payload_key"],
    grows_by: None,
};
const PIECE: Growing = Growing {
    name: "state_interval_row",
    key: &["device_key", "since", "ends_sequence"],
    grows_by: Some("since"),
};
const DAILY: Growing = Growing {
    name: "state_daily_row",
    key: &["day", "device_key", "state_key"],
    grows_by: None,
};
pub(super) const GROWING: [&Growing; 4] = [&PAYLOAD, &EVENT, &PIECE, &DAILY];

/// A sum over the rows of a device: it differs where any of them does.
const PIECES: &str = "sum((us + 3 * state_key + 5 * fault_uncertain_us + 7 * ends_fault \
     + 11 * ends_sequence + 13 * length(coalesce(cause, '')) \
     + 17 * coalesce(CAST(strftime('%s', run_since) AS INTEGER), 0) \
     + 19 * coalesce(CAST(strftime('%s', fault_since) AS INTEGER), 0)) % 1000000007)";
/// The same of a day.
const DAYS: &str = "sum((certain_us % 1000003) * (device_key * 31 + state_key) % 1000003 \
     + (uncertain_us % 1000003) * (device_key * 37 + state_key) % 1000003 \
     + entered * (device_key * 41 + state_key) % 1000003)";

/// Between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// None: they are one transaction.
    None,
    /// As long as the step took, for the daemon.
    AsLong,
}

impl Pause {
    async fn after(self, took: Duration) {
        if self == Pause::AsLong {
            tokio::time::sleep(took).await;
        }
    }
}

/// Copies them by a connection.
pub(super) struct Steps {
    /// Of the next step.
    rows: u32,
}

impl Steps {
    pub(super) fn new() -> Steps {
        Steps { rows: ROWS }
    }

    /// The first one has so many rows.
    #[cfg(test)]
    pub(super) fn beginning_with(rows: u32) -> Steps {
        Steps { rows }
    }

    /// Appends what a table has behind the copy's last row.
    pub(super) async fn fill(
        &mut self,
        copy: &mut Attached,
        table: &Growing,
        pause: Pause,
    ) -> Result<(), sqlx::Error> {
        let (name, key) = (table.name, table.key.join(", "));
        let quoted: Vec<String> = table.key.iter().map(|it| format!("quote({it})")).collect();
        let quoted = quoted.join(" || ', ' || ");
        let backwards = table.key.join(" DESC, ") + " DESC";
        let last = format!("SELECT {quoted} FROM copy.{name} ORDER BY {backwards} LIMIT 1");
        loop {
            let began = Instant::now();
            let behind = match copy.texts(&last).await?.pop() {
                Some(last) => format!("WHERE ({key}) > ({last})"),
                None => String::new(),
            };
            let rows = self.rows;
            let copied = copy
                .run(&format!(
                    "INSERT OR REPLACE INTO copy.{name} SELECT * FROM main.{name} {behind} \
                     ORDER BY {key} LIMIT {rows}"
                ))
                .await?;
            if copied < u64::from(rows) {
                return Ok(());
            }
            let took = began.elapsed();
            self.rows = match took > STEP_MAX {
                true => (rows / 2).max(1),
                false => rows.saturating_mul(2).min(ROWS_MAX),
            };
            pause.after(took).await;
        }
    }

    /// What the growing tables have that the copy has not, or has otherwise. The copy is summed.
    pub(super) async fn follow(
        &mut self,
        copy: &mut Attached,
        pause: Pause,
    ) -> Result<(), sqlx::Error> {
        self.fill(copy, &PAYLOAD, pause).await?;
        self.fill(copy, &EVENT, pause).await?;
        Steps::copy_again(copy, &PIECE, PIECES, pause).await?;
        Steps::copy_again(copy, &DAILY, DAYS, pause).await
    }

    /// Sums the copy's rows: nothing of the history is read for it.
    pub(super) async fn sum_copy(copy: &mut Attached) -> Result<(), sqlx::Error> {
        Steps::sum(copy, "copy", &PIECE, PIECES).await?;
        Steps::sum(copy, "copy", &DAILY, DAYS).await
    }

    /// The sums of each device, or day, as a table of the connection.
    async fn sum(
        copy: &mut Attached,
        database: &str,
        table: &Growing,
        sum: &str,
    ) -> Result<(), sqlx::Error> {
        let (name, group) = (table.name, table.key[0]);
        copy.run(&format!("DROP TABLE IF EXISTS temp.{database}_{name}"))
            .await?;
        copy.run(&format!(
            "CREATE TEMP TABLE {database}_{name} AS SELECT {group} AS it, count(*), {sum} \
             FROM {database}.{name} GROUP BY {group}"
        ))
        .await
        .map(drop)
    }

    /// Appends to the devices that differ what they have behind the copy's last row: most of them have
    /// grown, and nothing else. Those differ no longer.
    async fn append(
        copy: &mut Attached,
        table: &Growing,
        sum: &str,
        by: &str,
        pause: Pause,
    ) -> Result<(), sqlx::Error> {
        let (name, group) = (table.name, table.key[0]);
        let last = copy
            .number("SELECT coalesce(max(rowid), 0) FROM temp.differs")
            .await?;
        let mut done = 0;
        while done < last {
            let began = Instant::now();
            let end = done + APPENDED;
            copy.run(&format!(
                "INSERT OR IGNORE INTO copy.{name} SELECT m.* FROM temp.differs AS d \
                 CROSS JOIN main.{name} AS m ON m.{group} = d.it AND m.{by} >= \
                 (SELECT coalesce(max(c.{by}), '') FROM copy.{name} AS c WHERE c.{group} = d.it) \
                 WHERE d.rowid > {done} AND d.rowid <= {end}"
            ))
            .await?;
            done = end;
            pause.after(began.elapsed()).await;
        }
        copy.run("DROP TABLE IF EXISTS temp.appended").await?;
        copy.run(&format!(
            "CREATE TEMP TABLE appended AS SELECT {group} AS it, count(*), {sum} \
             FROM copy.{name} WHERE {group} IN (SELECT it FROM temp.differs) GROUP BY {group}"
        ))
        .await?;
        copy.run(&format!(
            "DELETE FROM temp.differs WHERE it IN (SELECT it FROM \
             (SELECT * FROM temp.appended INTERSECT SELECT * FROM temp.main_{name}))"
        ))
        .await
        .map(drop)
    }

    /// Copies the devices, or days, again whose rows differ.
    async fn copy_again(
        copy: &mut Attached,
        table: &Growing,
        sum: &str,
        pause: Pause,
    ) -> Result<(), sqlx::Error> {
        let (name, group) = (table.name, table.key[0]);
        Steps::sum(copy, "main", table, sum).await?;
        let (here, there) = (format!("temp.main_{name}"), format!("temp.copy_{name}"));
        copy.run("DROP TABLE IF EXISTS temp.differs").await?;
        copy.run(&format!(
            "CREATE TEMP TABLE differs AS \
             SELECT it FROM (SELECT * FROM {here} EXCEPT SELECT * FROM {there}) \
             UNION SELECT it FROM (SELECT * FROM {there} EXCEPT SELECT * FROM {here})"
        ))
        .await?;
        if let Some(by) = table.grows_by {
            Steps::append(copy, table, sum, by, pause).await?;
        }
        let count = "SELECT count(*) FROM temp.differs";
        while copy.number(count).await? > 0 {
            let began = Instant::now();
            let some = format!("SELECT it FROM temp.differs ORDER BY rowid LIMIT {GROUPS}");
            let those = format!("{group} IN ({some})");
            copy.run(&format!("DELETE FROM copy.{name} WHERE {those}"))
                .await?;
            copy.run(&format!(
                "INSERT INTO copy.{name} SELECT * FROM main.{name} WHERE {those}"
            ))
            .await?;
            copy.run(&format!("DELETE FROM temp.differs WHERE it IN ({some})"))
                .await?;
            pause.after(began.elapsed()).await;
        }
        Ok(())
    }
}
