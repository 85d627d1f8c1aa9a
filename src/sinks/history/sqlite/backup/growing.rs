//! The tables that grow with the statuses: copied in steps, and followed as they change.

use std::time::{Duration, Instant};

use super::attached::Attached;

/// A step is to take no longer; a row may be large.
const STEP_MAX: Duration = Duration::from_millis(40);
/// Rows of a step, at first and at most.
const ROWS: u32 = 1000;
const ROWS_MAX: u32 = 20_000;
/// Days that are copied again in one step.
const DAYS_AT_ONCE: u32 = 20;

/// A table that grows with the statuses, and what orders its rows.
pub(super) struct Growing {
    pub(super) name: &'static str,
    pub(super) key: &'static [&'static str],
}

pub(super) const EVENT: Growing = Growing {
    name: "event",
    key: &["sequence"],
};
pub(super) const PAYLOAD: Growing = Growing {
    name: "payload",
    key: &["payload_key"],
};
pub(super) const PIECE: Growing = Growing {
    name: "state_interval_row",
    key: &["piece_key"],
};
const DAILY: Growing = Growing {
    name: "state_daily_row",
    key: &["day", "device_key", "state_key"],
};
pub(super) const GROWING: [&Growing; 4] = [&PAYLOAD, &EVENT, &PIECE, &DAILY];

/// A sum over the rows of a day: it differs where any of them does.
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
        self.fill(copy, &PIECE, pause).await?;
        Steps::copy_days_again(copy, pause).await
    }

    /// Sums the copy's rows: nothing of the history is read for it.
    pub(super) async fn sum_copy(copy: &mut Attached) -> Result<(), sqlx::Error> {
        Steps::sum(copy, "copy").await
    }

    /// The sums of each day, as a table of the connection.
    async fn sum(copy: &mut Attached, database: &str) -> Result<(), sqlx::Error> {
        copy.run(&format!("DROP TABLE IF EXISTS temp.{database}_days"))
            .await?;
        copy.run(&format!(
            "CREATE TEMP TABLE {database}_days AS SELECT day, count(*), {DAYS} \
             FROM {database}.state_daily_row GROUP BY day"
        ))
        .await
        .map(drop)
    }

    /// Copies the days again whose rows differ.
    async fn copy_days_again(copy: &mut Attached, pause: Pause) -> Result<(), sqlx::Error> {
        Steps::sum(copy, "main").await?;
        copy.run("DROP TABLE IF EXISTS temp.differs").await?;
        copy.run(
            "CREATE TEMP TABLE differs AS \
             SELECT day FROM (SELECT * FROM temp.main_days EXCEPT SELECT * FROM temp.copy_days) \
             UNION SELECT day FROM (SELECT * FROM temp.copy_days EXCEPT SELECT * FROM temp.main_days)",
        )
        .await?;
        let count = "SELECT count(*) FROM temp.differs";
        while copy.number(count).await? > 0 {
            let began = Instant::now();
            let some = format!("SELECT day FROM temp.differs ORDER BY rowid LIMIT {DAYS_AT_ONCE}");
            copy.run(&format!(
                "DELETE FROM copy.state_daily_row WHERE day IN ({some})"
            ))
            .await?;
            copy.run(&format!(
                "INSERT INTO copy.state_daily_row \
                 SELECT * FROM main.state_daily_row WHERE day IN ({some})"
            ))
            .await?;
            copy.run(&format!("DELETE FROM temp.differs WHERE day IN ({some})"))
                .await?;
            pause.after(began.elapsed()).await;
        }
        Ok(())
    }
}
