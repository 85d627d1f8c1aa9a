//! The protocol versions that we speak.

use std::fmt;

/// A STOMP version, as CONNECTED's `version` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// No escapes, padded headers, no NACK, no heart-beats.
    V1_0,
    /// Escapes `\n`, `\c` and `\\`; ACK names message and subscription.
    V1_1,
    /// Adds the escape `\r`; ACK names the MESSAGE's `ack`.
    V1_2,
}

impl Version {
    /// CONNECT's `accept-version`: every version, best first, without spaces (many servers do not
    /// trim).
    pub const ACCEPTED: &str = "1.2,1.1,1.0";

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1_0 => "1.0",
            Version::V1_1 => "1.1",
            Version::V1_2 => "1.2",
        }
    }

    /// The version of that name on the wire.
    pub fn from_wire(name: &str) -> Option<Version> {
        match name {
            "1.0" => Some(Version::V1_0),
            "1.1" => Some(Version::V1_1),
            "1.2" => Some(Version::V1_2),
            _ => None,
        }
    }

    /// The best version whose name is anywhere in a text: `1.1,1.2`, `v12.stomp`.
    pub(super) fn named_in(text: &str) -> Option<Version> {
        [Version::V1_2, Version::V1_1, Version::V1_0]
            .into_iter()
            .find(|version| {
                let name = version.as_str();
                text.contains(name) || text.contains(&format!("v{}", name.replace('.', "")))
            })
    }

    /// A server's choice: the best version in a client's `accept-version`, which is 1.0 where the
    /// client sent none. `None`: there is no common version (STOMP 1.2, section Protocol
    /// Negotiation).
    pub fn negotiate(accept_version: Option<&str>) -> Option<Version> {
        match accept_version {
            None => Some(Version::V1_0),
            Some(list) => list
                .split(',')
                .filter_map(|name| Version::from_wire(name.trim()))
                .max(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_version_that_is_named_is_found() {
        let check = |text, expected| assert_eq!(Version::named_in(text), expected, "{text}");
        check("1.1,1.2", Some(Version::V1_2));
        check("v11.stomp", Some(Version::V1_1));
        check("1.2.0", Some(Version::V1_2));
        check("", None);
        check("1", None);
        check("2.0", None);
    }

    #[test]
    fn best_common_version_wins() {
        let check =
            |offered, expected| assert_eq!(Version::negotiate(offered), expected, "{offered:?}");
        check(None, Some(Version::V1_0));
        check(Some(Version::ACCEPTED), Some(Version::V1_2));
        check(Some("1.0,1.1"), Some(Version::V1_1));
        check(Some("1.1, 1.2"), Some(Version::V1_2));
        check(Some("2.0"), None);
        check(Some(""), None);
    }
}
