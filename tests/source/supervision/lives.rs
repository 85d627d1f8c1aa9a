//! Nothing is left of a connection that is over.

use std::env;
use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use peers::process::own_test;
use stomp_bridge::source::LinkState;
use tokio::runtime::Handle;

use super::lab::{Lab, alone, pass_in_steps, settings};
use super::server::{CONNECTED, Server};

/// Set in the process that is the test.
const OWN_PROCESS: &str = "LIVES_OWN_PROCESS";

const LIVES: usize = 10_000;

/// The first ones fill permanent memory: pools, the allocator's arenas.
const WARM_UP: usize = 1_000;

const STEP: Duration = Duration::from_secs(5);

/// A leak of half a kilobyte a life would be more.
const GROWTH_BYTES_MAX: usize = 4 << 20;

/// What a process may leak.
#[derive(Debug, Clone, Copy)]
struct Held {
    tasks: usize,
    files: usize,
    resident_bytes: usize,
}

impl Held {
    fn now() -> Held {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Held {
            tasks: Handle::current().metrics().num_alive_tasks(),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            resident_bytes: pages * 4096,
        }
    }
}

/// Memory and file descriptors are the process's: so the test has one of its own.
#[tokio::test]
async fn ten_thousand_lives_leave_nothing_behind() {
    if env::var_os(OWN_PROCESS).is_none() {
        let _alone = alone().await;
        let words = own_test(module_path!(), "ten_thousand_lives_leave_nothing_behind");
        let run = Command::new(&words[0])
            .args(&words[1..])
            .env(OWN_PROCESS, "")
            .output()
            .unwrap();
        let output = [run.stdout, run.stderr].concat();
        let output = String::from_utf8_lossy(&output);
        assert!(
            run.status.success() && output.contains(" 1 passed"),
            "{output}"
        );
        return;
    }
    let server = Server::bind().await;
    let mut settings = settings(&[&server.url("stomp")]);
    // So that the test takes seconds.
    settings.reconnect.max = Some(2 * STEP);
    let lab = Lab::start(settings).await;
    let lives = server.serve(async |number, mut peer| {
        // Accepted and dropped; connected and dropped; subscribed, fed and cut within a frame.
        if number % 3 > 0 {
            peer.next_frame().await?;
            peer.send(CONNECTED).await;
        }
        if number % 3 > 1 {
            peer.next_frame().await?;
            peer.send(
                "MESSAGE\nsubscription:map-1\nmessage-id:1\ncontent-length:100\n\n{\"clientId\"",
            )
            .await;
        }
        Some(())
    });
    let until = async |count: usize| {
        let limit = Duration::from_secs(3_600 * 24 * 365);
        pass_in_steps(STEP, limit, || lives.load(Relaxed) >= count).await;
        assert!(lives.load(Relaxed) >= count);
    };
    until(WARM_UP).await;
    let before = Held::now();
    until(LIVES).await;
    let after = Held::now();
    println!("after {WARM_UP}: {before:?}; after {LIVES}: {after:?}");
    assert!(lab.attempts() >= LIVES as u64);
    assert_ne!(lab.state(), LinkState::Stopped, "it never gives up");
    // One connection may be there or not, with its end at the server's.
    assert!(after.tasks <= before.tasks + 1, "{before:?} {after:?}");
    assert!(after.files <= before.files + 2, "{before:?} {after:?}");
    let growth = after.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(
        growth <= GROWTH_BYTES_MAX,
        "{growth} bytes more: {before:?} {after:?}"
    );
}
