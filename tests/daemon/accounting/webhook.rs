//! Webhooks behind nginx: a receiver that is away, or does not answer, and is back.

use std::collections::BTreeSet;

use super::bridge::{Source, passed, status, stop};
use peers::nginx::Speaks;
use peers::platform::message;
use peers::{Daemon, Nginx, Receiver, port, wait};

/// Waits until nginx has answered so often with this status.
async fn answered(nginx: &Nginx, status: &str, times: usize) {
    wait::until(&format!("{status} for {times} times"), async || {
        let requests = nginx.requests();
        let answers = requests.iter().filter(|line| line.ends_with(status));
        (answers.count() >= times).then_some(())
    })
    .await;
}

/// Where there are few devices, the first of them would wait for minutes: `retry` as it is by
/// default. With nothing but 502 the waits are 16 s by then, and with 504 of a few devices minutes.
#[tokio::test]
async fn what_waits_behind_a_proxy_goes_soon_after_its_receiver_is_back() {
    const EACH: usize = 4;
    for devices in [1, 2] {
        let away = port::free();
        let nginx = Nginx::start(away, Speaks::Clear, "proxy_read_timeout 1s;\n").await;
        let source = Source::start().await;
        let url = nginx.before(&format!("http://127.0.0.1:{away}/events"));
        let sink = format!("type = \"webhook\"\nurl = \"{url}\"\n");
        let configuration = source.configuration().table("sinks.oncall", &sink);
        let mut daemon = Daemon::start(&configuration).await;
        daemon.ready().await;
        let mut sent = 0;
        let mut publish = || {
            for n in sent..sent + EACH * devices {
                source.publish(message("run", n, devices));
            }
            sent += EACH * devices;
            sent
        };
        let count = publish();
        answered(&nginx, "502", 4).await;
        let sinks = status(&daemon).await["sinks"].clone();
        let error = sinks[0]["last_error"].as_str().unwrap();
        assert!(error.contains("answered 502"), "{sinks}");
        let receiver = Receiver::start_on(away).await;
        passed(&daemon, "oncall", count as i64, 0).await;
        assert_eq!(receiver.count(), count, "each once");

        receiver.stalled().send_replace(true);
        let count = publish();
        answered(&nginx, "504", 3 * devices).await;
        receiver.stalled().send_replace(false);
        passed(&daemon, "oncall", count as i64, 0).await;
        // nginx has given up some that the receiver took all the same.
        let delivered = receiver.delivered();
        let numbers: BTreeSet<usize> = delivered.iter().map(|event| event.n).collect();
        assert_eq!(numbers, (0..count).collect());
        peers::platform::assert_ordered("oncall", &delivered);
        stop(&mut daemon).await;
    }
}
