//! What the daemon itself observed: a topic began or ceased to be heard.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A topic began or ceased to be heard. While it is not heard, nothing is known of its devices; so
/// "no change" differs from "not listening".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// True: its messages come from here on. False: they do not.
    pub heard: bool,
    /// Since when, to the microsecond.
    pub at: Timestamp,
    /// Why it is not heard; `None` where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CoverageCause>,
}

/// Why a topic ceased to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverageCause {
    /// The connection ended, by whatever.
    ConnectionLost,
    /// The server refused the connection or the topic.
    Refused,
    /// The daemon was stopped.
    DaemonStopped,
    /// The daemon ended without a stop: killed, or its machine.
    DaemonDown,
    /// The journal was full and the source did not read.
    JournalFull,
    /// The topic, or the connection for all topics, was given up by a reload.
    Unsubscribed,
    /// Nothing came for as long as `source.silence` says.
    Silent,
}

impl CoverageCause {
    /// The name used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            CoverageCause::ConnectionLost => "connection_lost",
            CoverageCause::Refused => "refused",
            CoverageCause::DaemonStopped => "daemon_stopped",
            CoverageCause::DaemonDown => "daemon_down",
            CoverageCause::JournalFull => "journal_full",
            CoverageCause::Unsubscribed => "unsubscribed",
            CoverageCause::Silent => "silent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_name_that_sql_has() {
        let coverage = Coverage {
            heard: false,
            at: Timestamp::UNIX_EPOCH,
            cause: Some(CoverageCause::DaemonDown),
        };
        let json = serde_json::to_string(&coverage).unwrap();
        assert!(json.contains(CoverageCause::DaemonDown.as_str()), "{json}");
        assert_eq!(serde_json::from_str::<Coverage>(&json).unwrap(), coverage);
    }
}
