//! Credit: a server that keeps messages may have no more of them on their way to us than the
//! journal has room for. So an ACK is never held back for want of room, and a connection that ends
//! costs no message one of its deliveries (RabbitMQ's `delivery-limit`).
//!
//! The window of a queue is the number of messages that the server sends without an ACK. The need
//! is what all windows may bring: of each queue its window times its largest message of late. This
//! is arithmetic: it knows no server and no clock, and writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::journal::Room;

/// The window of a subscription where the configuration names none.
pub(super) const WINDOW_DEFAULT: usize = 256;

/// What a message needs at least, whatever came so far: the next ones may be larger.
const MESSAGE_BYTES_MIN: u64 = 4096;

/// What each status of a message needs in the journal beside its own bytes.
const ENTRY_BYTES: u64 = 128;

/// The largest message is looked for among so many, and up to as many before them.
const LATELY: u32 = 4096;

/// This share of the log is to be free beyond the need before the topics are subscribed again: a
/// full journal would else stop and go with every message.
const SPARE_SHARE: u64 = 20;

/// What is to be free beyond the need.
fn spare(room: Room) -> u64 {
    room.bytes_max / SPARE_SHARE
}

/// What all windows together may need.
fn need_max(room: Room) -> u64 {
    (room.bytes_max / 2).saturating_sub(spare(room))
}

/// The largest message of a topic, as the journal stores it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LargestMessage {
    bytes: u64,
    /// The largest since `messages` began, which is `bytes` from the next time on.
    bytes_since: u64,
    messages: u32,
}

impl LargestMessage {
    /// A message has come. Says whether none was as large lately.
    pub(super) fn take(&mut self, body_bytes: usize, statuses: usize) -> bool {
        let bytes = (body_bytes as u64).saturating_add(ENTRY_BYTES * statuses as u64);
        let before = self.bytes();
        self.bytes = self.bytes.max(bytes);
        self.bytes_since = self.bytes_since.max(bytes);
        self.messages += 1;
        if self.messages == LATELY {
            self.bytes = self.bytes_since;
            (self.bytes_since, self.messages) = (0, 0);
        }
        self.bytes() > before
    }

    /// What one message may need.
    pub(super) fn bytes(self) -> u64 {
        self.bytes.max(MESSAGE_BYTES_MIN)
    }
}

/// A topic whose messages the server keeps until we acknowledge them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queue {
    /// As it is configured, or as SUBSCRIBE has asked for it.
    pub(super) window: usize,
    /// What one message may need.
    pub(super) message_bytes: u64,
}

impl Queue {
    fn need(self) -> u64 {
        self.message_bytes.saturating_mul(self.window as u64)
    }

    /// The window that the queue gets where all of them need `sum` and may need `left`.
    fn share(self, left: u64, sum: u64) -> usize {
        if sum <= left {
            return self.window;
        }
        let window = self.window as u128 * u128::from(left) / u128::from(sum);
        usize::try_from(window).unwrap_or(self.window)
    }
}

/// What the windows of these queues may bring.
///
/// Where each window is one message, and all together would still need more than they may, the
/// least is enough: else nothing would ever be subscribed.
pub(super) fn need(queues: impl Iterator<Item = Queue>, room: Room) -> u64 {
    let (mut need, mut window_max) = (0_u64, 0);
    for queue in queues {
        need = need.saturating_add(queue.need());
        window_max = window_max.max(queue.window);
    }
    if window_max <= 1 && need > need_max(room) {
        return 1;
    }
    need
}

/// The windows with which these queues are to be subscribed: as they are configured, or all smaller
/// by the same factor, so that they never need more than half of the log. None is less than one.
pub(super) fn windows(queues: &BTreeMap<Arc<str>, Queue>, room: Room) -> BTreeMap<Arc<str>, usize> {
    let mut windows = BTreeMap::new();
    let mut left = need_max(room);
    let mut rest: Vec<(&Arc<str>, Queue)> = queues.iter().map(|(name, it)| (name, *it)).collect();
    loop {
        let sum = rest
            .iter()
            .fold(0_u64, |sum, (_, queue)| sum.saturating_add(queue.need()));
        let share = |queue: Queue| queue.share(left, sum);
        // One message is the least, also where that is more than its share: the others get less.
        let (whole, least): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(_, queue)| share(*queue) > 0);
        if least.is_empty() {
            let fitted = whole
                .iter()
                .map(|(name, it)| (Arc::clone(name), share(*it)));
            windows.extend(fitted);
            return windows;
        }
        for (name, queue) in least {
            left = left.saturating_sub(queue.message_bytes);
            windows.insert(Arc::clone(name), 1);
        }
        rest = whole;
    }
}

/// The size of the log with which no window has to be smaller.
pub(super) fn bytes_max_for(queues: impl Iterator<Item = Queue>) -> u64 {
    let need = queues.fold(0_u64, |need, queue| need.saturating_add(queue.need()));
    // Of each 20 bytes the need may take 9: a half less the share that is to be spare.
    need.div_ceil(9)
        .saturating_mul(20)
        .saturating_add(SPARE_SHARE)
}

/// Whether the queues are subscribed, and with which windows.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// They wait at the server.
    paused: bool,
    windows: BTreeMap<Arc<str>, usize>,
    /// Of all queues, as they are subscribed.
    need: u64,
    /// The same as they would be subscribed now.
    need_again: u64,
}

impl Credit {
    /// Whether the queues wait at the server for want of room.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// What the windows of all queues may bring, as they are subscribed.
    pub(super) fn need(&self) -> u64 {
        self.need
    }

    /// The window of a queue that is to be subscribed.
    pub(super) fn window(&self, name: &str) -> Option<usize> {
        self.windows.get(name).copied()
    }

    /// Whether the room that is left says something else than the last look.
    pub(super) fn is_news(&self, room: Room) -> bool {
        match self.paused {
            true => room.bytes >= self.wanted(self.need_again, room),
            false => room.bytes < self.need,
        }
    }

    /// These queues are wanted, as they are configured; `open` are the windows with which some of
    /// them are subscribed. Judges whether they may be, or are to wait.
    pub(super) fn judge(
        &mut self,
        queues: &BTreeMap<Arc<str>, Queue>,
        open: &BTreeMap<Arc<str>, usize>,
        room: Room,
    ) {
        self.windows = windows(queues, room);
        let fitted = |name: &Arc<str>| self.windows.get(name).copied().unwrap_or(1);
        let with = |name: &Arc<str>, queue: &Queue, window: Option<&usize>| Queue {
            window: window.copied().unwrap_or_else(|| fitted(name)),
            ..*queue
        };
        let as_is = queues
            .iter()
            .map(|(name, it)| with(name, it, open.get(name)));
        let again = queues.iter().map(|(name, it)| with(name, it, None));
        (self.need, self.need_again) = (need(as_is, room), need(again, room));
        self.paused = room.bytes < self.wanted(self.need, room);
    }

    /// What is to be free for a need.
    fn wanted(&self, need: u64, room: Room) -> u64 {
        match self.paused && need > 0 {
            true => need.saturating_add(spare(room)),
            false => need,
        }
    }
}

#[cfg(test)]
mod tests;
