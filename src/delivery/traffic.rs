//! The loop of a sink that delivers several devices' events at once ([`Lanes`]): attempts are
//! driven here, in the delivery's own task, and each goes on while others wait.
//!
//! The cursor stays before the first event that is neither confirmed nor dead-lettered. What is
//! confirmed beyond it comes again after a crash, with the same event ids; so does what was under
//! way. So that this has a bound, no more than [`AHEAD_ENTRIES_MAX`] are ahead of it: then the sink
//! waits for the device that holds the cursor.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::ahead::Portion;
use super::lanes::{Attempt, Fate, Finished, Lanes, News};
use super::outcomes::{Outcome, Outcomes};
use super::parcel::{Errand, Item};
use super::reading::Reading;
use super::{BATCH_BYTES_MAX, Delivery, Next};
use crate::faults::{self, Failpoint, Mutation};
use crate::journal::{self, Entry, Reader, Replay, Settled, Verdict};
use crate::model::{Event, Position};
use crate::sinks::{self, Courier, Trouble};

/// Events ahead of the cursor, confirmed or not, one of which holds it: what may come twice after a
/// crash. Enough for a device that fails while some hundred others report every few minutes; what
/// is filtered does not count.
const AHEAD_ENTRIES_MAX: usize = 10_000;

/// Payloads of the events that are here: a bound of the sink's memory.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events that could go at once; more are not read before they are needed.
const READY_MAX: usize = 1000;

/// Entries of a replay or a redrive that are here at once: what comes next in the log waits for no
/// more.
const AGAIN_MAX: u32 = 100;

/// At a stop what is under way may take so long, which leaves the app some of its own time; then it
/// is broken off, and comes again after the next start.
const UNDER_WAY_STOP: Duration = Duration::from_secs(10);

type UnderWay = FuturesUnordered<BoxFuture<'static, (Attempt, Result<(), Trouble>)>>;

/// What one sink has on its way.
struct Traffic {
    courier: Arc<dyn Courier>,
    lanes: Lanes,
    outcomes: Outcomes,
    /// The log was read up to here.
    through: Position,
    /// dead letters that are on their way once more.
    redriving: BTreeSet<Position>,
    replaying: Option<Page>,
    disabled: bool,
}

/// A piece of a replay.
struct Page {
    /// As it stood when the piece was read: an operator may begin another one meanwhile.
    of: Replay,
    /// Events that are on their way.
    open: usize,
    /// Once there are none the replay has come so far.
    done: Position,
}

impl Traffic {
    fn has_room(&self) -> bool {
        self.lanes.ready() < READY_MAX && self.lanes.bytes() < AHEAD_BYTES_MAX
    }

    /// One event holds the cursor, and too much is ahead of it.
    fn is_held(&self) -> bool {
        self.outcomes.len() >= AHEAD_ENTRIES_MAX
    }

    /// Begins what may begin now.
    fn begin(&mut self, under_way: &UnderWay) {
        let now = Instant::now();
        while !self.disabled
            && let Some(attempt) = self.lanes.next(now)
        {
            faults::reach(Failpoint::BeforeDeliver);
            let made = self.courier.attempt(attempt.events());
            under_way.push(Box::pin(async move { (attempt, made.await) }));
        }
    }

    fn push(&mut self, event: Event, errand: Errand) {
        self.lanes.push(
            Item {
                event: Arc::new(event),
                errand,
            },
            Instant::now(),
        );
    }
}

impl Delivery {
    /// As [`Delivery::work`], for a sink with lanes.
    pub(super) async fn work_in_lanes(
        &mut self,
        terms: sinks::Lanes,
        stop: &CancellationToken,
    ) -> Result<(), journal::Error> {
        let mut reader = self.journal.reader().await?;
        let (mut head, mut commands) = (self.journal.head(), self.journal.commands());
        self.resume(&mut reader).await?;
        let mut wait = Duration::ZERO;
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = self.reopen(wait, &mut reader) => next?,
            };
            match next {
                Next::Go => break,
                Next::Reopen(longer) => wait = longer,
                Next::Hold => {
                    stop.cancelled().await;
                    return Ok(());
                }
            }
        }
        let mut traffic = Traffic {
            courier: Arc::clone(&terms.courier),
            lanes: Lanes::new(terms),
            outcomes: Outcomes::default(),
            through: self.cursor,
            redriving: BTreeSet::new(),
            replaying: None,
            disabled: false,
        };
        let mut under_way = UnderWay::new();
        while !traffic.disabled {
            traffic.begin(&under_way);
            self.counters
                .lanes_waiting
                .store(traffic.lanes.waiting() as u64, Ordering::Relaxed);
            let newest = *head.borrow();
            let has_room = traffic.has_room();
            let may_read = has_room && !traffic.is_held();
            if may_read && newest > traffic.through {
                self.read_on(&mut traffic, newest, &mut reader).await?;
                continue;
            }
            if commands.has_changed().unwrap_or(false) {
                commands.mark_unchanged();
                self.again = true;
            }
            if self.again && has_room {
                self.again = self.read_again(&mut traffic, &mut reader).await?;
                continue;
            }
            let (due, through) = (traffic.lanes.due(), traffic.through);
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = under_way.next() => Some(ended),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
                // Both senders live as long as `self.journal`.
                _ = commands.changed() => {
                    self.again = true;
                    None
                }
                _ = head.wait_for(|head| *head > through), if may_read => None,
            };
            if let Some((attempt, outcome)) = ended {
                self.ended(&mut traffic, attempt, outcome).await?;
            }
        }
        let finish = async {
            while let Some((attempt, outcome)) = under_way.next().await {
                self.ended(&mut traffic, attempt, outcome).await?;
            }
            Ok(())
        };
        timeout(UNDER_WAY_STOP, finish).await.unwrap_or(Ok(()))?;
        self.counters.lanes_waiting.store(0, Ordering::Relaxed);
        stop.cancelled().await;
        Ok(())
    }

    /// Takes on what comes next in the log.
    async fn read_on(
        &mut self,
        traffic: &mut Traffic,
        newest: Position,
        reader: &mut Reader,
    ) -> Result<(), journal::Error> {
        let Portion {
            readings, through, ..
        } = self.portion(traffic.through, newest, reader).await?;
        for (position, reading) in readings {
            traffic.outcomes.push(position, Outcome::of(&reading));
            if let Reading::Event(event) = reading {
                traffic.push(*event, Errand::Log);
            }
        }
        traffic.through = through;
        self.pass(traffic);
        if traffic.is_held() && self.held.worth_a_line("", Instant::now()) {
            warn!(
                sink = %self.name, position = %self.cursor, ahead = traffic.outcomes.len(),
                "one device holds the cursor and no more may be ahead of it: the sink waits for that device"
            );
        }
        Ok(())
    }

    /// Takes on what an operator wants delivered once more. Whether there is more of it.
    async fn read_again(
        &mut self,
        traffic: &mut Traffic,
        reader: &mut Reader,
    ) -> Result<bool, journal::Error> {
        let busy = u32::try_from(traffic.redriving.len()).unwrap_or(u32::MAX);
        if busy < AGAIN_MAX {
            let mut entries = reader.again(&self.name, AGAIN_MAX).await?;
            entries.retain(|entry| !traffic.redriving.contains(&entry.position));
            for entry in entries {
                let position = entry.position;
                // An undecodable one stands here because it can be decoded by now.
                let verdict = match entry.verdict {
                    Verdict::Undecodable { .. } => Verdict::Accepted { previous: None },
                    accepted => accepted,
                };
                let settled = match (self.read)(&Entry { verdict, ..entry }) {
                    Reading::Event(event) => {
                        traffic.redriving.insert(position);
                        traffic.push(*event, Errand::Redrive);
                        continue;
                    }
                    Reading::Unreadable(reason) => {
                        self.complain(position, &reason);
                        Settled::Refused(reason)
                    }
                    // Not for this sink any more, by its `topics` or `when`.
                    _ => Settled::Done,
                };
                self.journal.settle(&self.name, position, settled).await?;
            }
        }
        match self.journal.replay(&self.name) {
            Some(replay) if traffic.replaying.is_none() => {
                self.read_replay(replay, traffic, reader).await
            }
            // Each one that is settled looks again.
            _ => Ok(false),
        }
    }

    async fn read_replay(
        &mut self,
        replay: Replay,
        traffic: &mut Traffic,
        reader: &mut Reader,
    ) -> Result<bool, journal::Error> {
        // What the cursor has not passed comes in its turn.
        let through = replay.through.min(self.cursor);
        let mut entries = reader
            .read_after(replay.done, AGAIN_MAX as usize, BATCH_BYTES_MAX)
            .await?;
        entries.retain(|entry| entry.position <= through);
        let Some(done) = entries.last().map(|entry| entry.position) else {
            info!(sink = %self.name, through = %replay.through, "replay is done");
            self.journal.replayed(&self.name, replay.through).await?;
            return Ok(false);
        };
        let aside = reader.dead_letters_after(&self.name, replay.done).await?;
        entries.retain(|entry| !aside.contains(&entry.position) && replay.wants(entry.received_at));
        let mut open = 0;
        for entry in &entries {
            match (self.read)(entry) {
                Reading::Event(event)
                    if replay
                        .device_id
                        .as_ref()
                        .is_none_or(|id| *id == event.device_id) =>
                {
                    open += 1;
                    traffic.push(*event, Errand::Replay);
                }
                _ => {}
            }
        }
        if open == 0 {
            self.journal.replayed(&self.name, done).await?;
            return Ok(true);
        }
        traffic.replaying = Some(Page {
            of: replay,
            open,
            done,
        });
        Ok(false)
    }

    /// An attempt has ended: what that means for the accounts, the cursor and the log.
    async fn ended(
        &mut self,
        traffic: &mut Traffic,
        attempt: Attempt,
        outcome: Result<(), Trouble>,
    ) -> Result<(), journal::Error> {
        let outcome = match outcome {
            Ok(()) => {
                faults::reach(Failpoint::AfterDeliver);
                Ok(())
            }
            Err(Trouble::Retry { .. } | Trouble::Unclear { .. })
                if faults::makes(Mutation::SkipAfterRetry)
                    || faults::makes(Mutation::DropBatchOnReconnect) =>
            {
                Ok(())
            }
            trouble => trouble,
        };
        let Finished { settled, news } =
            traffic
                .lanes
                .finished(attempt, outcome, Instant::now(), fastrand::f64());
        for (item, fate) in settled {
            self.settle(traffic, item, fate).await?;
        }
        self.pass(traffic);
        match news {
            None => {}
            Some(News::Up) => {
                self.trouble.over();
                self.up("sink is up again");
            }
            Some(News::LaneWaits {
                device,
                error,
                wait,
            }) => {
                self.counters.retries.fetch_add(1, Ordering::Relaxed);
                if traffic.lanes.is_stuck() {
                    self.health.in_trouble(&error);
                    self.up = false;
                }
                if self.lane_trouble.worth_a_line(&error, Instant::now()) {
                    warn!(
                        sink = %self.name, %device, error, again_in_ms = wait.as_millis() as u64,
                        "an event of one device waits; the other devices' go on"
                    );
                }
            }
            Some(News::SinkWaits { error, wait }) => self.waits(&error, wait),
            Some(News::Distrusted { error, wait }) => self.distrusts(&error, wait),
            Some(News::Disabled { error }) => {
                self.disabled(&error);
                traffic.disabled = true;
            }
        }
        Ok(())
    }

    async fn settle(
        &mut self,
        traffic: &mut Traffic,
        item: Item,
        fate: Fate,
    ) -> Result<(), journal::Error> {
        let position = item.position();
        if let Fate::Refused(error) = &fate {
            self.complain(position, error);
        }
        match (item.errand, fate) {
            (Errand::Log, Fate::Delivered) => traffic.outcomes.set(position, Outcome::Delivered),
            (Errand::Log, Fate::Refused(error)) => {
                if !faults::makes(Mutation::ForgetDeadLetter) {
                    self.journal
                        .dead_letter(&self.name, position, &error)
                        .await?;
                }
                traffic.outcomes.set(position, Outcome::DeadLetter);
            }
            (Errand::Redrive, fate) => {
                let settled = match fate {
                    Fate::Delivered => Settled::Done,
                    Fate::Refused(error) => Settled::Refused(error),
                };
                self.count_again(settled == Settled::Done);
                self.journal.settle(&self.name, position, settled).await?;
                traffic.redriving.remove(&position);
                self.again |= traffic.redriving.len() <= AGAIN_MAX as usize / 2;
            }
            (Errand::Replay, fate) => {
                self.count_again(fate == Fate::Delivered);
                let Some(page) = &mut traffic.replaying else {
                    return Ok(());
                };
                page.open -= 1;
                if page.open == 0 {
                    if self.journal.replay(&self.name).as_ref() == Some(&page.of) {
                        self.journal.replayed(&self.name, page.done).await?;
                    }
                    traffic.replaying = None;
                    self.again = true;
                }
            }
        }
        Ok(())
    }

    fn count_again(&self, delivered: bool) {
        self.counters
            .again
            .fetch_add(u64::from(delivered), Ordering::Relaxed);
    }

    /// Moves the cursor over what is done without a hole.
    fn pass(&mut self, traffic: &mut Traffic) {
        let to = traffic
            .outcomes
            .first_open()
            .map_or(traffic.through, |open| Position(open.0 - 1));
        if to > self.cursor {
            let passed = traffic.outcomes.pass(to);
            self.pass_to(to, passed);
        }
    }
}
