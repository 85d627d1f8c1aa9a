//! A power cut: the file system under the daemon ends from one moment to the next, and unsynced
//! bytes are gone.
//!
//! An ext4 image on a loop device, shut down by EXT4_IOC_SHUTDOWN without a flush of its log. Needs
//! root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use stomp_bridge::faults::Mutation;

use crate::plan::{End, Plan, long, seed};
use crate::queue::Queue;
use crate::rig::Rig;
use peers::Folder;

/// `_IOR('X', 125, __u32)` with EXT4_GOING_FLAGS_NOLOGFLUSH.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
     fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// Far more than the journal wants free.
const IMAGE_BYTES: u64 = 256 << 20;

/// A mounted image.
struct Image {
    file: PathBuf,
    mounted: PathBuf,
}

impl Image {
    fn make(folder: &Folder) -> Image {
        let image = Image {
            file: folder.join("disk.img"),
            mounted: folder.join("disk"),
        };
        std::fs::create_dir(&image.mounted).expect("create a folder in a new one");
        let file = std::fs::File::create(&image.file).expect("create a file in a new folder");
        file.set_len(IMAGE_BYTES)
            .expect("a sparse file costs nothing");
        run("mkfs.ext4", &["-q".as_ref(), &image.file]);
        image.mount();
        image
    }

    fn mount(&self) {
        run(
            "mount",
            &["-o".as_ref(), "loop".as_ref(), &self.file, &self.mounted],
        );
    }

    /// From now on nothing reaches the disk.
    fn cut(&self) {
        run(
            "python3",
            &["-c".as_ref(), SHUT_DOWN.as_ref(), &self.mounted],
        );
    }

    /// The machine starts again.
    fn restore(&self) {
        run("umount", &[&self.mounted]);
        self.mount();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
    }
}

fn run(program: &str, arguments: &[&Path]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("start {program}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} (root is needed): {said}"
    );
}

/// Cuts of one rig, before everything has to arrive: the history of more would not fit on the
/// image.
const CUTS: usize = 20;

/// Makes power cuts, each in the middle of a flow; then everything has to arrive. The first loss
/// ends it. Gives the number of messages.
async fn cut_again_and_again(
    name: &str,
    cuts: usize,
    mutation: Option<Mutation>,
    rng: &mut Rng,
) -> Result<usize, String> {
    let folder = Folder::new(name);
    let image = Image::make(&folder);
    let mut rig = Rig::in_folder(name, folder, image.mounted.clone()).await;
    for cut in 1..=cuts {
        let lifetime = Duration::from_millis(rng.u64(200..600));
        let plan = Plan {
            end: End::Kill(lifetime),
            mutation,
            flow: true,
            trouble: Duration::ZERO,
            ..Plan::draw(rng)
        };
        // A sync that the shutdown meets half-way may still be reported as done: after a real cut
        // nobody would hear of it.
        let power_off = |queue: &Queue| {
            queue.hear_no_more();
            image.cut();
        };
        let before = rig.queue.acknowledged().len();
        drop(rig.run(&plan, rng, power_off).await?);
        if rig.queue.acknowledged().len() == before {
            rig.slow_down();
        }
        image.restore();
        rig.check()
            .await
            .map_err(|loss| format!("{name}, cut {cut}: {loss}"))?;
        // A process is killed in a commit, and then the power is cut: nobody got an answer for the
        // entries that vanished.
        if rng.bool() {
            let killed = Plan {
                end: End::Kill(Duration::from_millis(rng.u64(100..300))),
                ..plan
            };
            rig.live(&killed, rng)
                .await
                .map_err(|loss| format!("{name}, kill after cut {cut}: {loss}"))?;
        }
    }
    rig.heal("", Duration::from_secs(300))
        .await
        .map_err(|loss| format!("{name}, healing: {loss}"))?;
    Ok(rig.queue.published())
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_loses_nothing_that_was_acknowledged() {
    let mut rng = Rng::with_seed(seed());
    let rigs = if long() { 50 } else { 1 };
    let mut messages = 0;
    for number in 0..rigs {
        let name = format!("power-cut-{number}");
        let published = cut_again_and_again(&name, CUTS, None, &mut rng).await;
        messages += published.unwrap_or_else(|loss| panic!("{loss}"));
    }
    eprintln!("{} power cuts, {messages} messages, none lost", rigs * CUTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_without_sync_loses_something() {
    let mut rng = Rng::with_seed(seed());
    let lost = cut_again_and_again(
        "power-cut-control",
        10,
        Some(Mutation::CommitWithoutSync),
        &mut rng,
    )
    .await;
    let loss = lost.expect_err(
        "a journal that is not synced must lose something, or the other test proves nothing",
    );
    eprintln!("without sync: {}", loss.lines().next().unwrap_or_default());
}
