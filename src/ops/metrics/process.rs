//! What the kernel knows of this process, by the names that every Prometheus client gives it. What
//! cannot be read has no sample.

use std::fs;
use std::path::Path;

use super::exposition::Exposition;
use super::list;

/// What `/proc` counts processor time in: the same on every architecture that Rust builds for.
const TICKS_A_SECOND: f64 = 100.0;

/// Writes them. It reads five small files of `/proc/self`, which is there also with systemd's
/// `ProcSubset=pid`.
pub(super) fn write(exposition: &mut Exposition) {
    let read = |file: &str| fs::read_to_string(Path::new("/proc/self").join(file)).ok();
    let status = read("status").unwrap_or_default();
    let cpu = read("stat").and_then(|stat| cpu_seconds(&stat));
    let fds_max = read("limits").and_then(|limits| open_files_max(&limits));
    // One of them is the folder that is being read.
    let fds = fs::read_dir("/proc/self/fd").map(|fds| fds.count().saturating_sub(1));
    let metrics = [
        (&list::PROCESS_CPU, cpu),
        (&list::PROCESS_FDS, fds.ok().map(|count| count as f64)),
        (&list::PROCESS_FDS_MAX, fds_max),
        (&list::PROCESS_RESIDENT, bytes(&status, "VmRSS:")),
        (&list::PROCESS_VIRTUAL, bytes(&status, "VmSize:")),
        (&list::PROCESS_THREADS, field(&status, "Threads:")),
    ];
    for (family, value) in metrics {
        let mut samples = exposition.family(family);
        if let Some(value) = value {
            samples.sample(&[], value);
        }
    }
}

/// The user's and the system's time of `/proc/self/stat`: fields 14 and 15, counted from behind the
/// command, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

/// The soft limit of `/proc/self/limits`; `None`: there is none.
fn open_files_max(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A size of `/proc/self/status`, which is written in KiB.
fn bytes(status: &str, name: &str) -> Option<f64> {
    field(status, name).map(|kib| kib * 1024.0)
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::metrics::exposition::Format;

    #[test]
    fn the_kernel_says_all_of_it() {
        let mut exposition = Exposition::new(Format::Text);
        write(&mut exposition);
        let text = exposition.finish();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), 6, "{text}");
        for sample in samples {
            let (name, value) = sample.rsplit_once(' ').expect("a value");
            let value: f64 = value.parse().expect("a number");
            assert!(value > 0.0 || name.ends_with("_total"), "{sample}");
        }
    }

    #[test]
    fn a_command_may_hold_spaces_and_brackets() {
        let behind = "S 1 2 3 4 5 6 7 8 9 10 150 250 0 0";
        for command in ["bridge", "a ) b", "(()"] {
            let stat = format!("42 ({command}) {behind}");
            assert_eq!(cpu_seconds(&stat), Some(4.0), "{stat}");
        }
        assert_eq!(cpu_seconds("42 (bridge) S 1"), None);
        assert_eq!(open_files_max("Max open files  unlimited  unlimited"), None);
        assert_eq!(bytes("VmRSS:\t 7 kB\n", "VmRSS:"), Some(7168.0));
    }
}
