//! How the next life of a daemon ends, and what happens in it: drawn from a seed, which is printed
//! and can be given.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use stomp_bridge::faults::{Failpoint, Mutation};

/// The seed of this run: `STOMP_BRIDGE_TEST_SEED`, or a new one.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("STOMP_BRIDGE_TEST_SEED").ok();
    let seed = given.map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("STOMP_BRIDGE_TEST_SEED={text} is no number"))
    });
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("STOMP_BRIDGE_TEST_SEED={seed}");
    seed
}

/// Asked for by `tests/run --long`.
pub(crate) fn long() -> bool {
    std::env::var_os("STOMP_BRIDGE_TEST_LONG").is_some()
}

/// While there is a flow, this many messages come in at once, and the next ones after a pause of so
/// many milliseconds.
pub(crate) const FLOW: Range<usize> = 1..15;
pub(crate) const FLOW_PAUSE_MS: Range<u64> = 1..8;

/// How many messages come in within a second.
pub(crate) const FLOW_PER_SECOND: usize =
    1000 * (FLOW.start + FLOW.end) / (FLOW_PAUSE_MS.start + FLOW_PAUSE_MS.end) as usize;

/// One life.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) end: End,
    pub(crate) mutation: Option<Mutation>,
    /// Messages that are there at the start.
    pub(crate) burst: usize,
    /// Whether more come in while it lives.
    pub(crate) flow: bool,
    /// How long the webhook's receiver is in trouble at first.
    pub(crate) trouble: Duration,
}

/// How it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// SIGKILL after this time.
    Kill(Duration),
    /// Abort when the place is reached for the n-th time.
    Abort(Failpoint, u64),
}

impl Plan {
    /// The next one of a crash loop.
    pub(crate) fn draw(rng: &mut Rng) -> Plan {
        let end = match rng.bool() {
            true => End::Kill(Duration::from_millis(rng.u64(5..=500))),
            false => {
                let place = rng.choice(Failpoint::ALL).expect("there are places");
                let count_max = match place {
                    Failpoint::MessageRead => 400,
                    Failpoint::BeforeDeliver | Failpoint::AfterDeliver | Failpoint::InRetention => {
                        4
                    }
                    _ => 12,
                };
                End::Abort(place, rng.u64(1..=count_max))
            }
        };
        let trouble = if rng.u8(..) < 64 { rng.u64(20..200) } else { 0 };
        Plan {
            end,
            mutation: None,
            burst: rng.usize(20..200),
            flow: rng.u8(..) < 200,
            trouble: Duration::from_millis(trouble),
        }
    }

    /// As in the daemon's environment.
    pub(crate) fn faults(&self) -> String {
        let abort = match self.end {
            End::Abort(place, count) => format!("abort {} {count}", place.name()),
            End::Kill(_) => String::new(),
        };
        let mutation = self
            .mutation
            .map(|mutation| format!("mutation {}", mutation.name()))
            .unwrap_or_default();
        format!("{abort},{mutation}")
    }
}
