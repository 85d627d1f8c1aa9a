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

/// nginx before a port, and a daemon that would try an event that failed again in an hour at the
/// soonest. The next event of another device shows that the receiver is back.
struct Proxied {
    source: Source,
    nginx: Nginx,
    daemon: Daemon,
}

impl Proxied {
    async fn start(receiver: u16) -> Proxied {
        let nginx = Nginx::start(receiver, Speaks::Clear, "proxy_read_timeout 5s;\n").await;
        let source = Source::start().await;
        let url = nginx.before(&format!("http://127.0.0.1:{receiver}/events"));
        let retry = "retry = { initial = \"1h\", max = \"1h\" }";
        let sink = format!("type = \"webhook\"\nurl = \"{url}\"\n{retry}\n");
        let configuration = source.configuration().table("sinks.oncall", &sink);
        let mut daemon = Daemon::start(&configuration).await;
        daemon.ready().await;
        Proxied {
            source,
            nginx,
            daemon,
        }
    }

    fn publish(&self, n: usize) {
        self.source.publish(message("run", n, 2));
    }
}

#[tokio::test]
async fn what_waits_behind_a_proxy_goes_soon_after_its_receiver_is_back() {
    let away = port::free();
    let mut proxied = Proxied::start(away).await;
    proxied.publish(0);
    answered(&proxied.nginx, "502", 1).await;
    let receiver = Receiver::start_on(away).await;
    proxied.publish(1);
    passed(&proxied.daemon, "oncall", 2, 0).await;
    assert_eq!(receiver.count(), 2, "each once");
    stop(&mut proxied.daemon).await;
}

#[tokio::test]
async fn what_waits_behind_a_proxy_goes_soon_after_its_receiver_answers_again() {
    let receiver = Receiver::start().await;
    let port = receiver.port();
    let mut proxied = Proxied::start(port).await;
    receiver.stalled().send_replace(true);
    proxied.publish(0);
    answered(&proxied.nginx, "504", 1).await;
    wait::until("its error", async || {
        let report = status(&proxied.daemon).await;
        let error = report["sinks"][0]["last_error"].as_str()?;
        error.contains("answered 504").then_some(())
    })
    .await;
    receiver.stalled().send_replace(false);
    proxied.publish(1);
    passed(&proxied.daemon, "oncall", 2, 0).await;
    // nginx has given up one that the receiver still took.
    let delivered = receiver.delivered();
    let numbers: BTreeSet<usize> = delivered.iter().map(|event| event.n).collect();
    assert_eq!(numbers, (0..2).collect());
    peers::platform::assert_ordered("oncall", &delivered);
    stop(&mut proxied.daemon).await;
}
