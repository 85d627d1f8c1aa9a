//! What an entry of the log is.

/// The kinds of entry, all of which stand in the one log, in one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A device's status.
    Status,
    /// What could not be decoded when it was received: kept raw, for no sink.
    Undecodable,
    /// A topic began or ceased to be heard: see [`Coverage`](super::Coverage).
    Coverage,
    /// What an alarm engine concludes. Nothing writes one yet.
    Alarm,
    /// A device's status that no message brought, but a snapshot of its topic.
    Resync,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 5] = [
        EntryKind::Status,
        EntryKind::Undecodable,
        EntryKind::Coverage,
        EntryKind::Alarm,
        EntryKind::Resync,
    ];

    /// Whether such an entry came in a message of the server.
    pub fn is_received(self) -> bool {
        matches!(self, EntryKind::Status | EntryKind::Undecodable)
    }

    /// The name used in the journal, in the configuration and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Status => "status",
            EntryKind::Undecodable => "undecodable",
            EntryKind::Coverage => "coverage",
            EntryKind::Alarm => "alarm",
            EntryKind::Resync => "resync",
        }
    }

    /// The kind of that name; `None`: there is none.
    pub fn named(name: &str) -> Option<EntryKind> {
        EntryKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}
