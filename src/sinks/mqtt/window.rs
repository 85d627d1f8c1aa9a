//! Which publishes of one connection the broker has confirmed. Knows packet ids, but no socket.
//!
//! Packet ids are the publishes' own numbers, from 1 to 65,535 and again. No more than the room of
//! the window are past the confirmed prefix, so an id is never needed while it is still in use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::reason::{Reason, Verdict};
use super::settings::Qos;

/// A broker's answer that does not belong to anything we sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker confirmed packet {0}, which is not in flight")]
pub(super) struct NotInFlight(pub(super) u16);

/// Packet ids begin with 1 (MQTT 3.1.1, section 2.3.1).
const PACKET_IDS: u64 = 65_535;

/// The packet id of the publish of this number, where its QoS has one.
pub(super) fn packet_id(number: u64) -> u16 {
    (number % PACKET_IDS) as u16 + 1
}

/// Publishes of one connection, numbered from 0 in the order in which they were accepted. With MQTT
/// 5 "confirmed" may mean that the broker has answered that it rejects it.
#[derive(Debug)]
pub(super) struct Window {
    /// Publishes past the confirmed prefix: what may arrive twice after a lost connection.
    room: u64,
    /// By their numbers.
    rejected: BTreeMap<u64, Reason>,
    confirmed: u64,
    /// Accepted by the broker although nobody subscribes to their topics; by their numbers.
    unheard: BTreeSet<u64>,
    /// Each accepted one from `confirmed` on.
    open: VecDeque<Publish>,
}

/// The packets still to come before it is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publish {
    /// PUBACK.
    Acknowledgement,
    /// Only that it is written (QoS 0).
    Write,
    /// Nothing; one before it is not confirmed.
    Nothing,
}

impl Window {
    /// With room for so many, at most 65,535.
    pub(super) fn new(room: u64) -> Window {
        Window {
            room,
            rejected: BTreeMap::new(),
            confirmed: 0,
            unheard: BTreeSet::new(),
            open: VecDeque::new(),
        }
    }

    pub(super) fn room(&self) -> u64 {
        self.room
    }

    /// Publishes that were accepted so far: the number of the next one.
    pub(super) fn accepted(&self) -> u64 {
        self.confirmed + self.open.len() as u64
    }

    /// How many of the first publishes are confirmed.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Whether another publish may go now.
    pub(super) fn has_room(&self) -> bool {
        (self.open.len() as u64) < self.room
    }

    /// One more; gives its packet id, which is 0 for QoS 0.
    pub(super) fn accept(&mut self, qos: Qos) -> u16 {
        let number = self.accepted();
        match qos {
            Qos::AtMostOnce => {
                self.open.push_back(Publish::Write);
                0
            }
            Qos::AtLeastOnce => {
                self.open.push_back(Publish::Acknowledgement);
                packet_id(number)
            }
        }
    }

    /// The first `through` of all are written.
    pub(super) fn wrote(&mut self, through: u64) {
        let written = through.saturating_sub(self.confirmed) as usize;
        for publish in self
            .open
            .iter_mut()
            .take(written)
            .filter(|publish| **publish == Publish::Write)
        {
            *publish = Publish::Nothing;
        }
        self.advance();
    }

    /// PUBACK (section 3.4), in whatever order the broker sends them. Gives the publish's number.
    pub(super) fn acknowledged(
        &mut self,
        packet_id: u16,
        reason: Reason,
    ) -> Result<u64, NotInFlight> {
        let unknown = NotInFlight(packet_id);
        let Some(index) = u64::from(packet_id).checked_sub(1) else {
            return Err(unknown);
        };
        let place = (index + PACKET_IDS - self.confirmed % PACKET_IDS) % PACKET_IDS;
        match self.open.get_mut(place as usize) {
            Some(publish @ Publish::Acknowledgement) => *publish = Publish::Nothing,
            _ => return Err(unknown),
        }
        let number = self.confirmed + place;
        match reason.verdict() {
            Verdict::Accepted if reason.is_unheard() => drop(self.unheard.insert(number)),
            Verdict::Accepted => {}
            _ => drop(self.rejected.insert(number, reason)),
        }
        self.advance();
        Ok(number)
    }

    /// Whether the broker has rejected one of this number or a later one.
    pub(super) fn has_rejected(&self, from: u64) -> bool {
        self.rejected.range(from..).next().is_some()
    }

    /// How many from this number on and before another one the broker has accepted although nobody
    /// subscribes. They are forgotten here, and so are those before.
    pub(super) fn take_unheard(&mut self, from: u64, before: u64) -> u64 {
        let later = self.unheard.split_off(&before);
        let taken = std::mem::replace(&mut self.unheard, later);
        taken.range(from..).count() as u64
    }

    /// Those that the broker has rejected, before this number; they are forgotten here.
    pub(super) fn take_rejected(&mut self, before: u64) -> BTreeMap<u64, Reason> {
        let later = self.rejected.split_off(&before);
        std::mem::replace(&mut self.rejected, later)
    }

    fn advance(&mut self) {
        while self.open.front() == Some(&Publish::Nothing) {
            self.open.pop_front();
            self.confirmed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With this many publishes of QoS 1.
    fn window(count: u16) -> Window {
        let mut window = Window::new(1000);
        for id in 1..=count {
            assert_eq!(window.accept(Qos::AtLeastOnce), id);
        }
        window
    }

    fn ok() -> Reason {
        Reason::default()
    }

    #[test]
    fn a_rejected_publish_is_answered_and_kept_until_it_is_taken() {
        let mut window = window(5);
        let quota = Reason::new(0x97, None);
        for (packet_id, reason) in [(1, ok()), (4, quota.clone()), (2, quota.clone()), (3, ok())] {
            let number = window.acknowledged(packet_id, reason);
            assert_eq!(number, Ok(u64::from(packet_id) - 1));
        }
        assert_eq!(window.confirmed(), 4, "an answer is an answer");
        assert!(window.has_rejected(3) && !window.has_rejected(4));
        let taken = window.take_rejected(3);
        assert_eq!(taken, BTreeMap::from([(1, quota.clone())]));
        assert_eq!(window.take_rejected(9), BTreeMap::from([(3, quota)]));
        assert!(!window.has_rejected(0));
    }

    #[test]
    fn what_nobody_subscribes_to_is_accepted_and_counted_once() {
        // The first one is the sink's own status, which is nobody's event.
        let mut window = window(5);
        for (packet_id, code) in [(1, 0x10), (2, 0x10), (3, 0), (4, 0x10), (5, 0x10)] {
            let reason = Reason::new(code, None);
            window.acknowledged(packet_id, reason).unwrap();
        }
        assert_eq!((window.confirmed(), window.take_unheard(1, 3)), (5, 1));
        assert_eq!(window.take_unheard(3, 5), 2);
        assert_eq!(window.take_unheard(0, 5), 0);
    }

    #[test]
    fn only_the_contiguous_prefix_is_confirmed() {
        let mut window = window(4);
        for (packet_id, confirmed) in [(2, 0), (4, 0), (1, 2), (3, 4)] {
            window.acknowledged(packet_id, ok()).unwrap();
            assert_eq!(window.confirmed(), confirmed, "after {packet_id}");
        }
    }

    #[test]
    fn qos_0_is_confirmed_once_written_but_never_before_what_was_sent_earlier() {
        let mut window = Window::new(1000);
        assert_eq!(
            [Qos::AtMostOnce; 3].map(|qos| window.accept(qos)),
            [0, 0, 0]
        );
        window.wrote(2);
        assert_eq!((window.confirmed(), window.accepted()), (2, 3));
        window.wrote(3);
        assert_eq!(window.accept(Qos::AtLeastOnce), 4);
        window.accept(Qos::AtMostOnce);
        window.wrote(5);
        assert_eq!(window.confirmed(), 3);
        window.acknowledged(4, ok()).unwrap();
        assert_eq!((window.confirmed(), window.accepted()), (5, 5));
    }

    #[test]
    fn an_answer_to_nothing_is_an_error() {
        let mut window = window(1);
        for packet_id in [0, 2, u16::MAX] {
            assert_eq!(
                window.acknowledged(packet_id, ok()),
                Err(NotInFlight(packet_id))
            );
        }
        window.acknowledged(1, ok()).unwrap();
        assert_eq!(window.acknowledged(1, ok()), Err(NotInFlight(1)));
        window.accept(Qos::AtMostOnce);
        assert_eq!(
            window.acknowledged(2, ok()),
            Err(NotInFlight(2)),
            "QoS 0 has no packet id"
        );
    }

    #[test]
    fn packet_ids_start_again_and_none_is_in_use_twice() {
        let mut window = Window::new(1000);
        let mut in_use = std::collections::VecDeque::new();
        for _ in 0..3 * PACKET_IDS {
            while !window.has_room() {
                window
                    .acknowledged(in_use.pop_front().unwrap(), ok())
                    .unwrap();
            }
            let id = window.accept(Qos::AtLeastOnce);
            assert!(id != 0 && !in_use.contains(&id));
            in_use.push_back(id);
        }
        assert_eq!(in_use.len() as u64, 1000);
    }
}
