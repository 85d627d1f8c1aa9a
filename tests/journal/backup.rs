//! Backups of a journal that is written, and journals that are made of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use stomp_bridge::journal::{
    BackedUp, Entry, Error, Journal, Proof, Reader, Settings, Start, back_up, reset_id, restore,
};
use stomp_bridge::model::Position;

use crate::promises::{Running, as_written, batch, entry, settings};

async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

async fn sql(path: &Path, text: &str) {
    let mut connection = open(path).await;
    let text = AssertSqlSafe(text.to_owned());
    sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Every row of every table, as texts.
async fn rows(path: &Path) -> Vec<String> {
    let mut connection = open(path).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.contains(&"dead_letter".to_owned()), "{tables:?}");
    let mut rows = Vec::new();
    for table in tables {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
            .bind(table.clone())
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let columns: Vec<String> = columns.iter().map(|it| format!("quote({it})")).collect();
        let text = format!(
            "SELECT '{table}: ' || {} FROM {table} ORDER BY 1",
            columns.join(" || ',' || ")
        );
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(text))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        rows.extend(found);
    }
    connection.close().await.unwrap();
    rows
}

/// A journal of three entries, closed, and its backup of the first two.
async fn with_backup(folder: &Path) -> (Settings, PathBuf) {
    let settings = settings(folder);
    let backup = folder.join("journal.backup");
    let running = Running::open(&settings).await;
    let two = batch(vec![entry("a"), entry("b")]);
    running.journal.log.append(two).await.unwrap();
    let made = back_up(&settings.path, &backup).await.unwrap();
    assert_eq!(made.head, Position(2));
    running
        .journal
        .log
        .append(batch(vec![entry("c")]))
        .await
        .unwrap();
    running.close().await;
    (settings, backup)
}

fn elsewhere(folder: &Path) -> Settings {
    Settings::new(folder.join("elsewhere/journal.db"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_the_journal_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    let sink: [(Arc<str>, Start); 1] = [("site".into(), Start::Oldest)];
    running.journal.cursors.register_sinks(&sink).await.unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let writing = {
        let (log, ends) = (running.journal.log.clone(), Arc::clone(&ends));
        tokio::spawn(async move {
            let mut count = 0;
            while !ends.load(Ordering::Relaxed) {
                let bodies = (count..count + 50).map(|count| entry(format!("{count:0900}")));
                log.append(batch(bodies.collect())).await.unwrap();
                count += 50;
            }
        })
    };
    // More than one step has to copy.
    while running.journal.log.status().head < Position(6000) {
        tokio::task::yield_now().await;
    }
    let mut backups: Vec<(PathBuf, BackedUp, Position)> = Vec::new();
    for count in 0..3 {
        let to = folder.path().join(format!("{count}.backup"));
        let acknowledged = running.journal.log.status().head;
        let made = back_up(&settings.path, &to).await.unwrap();
        backups.push((to, made, acknowledged));
    }
    ends.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let written = running.read(Position::START).await;
    running.close().await;
    for (backup, made, acknowledged) in backups {
        assert!(
            made.head >= acknowledged,
            "{made:?}: {acknowledged} was on disk"
        );
        assert_eq!(made.bytes, fs::metadata(&backup).unwrap().len());
        let mode = fs::metadata(&backup).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut reader = Reader::open(&backup).await.unwrap();
        let all = reader.read_after(Position::START, usize::MAX, usize::MAX);
        let head = usize::try_from(made.head.0).unwrap();
        let all = all.await.unwrap();
        let rows =
            |entries: &[Entry]| format!("{:?}", entries.iter().map(as_written).collect::<Vec<_>>());
        assert_eq!(all.len(), head);
        assert!(rows(&all) == rows(&written[..head]), "{all:?}");
        let accounts = reader.accounts().await.unwrap();
        assert_eq!(accounts.len(), 1, "{accounts:?}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(
        left.len(),
        4,
        "nothing but the journal and its backups: {left:?}"
    );
}

#[tokio::test]
async fn a_backup_has_every_row_of_every_table() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    Running::open(&settings).await.close().await;
    // What takes months to come together. The trigger counts the dead letter.
    let all = "INSERT INTO entry (position, kind, topic, received_at, body, settled) VALUES \
            (7, 'status', 'map-1', 1, x'00ff', NULL), (8, 'undecodable', 'map-1', 1, x'', 1); \
         INSERT INTO cursor (sink, position) VALUES ('site', 7); \
         INSERT INTO dead_letter (sink, position, at, bytes, kind, topic, received_at, error, body) \
            VALUES ('site', 7, 1, 5, 'status', 'map-1', 1, 'no', x'00'); \
         INSERT INTO last_state VALUES ('map-1', '1', '7', '故障', x'01', 5); \
         INSERT INTO coverage VALUES ('map-1', 1, 5); \
         INSERT INTO eviction VALUES (1, 6, 6, 1, 2, 'full'); \
         INSERT INTO replay VALUES ('site', 1, 2, NULL, NULL, '7'); \
         INSERT INTO judged VALUES ('site', x'02'); \
         INSERT INTO proof VALUES (1, 'site', 7, 7, NULL, 5, 1, 'PUBACK'); \
         INSERT INTO earlier_id VALUES (3, '0123456789abcdef0123456789abcdef'); \
         UPDATE journal SET head = 8";
    sql(&settings.path, all).await;
    let backup = folder.path().join("journal.backup");
    back_up(&settings.path, &backup).await.unwrap();
    let there = rows(&settings.path).await;
    assert_eq!(rows(&backup).await, there);
    let kinds: Vec<&str> = there
        .iter()
        .map(|row| row.split(':').next().unwrap())
        .collect();
    assert!(
        kinds.contains(&"dlq") && kinds.contains(&"clock"),
        "{kinds:?}"
    );
    // The triggers are there, too.
    sql(&backup, "DELETE FROM dead_letter").await;
    let dlq = rows(&backup)
        .await
        .into_iter()
        .find(|row| row.starts_with("dlq"));
    assert_eq!(dlq.as_deref(), Some("dlq: 'site',0,0"));
}

#[tokio::test]
async fn a_backup_is_no_second_journal_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backup) = with_backup(folder.path()).await;
    let as_journal = Settings::new(backup.clone());
    let before = fs::read(&backup).unwrap();
    for refused in [
        Journal::open(&as_journal).await.map(drop).unwrap_err(),
        reset_id(&as_journal, Proof::Waived).await.unwrap_err(),
        back_up(&backup, &folder.path().join("again"))
            .await
            .unwrap_err(),
    ] {
        let said = refused.to_string();
        assert!(matches!(refused, Error::Backup { .. }), "{said}");
        assert!(said.contains("stomp-bridge journal restore"), "{said}");
    }
    assert_eq!(fs::read(&backup).unwrap(), before, "a refusal changes it");
    // A look is no harm, and changes nothing.
    let mut reader = Reader::open(&backup).await.unwrap();
    assert_eq!(reader.newest().await.unwrap(), Position(2));
    drop(reader);
    let restored = restore(&elsewhere(folder.path()).path, &backup)
        .await
        .unwrap();
    assert_eq!(restored.head, Position(2));
    assert_eq!(fs::read(&backup).unwrap(), before);
}

#[tokio::test]
async fn a_restored_journal_keeps_the_origins_of_the_backup_and_gives_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, backup) = with_backup(folder.path()).await;
    let there = Running::open(&settings).await;
    let before = there.journal.log.ids();
    there.close().await;

    let elsewhere = elsewhere(folder.path());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let restored = restore(&elsewhere.path, &backup).await.unwrap();
        let running = Running::open(&elsewhere).await;
        assert_eq!(running.journal.log.uuid(), restored.now);
        assert!(!running.journal.log.was_left_open());
        let appended = running.journal.log.append(batch(vec![entry("new")])).await;
        assert_eq!(appended.unwrap(), Position(3));
        let now = running.journal.log.ids();
        assert_eq!(now.origin(Position(2)), before.origin(Position(2)));
        // The other copy has given the position 3 to "c".
        assert_ne!(now.origin(Position(3)), before.origin(Position(3)));
        ids.push(now);
        running.close().await;
        let mut reader = Reader::open(&elsewhere.path).await.unwrap();
        assert_eq!(reader.ids().await.unwrap(), ids[ids.len() - 1]);
        drop(reader);
        fs::remove_dir_all(elsewhere.path.parent().unwrap()).unwrap();
    }
    assert_ne!(ids[0], ids[1], "of one backup two journals may be made");

    // A backup of a restored one knows both ids, also where nothing came between.
    restore(&elsewhere.path, &backup).await.unwrap();
    let second = folder.path().join("second.backup");
    back_up(&elsewhere.path, &second).await.unwrap();
    fs::remove_dir_all(elsewhere.path.parent().unwrap()).unwrap();
    restore(&elsewhere.path, &second).await.unwrap();
    let running = Running::open(&elsewhere).await;
    let now = running.journal.log.ids();
    assert_eq!(now.origin(Position(2)), before.origin(Position(2)));
    assert_eq!(now.origin(Position(3)).journal, running.journal.log.uuid());
    running.close().await;
    // A stale copy of that gives every entry a new id.
    reset_id(&elsewhere, Proof::Waived).await.unwrap();
    let running = Running::open(&elsewhere).await;
    let now = running.journal.log.ids();
    assert_eq!(now.origin(Position(1)).journal, running.journal.log.uuid());
    running.close().await;
}

/// Root restores, and the daemon has a user of its own. It must be able to read what root has made.
#[tokio::test]
async fn what_root_restores_belongs_to_the_owner_of_the_folder() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: whose a restored journal is; only root restores for another user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, backup) = with_backup(folder.path()).await;
    let elsewhere = elsewhere(folder.path());
    let state = elsewhere.path.parent().unwrap();
    fs::create_dir(state).unwrap();
    chown(state, Some(61_234), Some(61_235)).unwrap();
    restore(&elsewhere.path, &backup).await.unwrap();
    let owners = |suffix: &str| {
        let mut file = elsewhere.path.clone().into_os_string();
        file.push(suffix);
        let found = fs::metadata(file).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o777)
    };
    for suffix in ["", "-lock"] {
        assert_eq!(
            owners(suffix),
            (61_234, 61_235, 0o600),
            "journal.db{suffix}"
        );
    }
    let files: Vec<_> = fs::read_dir(state).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
    // The backup is its owner's.
    assert_eq!(fs::metadata(&backup).unwrap().uid(), 0);
    // What is there already, and a link, belong to whom they did.
    let target = folder.path().join("of root");
    fs::write(&target, "").unwrap();
    fs::remove_file(elsewhere.path.with_extension("db-lock")).unwrap();
    symlink(&target, elsewhere.path.with_extension("db-lock")).unwrap();
    reset_id(&elsewhere, Proof::Waived).await.unwrap();
    assert_eq!(fs::metadata(&target).unwrap().uid(), 0);
}

#[tokio::test]
async fn nothing_is_written_over_and_what_is_no_backup_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, backup) = with_backup(folder.path()).await;
    let in_the_way = |refused: Error| {
        let said = refused.to_string();
        assert!(matches!(refused, Error::InTheWay { .. }), "{said}");
        assert!(said.contains("nothing is written over"), "{said}");
    };
    in_the_way(back_up(&settings.path, &backup).await.unwrap_err());
    let journal = fs::read(&settings.path).unwrap();
    in_the_way(restore(&settings.path, &backup).await.unwrap_err());
    assert_eq!(fs::read(&settings.path).unwrap(), journal);
    // The WAL of another journal would be read as this one's.
    let elsewhere = elsewhere(folder.path());
    fs::create_dir(elsewhere.path.parent().unwrap()).unwrap();
    let wal = elsewhere.path.with_extension("db-wal");
    fs::write(&wal, "of another").unwrap();
    in_the_way(restore(&elsewhere.path, &backup).await.unwrap_err());
    fs::remove_file(&wal).unwrap();

    let bad = folder.path().join("bad");
    let whole = fs::read(&backup).unwrap();
    let cut = |bytes: usize| whole[..whole.len() - bytes].to_vec();
    let mut garbled = whole.clone();
    let middle = garbled.len() / 2 / 4096 * 4096;
    garbled[middle..middle + 4096].fill(0xa5);
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("nothing", Vec::new(), "is no backup"),
        ("notes", b"notes of somebody ".repeat(100), "is no backup"),
        ("a journal", journal, "is no backup"),
        ("a part", cut(4096), "bytes): restore another one"),
        ("all but a byte", cut(1), "bytes): restore another one"),
        ("other bytes", garbled, "restore another one"),
    ];
    for (what, bytes, says) in cases {
        fs::write(&bad, bytes).unwrap();
        let refused = restore(&elsewhere.path, &bad).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{what}: {refused}");
        assert!(!elsewhere.path.exists(), "{what}");
    }
    let refused = restore(&elsewhere.path, &folder.path().join("absent")).await;
    assert!(
        matches!(
            refused,
            Err(Error::NoBackup {
                source: Some(_),
                ..
            })
        ),
        "{refused:?}"
    );
    // One of a later version.
    fs::write(&bad, &whole).unwrap();
    sql(&bad, "PRAGMA user_version = 99").await;
    for refused in [
        restore(&elsewhere.path, &bad).await.map(drop),
        Reader::open(&bad).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Newer { .. })), "{refused:?}");
    }
    let left: Vec<_> = fs::read_dir(elsewhere.path.parent().unwrap())
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // What a restore that was killed has left is not read as this one's.
    let other = folder.path().join("other.db");
    fs::File::create(&other).unwrap();
    let mut connection = open(&other).await;
    let pages = "PRAGMA page_size = 2048; PRAGMA journal_mode = WAL; CREATE TABLE other (a)";
    sqlx::raw_sql(pages).execute(&mut connection).await.unwrap();
    let left = elsewhere.path.with_extension("db.part-wal");
    fs::copy(other.with_extension("db-wal"), &left).unwrap();
    connection.close().await.unwrap();
    restore(&elsewhere.path, &backup).await.unwrap();
    // No text says to move the files of a running daemon away.
    let running = Running::open(&elsewhere).await;
    let refused = restore(&elsewhere.path, &backup).await.unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    running.close().await;
}

/// A migration that this version does not know.
#[tokio::test]
async fn a_journal_that_a_later_version_has_changed_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    Running::open(&settings).await.close().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (99, 'later', 1, x'00', 0)";
    sql(&settings.path, later).await;
    let refused = Journal::open(&settings).await.map(drop).unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, Error::Newer { .. }), "{said}");
    assert!(said.contains("run that version again"), "{said}");
}
