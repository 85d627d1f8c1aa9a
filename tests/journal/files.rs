//! The journal's files in other hands: links to them, and what is done to them under the writer.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use stomp_bridge::journal::{Error, Journal, Proof, Settings, Taken, reset_id};
use stomp_bridge::model::Position;

use crate::promises::{Running, batch, entry, leave_open, settings};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

async fn append(running: &Running, body: &str) -> Result<Position, Error> {
    let log = &running.journal.log;
    log.append(batch(vec![entry(body)])).await
}

#[tokio::test]
async fn two_links_to_a_journal_are_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let real = settings(folder.path());
    let link = Settings {
        path: folder.path().join("link.db"),
        ..real.clone()
    };
    symlink(&real.path, &link.path).unwrap();
    // There is nothing yet where the link leads.
    let running = Running::open(&link).await;
    append(&running, "a").await.unwrap();
    assert_eq!(running.journal.log.path(), real.path);
    let refused = Journal::open(&real).await.map(drop);
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    running.close().await;
    for suffix in ["-lock", "-wal"] {
        assert!(!beside(&link.path, suffix).exists(), "{suffix}");
    }
    let running = Running::open(&real).await;
    assert_eq!(running.read(Position::START).await.len(), 1);
    let refused = Journal::open(&link).await.map(drop);
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    running.close().await;
}

/// Some of the entries stand in the file, the others in the WAL.
async fn copy_wal(settings: &Settings) {
    let options = SqliteConnectOptions::new().filename(&settings.path);
    let mut other = options.connect().await.unwrap();
    let copy = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)");
    copy.execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

/// Something is done to the files between two commits: the second is not acknowledged, and the
/// writer ends with the reason. Gives the settings, for what comes then.
async fn taken(folder: &Path, what: Taken, does: impl Fn(&Path)) -> Settings {
    let settings = settings(folder);
    let running = Running::open(&settings).await;
    for count in 0..20 {
        append(&running, &"x".repeat(1000)).await.unwrap();
        if count == 9 {
            copy_wal(&settings).await;
        }
    }
    does(&settings.path);
    let appended = append(&running, "not acknowledged").await;
    assert!(
        matches!(appended, Err(Error::Closed)),
        "{what:?}: {appended:?}"
    );
    let ended = running.writer.await.unwrap().unwrap_err();
    assert!(
        matches!(&ended, Error::Taken { what: said, .. } if *said == what),
        "{what:?}: {ended}"
    );
    let path = settings.path.display().to_string();
    assert!(ended.to_string().contains(&path), "{ended}");
    settings
}

#[tokio::test]
async fn journal_that_is_taken_away_under_the_writer_ends_it_without_an_answer() {
    let moved = |path: &Path| fs::rename(path, beside(path, ".moved")).unwrap();
    let replaced = |path: &Path| {
        let other = beside(path, ".other");
        fs::copy(path, &other).unwrap();
        fs::rename(other, path).unwrap();
    };
    let truncate = |path: &Path, bytes| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(bytes).unwrap();
    };
    let truncated = |path: &Path| truncate(path, 0);
    let cut = |path: &Path| truncate(path, fs::metadata(path).unwrap().len() / 2);
    let emptied = |path: &Path| fs::write(beside(path, "-wal"), "").unwrap();
    let shortened = |path: &Path| {
        let wal = beside(path, "-wal");
        truncate(&wal, fs::metadata(&wal).unwrap().len() / 2);
    };
    for (what, does) in [
        (
            Taken::Journal,
            (&|path: &Path| fs::remove_file(path).unwrap()) as &dyn Fn(&Path),
        ),
        (Taken::Journal, &moved),
        (Taken::Journal, &replaced),
        (Taken::Truncated, &truncated),
        (Taken::Truncated, &cut),
        (Taken::WalTruncated, &emptied),
        (Taken::WalCut, &shortened),
    ] {
        let folder = tempfile::tempdir().unwrap();
        taken(folder.path(), what, does).await;
    }
}

/// Nothing is written after it, so nobody but the stop looks.
#[tokio::test]
async fn what_is_done_to_the_files_while_nothing_comes_is_said_at_the_stop() {
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let shorten = |path: &Path| {
        let wal = beside(path, "-wal");
        let file = fs::OpenOptions::new().write(true).open(&wal).unwrap();
        file.set_len(fs::metadata(&wal).unwrap().len() / 2).unwrap();
    };
    let remove_wal = |path: &Path| fs::remove_file(beside(path, "-wal")).unwrap();
    for (what, does) in [
        (Taken::Journal, &remove as &dyn Fn(&Path)),
        (Taken::WalCut, &shorten),
        (Taken::Wal, &remove_wal),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let running = Running::open(&settings).await;
        append(&running, &"x".repeat(100_000)).await.unwrap();
        does(&settings.path);
        running.stop.cancel();
        let ended = running.writer.await.unwrap();
        let Err(ended) = ended else {
            panic!("{what:?}: a clean end");
        };
        assert!(
            matches!(&ended, Error::Taken { what: said, .. } if *said == what),
            "{what:?}: {ended}"
        );
    }
}

#[tokio::test]
async fn a_journal_keeps_others_out_whatever_becomes_of_its_lock_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    append(&running, "a").await.unwrap();
    let lock = beside(&settings.path, "-lock");
    let hard_link = Settings {
        path: folder.path().join("other-name.db"),
        ..settings.clone()
    };
    fs::hard_link(&settings.path, &hard_link.path).unwrap();
    fs::remove_file(&lock).unwrap();
    for settings in [&settings, &hard_link] {
        let refused = Journal::open(settings).await.map(drop);
        assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    }
    fs::remove_file(&lock).unwrap();
    append(&running, "b").await.unwrap();
    running.close().await;
    let mark = fs::read_to_string(&lock).unwrap();
    assert!(mark.contains("closed"), "the mark is made again: {mark}");
    fs::remove_file(&hard_link.path).unwrap();
    let running = Running::open(&settings).await;
    assert_eq!(running.read(Position::START).await.len(), 2);
    running.close().await;
}

/// What stood in the WAL is of the former file, and would destroy the other one.
#[tokio::test]
async fn a_backup_that_takes_the_journals_name_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let backup = beside(&settings.path, ".backup");
    let running = Running::open(&settings).await;
    for _ in 0..20 {
        append(&running, &"x".repeat(1000)).await.unwrap();
    }
    let options = SqliteConnectOptions::new().filename(&settings.path);
    let mut operator = options.connect().await.unwrap();
    let copy = format!("VACUUM INTO '{}'", backup.display());
    sqlx::raw_sql(sqlx::AssertSqlSafe(copy))
        .execute(&mut operator)
        .await
        .unwrap();
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut operator)
        .await
        .unwrap();
    operator.close().await.unwrap();
    for _ in 0..400 {
        append(&running, &"y".repeat(1000)).await.unwrap();
    }
    let before = fs::read(&backup).unwrap();
    fs::rename(&backup, &settings.path).unwrap();
    assert!(append(&running, "not acknowledged").await.is_err());
    running.writer.await.unwrap().unwrap_err();
    assert!(fs::read(&settings.path).unwrap() == before);
    assert!(!beside(&settings.path, "-wal").exists());
    let mut found = SqliteConnectOptions::new()
        .filename(&settings.path)
        .connect()
        .await
        .unwrap();
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut found)
        .await
        .unwrap();
    assert_eq!(whole, "ok");
}

#[tokio::test]
async fn an_operator_may_checkpoint_and_vacuum_under_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    for _ in 0..200 {
        append(&running, &"x".repeat(1000)).await.unwrap();
    }
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    let options = SqliteConnectOptions::new().filename(&settings.path);
    let mut operator = options.connect().await.unwrap();
    let run = async |operator: &mut SqliteConnection, sql: &'static str| {
        sqlx::raw_sql(sql).execute(operator).await.unwrap();
    };
    run(&mut operator, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    assert_eq!(bytes(&beside(&settings.path, "-wal")), 0);
    // A commit that may write nothing.
    running.journal.cursors.register_sinks(&[]).await.unwrap();
    append(&running, "a").await.unwrap();
    let pad = "CREATE TABLE pad AS SELECT body FROM entry; DROP TABLE pad";
    run(&mut operator, pad).await;
    run(&mut operator, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    append(&running, "b").await.unwrap();
    let before = bytes(&settings.path);
    run(&mut operator, "VACUUM").await;
    run(&mut operator, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    assert!(bytes(&settings.path) < before, "the file is not smaller");
    append(&running, "c").await.unwrap();
    append(&running, "d").await.unwrap();
    operator.close().await.unwrap();
    assert_eq!(running.read(Position::START).await.len(), 204);
    running.close().await;
}

#[tokio::test]
async fn what_a_removed_wal_held_is_there_after_the_next_start() {
    let remove = |path: &Path| fs::remove_file(beside(path, "-wal")).unwrap();
    let rename = |path: &Path| fs::rename(beside(path, "-wal"), beside(path, "-old")).unwrap();
    for does in [(&remove) as &dyn Fn(&Path), &rename] {
        let folder = tempfile::tempdir().unwrap();
        let settings = taken(folder.path(), Taken::Wal, does).await;
        let running = Running::open(&settings).await;
        let there = running.read(Position::START).await.len();
        // Nobody was told of the last one: it may be there, and comes again.
        assert!((20..=21).contains(&there), "{there}");
        running.close().await;
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_the_journal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    append(&running, "a").await.unwrap();
    running.close().await;
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    assert!(!journal.log.was_left_open());
    writer.leave().await.unwrap();
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    assert!(!journal.log.was_left_open(), "the stop before was clean");
    writer.leave().await.unwrap();
    leave_open(&settings);
    for _ in 0..2 {
        let (journal, writer) = Journal::open(&settings).await.unwrap();
        assert!(
            journal.log.was_left_open(),
            "nothing has come since the crash"
        );
        writer.leave().await.unwrap();
    }
}

#[tokio::test]
async fn a_new_id_is_for_a_stale_copy() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    append(&running, "a").await.unwrap();
    let before = running.journal.log.uuid();
    running.close().await;
    let old = fs::read(&settings.path).unwrap();
    let running = Running::open(&settings).await;
    append(&running, "b").await.unwrap();
    running.close().await;

    for left_open in [false, true] {
        if left_open {
            leave_open(&settings);
        }
        let refused = reset_id(&settings, Proof::Wanted).await.unwrap_err();
        assert!(matches!(refused, Error::NotStale { .. }), "{refused}");
        assert!(refused.to_string().contains("--force"), "{refused}");
    }
    let running = Running::open(&settings).await;
    assert_eq!(running.journal.log.uuid(), before, "nothing has changed");
    running.close().await;

    fs::write(&settings.path, old).unwrap();
    let renewed = reset_id(&settings, Proof::Wanted).await.unwrap();
    assert_eq!(renewed.before, before);
    assert_ne!(renewed.now, before);
    let forced = reset_id(&settings, Proof::Waived).await.unwrap();
    assert_eq!(forced.before, renewed.now);
    Running::open(&settings).await.close().await;
}

#[tokio::test]
async fn a_lock_file_that_cannot_be_made_again_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    append(&running, "a").await.unwrap();
    let lock = beside(&settings.path, "-lock");
    fs::remove_file(&lock).unwrap();
    // Not even root can make a file here.
    fs::create_dir(&lock).unwrap();
    append(&running, "b").await.unwrap();
    let refused = Journal::open(&settings).await.map(drop);
    assert!(refused.is_err());
    append(&running, "c").await.unwrap();
    running.close().await;
    fs::remove_dir(&lock).unwrap();
    let running = Running::open(&settings).await;
    assert_eq!(running.read(Position::START).await.len(), 3);
    running.close().await;
}

#[tokio::test]
async fn a_journal_whose_beginning_is_damaged_is_called_ours() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    append(&running, "a").await.unwrap();
    running.close().await;
    let file = fs::OpenOptions::new().write(true).open(&settings.path);
    file.unwrap().write_all(&[0; 2048]).unwrap();
    let refused = Journal::open(&settings).await.map(drop).unwrap_err();
    let said = refused.to_string();
    assert!(refused.is_of_no_use(), "{said}");
    assert!(
        said.contains("its beginning is damaged: restore it"),
        "{said}"
    );
    // Without our mark it may be anybody's.
    fs::remove_file(beside(&settings.path, "-lock")).unwrap();
    let refused = Journal::open(&settings).await.map(drop);
    assert!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
}
