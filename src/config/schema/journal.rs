//! The keys of `[journal]`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Plain, Retention, Size, Span};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Journal {
    /// The file. A relative path lies under `$STATE_DIRECTORY` where systemd sets it, else beside
    /// the configuration.
    pub(in crate::config) path: PathBuf,
    /// The most that its entries take; at least `1MiB`. The journal also leaves 32 MiB of its disk
    /// free. What a server has sent by its prefetch is journaled even beyond this.
    pub(in crate::config) max_bytes: Size,
    /// `pause`: the server is read no more, and nothing that was read is lost. `drop_oldest`: the
    /// oldest entries are evicted, and counted.
    pub(in crate::config) when_full: WhenFull,
    /// Delivered entries stay this long for replay, within `max_bytes`.
    pub(in crate::config) keep: Span,
    /// Under load, what came within this time is read, journaled and delivered together. `0ms`: at
    /// once, with more CPU. At most `1s`.
    pub(in crate::config) commit_interval: Span,
    /// The most devices whose last state is known. Beyond it the one that was not heard for longest
    /// is forgotten.
    pub(in crate::config) devices_max: Plain<u32>,
    /// The most that the dead letters of each sink take, beside the entries.
    pub(in crate::config) dlq_max_bytes: Size,
    /// Dead letters are dropped after this time.
    pub(in crate::config) dlq_keep: Retention,
    /// `pause`: the sink stops until there is room. `drop_oldest`: its oldest dead letters go.
    pub(in crate::config) dlq_when_full: WhenFull,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            path: PathBuf::from("journal.db"),
            max_bytes: Size(1 << 30),
            when_full: WhenFull::default(),
            keep: Span(Duration::from_secs(7 * 86_400)),
            // What it adds to a status's way is short; most of the daemon's work is saved.
            commit_interval: Span(Duration::from_millis(5)),
            devices_max: Plain(1_000_000),
            dlq_max_bytes: Size(256 << 20),
            dlq_keep: Retention(None),
            dlq_when_full: WhenFull::default(),
        }
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum WhenFull {
    #[default]
    Pause,
    DropOldest,
}
