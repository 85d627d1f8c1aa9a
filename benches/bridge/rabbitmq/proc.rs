//! What the kernel counts for a process and those that it has started, from /proc (proc(5)). It
//! never touches the process.
//!
//! `write_bytes` counts the pages of files that were made dirty, 4 KiB for each. A page that is
//! written twice before a sync counts once; with a sync in between it counts twice. The writes that
//! the file system and the device add are missing. What a device wrote stands in
//! /sys/block/NAME/stat (its seventh number, in 512 bytes): give the run's folder a loop device of
//! its own.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::time::Duration;

/// The unit of `stat`'s times: USER_HZ is 100 on every architecture that we build for.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Counted until now.
pub(super) struct Counters {
    /// User and system time, that of threads and children that have ended included.
    cpu: Duration,
    /// Bytes given to write(2) and its kin. Sockets count where they are written so and not by
    /// send(2).
    written_bytes: u64,
    /// Bytes of the pages of files that were made dirty.
    dirty_bytes: u64,
    /// The most memory that was resident at once.
    resident_bytes_max: u64,
    /// By thread id.
    threads: HashMap<u32, (String, Thread)>,
}

/// Of one thread, or of all that have one name.
#[derive(Clone, Copy, Default)]
pub(super) struct Thread {
    pub(super) cpu: Duration,
    /// Voluntary context switches.
    pub(super) switches: u64,
}

/// The counts between two moments.
pub(super) struct Used {
    pub(super) cpu: Duration,
    pub(super) written_bytes: u64,
    pub(super) dirty_bytes: u64,
    /// Since the process began.
    pub(super) resident_bytes_max: u64,
    /// By name, without the number at its end. A thread that has ended in between is missing.
    pub(super) threads: BTreeMap<String, Thread>,
}

impl Counters {
    /// Of a running process.
    pub(super) fn read(pid: u32) -> io::Result<Counters> {
        let mut counters = Counters {
            cpu: Duration::ZERO,
            written_bytes: 0,
            dirty_bytes: 0,
            resident_bytes_max: 0,
            threads: HashMap::new(),
        };
        counters.add(pid)?;
        Ok(counters)
    }

    /// The use from `earlier` until this reading.
    pub(super) fn since(&self, earlier: &Counters) -> Used {
        let mut threads: BTreeMap<String, Thread> = BTreeMap::new();
        for (id, (name, thread)) in &self.threads {
            let before = earlier.threads.get(id).map(|(_, thread)| *thread);
            let before = before.unwrap_or_default();
            let sum = threads.entry(name.clone()).or_default();
            sum.cpu += thread.cpu.saturating_sub(before.cpu);
            sum.switches += thread.switches.saturating_sub(before.switches);
        }
        Used {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            dirty_bytes: self.dirty_bytes.saturating_sub(earlier.dirty_bytes),
            resident_bytes_max: self.resident_bytes_max,
            threads,
        }
    }

    fn add(&mut self, pid: u32) -> io::Result<()> {
        let folder = format!("/proc/{pid}");
        // utime, stime, cutime and cstime.
        self.cpu += ticks(&fs::read_to_string(format!("{folder}/stat"))?, 4)?;
        let io = fs::read_to_string(format!("{folder}/io"))?;
        self.written_bytes += number(&io, "wchar:")?;
        self.dirty_bytes += number(&io, "write_bytes:")?;
        let status = fs::read_to_string(format!("{folder}/status"))?;
        self.resident_bytes_max += number(&status, "VmHWM:")? * 1024;
        for task in fs::read_dir(format!("{folder}/task"))? {
            // It may have ended since the folder was read.
            let id = task?.file_name();
            let id: u32 = id.to_string_lossy().parse().map_err(io::Error::other)?;
            let Ok((name, thread)) = read_thread(&format!("{folder}/task/{id}")) else {
                continue;
            };
            self.threads.insert(id, (name, thread));
            let children = fs::read_to_string(format!("{folder}/task/{id}/children"));
            for child in children.unwrap_or_default().split_whitespace() {
                self.add(child.parse().map_err(io::Error::other)?).ok();
            }
        }
        Ok(())
    }
}

fn read_thread(folder: &str) -> io::Result<(String, Thread)> {
    let name = fs::read_to_string(format!("{folder}/comm"))?;
    let cpu = ticks(&fs::read_to_string(format!("{folder}/stat"))?, 2)?;
    let status = fs::read_to_string(format!("{folder}/status"))?;
    let switches = number(&status, "voluntary_ctxt_switches:")?;
    Ok((without_number(name.trim_end()), Thread { cpu, switches }))
}

/// `worker-1` and `worker-2` are one kind of thread.
fn without_number(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = stem.trim_end_matches(['-', '#', '_', ' ']);
    if stem.is_empty() { name } else { stem }.to_owned()
}

/// The sum of the first `fields` times of `stat`. Its second field is the name in parentheses and
/// may hold blanks; utime is the 14th.
fn ticks(stat: &str, fields: usize) -> io::Result<Duration> {
    let (_, rest) = stat
        .rsplit_once(')')
        .ok_or_else(|| io::Error::other("stat without a name"))?;
    let mut sum = 0;
    for field in rest.split_whitespace().skip(11).take(fields) {
        sum += field.parse::<u32>().map_err(io::Error::other)?;
    }
    Ok(TICK * sum)
}

/// The number behind `key` at the start of a line.
fn number(text: &str, key: &str) -> io::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let value = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("no {key}")))
}
