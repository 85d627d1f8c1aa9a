//! The conditions under which contestants are compared.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a queue holds after ten minutes at 100 a second.
pub(super) const DRAIN_MESSAGES: usize = 60_000;
/// A rate that a single publisher here can keep.
const RATE_MAX: u32 = 10_000;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// One message at a time, at a steady rate.
    Paced {
        /// A second.
        rate: u32,
    },
    /// A full queue, before the contestant starts.
    Drain,
    /// Connected and subscribed, and nothing comes.
    Idle,
    /// As fast as the contestant acknowledges, from the server that is in here.
    Flood,
}

impl Scenario {
    /// Where nothing else is asked for.
    pub(super) const DEFAULT: &str = "paced-100,paced-1000,paced-3000,drain,idle";

    /// For the head of its table.
    pub(super) fn describe(self, duration: Duration) -> String {
        let seconds = duration.as_secs();
        match self {
            Scenario::Paced { rate } => format!("{rate} messages a second for {seconds} s"),
            Scenario::Drain => format!("a queue of {DRAIN_MESSAGES} messages"),
            Scenario::Idle => format!("nothing comes for {seconds} s; a second, not a message"),
            Scenario::Flood => {
                format!("{seconds} s from a server in here, until the last ACK")
            }
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Scenario, String> {
        match name {
            "drain" => Ok(Scenario::Drain),
            "idle" => Ok(Scenario::Idle),
            "flood" => Ok(Scenario::Flood),
            _ => match name.strip_prefix("paced-").map(str::parse) {
                Some(Ok(rate @ 1..=RATE_MAX)) => Ok(Scenario::Paced { rate }),
                _ => Err(format!(
                    "choose from paced-N (N up to {RATE_MAX}), drain, idle, flood"
                )),
            },
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scenario::Paced { rate } => write!(f, "paced-{rate}"),
            Scenario::Drain => f.write_str("drain"),
            Scenario::Idle => f.write_str("idle"),
            Scenario::Flood => f.write_str("flood"),
        }
    }
}
