//! A disk that is full, and later is not: nothing is accepted meanwhile, nothing is damaged,
//! nothing is lost.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use rustix::process::Signal;
use stomp_bridge::journal::{Journal, NewBatch, NewContent, NewEntry, Passed, Settings, Start};
use stomp_bridge::model::Position;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use crate::plan::seed;
use crate::rig::Rig;
use peers::{Folder, wait};

/// A tmpfs, unmounted when dropped.
struct Tmpfs<'a> {
    path: &'a Path,
}

impl Tmpfs<'_> {
    fn mount(path: &Path, mib: u32) -> Tmpfs<'_> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mib}m"))
            .arg("tmpfs")
            .arg(path);
        let output = mount.output().expect("start mount");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "mount a tmpfs (root is needed): {said}"
        );
        Tmpfs { path }
    }

    /// Another file takes the free space, or all but this many bytes of it.
    fn fill(&self, but_bytes: u64) {
        let free = rustix::fs::statvfs(self.path).expect("ask for the room of a mounted tmpfs");
        let bytes = (free.f_bavail * free.f_frsize).saturating_sub(but_bytes);
        match std::fs::write(self.path.join("filler"), vec![0; bytes as usize]) {
            // The daemon was faster: the disk is full too.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {}
            written => written.expect("fill what is free"),
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).expect("remove what was written");
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_waited_for_and_nothing_is_lost() {
    let mut rng = Rng::with_seed(seed());
    let folder = Folder::new("disk-full");
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("create a folder in a new one");
    let tmpfs = Tmpfs::mount(&data, 96);
    let mut rig = Rig::in_folder("disk-full", folder, data.clone()).await;
    for round in 0..4 {
        let mut process = rig.launch("");
        rig.publish(rng.usize(50..300)).await;
        wait::until("the first acknowledgements", async || {
            (!rig.queue.acknowledged().is_empty()).then_some(())
        })
        .await;
        tmpfs.fill(rng.u64(0..64) * 4096);
        rig.publish(2000).await;
        process
            .logged("\"full\"", |line| line.contains("nothing is accepted"))
            .await;
        // What has room may still be taken in; the rest waits with the server, and the daemon lives
        // on.
        let before = settled(&rig).await;
        assert!(
            before < rig.queue.published(),
            "round {round}: all was accepted by a full disk"
        );
        assert!(
            process.runs(),
            "round {round}: the daemon ended\n{}",
            process.log_tail()
        );
        if round % 2 == 0 {
            process.kill();
            let access = || std::fs::read(data.join("journal.db-control")).ok();
            let before = access();
            // The next start waits for the disk too.
            let mut process = rig.launch("");
            process
                .logged("\"full\"", |line| line.contains("nothing is accepted"))
                .await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(
                process.runs(),
                "round {round}: the next start ended\n{}",
                process.log_tail()
            );
            tmpfs.free();
            // It takes some bytes, which may have been left.
            wait::until("a way in for admin commands", async || {
                (access() != before).then_some(())
            })
            .await;
            process.kill();
        } else {
            tmpfs.free();
            let published = rig.queue.published();
            wait::until("the daemon to go on", async || {
                (rig.queue.acknowledged().len() == published).then_some(())
            })
            .await;
            process.kill();
        }
        rig.check()
            .await
            .unwrap_or_else(|loss| panic!("round {round}: {loss}"));
        rig.heal("", Duration::from_secs(300))
            .await
            .unwrap_or_else(|loss| panic!("round {round}: {loss}"));
    }
    drop(rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_a_full_disk_is_a_clean_stop_in_words() {
    let folder = Folder::new("disk-full-stop");
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("create a folder in a new one");
    let tmpfs = Tmpfs::mount(&data, 96);
    let mut rig = Rig::in_folder("disk-full-stop", folder, data.clone()).await;
    let mut process = rig.launch("");
    rig.publish(100).await;
    wait::until("the first acknowledgements", async || {
        (!rig.queue.acknowledged().is_empty()).then_some(())
    })
    .await;
    tmpfs.fill(0);
    rig.publish(2000).await;
    process
        .logged("\"full\"", |line| line.contains("nothing is accepted"))
        .await;
    process.signal(Signal::TERM);
    let status = process.ended(wait::LONG).await;
    let log = process.log();
    assert!(status.success(), "nothing is lost: {}", process.log_tail());
    assert!(
        log.contains("journal closed without what still waited for it"),
        "{}",
        process.log_tail()
    );
    for word in ["do not balance", "does not balance", "panicked"] {
        assert!(!log.contains(word), "{word}\n{}", process.log_tail());
    }
    tmpfs.free();
    let mut process = rig.launch("");
    process
        .logged("the source", |line| line.contains("\"message\":\"live\""))
        .await;
    assert!(
        !process.log().contains("not clean"),
        "{}",
        process.log_tail()
    );
    process.kill();
    rig.check().await.unwrap_or_else(|loss| panic!("{loss}"));
    rig.heal("", Duration::from_secs(300))
        .await
        .unwrap_or_else(|loss| panic!("{loss}"));
    drop(rig);
}

/// An operator who frees some space may put back a former copy, which lacks what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_replaced_while_the_disk_is_full_is_not_taken_for_the_former_one() {
    let folder = Folder::new("disk-full-replaced");
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("create a folder in a new one");
    let tmpfs = Tmpfs::mount(&data, 96);
    let mut rig = Rig::in_folder("disk-full-replaced", folder, data.clone()).await;
    let mut process = rig.launch("");
    rig.publish(100).await;
    wait::until("the first acknowledgements", async || {
        (!rig.queue.acknowledged().is_empty()).then_some(())
    })
    .await;
    let (journal, copy) = (data.join("journal.db"), data.join("copy.db"));
    std::fs::copy(&journal, &copy).expect("copy the journal");
    tmpfs.fill(0);
    rig.publish(2000).await;
    process
        .logged("\"full\"", |line| line.contains("its disk is full"))
        .await;
    std::fs::rename(&copy, &journal).expect("replace the journal");
    let status = process.ended(wait::LONG).await;
    assert_eq!(status.code(), Some(1), "{}", process.log_tail());
    assert!(
        process
            .log()
            .contains("its file was removed, moved or replaced"),
        "{}",
        process.log_tail()
    );
    drop(rig);
}

/// Cursors are saved alone where nothing comes in.
#[tokio::test]
async fn a_save_of_cursors_waits_for_the_disk_without_news_of_room() {
    let folder = Folder::new("disk-full-cursors");
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("create a folder in a new one");
    let tmpfs = Tmpfs::mount(&data, 64);
    let log = folder.join("log");
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_writer(Arc::new(File::create(&log).expect("create a log")))
        .with_ansi(false)
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let said = |what: &str| {
        let log = std::fs::read_to_string(&log).expect("read the log");
        log.matches(what).count()
    };
    let (stopped, still) = ("journal stopped: its disk is full", "still stopped");
    let settings = Settings::new(data.join("journal.db"));
    let (journal, writer) = Journal::open(&settings).await.expect("open a new journal");
    let stop = CancellationToken::new();
    let writer = tokio::spawn(writer.run(stop.clone()));
    // No entry is past both: nothing is removed.
    let sinks = ["fast", "slow"].map(|name| (name.into(), Start::Oldest));
    let registered = journal.cursors.register_sinks(&sinks).await;
    registered.expect("register two sinks");
    let entries = (0..2000).map(|_| NewEntry {
        topic: "map-1".into(),
        received_at: Timestamp::now(),
        body: "{}".into(),
        content: NewContent::sample(),
    });
    let entries = entries.collect();
    let head = journal.log.append(NewBatch { entries }).await;
    let head = head.expect("append to an empty disk");
    tmpfs.fill(0);
    let mut at = Position::START;
    // The -wal file may have room for some saves.
    wait::until("a save that has no room", async || {
        if said(stopped) > 0 {
            return Some(());
        }
        at = Position(at.0 + 1);
        assert!(at <= head, "the saves have room without end");
        let passed = Passed {
            delivered: 1,
            ..Passed::default()
        };
        journal.cursors.pass("fast", at, passed);
        None
    })
    .await;
    wait::until("more attempts, or what is said of them", async || {
        (said(still) >= 3 || said(stopped) > 1).then_some(())
    })
    .await;
    let good_news = "disk has free space again";
    assert_eq!((said(stopped), said(good_news)), (1, 0));
    tmpfs.free();
    wait::until("the save", async || (said(good_news) == 1).then_some(())).await;
    stop.cancel();
    let ended = writer.await.expect("end the writer");
    ended.expect("close the journal");
}

/// Waits until no more is acknowledged for a while.
async fn settled(rig: &Rig) -> usize {
    let mut last = (rig.queue.acknowledged().len(), std::time::Instant::now());
    wait::until("the end of the acknowledgements", async || {
        let now = rig.queue.acknowledged().len();
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(700)).then_some(now)
    })
    .await
}
