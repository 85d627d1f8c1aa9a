//! Which publishes of one connection the broker has confirmed. Knows packet ids, but no socket and no client.
//!
//! rumqttc does not say which packet id a publish was given, but it writes publishes in the order in which it took
//! them: the n-th that it took is the n-th that it reports as written. Packet ids run from 1 to its own limit of
//! publishes in flight and start again; as long as no more than [`Window::ROOM`] are past the confirmed prefix, an
//! id is never needed while it is still in use (a collision stalls rumqttc for ever).

use std::collections::VecDeque;

/// A broker's answer that does not belong to anything we sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker confirmed packet {0}, which is not in flight")]
pub(super) struct NotInFlight(pub(super) u16);

/// Publishes of one connection, numbered from 0 in the order in which rumqttc took them.
#[derive(Debug)]
pub(super) struct Window {
    accepted: u64,
    confirmed: u64,
    /// One for each written publish from `confirmed` on: whether it is confirmed.
    written: VecDeque<bool>,
    /// Packet id to number.
    in_flight: Vec<Option<u64>>,
}

impl Window {
    /// Publishes past the confirmed prefix: what may arrive twice after a lost connection. Wide enough that a broker
    /// whose confirmations wait for our TCP acknowledgement (Nagle's algorithm, mosquitto's default) gets that with our
    /// next publishes.
    pub(super) const ROOM: u16 = 1000;

    pub(super) fn new() -> Window {
        let room = usize::from(Window::ROOM);
        Window {
            accepted: 0,
            confirmed: 0,
            written: VecDeque::with_capacity(room),
            // Packet ids begin with 1.
            in_flight: vec![None; room + 1],
        }
    }

    /// Publishes that rumqttc took so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// The first so many are confirmed.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Whether another publish may be handed to rumqttc now.
    pub(super) fn has_room(&self) -> bool {
        self.accepted - self.confirmed < u64::from(Window::ROOM)
    }

    /// rumqttc takes one more.
    pub(super) fn accept(&mut self) {
        self.accepted += 1;
    }

    /// The next one was written. Packet id 0 is one of QoS 0: no confirmation will follow.
    pub(super) fn wrote(&mut self, packet_id: u16) -> Result<(), NotInFlight> {
        let number = self.confirmed + self.written.len() as u64;
        self.written.push_back(packet_id == 0);
        if packet_id == 0 {
            self.advance();
            return Ok(());
        }
        let slot = self.in_flight.get_mut(usize::from(packet_id)).ok_or(NotInFlight(packet_id))?;
        match slot.replace(number) {
            None => Ok(()),
            Some(_) => Err(NotInFlight(packet_id)),
        }
    }

    /// PUBACK (section 3.4), in whatever order the broker sends them.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Result<(), NotInFlight> {
        let slot = self.in_flight.get_mut(usize::from(packet_id)).and_then(Option::take);
        let number = slot.ok_or(NotInFlight(packet_id))?;
        // A number in flight is never before the prefix, so this is its place in `written`.
        let place = (number - self.confirmed) as usize;
        *self.written.get_mut(place).ok_or(NotInFlight(packet_id))? = true;
        self.advance();
        Ok(())
    }

    fn advance(&mut self) {
        while self.written.front() == Some(&true) {
            self.written.pop_front();
            self.confirmed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(packet_ids: &[u16]) -> Window {
        let mut window = Window::new();
        for &id in packet_ids {
            window.accept();
            window.wrote(id).unwrap();
        }
        window
    }

    #[test]
    fn only_the_contiguous_prefix_is_confirmed() {
        let mut window = written(&[1, 2, 3, 4]);
        for (packet_id, confirmed) in [(2, 0), (4, 0), (1, 2), (3, 4)] {
            window.acknowledged(packet_id).unwrap();
            assert_eq!(window.confirmed(), confirmed, "after {packet_id}");
        }
    }

    #[test]
    fn qos_0_is_confirmed_once_written_but_never_before_what_was_sent_earlier() {
        assert_eq!(written(&[0, 0]).confirmed(), 2);
        let mut window = written(&[1, 0]);
        assert_eq!(window.confirmed(), 0);
        window.acknowledged(1).unwrap();
        assert_eq!(window.confirmed(), 2);
    }

    #[test]
    fn an_answer_to_nothing_is_an_error() {
        let mut window = written(&[1]);
        assert_eq!(window.acknowledged(2), Err(NotInFlight(2)));
        assert_eq!(window.acknowledged(u16::MAX), Err(NotInFlight(u16::MAX)));
        window.acknowledged(1).unwrap();
        assert_eq!(window.acknowledged(1), Err(NotInFlight(1)));
    }

    #[test]
    fn room_ends_before_a_packet_id_would_be_needed_twice() {
        let mut window = Window::new();
        for number in 0..u64::from(Window::ROOM) * 3 {
            while !window.has_room() {
                let oldest = (window.confirmed() % u64::from(Window::ROOM)) as u16 + 1;
                window.acknowledged(oldest).unwrap();
            }
            window.accept();
            let packet_id = (number % u64::from(Window::ROOM)) as u16 + 1;
            assert_eq!(window.wrote(packet_id), Ok(()));
        }
    }
}
