//! A few rounds of the crash loop with a real RabbitMQ as the source. Every message that it
//! confirmed to the publisher reaches every sink once the daemon is left alone.

use std::time::Duration;

use fastrand::Rng;

use crate::plan::{Plan, long, seed};
use crate::rig::Rig;
use peers::{RabbitMq, Stomp};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_rabbitmq_confirmed_is_lost_by_crashes() {
    let lives = if long() { 500 } else { 15 };
    let mut rng = Rng::with_seed(seed());
    let rabbitmq = RabbitMq::start().await;
    let name = "crash-loop-rabbitmq";
    let mut rig = Rig::with_rabbitmq(name, &rabbitmq).await;
    for _ in 0..lives {
        let plan = Plan::draw(&mut rng);
        if let Err(loss) = rig.live(&plan, &mut rng).await {
            panic!("after {plan:?}: {loss}");
        }
    }
    if let Err(loss) = rig.heal("", Duration::from_secs(300)).await {
        panic!("healing: {loss}");
    }
    let messages = rig.queue.published();
    // The next published message comes out first: nothing is left unacknowledged.
    let destination = format!("/queue/{name}");
    let mut client = Stomp::connect(rabbitmq.stomp_port()).await;
    client.publish(&destination, ["the last"]).await;
    client.subscribe(&destination).await;
    assert_eq!(client.receive().await.body, b"the last");
    eprintln!("RabbitMQ: {lives} lives, {messages} messages, none lost");
}
