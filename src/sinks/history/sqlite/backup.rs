//! A copy of a history that a daemon writes meanwhile, as the history is at one moment. The large
//! tables are copied in steps of some ten milliseconds, with pauses: a reader keeps SQLite from
//! beginning the `-wal` again, so no step may last as long as the copy does. One short transaction
//! at the end copies what is small, and what has changed since.
//!
//! - `attached`: the connection; `growing`: the large tables, in steps

mod attached;
mod growing;

use std::path::Path;

use tracing::warn;

use self::attached::Attached;
use self::growing::{EVENT, GROWING, PAYLOAD, PIECE, Pause, Steps};

/// Rounds over what has changed before the last one: each is shorter than the one before.
const ROUNDS: u32 = 2;

/// Fills an empty file with what a history has at one moment; the caller syncs it.
pub(super) async fn copy(history: &Path, to: &str) -> Result<(), sqlx::Error> {
    let mut copying = Copying {
        attached: Attached::open(history).await?,
        steps: Steps::new(),
    };
    let copied = copying.all(history, to).await;
    // It holds nothing that the file has not.
    let closed = copying.attached.close().await;
    copied.and(closed)
}

struct Copying {
    attached: Attached,
    steps: Steps,
}

impl Copying {
    async fn all(&mut self, history: &Path, to: &str) -> Result<(), sqlx::Error> {
        // Somebody's full-text search, say, has tables that only its own code may copy.
        let foreign = "SELECT count(*) FROM sqlite_schema WHERE upper(sql) LIKE 'CREATE VIRTUAL %'";
        if self.attached.number(foreign).await? > 0 {
            warn!(
                history = %history.display(),
                "the history has a virtual table, so it is copied in one step: its -wal grows meanwhile"
            );
            return self.attached.vacuum_into(to).await;
        }
        self.begin(to).await?;
        self.finish().await
    }

    /// In steps: most of it.
    async fn begin(&mut self, to: &str) -> Result<(), sqlx::Error> {
        self.attached.attach(to).await?;
        self.attached.make("table").await?;
        // A row that was deleted, and is stored again meanwhile, takes the place of its copy.
        self.attached.make("unique index").await?;
        for table in GROWING {
            self.steps
                .fill(&mut self.attached, table, Pause::AsLong)
                .await?;
        }
        self.attached.make("index").await?;
        for _ in 0..ROUNDS {
            Steps::sum_copy(&mut self.attached).await?;
            self.steps.follow(&mut self.attached, Pause::AsLong).await?;
        }
        // As a part of the last transaction it would hold the -wal.
        Steps::sum_copy(&mut self.attached).await
    }

    /// At one moment: the rest.
    async fn finish(&mut self) -> Result<(), sqlx::Error> {
        self.attached.run("BEGIN").await?;
        self.steps.follow(&mut self.attached, Pause::None).await?;
        self.copy_small_tables().await?;
        self.drop_what_is_gone().await?;
        self.attached.make_views_and_triggers().await?;
        self.attached.run("COMMIT").await?;
        self.attached.run("DETACH copy").await.map(drop)
    }

    /// All other tables: they grow with the devices, or not at all.
    async fn copy_small_tables(&mut self) -> Result<(), sqlx::Error> {
        // Makes sqlite_stat1, which is filled as the others are.
        self.attached.run("ANALYZE copy.topic").await?;
        let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' \
             AND upper(sql) LIKE 'CREATE TABLE %' \
             AND (name NOT LIKE 'sqlite~_%' ESCAPE '~' OR name IN ('sqlite_sequence', 'sqlite_stat1'))";
        for name in self.attached.texts(tables).await? {
            if GROWING.iter().any(|growing| growing.name == name) {
                continue;
            }
            let name = format!("\"{}\"", name.replace('"', "\"\""));
            self.attached
                .run(&format!("DELETE FROM copy.{name}"))
                .await?;
            self.attached
                .run(&format!(
                    "INSERT INTO copy.{name} SELECT * FROM main.{name}"
                ))
                .await?;
        }
        Ok(())
    }

    /// Rows that were deleted since they were copied: by the retention, or by an operator.
    async fn drop_what_is_gone(&mut self) -> Result<(), sqlx::Error> {
        // A key may be another payload's by now.
        self.attached
            .run(
                "INSERT OR REPLACE INTO copy.payload SELECT p.* FROM main.payload AS p \
             JOIN copy.payload AS c ON c.payload_key = p.payload_key \
             WHERE (c.month, c.digest) <> (p.month, p.digest)",
            )
            .await?;
        for table in [&PAYLOAD, &EVENT, &PIECE] {
            let (name, key) = (table.name, table.key[0]);
            let count = |database: &str| format!("SELECT count(*) FROM {database}.{name}");
            self.attached
                .run(&format!(
                    "DELETE FROM copy.{name} WHERE {key} < (SELECT min({key}) FROM main.{name})"
                ))
                .await?;
            let (here, there) = (count("main"), count("copy"));
            if self.attached.number(&here).await? != self.attached.number(&there).await? {
                self.attached
                    .run(&format!(
                        "DELETE FROM copy.{name} WHERE {key} NOT IN (SELECT {key} FROM main.{name})"
                    ))
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{AssertSqlSafe, ConnectOptions};

    use super::*;

    /// A history with rows of two devices.
    const BEFORE: &str = "\
        INSERT INTO device_row VALUES (1, 's', '1', '1', 1, 1, 1, 1, 1, 1, 1, 't', 't', 't', 't', 't', NULL, 0, NULL, NULL), \
            (2, 's', '1', '2', 1, 1, 2, 2, 1, 1, 1, 't', 't', 't', 't', 't', NULL, 0, NULL, NULL); \
        INSERT INTO payload VALUES (1, 1, x'01', 'a'), (2, 1, x'02', 'b'); \
        INSERT INTO event SELECT value, 1, value, CASE value % 3 WHEN 0 THEN 'key-' || value END, \
            1 + value % 2, 1, 1, NULL, 0, 0, 1, NULL, 't' || value, NULL, NULL, 1 + value % 2, NULL \
            FROM generate; \
        INSERT INTO state_interval_row SELECT NULL, 1 + value % 2, 't' || value, value, 't', value, 1, NULL, \
            NULL, NULL, 0, 0 FROM generate; \
        INSERT INTO state_interval_row SELECT NULL, 3, 't' || value, value, 't', value, 1, NULL, NULL, NULL, 0, 0 \
            FROM generate WHERE value < 10; \
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
        INSERT INTO device_row VALUES (2, 's', '1', '9', 1, 1, 2, 2, 1, 1, 1, 't', 't', 't', 't', 't', NULL, 0, NULL, NULL); \
        INSERT INTO event SELECT value + 5000, 1, value, CASE value WHEN 3 THEN 'key-3' END, \
            2, 1, 1, NULL, 0, 0, 1, NULL, 't', NULL, NULL, 2, NULL FROM generate WHERE value < 8; \
        INSERT INTO state_interval_row VALUES (NULL, 2, 't1', 1, 't', 9, 1, 'silent', NULL, NULL, 0, 0); \
        INSERT INTO state_interval_row VALUES (NULL, 3, 't9', 5002, 't', 9, 1, 'silent', NULL, NULL, 0, 0), \
            (NULL, 3, 't91', 5003, 't', 9, 1, NULL, 't9', NULL, 0, 0); \
        DELETE FROM state_interval_row WHERE device_key = 1 AND ends_sequence = 20; \
        INSERT INTO state_interval_row VALUES (NULL, 1, 't20', 20, 't', 20, 1, 'refused', NULL, NULL, 0, 0); \
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
        let mut copying = Copying {
            attached: Attached::open(&path).await.unwrap(),
            steps: Steps::beginning_with(100),
        };
        copying.begin(&to).await.unwrap();
        sqlx::raw_sql(MEANWHILE).execute(&mut daemon).await.unwrap();
        copying.finish().await.unwrap();
        copying.attached.close().await.unwrap();

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

    #[tokio::test]
    async fn what_somebody_has_added_is_copied_whatever_it_refers_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let mut daemon = history(&path).await;
        let added = "PRAGMA foreign_keys = OFF; \
            CREATE TABLE a_child (id INTEGER PRIMARY KEY, parent REFERENCES z_parent (id)); \
            CREATE TABLE z_parent (id INTEGER PRIMARY KEY); \
            INSERT INTO z_parent VALUES (1); INSERT INTO a_child VALUES (1, 1); \
            CREATE TABLE noted (sequence REFERENCES event (sequence)); \
            INSERT INTO noted VALUES (1), (999999); \
            CREATE VIEW whole AS SELECT sequence FROM main.event; \
            CREATE TRIGGER note INSTEAD OF INSERT ON whole BEGIN \
                INSERT INTO noted VALUES (new.sequence); END;";
        sqlx::raw_sql(added).execute(&mut daemon).await.unwrap();
        let to = folder.path().join("copy.db");
        std::fs::File::create(&to).unwrap();
        copy(&path, to.to_str().unwrap()).await.unwrap();

        let options = SqliteConnectOptions::new().filename(&to);
        let mut copied = options.foreign_keys(false).connect().await.unwrap();
        sqlx::raw_sql("INSERT INTO whole VALUES (3)")
            .execute(&mut copied)
            .await
            .unwrap();
        let counts: (i64, i64, i64, String) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM whole), (SELECT count(*) FROM noted), \
             (SELECT count(*) FROM a_child), integrity_check FROM pragma_integrity_check",
        )
        .fetch_one(&mut copied)
        .await
        .unwrap();
        assert_eq!(counts, (3000, 3, 1, "ok".to_owned()));
    }
}
