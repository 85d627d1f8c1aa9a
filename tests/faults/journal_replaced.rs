//! A journal that was deleted or restored from a backup, and a second daemon on the same one:
//! noticed, named, and never guessed over.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::audit::SINKS;
use crate::rig::Rig;
use peers::process::Process;
use peers::wait;

async fn heal(rig: &mut Rig) {
    rig.heal("", Duration::from_secs(300))
        .await
        .unwrap_or_else(|loss| panic!("{loss}"));
}

/// Waits for the daemon to end by itself, with exit code 1 and these words in its log.
async fn refused(mut process: Process, words: &str) {
    let status = process.ended(wait::LONG).await;
    assert_eq!(status.code(), Some(1), "{}", process.log_tail());
    assert!(
        process.log().contains(words),
        "not {words:?}\n{}",
        process.log_tail()
    );
}

fn remove(data: &Path) {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        // After an orderly stop there is no WAL.
        let _ = fs::remove_file(data.join(file));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_journal_is_named_and_the_histories_go_on() {
    let mut rig = Rig::start("journal-deleted").await;
    rig.publish(200).await;
    heal(&mut rig).await;
    let rows = rig.audit.arrived();
    remove(&rig.ends.data);
    let mut process = rig.launch("");
    process
        .logged("the journal's own", |line| {
            line.contains("journal replaced: another one was here before")
        })
        .await;
    process
        .logged("the history's", |line| {
            line.contains("the history was written from another journal")
        })
        .await;
    process.kill();
    assert_eq!(rows, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_from_a_backup_is_refused() {
    let mut rig = Rig::start("journal-restored").await;
    rig.publish(100).await;
    heal(&mut rig).await;
    let (journal, backup) = (
        rig.ends.data.join("journal.db"),
        rig.ends.data.join("backup.db"),
    );
    fs::copy(&journal, &backup).expect("copy a journal");
    rig.publish(100).await;
    heal(&mut rig).await;
    fs::copy(&backup, &journal).expect("restore a journal");
    refused(rig.launch(""), "is a stale copy: it ends at").await;
    // Even if the mark is gone with the machine, the history knows the positions that it has
    // confirmed. From then on every restart refuses the journal, although new entries would have
    // reached those positions.
    fs::remove_file(rig.ends.data.join("journal.db-lock")).expect("remove the mark");
    rig.publish(300).await;
    refused(rig.launch(""), "from another copy of it").await;
    refused(
        rig.launch(""),
        "is a stale copy: an earlier start found it out",
    )
    .await;

    // Under a new id nothing is lost of what the copy has taken in under positions that are not its
    // own.
    let renewed = rig.command(&["journal", "reset-id"]);
    assert!(renewed.contains("has a new id"), "{renewed}");
    let mut process = rig.launch("");
    rig.arrive(&mut process, &SINKS).await;
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn second_daemon_on_the_same_journal_is_refused() {
    let mut rig = Rig::start("journal-in-use").await;
    let mut first = rig.launch("");
    first
        .logged("the source", |line| line.contains("\"message\":\"live\""))
        .await;
    refused(rig.launch(""), "is in use").await;
    assert!(first.runs());
    rig.publish(10).await;
    first.kill();
    heal(&mut rig).await;
}
