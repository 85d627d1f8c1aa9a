use proptest::prelude::*;

use super::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn of(bytes_max: u64) -> Room {
    Room {
        bytes: bytes_max,
        bytes_max,
    }
}

/// Queues of these windows and bytes of a message, named by their numbers.
fn queues(of: &[(usize, u64)]) -> BTreeMap<Arc<str>, Queue> {
    let queue = |(number, (window, message_bytes)): (usize, &(usize, u64))| {
        let queue = Queue {
            window: *window,
            message_bytes: *message_bytes,
        };
        (format!("{number:03}").into(), queue)
    };
    of.iter().enumerate().map(queue).collect()
}

fn fitted(of_queues: &[(usize, u64)], bytes_max: u64) -> Vec<usize> {
    windows(&queues(of_queues), of(bytes_max))
        .into_values()
        .collect()
}

#[test]
fn windows_are_smaller_only_where_they_would_fill_half_of_the_log() {
    let check = |of: &[(usize, u64)], bytes_max: u64, expected: &[usize]| {
        assert_eq!(fitted(of, bytes_max), expected, "{of:?} in {bytes_max}");
    };
    check(&[], MIB, &[]);
    check(&[(256, 4 * KIB)], 1024 * MIB, &[256]);
    check(&[(256, 4 * KIB)], 3 * MIB, &[256]);
    // 45 % of a mebibyte has room for 115 messages.
    check(&[(256, 4 * KIB)], MIB, &[115]);
    check(&[(256, 4 * KIB), (64, 16 * KIB)], MIB, &[57, 14]);
    check(&[(256, 300 * KIB)], MIB, &[1]);
    check(&[(256, 4 * KIB), (256, 8 * MIB)], MIB, &[1, 1]);
    check(&[(256, 4 * KIB), (1, 100 * KIB)], MIB, &[90, 1]);
    check(&[(1000, 64 * KIB)], u64::MAX, &[1000]);
}

#[test]
fn a_window_of_one_message_needs_any_room_at_all() {
    let need_of = |of_queues: &[(usize, u64)]| {
        let queues = queues(of_queues);
        need(queues.values().copied(), of(MIB))
    };
    assert_eq!(need_of(&[]), 0);
    assert_eq!(need_of(&[(10, 4 * KIB), (2, 8 * KIB)]), 56 * KIB);
    assert_eq!(need_of(&[(1, 100 * KIB)]), 100 * KIB);
    assert_eq!(need_of(&[(1, 900 * KIB), (1, 4 * KIB)]), 1);
    // Its window is larger than it would be today: it is still to fit.
    assert_eq!(need_of(&[(2, 900 * KIB)]), 1800 * KIB);
}

#[test]
fn queues_wait_until_there_is_room_to_spare() {
    let queues = queues(&[(32, 4 * KIB)]);
    let mut credit = Credit::default();
    // The need is 128 KiB, and 51.2 KiB are spare.
    for (room_kib, news, paused) in [
        (1024, false, false),
        (128, false, false),
        (127, true, true),
        (128, false, true),
        (179, false, true),
        (180, true, false),
        (128, false, false),
        (0, true, true),
    ] {
        let room = Room {
            bytes: room_kib * KIB,
            bytes_max: MIB,
        };
        assert_eq!(credit.is_news(room), news, "{room_kib} KiB are left");
        credit.judge(&queues, &BTreeMap::new(), room);
        assert_eq!(credit.is_paused(), paused, "{room_kib} KiB are left");
    }
    credit.judge(&BTreeMap::new(), &BTreeMap::new(), of(MIB));
    assert!(!credit.is_paused(), "nothing is wanted that could wait");
}

#[test]
fn a_subscribed_window_counts_as_it_was_asked_for() {
    let mut credit = Credit::default();
    let small = queues(&[(100, 4 * KIB)]);
    credit.judge(&small, &BTreeMap::new(), of(MIB));
    assert_eq!(
        (credit.window("000"), credit.is_paused()),
        (Some(100), false)
    );
    // Larger messages come while all of it may be on its way.
    let open = BTreeMap::from([("000".into(), 100)]);
    let large = queues(&[(100, 16 * KIB)]);
    credit.judge(&large, &open, of(MIB));
    assert_eq!((credit.window("000"), credit.is_paused()), (Some(28), true));
    // Once it is left, it may be subscribed with less.
    assert!(credit.is_news(of(MIB)));
    credit.judge(&large, &BTreeMap::new(), of(MIB));
    assert_eq!(
        (credit.window("000"), credit.is_paused()),
        (Some(28), false)
    );
}

#[test]
fn the_largest_message_is_the_largest_of_late() {
    let mut largest = LargestMessage::default();
    assert_eq!(largest.bytes(), 4 * KIB);
    assert!(!largest.take(100, 1), "less than is reckoned with anyway");
    assert!(largest.take(10_000, 20));
    assert_eq!(largest.bytes(), 10_000 + 20 * 128);
    assert!(!largest.take(9000, 1));
    for _ in 0..2 * LATELY {
        largest.take(5000, 1);
    }
    assert_eq!(largest.bytes(), 5128);
    assert!(largest.take(6000, 1), "that was forgotten");
}

#[test]
fn the_size_that_is_advised_mends_it() {
    for of_queues in [&[(256, 4 * KIB)][..], &[(1, 5), (7, 4097)], &[]] {
        let queues = queues(of_queues);
        let bytes_max = bytes_max_for(queues.values().copied());
        let asked: Vec<usize> = of_queues.iter().map(|(window, _)| *window).collect();
        assert_eq!(fitted(of_queues, bytes_max), asked, "{of_queues:?}");
    }
}

/// A server with one queue, a journal and a sink, as far as their numbers go.
struct World {
    credit: Credit,
    bytes_max: u64,
    window: usize,
    message_bytes: u64,
    /// What no sink has yet.
    used: u64,
    subscribed: bool,
    /// The topic is being left: nothing is acknowledged.
    draining: bool,
    /// Sent, and not in the journal.
    in_flight: usize,
    /// In the journal, and not acknowledged.
    owed: usize,
}

/// What may happen at any moment.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send(usize),
    Commit,
    /// The server is quiet for long enough.
    Quiet,
    SinkTakes(u64),
    Look,
    Cut,
}

impl World {
    fn new(window: usize, message_bytes: u64, bytes_max: u64) -> World {
        let mut world = World {
            credit: Credit::default(),
            bytes_max,
            window,
            message_bytes,
            used: 0,
            subscribed: false,
            draining: false,
            in_flight: 0,
            owed: 0,
        };
        world.judge();
        world
    }

    fn granted(&self) -> usize {
        self.credit.window("000").unwrap()
    }

    fn judge(&mut self) {
        let queues = queues(&[(self.window, self.message_bytes)]);
        let mut open = BTreeMap::new();
        if self.subscribed {
            open.insert("000".into(), self.granted());
        }
        let room = Room {
            bytes: self.bytes_max - self.used,
            bytes_max: self.bytes_max,
        };
        self.credit.judge(&queues, &open, room);
        if self.credit.is_paused() {
            self.draining = self.subscribed;
        } else {
            // Taken back, or subscribed.
            (self.subscribed, self.draining) = (true, false);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(wanted) if self.subscribed => {
                let place = self.granted() - self.in_flight - self.owed;
                self.in_flight += place.min(wanted);
            }
            Step::Commit => {
                self.used += self.in_flight as u64 * self.message_bytes;
                self.owed += std::mem::take(&mut self.in_flight);
                self.judge();
                if !self.draining {
                    self.owed = 0;
                }
            }
            Step::Quiet if self.in_flight == 0 => {}
            Step::SinkTakes(bytes) => self.used = self.used.saturating_sub(bytes),
            Step::Look => {
                self.judge();
                if !self.draining {
                    self.owed = 0;
                }
            }
            Step::Cut => {
                // What was read is journaled, whatever ended the link.
                self.used += self.in_flight as u64 * self.message_bytes;
                (self.in_flight, self.owed, self.subscribed, self.draining) = (0, 0, false, false);
                self.credit = Credit::default();
                self.judge();
            }
            Step::Send(_) | Step::Quiet => {}
        }
        let full = self.owed == self.granted();
        if self.draining && self.in_flight == 0 && (full || matches!(step, Step::Quiet)) {
            // The ACKs and UNSUBSCRIBE count at once.
            (self.owed, self.subscribed, self.draining) = (0, false, false);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1_usize..300).prop_map(Step::Send),
        Just(Step::Commit),
        Just(Step::Quiet),
        (1..MIB).prop_map(Step::SinkTakes),
        Just(Step::Look),
        Just(Step::Cut),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn windows_never_need_more_than_half_of_the_log_unless_each_is_one_message(
        of_queues in proptest::collection::vec((1_usize..2000, 1..64 * KIB), 0..20),
        bytes_max in 1..256 * MIB,
    ) {
        let (asked, room) = (queues(&of_queues), of(bytes_max));
        let windows = windows(&asked, room);
        prop_assert_eq!(windows.len(), asked.len());
        let mut sum = 0;
        for (name, queue) in &asked {
            let window = windows[name];
            prop_assert!((1..=queue.window).contains(&window));
            sum += window as u64 * queue.message_bytes;
        }
        prop_assert!(sum <= bytes_max / 2 || windows.values().all(|window| *window == 1));
    }

    #[test]
    fn what_the_server_may_have_sent_always_fits_and_nothing_is_owed_while_paused(
        window in 1_usize..400,
        message_bytes in 4 * KIB..32 * KIB,
        // Larger than two messages, so that no window of one exceeds its half.
        bytes_max in 256 * KIB..4 * MIB,
        steps in steps(),
    ) {
        let mut world = World::new(window, message_bytes, bytes_max);
        let mut sent = 0;
        for step in steps {
            world.step(step);
            let on_the_way = world.in_flight as u64 * message_bytes;
            prop_assert!(world.used + on_the_way <= bytes_max, "after {:?}", step);
            let paused = world.credit.is_paused() && !world.draining;
            prop_assert!(!paused || world.owed == 0 && world.in_flight == 0);
            sent = sent.max(world.in_flight);
        }
        // Once the sink has everything, the queue is subscribed again.
        world.step(Step::Commit);
        world.step(Step::Quiet);
        world.step(Step::SinkTakes(u64::MAX));
        world.step(Step::Look);
        prop_assert!(world.subscribed && !world.draining && sent <= window);
    }
}
