//! How often each of millions of messages has arrived at MQTT: a byte for each, since nothing else
//! could be kept of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::task::JoinHandle;

use peers::message;
use peers::{PASSWORD, USER};

/// A running subscriber.
pub(crate) struct Tally {
    seen: Arc<Mutex<Seen>>,
    poll: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// By the message's number; 255 is many.
    times: Vec<u8>,
    different: usize,
    all: usize,
}

impl Tally {
    /// Subscribes to everything (QoS 1) on a broker that has just started.
    pub(crate) fn start(port: u16) -> Tally {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let poll = tokio::spawn(run(port, Arc::clone(&seen)));
        Tally { seen, poll }
    }

    /// How many different messages have come, and how many in all.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let seen = self.seen.lock().expect("nobody panics while holding it");
        (seen.different, seen.all)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

async fn run(port: u16, seen: Arc<Mutex<Seen>>) {
    let mut options = MqttOptions::new("tally", "127.0.0.1", port);
    options
        .set_credentials(USER, PASSWORD)
        .set_clean_session(false)
        .set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, 10);
    client
        .subscribe("#", QoS::AtLeastOnce)
        .await
        .expect("queue a SUBSCRIBE");
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                // The daemon's own status is none.
                if let Some(number) = message::read_number(&publish.payload) {
                    seen.lock()
                        .expect("nobody panics while holding it")
                        .add(number);
                }
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

impl Seen {
    fn add(&mut self, number: usize) {
        if self.times.len() <= number {
            self.times.resize(number + 1, 0);
        }
        self.different += usize::from(self.times[number] == 0);
        self.times[number] = self.times[number].saturating_add(1);
        self.all += 1;
    }
}
