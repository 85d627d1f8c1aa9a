//! Which publishes of one connection the broker has confirmed. Knows packet ids, but no socket.
//!
//! Packet ids are the publishes' own numbers, from 1 to 65,535 and again. No more than
//! [`Window::ROOM`] are past the confirmed prefix, so an id is never needed while it is still in
//! use.

use std::collections::VecDeque;

use rumqttc::QoS;

/// A broker's answer that does not belong to anything we sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker confirmed packet {0}, which is not in flight")]
pub(super) struct NotInFlight(pub(super) u16);

/// Packet ids begin with 1 (MQTT 3.1.1, section 2.3.1).
const PACKET_IDS: u64 = 65_535;

/// Publishes of one connection, numbered from 0 in the order in which they were accepted.
#[derive(Debug, Default)]
pub(super) struct Window {
    confirmed: u64,
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
    /// Publishes past the confirmed prefix: what may arrive twice after a lost connection. Wide
    /// enough that the broker has work while the next ones are made ready.
    pub(super) const ROOM: u64 = 1000;

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
        (self.open.len() as u64) < Window::ROOM
    }

    /// One more; gives its packet id, which is 0 for QoS 0.
    pub(super) fn accept(&mut self, qos: QoS) -> u16 {
        let number = self.accepted();
        match qos {
            QoS::AtMostOnce => {
                self.open.push_back(Publish::Write);
                0
            }
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                self.open.push_back(Publish::Acknowledgement);
                (number % PACKET_IDS) as u16 + 1
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

    /// PUBACK (section 3.4), in whatever order the broker sends them.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Result<(), NotInFlight> {
        let unknown = NotInFlight(packet_id);
        let Some(index) = u64::from(packet_id).checked_sub(1) else {
            return Err(unknown);
        };
        let place = (index + PACKET_IDS - self.confirmed % PACKET_IDS) % PACKET_IDS;
        match self.open.get_mut(place as usize) {
            Some(publish @ Publish::Acknowledgement) => *publish = Publish::Nothing,
            _ => return Err(unknown),
        }
        self.advance();
        Ok(())
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
        let mut window = Window::default();
        for id in 1..=count {
            assert_eq!(window.accept(QoS::AtLeastOnce), id);
        }
        window
    }

    #[test]
    fn only_the_contiguous_prefix_is_confirmed() {
        let mut window = window(4);
        for (packet_id, confirmed) in [(2, 0), (4, 0), (1, 2), (3, 4)] {
            window.acknowledged(packet_id).unwrap();
            assert_eq!(window.confirmed(), confirmed, "after {packet_id}");
        }
    }

    #[test]
    fn qos_0_is_confirmed_once_written_but_never_before_what_was_sent_earlier() {
        let mut window = Window::default();
        assert_eq!(
            [QoS::AtMostOnce; 3].map(|qos| window.accept(qos)),
            [0, 0, 0]
        );
        window.wrote(2);
        assert_eq!((window.confirmed(), window.accepted()), (2, 3));
        window.wrote(3);
        assert_eq!(window.accept(QoS::AtLeastOnce), 4);
        window.accept(QoS::AtMostOnce);
        window.wrote(5);
        assert_eq!(window.confirmed(), 3);
        window.acknowledged(4).unwrap();
        assert_eq!((window.confirmed(), window.accepted()), (5, 5));
    }

    #[test]
    fn an_answer_to_nothing_is_an_error() {
        let mut window = window(1);
        for packet_id in [0, 2, u16::MAX] {
            assert_eq!(window.acknowledged(packet_id), Err(NotInFlight(packet_id)));
        }
        window.acknowledged(1).unwrap();
        assert_eq!(window.acknowledged(1), Err(NotInFlight(1)));
        window.accept(QoS::AtMostOnce);
        assert_eq!(
            window.acknowledged(2),
            Err(NotInFlight(2)),
            "QoS 0 has no packet id"
        );
    }

    #[test]
    fn packet_ids_start_again_and_none_is_in_use_twice() {
        let mut window = Window::default();
        let mut in_use = std::collections::VecDeque::new();
        for _ in 0..3 * PACKET_IDS {
            while !window.has_room() {
                window.acknowledged(in_use.pop_front().unwrap()).unwrap();
            }
            let id = window.accept(QoS::AtLeastOnce);
            assert!(id != 0 && !in_use.contains(&id));
            in_use.push_back(id);
        }
        assert_eq!(in_use.len() as u64, Window::ROOM);
    }
}
