//! Network faults between the daemon and each sink's other side. Bytes come late or one at a time;
//! connections are reset, cut in the middle of a packet, or swallow the bytes sent. The way to the
//! source is in `faults.rs`.

use std::time::Duration;

use super::lab::lab;
use super::run::{Ends, Run, SINKS, assert_drained};
use peers::configuration::EventKey;
use peers::fault::{Cut, Fault};
use peers::{Configuration, FaultProxy, wait};

/// Messages published under each fault: more than one of the deliveries that the cuts are to hit.
const PART: usize = 150;

/// What a living connection suffers, once; those that come after are well.
const STROKES: [Fault; 4] = [
    Fault::CutAfter(0, Cut::Reset),
    Fault::CutAfter(97, Cut::Close),
    Fault::CutAfterSent(10_001, Cut::Reset),
    Fault::HalfOpen,
];

/// What every connection suffers, and bears.
const BURDENS: [Fault; 2] = [Fault::OneByte, Fault::Delay(Duration::from_millis(15))];

/// One after the other they would take minutes of waiting.
#[tokio::test(flavor = "multi_thread")]
async fn faults_on_the_way_to_each_sink_lose_nothing() {
    let lab = lab().await;
    let through = async |sink: &'static str| {
        let mut ends = Ends::of(&lab.mosquitto, &lab.postgres).await;
        let port = match sink {
            "site" => &mut ends.mqtt_port,
            "warehouse" => &mut ends.postgres_port,
            _ => &mut ends.webhook_port,
        };
        let proxy = FaultProxy::start(*port).await;
        *port = proxy.port();
        faults(sink, &proxy, ends).await;
    };
    tokio::join!(through("site"), through("warehouse"), through("oncall"));
}

async fn faults(sink: &str, proxy: &FaultProxy, ends: Ends<'_>) {
    let name = format!("link_to_{sink}");
    let configuration = Configuration::new(&lab().await.rabbitmq.stomp_url());
    let mut run = Run::among(
        &name,
        configuration.queue("status", &name, EventKey::EventId),
        ends,
    )
    .await;
    let index = SINKS
        .iter()
        .position(|known| *known == sink)
        .expect("a sink of every run");
    let mut published = 0;
    for fault in STROKES {
        let connections = proxy.connections();
        run.publish(published..published + PART).await;
        proxy.strike(fault);
        // More and more, until the connection that was struck is given up.
        let mut more = published + PART;
        while proxy.connections() == connections {
            run.publish(more..more + PART / 3).await;
            more += PART / 3;
            run.complete_without(sink, more).await;
            let moved = wait::within(wait::LONG, async || {
                let arrived = run.arrived().await[index];
                (arrived >= more || proxy.connections() > connections).then_some(())
            });
            assert!(moved.await.is_some(), "{sink} does not notice {fault:?}");
        }
        published = more;
        run.complete(published).await;
    }
    for fault in BURDENS {
        proxy.set(fault);
        run.publish(published..published + PART).await;
        published += PART;
        run.complete(published).await;
        proxy.set(Fault::None);
    }
    run.daemon.ready().await;
    assert_eq!(
        run.connections().await,
        1,
        "{sink} has cost the source its connection"
    );
    run.finish_with_repeats(published, published).await;
    assert_drained(&lab().await.rabbitmq, &name).await;
}
