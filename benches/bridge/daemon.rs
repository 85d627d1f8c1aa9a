//! The daemon as a process: started, looked at through /proc, stopped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::runtime;
use peers::daemon::launch;
use peers::process::{Process, resident_bytes_max};
use peers::{http, port};

/// The unit of /proc/PID/stat's times: USER_HZ is 100 on every architecture that we build for
/// (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
const JOURNAL_HEAD: &str = "stomp_bridge_journal_head ";
const SINK_LAG: &str = "stomp_bridge_sink_lag_entries{";
/// The daemon promises to stop within 25 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running daemon; dropping it kills it.
pub(crate) struct Daemon {
    process: Process,
    /// For its metrics.
    port: u16,
}

/// What it has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// The most memory that was resident at once.
    pub(crate) resident_bytes_max: u64,
}

impl Daemon {
    /// `stomp-bridge run` with this configuration, which says nothing of `[http]`, in this folder.
    pub(crate) fn start(folder: &Path, config: &str) -> Daemon {
        let path = folder.join("config.toml");
        let port = port::free();
        let config = format!("{config}\n[http]\nlisten = \"127.0.0.1:{port}\"\n");
        fs::write(&path, config).expect("a writable folder");
        let process = launch(folder, &path, &[]);
        Daemon { process, port }
    }

    /// What it has used until now.
    pub(crate) fn usage(&self) -> Usage {
        usage_of(self.process.pid())
    }

    /// The last message in its journal.
    pub(crate) fn head(&self) -> usize {
        largest(&self.metrics(), JOURNAL_HEAD)
    }

    /// The last message that every sink has confirmed.
    pub(crate) fn confirmed(&self) -> usize {
        let metrics = self.metrics();
        // The lag may be one of a moment later.
        largest(&metrics, JOURNAL_HEAD).saturating_sub(largest(&metrics, SINK_LAG))
    }

    fn metrics(&self) -> String {
        runtime().block_on(http::exchange(self.port, "GET", "/metrics", ""))
    }

    /// What it has logged last, for the message of a failure.
    pub(crate) fn log(&self) -> String {
        self.process.log_tail()
    }

    /// SIGTERM, and until it has gone.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let status = runtime().block_on(self.process.ended(STOP_TIMEOUT));
        assert!(
            status.success(),
            "the daemon ended with {status}:\n{}",
            self.log()
        );
    }
}

/// The largest value of a metric whose lines begin so.
fn largest(metrics: &str, metric: &str) -> usize {
    let values = metrics
        .lines()
        .filter(|line| line.starts_with(metric))
        .filter_map(|line| line.rsplit(' ').next());
    values
        .map(|value| value.parse().expect("a whole number"))
        .max()
        .expect("the daemon has a journal and a sink")
}

/// What a process of ours has used until now.
pub(crate) fn usage_of(pid: Pid) -> Usage {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = fs::read_to_string(stat).expect("the process runs");
    // The second field is the name in parentheses, which may hold blanks; utime and stime are the
    // 14th and 15th.
    let (_, fields) = stat
        .rsplit_once(')')
        .expect("proc(5): the name is in parentheses");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND),
        resident_bytes_max: resident_bytes_max(pid),
    }
}
