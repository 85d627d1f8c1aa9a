//! What a connection waits for, and for how long: a state machine that takes the time. It owns no
//! socket and no timer.

use std::time::Duration;

use tokio::time::Instant;

/// A request's head has to be there this long after it began, or after the connection was accepted.
/// It is one packet, so ten seconds are for the worst of networks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection may be idle for this long between two requests: longer than the minute at which
/// Prometheus scrapes by default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A request's body has to be there this long after somebody began to wait for it: a command of 8 MiB
/// comes from this machine, and a sign-in is one packet.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A client has to read an answer within this time. The longest, /metrics with many sinks, has some
/// hundred kilobytes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// After the last answer the client has this long to read it and to close. Then more bytes of it
/// are answered with a reset (RFC 9112, section 9.6).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a client may take for each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// From the first byte of a request, or from the accept, to the end of its head.
    pub(super) head: Duration,
    /// From the first wait for a request's body to the body's end.
    pub(super) body: Duration,
    /// From one answer to the first byte of the next request.
    pub(super) idle: Duration,
    /// From an answer's first byte to its last.
    pub(super) answer: Duration,
    /// From our end of the connection to the client's.
    pub(super) close: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            head: HEAD_TIMEOUT,
            body: BODY_TIMEOUT,
            idle: IDLE_TIMEOUT,
            answer: ANSWER_TIMEOUT,
            close: CLOSE_TIMEOUT,
        }
    }
}

/// Who is to do the next step, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client: it may send another request.
    Idle,
    /// The client: it owes us the head of a request.
    Head,
    /// We: a request is being handled.
    Handling,
    /// The client: what is being handled waits for the request's body.
    Body,
    /// The client: it is to read an answer.
    Answer,
    /// We: an answer without end is being sent, and there is nothing to send now.
    Stream,
    /// The client: it is to read a piece of such an answer.
    Piece,
    /// The client: everything is said.
    Closing,
}

/// One connection's.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Phase,
    since: Instant,
}

impl Activity {
    /// A client that has just connected owes a head at once.
    pub(super) fn accepted(now: Instant) -> Activity {
        Activity {
            phase: Phase::Head,
            since: now,
        }
    }

    /// Bytes came. In other phases than this one they are a body's, or a pipelined request's.
    pub(super) fn read(&mut self, now: Instant) {
        if self.phase == Phase::Idle {
            self.enter(Phase::Head, now);
        }
    }

    /// A head is complete.
    pub(super) fn requested(&mut self, now: Instant) {
        self.enter(Phase::Handling, now);
    }

    /// The request's body is wanted, and has not come, or not to its end.
    pub(super) fn wants_body(&mut self, now: Instant) {
        if self.phase == Phase::Handling {
            self.enter(Phase::Body, now);
        }
    }

    /// The body is there, or nobody wants it any longer.
    pub(super) fn has_body(&mut self, now: Instant) {
        if self.phase == Phase::Body {
            self.enter(Phase::Handling, now);
        }
    }

    /// The answer is known.
    pub(super) fn answered(&mut self, now: Instant) {
        self.enter(Phase::Answer, now);
    }

    /// The answer has no end: its pieces come when they come.
    pub(super) fn streams(&mut self, now: Instant) {
        self.enter(Phase::Stream, now);
    }

    /// Something is being written: of an answer, also of one to a head that nobody can read.
    pub(super) fn writing(&mut self, now: Instant) {
        match self.phase {
            Phase::Idle | Phase::Head => self.enter(Phase::Answer, now),
            Phase::Stream => self.enter(Phase::Piece, now),
            Phase::Handling | Phase::Body | Phase::Answer | Phase::Piece | Phase::Closing => {}
        }
    }

    /// All that there was to write is written.
    pub(super) fn flushed(&mut self, now: Instant) {
        match self.phase {
            Phase::Answer => self.enter(Phase::Idle, now),
            Phase::Piece => self.enter(Phase::Stream, now),
            Phase::Idle
            | Phase::Head
            | Phase::Handling
            | Phase::Body
            | Phase::Stream
            | Phase::Closing => {}
        }
    }

    /// Our side is closed.
    pub(super) fn closed(&mut self, now: Instant) {
        self.enter(Phase::Closing, now);
    }

    /// Since when the client is waited for; `None`: it waits for us.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let is_ours = matches!(self.phase, Phase::Handling | Phase::Stream);
        (!is_ours).then_some(self.since)
    }

    /// Whether the client has neither asked for anything nor has an answer to read.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Head)
    }

    /// When the connection is cut.
    pub(super) fn deadline(&self, patience: &Patience) -> Option<Instant> {
        let patience = match self.phase {
            Phase::Idle => patience.idle,
            Phase::Head => patience.head,
            Phase::Body => patience.body,
            Phase::Handling | Phase::Stream => return None,
            Phase::Answer | Phase::Piece => patience.answer,
            Phase::Closing => patience.close,
        };
        Some(self.since + patience)
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(1),
        body: Duration::from_secs(5),
        idle: Duration::from_secs(10),
        answer: Duration::from_secs(100),
        close: Duration::from_secs(1000),
    };

    /// After these steps, a second apart, the connection is cut this many seconds after the last.
    fn check(steps: &[fn(&mut Activity, Instant)], expected: Option<u64>) {
        let start = Instant::now();
        let mut activity = Activity::accepted(start);
        let mut now = start;
        for step in steps {
            now += Duration::from_secs(1);
            step(&mut activity, now);
        }
        let expected = expected.map(|seconds| now + Duration::from_secs(seconds));
        assert_eq!(activity.deadline(&PATIENCE), expected, "{activity:?}");
        assert_eq!(activity.waiting_since().is_none(), expected.is_none());
    }

    #[test]
    fn each_step_of_the_client_has_its_own_deadline() {
        check(&[], Some(1));
        check(&[Activity::requested], None);
        check(&[Activity::requested, Activity::answered], Some(100));
        let answered: [fn(&mut Activity, Instant); 4] = [
            Activity::requested,
            Activity::answered,
            Activity::writing,
            Activity::flushed,
        ];
        check(&answered, Some(10));
        check(&[&answered[..], &[Activity::read]].concat(), Some(1));
        check(&[&answered[..], &[Activity::closed]].concat(), Some(1000));
    }

    #[test]
    fn a_body_is_the_clients_step_until_it_is_there_and_its_pieces_move_no_deadline() {
        let wanted: [fn(&mut Activity, Instant); 2] = [Activity::requested, Activity::wants_body];
        check(&wanted, Some(5));
        check(&[&wanted[..], &[Activity::has_body]].concat(), None);
        check(&[&wanted[..], &[Activity::answered]].concat(), Some(100));
        // `100 Continue` is written before the body comes.
        let continues: [fn(&mut Activity, Instant); 2] = [Activity::writing, Activity::flushed];
        let start = Instant::now();
        let mut activity = Activity::accepted(start);
        activity.requested(start);
        activity.wants_body(start);
        for seconds in 1..5 {
            let now = start + Duration::from_secs(seconds);
            continues.iter().for_each(|step| step(&mut activity, now));
            activity.read(now);
            activity.wants_body(now);
        }
        assert_eq!(activity.deadline(&PATIENCE), Some(start + PATIENCE.body));
    }

    #[test]
    fn a_stream_waits_without_end_and_a_piece_of_it_does_not() {
        let begun: [fn(&mut Activity, Instant); 2] = [Activity::requested, Activity::streams];
        check(&begun, None);
        check(&[&begun[..], &[Activity::writing]].concat(), Some(100));
        let flushed: [fn(&mut Activity, Instant); 2] = [Activity::writing, Activity::flushed];
        check(&[&begun[..], &flushed[..]].concat(), None);
    }

    #[test]
    fn bytes_one_by_one_do_not_move_the_deadline() {
        let start = Instant::now();
        let mut activity = Activity::accepted(start);
        for seconds in 1..5 {
            activity.read(start + Duration::from_secs(seconds));
        }
        assert_eq!(activity.deadline(&PATIENCE), Some(start + PATIENCE.head));
        activity.requested(start);
        activity.answered(start);
        for seconds in 1..5 {
            activity.writing(start + Duration::from_secs(seconds));
        }
        assert_eq!(activity.deadline(&PATIENCE), Some(start + PATIENCE.answer));
    }

    #[test]
    fn an_answer_to_a_broken_head_is_waited_for_like_any_other() {
        check(&[Activity::writing], Some(100));
        check(&[Activity::requested, Activity::writing], None);
        check(&[Activity::requested, Activity::flushed], None);
    }
}
