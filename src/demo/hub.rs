//! Who is subscribed to what: takes each message to its subscribers' mailboxes and waits for none
//! of them. Knows no socket and no version of STOMP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::message::Message;
use super::session::Answer;

/// Frames that wait for one client. At 400 bytes a message this is about 400 KiB and, with the
/// simulated devices, half a minute of a client that does not read.
const MAILBOX_FRAMES_MAX: usize = 1_024;

/// Publishes from within the process, as a client's SEND does.
#[derive(Debug, Clone)]
pub struct Publisher {
    hub: Arc<Hub>,
}

impl Publisher {
    pub(super) fn new(hub: Arc<Hub>) -> Publisher {
        Publisher { hub }
    }

    /// Takes the message to all that are subscribed now, and says to how many subscriptions.
    /// Nothing is kept for those that come later.
    pub fn publish(&self, message: Message) -> usize {
        self.hub.publish(message)
    }

    /// How many subscriptions to a destination there are now.
    pub fn subscriptions(&self, destination: &str) -> usize {
        self.hub.lock().get(destination).map_or(0, Vec::len)
    }
}

/// One delivery of a message, or an answer, on its way to one client.
#[derive(Debug)]
pub(super) enum Mail {
    /// To a frame of the client's own.
    Answer(Answer),
    /// Of a subscription.
    Delivery {
        /// The client's id of it.
        subscription: Arc<str>,
        /// Whether it is to be acknowledged.
        acknowledged: bool,
        message: Arc<Message>,
    },
}

/// The sending end of a client's bounded queue.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    /// Unique in this broker.
    pub(super) client: u64,
    queue: mpsc::Sender<Mail>,
    overflow: CancellationToken,
}

impl Mailbox {
    /// The queue's two ends, and the token that is cancelled when it has overflowed.
    pub(super) fn new(client: u64) -> (Mailbox, mpsc::Receiver<Mail>, CancellationToken) {
        let (queue, receiver) = mpsc::channel(MAILBOX_FRAMES_MAX);
        let overflow = CancellationToken::new();
        (
            Mailbox {
                client,
                queue,
                overflow: overflow.clone(),
            },
            receiver,
            overflow,
        )
    }

    /// Never waits: a client that does not read fast enough is given up.
    pub(super) fn post(&self, mail: Mail) {
        match self.queue.try_send(mail) {
            // Closed: the client is going anyway.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => self.overflow.cancel(),
        }
    }
}

#[derive(Debug)]
struct Subscription {
    id: Arc<str>,
    acknowledged: bool,
    mailbox: Mailbox,
}

/// All subscriptions, by destination.
#[derive(Debug, Default)]
pub(super) struct Hub {
    subscriptions: Mutex<HashMap<String, Vec<Subscription>>>,
}

impl Hub {
    pub(super) fn subscribe(
        &self,
        destination: String,
        id: Arc<str>,
        acknowledged: bool,
        mailbox: Mailbox,
    ) {
        self.lock()
            .entry(destination)
            .or_default()
            .push(Subscription {
                id,
                acknowledged,
                mailbox,
            });
    }

    pub(super) fn unsubscribe(&self, client: u64, id: &str) {
        self.retain(|subscription| {
            subscription.mailbox.client != client || &*subscription.id != id
        });
    }

    /// Ends all subscriptions of a client.
    pub(super) fn leave(&self, client: u64) {
        self.retain(|subscription| subscription.mailbox.client != client);
    }

    pub(super) fn publish(&self, message: Message) -> usize {
        let subscriptions = self.lock();
        let Some(subscriptions) = subscriptions.get(&message.destination) else {
            return 0;
        };
        let message = Arc::new(message);
        for Subscription {
            id,
            acknowledged,
            mailbox,
        } in subscriptions
        {
            mailbox.post(Mail::Delivery {
                subscription: id.clone(),
                acknowledged: *acknowledged,
                message: message.clone(),
            });
        }
        subscriptions.len()
    }

    fn retain(&self, keep: impl Fn(&Subscription) -> bool) {
        self.lock().retain(|_, subscriptions| {
            subscriptions.retain(&keep);
            !subscriptions.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Subscription>>> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(destination: &str) -> Message {
        Message::json(destination, "{}")
    }

    #[test]
    fn a_message_reaches_the_subscriptions_of_its_destination_alone() {
        let hub = Hub::default();
        let (first, mut first_mail, _) = Mailbox::new(1);
        let (second, mut second_mail, _) = Mailbox::new(2);
        hub.subscribe("/topic/a".into(), "x".into(), false, first.clone());
        hub.subscribe("/topic/a".into(), "y".into(), true, first);
        hub.subscribe("/topic/b".into(), "x".into(), false, second);

        assert_eq!(hub.publish(message("/topic/a")), 2);
        for expected in [("x", false), ("y", true)] {
            let Ok(Mail::Delivery {
                subscription,
                acknowledged,
                ..
            }) = first_mail.try_recv()
            else {
                panic!("no mail")
            };
            assert_eq!((&*subscription, acknowledged), expected);
        }
        assert!(second_mail.try_recv().is_err());
        assert_eq!(hub.publish(message("/topic/none")), 0);
    }

    #[test]
    fn unsubscribing_ends_one_subscription_and_leaving_ends_all_of_the_client() {
        let hub = Hub::default();
        let (first, _first_mail, _) = Mailbox::new(1);
        let (second, _second_mail, _) = Mailbox::new(2);
        hub.subscribe("/topic/a".into(), "x".into(), false, first.clone());
        hub.subscribe("/topic/a".into(), "y".into(), false, first);
        hub.subscribe("/topic/a".into(), "x".into(), false, second);

        hub.unsubscribe(1, "x");
        assert_eq!(hub.publish(message("/topic/a")), 2);
        hub.leave(1);
        assert_eq!(hub.publish(message("/topic/a")), 1);
        hub.leave(2);
        assert!(hub.lock().is_empty());
    }

    #[test]
    fn a_full_mailbox_gives_its_client_up_and_no_other() {
        let hub = Hub::default();
        let (slow, _slow_mail, slow_overflow) = Mailbox::new(1);
        let (quick, mut quick_mail, quick_overflow) = Mailbox::new(2);
        hub.subscribe("/topic/a".into(), "x".into(), false, slow);
        hub.subscribe("/topic/a".into(), "x".into(), false, quick);
        for _ in 0..MAILBOX_FRAMES_MAX {
            hub.publish(message("/topic/a"));
            assert!(quick_mail.try_recv().is_ok());
        }
        assert!(!slow_overflow.is_cancelled());
        hub.publish(message("/topic/a"));
        assert!(slow_overflow.is_cancelled() && !quick_overflow.is_cancelled());
    }
}
