//! The topics of an open connection: which are subscribed, and how far a change of them has come.
//! Knows no socket and no clock.
//!
//! A topic whose messages are acknowledged is unsubscribed so that no message stays behind. First
//! its ACKs are held, until the server has filled the window or has nothing more to send. Once all
//! of its messages are on disk, their ACKs and UNSUBSCRIBE go in one write: an ACK after
//! UNSUBSCRIBE would be an error.
//!
//! Another topic of the same name is subscribed once the server has confirmed the UNSUBSCRIBE, or
//! its time is up, as with Spring's simple broker. So no message counts for the wrong topic.

mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use slot::{Drain, Slot, Stage};

use super::topic::Topic;
use crate::stomp::{AckId, AckMode};

/// The topics of one connection, each with its state.
#[derive(Debug)]
pub(super) struct Subscriptions {
    slots: BTreeMap<Arc<str>, Slot>,
    /// How many of them are being drained; most of the time none, and messages have nothing to do
    /// with this room.
    draining: usize,
    /// How many the newest reload leaves.
    leaving: usize,
    /// How the topics were acknowledged that were left on this connection, by their names.
    left: BTreeMap<Arc<str>, AckMode>,
    /// Of how many the server keeps what it does not send.
    kept: usize,
    /// How many were subscribed carefully.
    careful: usize,
    /// Which of them are being left has changed since somebody asked.
    changed: bool,
}

/// What one SUBSCRIBE lets the server send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grant {
    /// The most messages without an ACK; `None`: nobody knows.
    pub(super) window: Option<usize>,
    /// The server keeps the others, also while nobody is subscribed.
    pub(super) keeps: bool,
    /// The server keeps nothing of the topic: there is nothing to hand back.
    pub(super) fleeting: bool,
    /// The window is of one message, until one is on disk: see [`Subscriptions::renew`].
    pub(super) careful: bool,
}

/// What a reload asks of the session at once.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// To be subscribed.
    pub(super) subscribe: Vec<Topic>,
    /// To be acknowledged: topics that stay after all.
    pub(super) release: Vec<AckId>,
}

/// A topic to be unsubscribed now.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) topic: Topic,
    /// To be acknowledged before, so that the server does not fill the window again in between.
    pub(super) acks: Vec<AckId>,
    /// It is subscribed again at once, as it is.
    pub(super) renewed: bool,
}

/// A topic that the server sends no more.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) topic: Topic,
    /// Messages that came after UNSUBSCRIBE was queued.
    pub(super) late: u64,
    /// How many topics the newest reload leaves.
    pub(super) among: usize,
    /// To be subscribed now, under the same name.
    pub(super) next: Option<Topic>,
}

impl Subscriptions {
    /// No topic is subscribed yet.
    pub(super) fn new() -> Subscriptions {
        Subscriptions {
            slots: BTreeMap::new(),
            draining: 0,
            leaving: 0,
            left: BTreeMap::new(),
            kept: 0,
            careful: 0,
            changed: false,
        }
    }

    /// The topics that are being left, where others are since this was asked last. One that is only
    /// renewed stays.
    pub(super) fn leaving_anew(&mut self) -> Option<BTreeSet<Arc<str>>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let is_left = |slot: &Slot| {
            !matches!(slot.stage, Stage::Taken) && slot.next.as_ref() != Some(&slot.topic)
        };
        let left = self.slots.iter().filter(|(_, slot)| is_left(slot));
        Some(left.map(|(name, _)| Arc::clone(name)).collect())
    }

    /// A topic is being subscribed so.
    pub(super) fn grant(&mut self, name: &str, grant: Grant) {
        if let Some(slot) = self.slots.get_mut(name) {
            self.kept -= usize::from(slot.grant.keeps);
            self.kept += usize::from(grant.keeps);
            self.careful -= usize::from(slot.grant.careful);
            self.careful += usize::from(grant.careful);
            slot.grant = grant;
        }
    }

    /// Whether any topic has a window of one message for now.
    pub(super) fn any_careful(&self) -> bool {
        self.careful > 0
    }

    /// A message of this topic is on disk: where the topic was subscribed carefully, it is left and
    /// subscribed again, as a topic that is changed.
    pub(super) fn renew(&mut self, name: &str, entry: u64, now: Instant) {
        if let Some(slot) = self.slots.get_mut(name)
            && slot.grant.careful
            && matches!(slot.stage, Stage::Taken)
        {
            slot.leave(Some(slot.topic.clone()), entry, now);
            self.count();
        }
    }

    /// The topics of which the server may send what it keeps, and their windows.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Arc<str>, Option<usize>)> {
        self.slots.iter().filter_map(|(name, slot)| {
            // A careful one is about to get its whole window.
            let open = slot.grant.keeps
                && !slot.grant.careful
                && !matches!(slot.stage, Stage::Gone { .. });
            open.then_some((name, slot.grant.window))
        })
    }

    /// A topic of which the server keeps what it does not send, and which is not unsubscribed.
    pub(super) fn a_kept_one(&self) -> Option<Arc<str>> {
        let mut slots = self.slots.iter();
        let found =
            slots.find(|(_, slot)| slot.grant.keeps && !matches!(slot.stage, Stage::Gone { .. }));
        found.map(|(name, _)| Arc::clone(name))
    }

    /// Whether a topic is subscribed, or being so, or being left.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// Whether anything may still come of what the server keeps.
    pub(super) fn any_kept(&self) -> bool {
        self.kept > 0
    }

    /// From now on these topics are wanted, and no others. `entry` is the newest that was
    /// taken in.
    pub(super) fn assign(&mut self, wanted: &[Topic], entry: u64, now: Instant) -> Change {
        let mut change = Change::default();
        let by_name: BTreeMap<&str, &Topic> =
            wanted.iter().map(|topic| (&*topic.name, topic)).collect();
        for (name, slot) in &mut self.slots {
            match by_name.get(&**name) {
                Some(same) if **same == slot.topic => change.release.extend(slot.stay()),
                other => slot.leave(other.copied().cloned(), entry, now),
            }
        }
        let leaves = |slot: &&Slot| !matches!(slot.stage, Stage::Taken);
        self.leaving = self.slots.values().filter(leaves).count();
        for topic in wanted {
            if !self.slots.contains_key(&topic.name) {
                self.slots
                    .insert(Arc::clone(&topic.name), Slot::new(topic.clone()));
                change.subscribe.push(topic.clone());
            }
        }
        self.count();
        change
    }

    /// A message of a topic is taken in, from that entry on.
    pub(super) fn heard(&mut self, name: &str, entry: u64, now: Instant) {
        if self.draining > 0
            && let Some(Slot {
                stage: Stage::Draining(drain),
                ..
            }) = self.slots.get_mut(name)
        {
            (drain.entry, drain.quiet_at) = (entry, now + drain.quiet);
        }
    }

    /// Takes an ACK that is to wait.
    pub(super) fn hold(&mut self, ack: &AckId) -> bool {
        if self.draining > 0
            && let Some(Slot {
                stage: Stage::Draining(drain),
                ..
            }) = self.slots.get_mut(ack.subscription())
        {
            drain.held.push(ack.clone());
            return true;
        }
        false
    }

    /// All ACKs that wait.
    pub(super) fn release(&mut self) -> Vec<AckId> {
        let held = self
            .slots
            .values_mut()
            .filter_map(|slot| match &mut slot.stage {
                Stage::Draining(drain) => Some(std::mem::take(&mut drain.held)),
                Stage::Taken | Stage::Gone { .. } => None,
            });
        held.flatten().collect()
    }

    /// The topics that can be unsubscribed now; `committed`: an entry is on disk, with all before
    /// it, and all of its message.
    pub(super) fn leave(&mut self, committed: impl Fn(u64) -> bool, now: Instant) -> Vec<Leave> {
        if self.draining == 0 {
            return Vec::new();
        }
        let mut leaving = Vec::new();
        for (name, slot) in &mut self.slots {
            let Stage::Draining(drain) = &mut slot.stage else {
                continue;
            };
            // A server that has not come to the SUBSCRIBE yet has everything still to send.
            let done = slot.confirmed && committed(drain.entry) && drain.is_done(&slot.topic, now);
            if slot.topic.ack == AckMode::Auto || slot.grant.fleeting || done {
                leaving.push(Leave {
                    topic: slot.topic.clone(),
                    acks: std::mem::take(&mut drain.held),
                    renewed: slot.next.as_ref() == Some(&slot.topic),
                });
                self.left.insert(Arc::clone(name), slot.topic.ack);
                slot.stage = Stage::Gone { late: 0 };
            }
        }
        self.count();
        leaving
    }

    /// When `leave` is to be asked again, whatever happens.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let drains = self.drains();
        drains
            .filter_map(|drain| {
                [drain.quiet_at, drain.give_up_at]
                    .into_iter()
                    .find(|at| *at > now)
            })
            .min()
    }

    /// Some topic's messages never end: reading pauses until the messages read are on disk.
    pub(super) fn wants_a_pause(&self, now: Instant) -> bool {
        self.draining > 0 && self.drains().any(|drain| drain.give_up_at <= now)
    }

    /// A message of a topic has come after UNSUBSCRIBE.
    pub(super) fn late(&mut self, name: &str) {
        if let Some(Slot {
            stage: Stage::Gone { late },
            ..
        }) = self.slots.get_mut(name)
        {
            *late += 1;
        }
    }

    /// The UNSUBSCRIBE of that name is done.
    pub(super) fn gone(&mut self, name: &str) -> Option<Gone> {
        let slot = self.slots.get_mut(name)?;
        let Stage::Gone { late } = slot.stage else {
            return None;
        };
        let next = slot.next.take();
        let slot = match next.clone() {
            Some(next) => std::mem::replace(slot, Slot::new(next)),
            None => self.slots.remove(name)?,
        };
        self.kept -= usize::from(slot.grant.keeps);
        self.careful -= usize::from(slot.grant.careful);
        self.changed = true;
        Some(Gone {
            topic: slot.topic,
            late,
            among: self.leaving,
            next,
        })
    }

    /// A SUBSCRIBE is done. True where that is news.
    pub(super) fn confirm(&mut self, name: &str, now: Instant) -> bool {
        let Some(slot) = self.slots.get_mut(name).filter(|slot| !slot.confirmed) else {
            return false;
        };
        slot.confirmed = true;
        if let Stage::Draining(drain) = &mut slot.stage {
            drain.quiet_at = now + drain.quiet;
        }
        true
    }

    /// How many topics stand, where all do that are wanted, but for the one of this name.
    pub(super) fn complete_without(&self, name: Option<&str>) -> Option<usize> {
        let mut stand = 0;
        for (other, slot) in &self.slots {
            match slot.stage {
                Stage::Taken if slot.confirmed => stand += 1,
                _ if name == Some(other) => {}
                Stage::Draining(_) | Stage::Gone { .. } if slot.next.is_none() => {}
                _ => return None,
            }
        }
        Some(stand)
    }

    /// Whether a topic is subscribed, or being subscribed, as it is.
    pub(super) fn stands(&self, topic: &Topic) -> bool {
        self.slots
            .get(&topic.name)
            .is_some_and(|slot| matches!(slot.stage, Stage::Taken) && slot.topic == *topic)
    }

    /// Whether a topic stands as it is, and the server has confirmed it.
    pub(super) fn is_confirmed(&self, topic: &Topic) -> bool {
        let slot = self.slots.get(&topic.name);
        slot.is_some_and(|slot| slot.confirmed) && self.stands(topic)
    }

    /// Whether a message that the server withheld of an unsubscribed topic can still come on this
    /// connection, or need not, as no ACK was due. Otherwise the server sends it on the next
    /// connection. Here another topic's ACK may count for it, since RabbitMQ's `client` ACK stands
    /// for everything before it.
    pub(super) fn can_do_without(&self, name: &str) -> bool {
        let acknowledged = self.left.get(name).is_some_and(|ack| *ack != AckMode::Auto);
        let wanted = self
            .slots
            .get(name)
            .is_some_and(|slot| slot.next.is_some() || matches!(slot.stage, Stage::Taken));
        !acknowledged
            || !wanted
                && self
                    .slots
                    .values()
                    .all(|slot| slot.topic.ack != AckMode::Client)
    }

    fn drains(&self) -> impl Iterator<Item = &Drain> {
        let slots = if self.draining > 0 {
            Some(self.slots.values())
        } else {
            None
        };
        slots
            .into_iter()
            .flatten()
            .filter_map(|slot| match &slot.stage {
                Stage::Draining(drain) if slot.topic.ack != AckMode::Auto => Some(drain),
                _ => None,
            })
    }

    fn count(&mut self) {
        self.changed = true;
        self.draining = self
            .slots
            .values()
            .filter(|slot| matches!(slot.stage, Stage::Draining(_)))
            .count();
    }
}
