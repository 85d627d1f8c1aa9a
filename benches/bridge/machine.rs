//! The machine that the figures are from.

use std::fs;
use std::io::Write;
use std::time::Instant;

const SYNCS: u32 = 100;

/// Processor, cores, kernel, and what syncing costs where the journal lies.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown processor");
    format!(
        "{}, {cores} cores, Linux {}, 4 KiB written and synced in {:.2} ms",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        sync_ms(),
    )
}

/// The mean of [`SYNCS`] in milliseconds.
fn sync_ms() -> f64 {
    let mut file =
        tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file under target/");
    let start = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096]).expect("room for a few pages");
        file.sync_data().expect("a disk that syncs");
    }
    start.elapsed().as_secs_f64() * 1_000.0 / f64::from(SYNCS)
}
