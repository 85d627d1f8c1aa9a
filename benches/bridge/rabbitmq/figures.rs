//! The figures of a run, and the medians of several.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proc::{TICK, Used};

/// Of one run, or medians.
#[derive(Clone, Default)]
pub(super) struct Figures {
    /// By [`MEASURES`].
    pub(super) values: [Option<f64>; MEASURES.len()],
    /// By the thread's name.
    pub(super) threads: BTreeMap<String, ThreadFigures>,
    /// What one tick of the CPU's count is, per message: no difference below it means anything.
    pub(super) tick_us: f64,
    /// How late the publisher was at most, where it has a schedule.
    pub(super) late_max: Option<Duration>,
}

/// Per message, of all threads with one name.
#[derive(Clone, Copy, Default)]
pub(super) struct ThreadFigures {
    pub(super) cpu_us: f64,
    pub(super) switches: f64,
}

/// One column of the table.
pub(super) struct Measure {
    pub(super) head: &'static str,
    pub(super) decimals: usize,
}

/// In the order of [`Figures::values`].
pub(super) const MEASURES: [Measure; 8] = [
    Measure::new("msgs/s", 0),
    Measure::new("CPU us", 1),
    Measure::new("p50 ms", 2),
    Measure::new("p99 ms", 2),
    Measure::new("peak MiB", 1),
    Measure::new("KB write", 2),
    Measure::new("KB dirty", 2),
    Measure::new("switches", 2),
];

impl Measure {
    const fn new(head: &'static str, decimals: usize) -> Measure {
        Measure { head, decimals }
    }
}

/// What one run gave.
pub(super) struct Measured {
    pub(super) used: Used,
    /// Messages, or seconds where nothing comes.
    pub(super) per: f64,
    pub(super) rate_per_second: Option<f64>,
    /// From the publisher's write to the subscriber; none where nobody subscribes.
    pub(super) latencies: Vec<Duration>,
    /// How late the publisher was at most, where it has a schedule.
    pub(super) late_max: Option<Duration>,
}

impl Measured {
    pub(super) fn figures(mut self) -> Figures {
        self.latencies.sort_unstable();
        let latency_ms = |percent: usize| {
            let last = self.latencies.len().checked_sub(1)?;
            let at = (self.latencies.len() * percent / 100).min(last);
            Some(self.latencies[at].as_secs_f64() * 1e3)
        };
        let threads: BTreeMap<String, ThreadFigures> = self
            .used
            .threads
            .iter()
            .map(|(name, thread)| {
                let figures = ThreadFigures {
                    cpu_us: thread.cpu.as_secs_f64() * 1e6 / self.per,
                    switches: thread.switches as f64 / self.per,
                };
                (name.clone(), figures)
            })
            .collect();
        let switches = threads.values().map(|thread| thread.switches).sum();
        Figures {
            values: [
                self.rate_per_second,
                Some(self.used.cpu.as_secs_f64() * 1e6 / self.per),
                latency_ms(50),
                latency_ms(99),
                Some(self.used.resident_bytes_max as f64 / f64::from(1 << 20)),
                Some(self.used.written_bytes as f64 / 1e3 / self.per),
                Some(self.used.dirty_bytes as f64 / 1e3 / self.per),
                Some(switches),
            ],
            threads,
            tick_us: TICK.as_secs_f64() * 1e6 / self.per,
            late_max: self.late_max,
        }
    }
}

impl Figures {
    /// Each figure's own; `None` where there was no run.
    pub(super) fn medians(runs: &[Figures]) -> Option<Figures> {
        if runs.is_empty() {
            return None;
        }
        let mut medians = Figures {
            tick_us: median(runs.iter().map(|run| run.tick_us).collect()).unwrap_or_default(),
            late_max: runs.iter().filter_map(|run| run.late_max).max(),
            ..Figures::default()
        };
        for (index, value) in medians.values.iter_mut().enumerate() {
            *value = median(runs.iter().filter_map(|run| run.values[index]).collect());
        }
        for name in runs.iter().flat_map(|run| run.threads.keys()) {
            let of = |figure: fn(&ThreadFigures) -> f64| {
                let values = runs
                    .iter()
                    .map(|run| run.threads.get(name).map_or(0.0, figure));
                median(values.collect()).unwrap_or_default()
            };
            let thread = ThreadFigures {
                cpu_us: of(|thread| thread.cpu_us),
                switches: of(|thread| thread.switches),
            };
            medians.threads.insert(name.clone(), thread);
        }
        Some(medians)
    }
}

/// The lower of the two in the middle where there are two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}
