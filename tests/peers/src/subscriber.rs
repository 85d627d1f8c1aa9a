//! An MQTT subscriber that keeps what it receives, in a session that outlives its broker's
//! restarts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, Publish, QoS};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::platform::Delivered;
use super::{PASSWORD, USER, wait};

/// A running subscriber.
pub struct Subscriber {
    publishes: Arc<Mutex<Vec<Publish>>>,
    poll: JoinHandle<()>,
}

impl Subscriber {
    /// Subscribes to a filter (QoS 1) on a broker on loopback; returns once the broker has
    /// acknowledged it.
    pub async fn start(port: u16, client_id: &str, filter: &str) -> Subscriber {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
        options
            .set_credentials(USER, PASSWORD)
            .set_clean_session(false)
            .set_keep_alive(Duration::from_secs(5));
        options.set_max_packet_size(16 << 20, 16 << 20);
        let (client, mut events) = AsyncClient::new(options, 10);
        client
            .subscribe(filter, QoS::AtLeastOnce)
            .await
            .expect("queue a SUBSCRIBE");
        let publishes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&publishes);
        let (ready, mut subscribed) = watch::channel(false);
        let poll = tokio::spawn(async move {
            // The event loop ends with its client.
            let _client = client;
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        kept.lock()
                            .expect("no test panics while it holds this")
                            .push(publish);
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        ready.send_replace(true);
                    }
                    Ok(_) => {}
                    // The broker is down for now; the next poll connects again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        let acknowledged =
            tokio::time::timeout(wait::LONG, subscribed.wait_for(|ready| *ready)).await;
        acknowledged
            .expect("mosquitto acknowledges SUBSCRIBE in time")
            .expect("the poll loop never ends");
        Subscriber { publishes, poll }
    }

    /// The received messages, in order, with messages retained from before the subscription.
    pub fn publishes(&self) -> Vec<Publish> {
        self.publishes
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    /// The same as events, without the daemon's own status; panics on a payload that is none.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.delivered_since(0)
    }

    /// Without the first `first` deliveries.
    pub fn delivered_since(&self, first: usize) -> Vec<Delivered> {
        let event = |publish: &Publish| {
            Delivered::from_json(&publish.payload)
                .unwrap_or_else(|| panic!("no event: {publish:?}"))
        };
        let publishes = self
            .publishes
            .lock()
            .expect("no test panics while it holds this");
        let events = publishes
            .iter()
            .filter(|publish| !publish.topic.ends_with("/bridge/status"));
        let later: Vec<Publish> = events.skip(first).cloned().collect();
        drop(publishes);
        later.iter().map(event).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.poll.abort();
    }
}
