//! A copy of a history that a daemon writes meanwhile, as the history is at one moment. The large
//! tables are copied in steps of some ten milliseconds, with pauses: whoever reads keeps SQLite from
//! beginning the `-wal` again, so no step may last as long as the copy does. One short transaction
//! at the end copies what is small, and what has changed since.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tracing::warn;

use super::connect::changing;

/// A step is to take no longer; a row may be large.
const STEP_MAX: Duration = Duration::from_millis(40);
/// Rows of a step, at first and at most.
const ROWS: u32 = 1000;
const ROWS_MAX: u32 = 20_000;
/// Devices or days that are copied again in one step.
const GROUPS: u32 = 20;
/// Rounds over what has changed before the last one: each is shorter than the one before.
const ROUNDS: u32 = 2;

/// A table that grows with the statuses, and what orders its rows.
struct Growing {
    name: &'static str,
    key: &'static [&'static str],
}

const EVENT: Growing = Growing {
    name: "event",
    key: &["sequence"],
};
const PAYLOAD: Growing = Growing {
    name: "payload",
    key: &["payload_key"],
};
const PIECE: Growing = Growing {
    name: "state_interval_row",
    key: &["device_key", "since", "ends_sequence"],
};
const DAILY: Growing = Growing {
    name: "state_daily_row",
    key: &["day", "device_key", "state_key"],
};
const GROWING: [&Growing; 4] = [&PAYLOAD, &EVENT, &PIECE, &DAILY];

/// A sum over the rows of a device: it differs where any of them does.
const PIECES: &str = "sum((us + 3 * state_key + 5 * fault_uncertain_us + 7 * ends_fault \
     + 11 * ends_sequence + 13 * length(coalesce(cause, '')) \
     + 17 * coalesce(CAST(strftime('%s', run_since) AS INTEGER), 0) \
     + 19 * coalesce(CAST(strftime('%s', fault_since) AS INTEGER), 0)) % 1000000007)";
/// The same of a day.
const DAYS: &str = "sum((certain_us % 1000003) * (device_key * 31 + state_key) % 1000003 \
     + (uncertain_us % 1000003) * (device_key * 37 + state_key) % 1000003 \
     + entered * (device_key * 41 + state_key) % 1000003)";

/// Fills an empty file with what a history has at one moment; the caller syncs it.
pub(super) async fn copy(history: &Path, to: &str) -> Result<(), sqlx::Error> {
    let connection = changing(history).connect().await?;
    let mut copying = Copying {
        connection,
        rows: ROWS,
    };
    let copied = copying.all(history, to).await;
    // It holds nothing that the file has not.
    let closed = copying.connection.close().await;
    copied.and(closed)
}

struct Copying {
    /// To the history; the copy is attached.
    connection: SqliteConnection,
    /// Of the next step.
    rows: u32,
}

impl Copying {
    async fn all(&mut self, history: &Path, to: &str) -> Result<(), sqlx::Error> {
        // Somebody's full-text search, say, has tables that only its own code may copy.
        let foreign = "SELECT count(*) FROM sqlite_schema WHERE upper(sql) LIKE 'CREATE VIRTUAL %'";
        if self.number(foreign).await? > 0 {
            warn!(
                history = %history.display(),
                "the history has a virtual table, so it is copied in one step: its -wal grows meanwhile"
            );
            return sqlx::query("VACUUM INTO ?")
                .bind(to.to_owned())
                .execute(&mut self.connection)
                .await
                .map(drop);
        }
        self.begin(to).await?;
        self.finish().await
    }

    /// In steps: most of it.
    async fn begin(&mut self, to: &str) -> Result<(), sqlx::Error> {
        self.attach(to).await?;
        self.make("table").await?;
        // A row that was deleted, and is stored again meanwhile, takes the place of its copy.
        self.make("unique index").await?;
        for table in GROWING {
            self.fill(table, Pause::AsLong).await?;
        }
        self.make("index").await?;
        for _ in 0..ROUNDS {
            self.sum_copy().await?;
            self.follow(Pause::AsLong).await?;
        }
        // As a part of the last transaction it would hold the -wal.
        self.sum_copy().await
    }

    /// At one moment: the rest.
    async fn finish(&mut self) -> Result<(), sqlx::Error> {
        self.run("BEGIN").await?;
        self.follow(Pause::None).await?;
        self.copy_small_tables().await?;
        self.drop_what_is_gone().await?;
        self.make("view").await?;
        // Earlier they would act.
        self.make("trigger").await?;
        self.run("COMMIT").await?;
        self.run("DETACH copy").await.map(drop)
    }

    async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .execute(&mut self.connection)
            .await?;
        Ok(done.rows_affected())
    }

    async fn texts(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut self.connection)
            .await
    }

    async fn number(&mut self, sql: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut self.connection)
            .await
    }

    /// A copy that is not finished is of no use: nothing of it is synced before the end.
    async fn attach(&mut self, to: &str) -> Result<(), sqlx::Error> {
        sqlx::query("ATTACH ? AS copy")
            .bind(to.to_owned())
            .execute(&mut self.connection)
            .await?;
        for pragma in ["page_size", "auto_vacuum", "application_id", "user_version"] {
            let value = self.number(&format!("PRAGMA main.{pragma}")).await?;
            self.run(&format!("PRAGMA copy.{pragma} = {value}")).await?;
        }
        for pragma in ["journal_mode = OFF", "synchronous = OFF"] {
            self.texts(&format!("PRAGMA copy.{pragma}")).await?;
        }
        Ok(())
    }

    /// Makes what the history has of a kind, tables without their rows. SQLite keeps the words that
    /// made it, without the name of its database.
    async fn make(&mut self, kind: &str) -> Result<(), sqlx::Error> {
        let made = format!("CREATE {}", kind.to_uppercase());
        let sql = format!(
            "SELECT sql FROM main.sqlite_schema \
             WHERE upper(sql) LIKE '{made} %' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY rowid"
        );
        for sql in self.texts(&sql).await? {
            let name = sql[made.len()..].trim_start();
            self.run(&format!("{made} copy.{name}")).await?;
        }
        Ok(())
    }

    /// Appends what a table has behind the copy's last row.
    async fn fill(&mut self, table: &Growing, pause: Pause) -> Result<(), sqlx::Error> {
        let (name, key) = (table.name, table.key.join(", "));
        let quoted: Vec<String> = table.key.iter().map(|it| format!("quote({it})")).collect();
        let quoted = quoted.join(" || ', ' || ");
        let backwards = table.key.join(" DESC, ") + " DESC";
        let last = format!("SELECT {quoted} FROM copy.{name} ORDER BY {backwards} LIMIT 1");
        loop {
            let began = Instant::now();
            let behind = match self.texts(&last).await?.pop() {
                Some(last) => format!("WHERE ({key}) > ({last})"),
                None => String::new(),
            };
            let rows = self.rows;
            let copied = self
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
    async fn follow(&mut self, pause: Pause) -> Result<(), sqlx::Error> {
        self.fill(&PAYLOAD, pause).await?;
        self.fill(&EVENT, pause).await?;
        self.copy_again(&PIECE, PIECES, pause).await?;
        self.copy_again(&DAILY, DAYS, pause).await
    }

    /// Sums the copy's rows: nothing of the history is read for it.
    async fn sum_copy(&mut self) -> Result<(), sqlx::Error> {
        self.sum("copy", &PIECE, PIECES).await?;
        self.sum("copy", &DAILY, DAYS).await
    }

    /// The sums of each device, or day, as a table of the connection.
    async fn sum(&mut self, database: &str, table: &Growing, sum: &str) -> Result<(), sqlx::Error> {
        let (name, group) = (table.name, table.key[0]);
        self.run(&format!("DROP TABLE IF EXISTS temp.{database}_{name}"))
            .await?;
        self.run(&format!(
            "CREATE TEMP TABLE {database}_{name} AS SELECT {group} AS it, count(*), {sum} \
             FROM {database}.{name} GROUP BY {group}"
        ))
        .await
        .map(drop)
    }

    /// Copies the devices, or days, again whose rows differ.
    async fn copy_again(
        &mut self,
        table: &Growing,
        sum: &str,
        pause: Pause,
    ) -> Result<(), sqlx::Error> {
        let (name, group) = (table.name, table.key[0]);
        self.sum("main", table, sum).await?;
        let (here, there) = (format!("temp.main_{name}"), format!("temp.copy_{name}"));
        self.run("DROP TABLE IF EXISTS temp.differs").await?;
        self.run(&format!(
            "CREATE TEMP TABLE differs AS \
             SELECT it FROM (SELECT * FROM {here} EXCEPT SELECT * FROM {there}) \
             UNION SELECT it FROM (SELECT * FROM {there} EXCEPT SELECT * FROM {here})"
        ))
        .await?;
        let count = "SELECT count(*) FROM temp.differs";
        while self.number(count).await? > 0 {
            let began = Instant::now();
            let some = format!("SELECT it FROM temp.differs ORDER BY rowid LIMIT {GROUPS}");
            let those = format!("{group} IN ({some})");
            self.run(&format!("DELETE FROM copy.{name} WHERE {those}"))
                .await?;
            self.run(&format!(
                "INSERT INTO copy.{name} SELECT * FROM main.{name} WHERE {those}"
            ))
            .await?;
            self.run(&format!("DELETE FROM temp.differs WHERE it IN ({some})"))
                .await?;
            pause.after(began.elapsed()).await;
        }
        Ok(())
    }

    /// All other tables: they grow with the devices, or not at all.
    async fn copy_small_tables(&mut self) -> Result<(), sqlx::Error> {
        let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' \
             AND upper(sql) LIKE 'CREATE TABLE %' \
             AND (name NOT LIKE 'sqlite~_%' ESCAPE '~' OR name = 'sqlite_sequence')";
        for name in self.texts(tables).await? {
            if GROWING.iter().any(|growing| growing.name == name) {
                continue;
            }
            let name = format!("\"{}\"", name.replace('"', "\"\""));
            self.run(&format!("DELETE FROM copy.{name}")).await?;
            self.run(&format!(
                "INSERT INTO copy.{name} SELECT * FROM main.{name}"
            ))
            .await?;
        }
        Ok(())
    }

    /// Rows that were deleted since they were copied: by the retention, or by an operator.
    async fn drop_what_is_gone(&mut self) -> Result<(), sqlx::Error> {
        // A key may be another payload's by now.
        self.run(
            "INSERT OR REPLACE INTO copy.payload SELECT p.* FROM main.payload AS p \
             JOIN copy.payload AS c ON c.payload_key = p.payload_key \
             WHERE (c.month, c.digest) <> (p.month, p.digest)",
        )
        .await?;
        for table in [&PAYLOAD, &EVENT] {
            let (name, key) = (table.name, table.key[0]);
            let count = |database: &str| format!("SELECT count(*) FROM {database}.{name}");
            self.run(&format!(
                "DELETE FROM copy.{name} WHERE {key} < (SELECT min({key}) FROM main.{name})"
            ))
            .await?;
            let (here, there) = (count("main"), count("copy"));
            if self.number(&here).await? != self.number(&there).await? {
                self.run(&format!(
                    "DELETE FROM copy.{name} WHERE {key} NOT IN (SELECT {key} FROM main.{name})"
                ))
                .await?;
            }
        }
        Ok(())
    }
}

/// Between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
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

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    /// A history with rows of two devices.
    const BEFORE: &str = "\
        INSERT INTO device_row VALUES (1, 's', '1', '1', 1, 1, 1, 1, 1, 1, 't', 't', 't', 't', 't', NULL, 0, NULL, NULL), \
            (2, 's', '1', '2', 1, 1, 2, 2, 1, 1, 't', 't', 't', 't', 't', NULL, 0, NULL, NULL); \
        INSERT INTO payload VALUES (1, 1, x'01', 'a'), (2, 1, x'02', 'b'); \
        INSERT INTO event SELECT value, 1, value, CASE value % 3 WHEN 0 THEN 'key-' || value END, \
            1 + value % 2, 1, 1, NULL, 0, 0, 1, NULL, 't' || value, NULL, NULL, 1 + value % 2, NULL \
            FROM generate; \
        INSERT INTO state_interval_row SELECT 1 + value % 2, 't' || value, value, 't', value, 1, NULL, \
            NULL, NULL, 0, 0 FROM generate; \
        INSERT INTO state_daily_row SELECT '2026-01-' || (10 + value % 20), 1 + value % 2, value, value, 0, 0 \
            FROM generate; \
        CREATE TABLE theirs (a); CREATE TRIGGER counts AFTER INSERT ON event BEGIN \
            INSERT INTO theirs VALUES (new.sequence); END;";

    /// What happens while it is copied: statuses come and go, one is stored again, a device is
    /// forgotten and its keys are given to others, and pieces and days are made again.
    const MEANWHILE: &str = "\
        DELETE FROM event WHERE sequence <= 7 OR device_key = 2; \
        DELETE FROM device_row WHERE device_key = 2; \
        DELETE FROM state_interval_row WHERE device_key = 2; \
        DELETE FROM state_daily_row WHERE device_key = 2; \
        DELETE FROM payload WHERE payload_key = 2; \
        INSERT INTO payload VALUES (2, 1, x'03', 'c'); \
        INSERT INTO device_row VALUES (2, 's', '1', '9', 1, 1, 2, 2, 1, 1, 't', 't', 't', 't', 't', NULL, 0, NULL, NULL); \
        INSERT INTO event SELECT value + 5000, 1, value, CASE value WHEN 3 THEN 'key-3' END, \
            2, 1, 1, NULL, 0, 0, 1, NULL, 't', NULL, NULL, 2, NULL FROM generate WHERE value < 8; \
        INSERT INTO state_interval_row VALUES (2, 't1', 1, 't', 9, 1, 'silent', NULL, NULL, 0, 0); \
        UPDATE state_interval_row SET cause = 'refused' WHERE device_key = 1 AND ends_sequence = 20; \
        UPDATE state_daily_row SET state_key = 9999 WHERE state_key = 30; \
        INSERT INTO history_setting VALUES ('day_zone', 'UTC');";

    async fn history(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = options.create_if_missing(true).connect().await.unwrap();
        for pragma in ["auto_vacuum = INCREMENTAL", "journal_mode = WAL"] {
            let pragma = AssertSqlSafe(format!("PRAGMA {pragma}"));
            sqlx::raw_sql(pragma)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let migrations = sqlx::migrate!("migrations/history_sqlite");
        migrations.run(&mut connection).await.unwrap();
        let generate = "CREATE TEMP VIEW generate AS WITH RECURSIVE n (value) AS \
            (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 3000) SELECT value FROM n;";
        for sql in [generate, BEFORE] {
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
        connection
    }

    #[tokio::test]
    async fn the_copy_is_what_the_history_is_at_the_end_whatever_happened_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let mut daemon = history(&path).await;
        let to = folder.path().join("copy.db");
        std::fs::File::create(&to).unwrap();
        let to = to.display().to_string();
        let connection = SqliteConnectOptions::new().filename(&path);
        let mut copying = Copying {
            connection: connection.connect().await.unwrap(),
            rows: 100,
        };
        copying.begin(&to).await.unwrap();
        sqlx::raw_sql(MEANWHILE).execute(&mut daemon).await.unwrap();
        copying.finish().await.unwrap();
        copying.connection.close().await.unwrap();

        let text = |sql: String| AssertSqlSafe(sql);
        sqlx::query("ATTACH ? AS copy")
            .bind(to)
            .execute(&mut daemon)
            .await
            .unwrap();
        let schema = "SELECT sql FROM main.sqlite_schema WHERE sql IS NOT NULL \
            EXCEPT SELECT sql FROM copy.sqlite_schema";
        let lacks: Vec<String> = sqlx::query_scalar(schema)
            .fetch_all(&mut daemon)
            .await
            .unwrap();
        assert_eq!(lacks, [""; 0]);
        let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table'";
        let tables: Vec<String> = sqlx::query_scalar(tables)
            .fetch_all(&mut daemon)
            .await
            .unwrap();
        assert!(tables.len() > 10, "{tables:?}");
        for table in tables {
            for (a, b) in [("main", "copy"), ("copy", "main")] {
                let more = format!(
                    "SELECT count(*) FROM (SELECT * FROM {a}.{table} EXCEPT SELECT * FROM {b}.{table})"
                );
                let more: i64 = sqlx::query_scalar(text(more))
                    .fetch_one(&mut daemon)
                    .await
                    .unwrap();
                assert_eq!(more, 0, "rows of {table} that only {a} has");
            }
        }
        let whole = sqlx::query_scalar("PRAGMA copy.integrity_check");
        let whole: String = whole.fetch_one(&mut daemon).await.unwrap();
        let incremental: i64 = sqlx::query_scalar("PRAGMA copy.auto_vacuum")
            .fetch_one(&mut daemon)
            .await
            .unwrap();
        assert_eq!((whole.as_str(), incremental), ("ok", 2));
    }
}
