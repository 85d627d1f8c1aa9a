//! What our next CONNECT says, by what has become of the ones before. Knows no socket.
//!
//! A broker refuses a CONNECT for what is in it: a version of MQTT, a retained will, a QoS. The
//! next one does without that, and what worked is remembered.

use std::time::Duration;

use super::loss::Obstacle;
use super::settings::{Protocol, Qos};
use super::terms::{Terms, Version};

/// A broker that has closed this many connections at a CONNECT of MQTT 5, and each time accepted one
/// of 3.1.1 then, does not speak MQTT 5. One close says little: it may have been restarting.
const CLOSES_MAX: u32 = 3;

/// A broker that has spoken MQTT 5, and has closed this many connections in a row at it since, may
/// have been replaced by an older one. A restart seldom costs as many.
const REFUSALS_MAX: u32 = 5;

/// One that keeps silent for this long counts as if it had closed: it may be busy.
const SILENCE_LONGEST: Duration = Duration::from_secs(6);

/// A broker that keeps silent for this long at a CONNECT of MQTT 5 may not know that version.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// What to say in a CONNECT.
#[derive(Debug)]
pub(super) struct Offer {
    protocol: Protocol,
    pub(super) version: Version,
    pub(super) will_retain: bool,
    pub(super) will_qos: Qos,
    /// This broker has accepted MQTT 5 before.
    speaks_five: bool,
    /// MQTT 3.1.1 only because it has closed the connection at MQTT 5.
    by_close: bool,
    closes: u32,
    /// CONNECTs of MQTT 5 in a row at which a broker that speaks it has closed the connection.
    refusals: u32,
}

impl Offer {
    pub(super) fn new(protocol: Protocol) -> Offer {
        Offer {
            protocol,
            version: first(protocol),
            will_retain: true,
            will_qos: Qos::AtLeastOnce,
            speaks_five: false,
            by_close: false,
            closes: 0,
            refusals: 0,
        }
    }

    /// Another connection is wanted.
    pub(super) fn begin(&mut self) {
        if self.by_close && self.closes < CLOSES_MAX {
            self.version = first(self.protocol);
            self.by_close = false;
        }
    }

    /// How long to wait for the answer, where another CONNECT may be better.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.may_be_older().then_some(match self.speaks_five {
            true => SILENCE_LONGEST,
            false => SILENCE_MAX,
        })
    }

    fn may_be_older(&self) -> bool {
        self.protocol == Protocol::Auto && self.version == Version::V5
    }

    /// The CONNECT has failed. True where the next one is another, and worth making at once.
    pub(super) fn forgo(&mut self, obstacle: Obstacle) -> bool {
        let may_be_older = self.may_be_older();
        if obstacle == Obstacle::Closed && may_be_older {
            self.refusals += 1;
            self.speaks_five &= self.refusals < REFUSALS_MAX;
        }
        match obstacle {
            Obstacle::Version if may_be_older => {
                self.version = Version::V311;
                self.speaks_five = false;
                true
            }
            Obstacle::Closed if may_be_older && !self.speaks_five => {
                self.version = Version::V311;
                self.by_close = true;
                true
            }
            // Another broker stands there by now.
            Obstacle::Version => {
                self.version = first(self.protocol);
                false
            }
            Obstacle::Retain => std::mem::replace(&mut self.will_retain, false),
            Obstacle::Qos => {
                std::mem::replace(&mut self.will_qos, Qos::AtMostOnce) == Qos::AtLeastOnce
            }
            Obstacle::Closed | Obstacle::Other => false,
        }
    }

    /// The broker has accepted it.
    pub(super) fn accepted(&mut self, terms: &Terms) {
        self.closes += u32::from(self.by_close);
        self.speaks_five = self.version == Version::V5;
        if self.speaks_five {
            (self.closes, self.refusals, self.by_close) = (0, 0, false);
            self.will_retain = terms.retains;
            self.will_qos = terms.qos_max;
        }
    }
}

fn first(protocol: Protocol) -> Version {
    match protocol {
        Protocol::Auto | Protocol::V5 => Version::V5,
        Protocol::V311 => Version::V311,
    }
}

#[cfg(test)]
mod tests {
    use super::super::incoming::Properties;
    use super::*;

    fn terms(version: Version) -> Terms {
        Terms::new(version, &Properties::default(), 1000)
    }

    /// What is said at each connection to a broker that speaks 3.1.1 and answers MQTT 5 so.
    fn versions(obstacle: Obstacle) -> Vec<Version> {
        let mut offer = Offer::new(Protocol::Auto);
        let mut said = Vec::new();
        for _ in 0..5 {
            offer.begin();
            said.push(offer.version);
            if offer.version == Version::V5 {
                assert!(offer.forgo(obstacle));
                said.push(offer.version);
            }
            offer.accepted(&terms(offer.version));
        }
        said
    }

    #[test]
    fn an_older_broker_is_remembered_at_once_where_it_says_so_and_else_in_the_end() {
        use Version::{V5, V311};
        assert_eq!(
            versions(Obstacle::Version),
            [V5, V311, V311, V311, V311, V311]
        );
        let expected = [V5, V311, V5, V311, V5, V311, V311, V311];
        assert_eq!(versions(Obstacle::Closed), expected);
    }

    #[test]
    fn a_broker_that_speaks_mqtt_5_and_closes_is_not_an_older_one() {
        let mut offer = Offer::new(Protocol::Auto);
        offer.accepted(&terms(Version::V5));
        offer.begin();
        assert!(!offer.forgo(Obstacle::Closed));
        assert_eq!(offer.version, Version::V5);
        // Replaced by another.
        assert!(offer.forgo(Obstacle::Version));
        offer.accepted(&terms(Version::V311));
        offer.begin();
        assert!(!offer.forgo(Obstacle::Version), "and back");
        assert_eq!(offer.version, Version::V5);
    }

    #[test]
    fn a_broker_that_was_downgraded_is_offered_the_older_version_in_the_end() {
        let mut offer = Offer::new(Protocol::Auto);
        offer.accepted(&terms(Version::V5));
        let patience = offer.patience();
        assert!(patience > Some(SILENCE_MAX), "it is known to answer");
        for _ in 1..REFUSALS_MAX {
            offer.begin();
            assert!(!offer.forgo(Obstacle::Closed), "it may be restarting");
        }
        offer.begin();
        assert!(offer.forgo(Obstacle::Closed));
        assert_eq!(offer.version, Version::V311);
        offer.accepted(&terms(Version::V311));
        // What it spoke before is asked for again, and once accepted counts as before.
        offer.begin();
        assert_eq!(offer.version, Version::V5);
        offer.accepted(&terms(Version::V5));
        offer.begin();
        assert!(!offer.forgo(Obstacle::Closed));
        assert_eq!(offer.version, Version::V5);
    }

    #[test]
    fn only_auto_falls_back() {
        for (protocol, version) in [(Protocol::V5, Version::V5), (Protocol::V311, Version::V311)] {
            for obstacle in [Obstacle::Version, Obstacle::Closed, Obstacle::Other] {
                let mut offer = Offer::new(protocol);
                assert!(!offer.forgo(obstacle), "{protocol:?} {obstacle:?}");
                assert_eq!(offer.version, version);
            }
        }
    }

    #[test]
    fn a_will_that_the_broker_cannot_have_is_changed_until_it_can() {
        let mut offer = Offer::new(Protocol::Auto);
        assert!(offer.forgo(Obstacle::Retain) && !offer.forgo(Obstacle::Retain));
        assert!(offer.forgo(Obstacle::Qos) && !offer.forgo(Obstacle::Qos));
        let none = Terms {
            retains: false,
            ..terms(Version::V5)
        };
        offer.accepted(&none);
        assert_eq!(
            (offer.will_retain, offer.will_qos),
            (false, Qos::AtLeastOnce)
        );
        offer.accepted(&terms(Version::V5));
        assert!(offer.will_retain, "the broker keeps retained messages now");
    }
}
