//! One scenario: a daemon with all four sinks, what is published to it, and what must have come out at the end.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlx::PgConnection;

use crate::lab::lab;
use crate::peers::configuration::EventKey;
use crate::peers::platform::{self, assert_complete, assert_ordered};
use crate::peers::{
    Configuration, Daemon, Delivered, Mosquitto, RabbitMq, Receiver, Stomp, Subscriber, history, stomp, wait,
};

/// What a whole scenario publishes.
pub(crate) const MESSAGES: usize = 3000;

const DEVICES: usize = 50;

/// A scenario under way.
pub(crate) struct Run {
    pub(crate) daemon: Daemon,
    pub(crate) receiver: Receiver,
    pub(crate) subscriber: Subscriber,
    name: String,
    postgres: PgConnection,
}

impl Run {
    /// Starts a daemon on the lab's servers that reads the queue `name` by `url`, and waits until it is ready.
    pub(crate) async fn start(name: &str, url: &str, key: EventKey) -> Run {
        Run::with(name, Configuration::new(url).queue("status", name, key), &lab().await.mosquitto).await
    }

    /// Adds all four sinks to a configuration and starts a daemon with it.
    pub(crate) async fn with(name: &str, configuration: Configuration, mosquitto: &Mosquitto) -> Run {
        let database = lab().await.postgres.create(name).await;
        let receiver = Receiver::start().await;
        let subscriber = Subscriber::start(mosquitto.port(), name, &format!("{name}/#")).await;
        let configuration =
            configuration.sqlite().postgres(&database).mqtt(&mosquitto.url(), name).webhook(&receiver.url());
        let mut daemon = Daemon::start(&configuration).await;
        daemon.ready().await;
        let postgres = lab().await.postgres.connect(name).await;
        Run { daemon, receiver, subscriber, name: name.to_owned(), postgres }
    }

    /// Publishes the messages of these numbers to the scenario's queue on the lab's RabbitMQ; all are confirmed when it returns.
    pub(crate) async fn publish(&self, numbers: Range<usize>) {
        self.publish_to(&lab().await.rabbitmq, numbers).await;
    }

    /// The same on another RabbitMQ.
    pub(crate) async fn publish_to(&self, rabbitmq: &RabbitMq, numbers: Range<usize>) {
        let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
        let messages = platform::messages(&self.name, numbers, DEVICES);
        publisher.publish(&format!("/queue/{}", self.name), messages).await;
    }

    /// Waits until every one of `count` messages has reached every sink.
    pub(crate) async fn complete(&mut self, count: usize) {
        let mut have = [0; 4];
        let all = wait::within(wait::LONG, async || {
            assert!(self.daemon.runs(), "the daemon ended by itself");
            have = self.arrived().await;
            have.iter().all(|n| *n >= count).then_some(())
        })
        .await;
        if all.is_none() {
            for (sink, delivered) in self.delivered().await {
                // Says which are missing.
                assert_complete(sink, &delivered, count);
            }
            panic!("of {count} messages, the sinks have {have:?} without one missing");
        }
    }

    /// How many different messages each sink has, at least: asked again and again, so the histories count.
    async fn arrived(&mut self) -> [usize; 4] {
        let sqlite = history::count(self.daemon.folder()).await;
        let postgres = sqlx::query_scalar("select count(distinct payload::jsonb->>'n') from status_event");
        let postgres: i64 = postgres.fetch_one(&mut self.postgres).await.expect("count in Postgres");
        let outside = [self.subscriber.delivered(), self.receiver.delivered()];
        let [mqtt, webhook] = outside.map(|delivered| platform::numbers(&delivered).len());
        [sqlite, postgres as usize, mqtt, webhook]
    }

    async fn delivered(&mut self) -> [(&'static str, Vec<Delivered>); 4] {
        [
            ("sqlite", self.sqlite().await),
            ("postgres", self.postgres().await),
            ("mqtt", self.subscriber.delivered()),
            ("webhook", self.receiver.delivered()),
        ]
    }

    /// Waits for all of `count` messages, stops the daemon in order and looks at everything: each message at least
    /// once, in order per device, and in the histories at most `again` of them more than once, none where it is 0.
    pub(crate) async fn finish(self, count: usize, again: usize) {
        for (sink, delivered) in self.finish_in_any_order(count, again).await {
            assert_ordered(sink, &delivered);
        }
    }

    /// The same where the server itself has sent some of them later than those that follow.
    pub(crate) async fn finish_in_any_order(
        mut self,
        count: usize,
        again: usize,
    ) -> [(&'static str, Vec<Delivered>); 4] {
        self.complete(count).await;
        let status = self.daemon.stop().await;
        assert_eq!(status.code(), Some(0), "the exit code after SIGTERM");
        let all = self.delivered().await;
        for (sink, delivered) in &all {
            assert_complete(sink, delivered, count);
        }
        for (history, rows) in [("sqlite", self.sqlite().await), ("postgres", self.postgres().await)] {
            let keys: BTreeSet<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
            assert_eq!(keys.len(), rows.len(), "{history} has an event_id twice");
            assert!(
                rows.len() <= count + again,
                "{history} has {} rows of {count} messages; {again} may be there twice",
                rows.len()
            );
        }
        all
    }

    /// In the journal's order.
    pub(crate) async fn sqlite(&self) -> Vec<Delivered> {
        history::rows(self.daemon.folder()).await
    }

    /// In the journal's order.
    pub(crate) async fn postgres(&mut self) -> Vec<Delivered> {
        let select = sqlx::query_as("select event_id, device_id, origin, payload::text from status_event");
        history::delivered(select.fetch_all(&mut self.postgres).await.expect("select from the Postgres history"))
    }
}

/// Panics unless a queue holds nothing, sent or unsent: what is published to it now is what comes out first.
pub(crate) async fn assert_drained(rabbitmq: &RabbitMq, queue: &str) {
    stomp::assert_drained(rabbitmq.stomp_port(), queue).await;
}
