//! What systemd hears of a start and of a daemon that is well, or not.

use peers::port;

use super::notified::Notified;
use super::*;

/// A daemon that reads from `url` and notifies a socket.
async fn notifying(folder: &Folder, url: &str, more: &[(&str, &str)]) -> (Daemon, Notified) {
    let path = folder.join("socket");
    let notified = Notified::at(&path);
    let mut environment = vec![("NOTIFY_SOCKET", path.as_path())];
    environment.extend(more.iter().map(|(name, value)| (*name, Path::new(*value))));
    let daemon = Daemon::start_with(&configuration(url), &environment).await;
    (daemon, notified)
}

/// Waits for a STATUS with these words; none that is passed over says READY.
async fn status(notified: &Notified, words: &str) -> String {
    wait::until(words, async || {
        let text = notified.next()?;
        assert!(!text.contains("READY=1") || text.contains(words), "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix("STATUS="))?;
        line.contains(words).then(|| line.to_owned())
    })
    .await
}

#[tokio::test]
async fn ready_comes_with_the_first_subscription() {
    let (folder, port) = (Folder::new("notify"), port::free());
    let url = format!("http://127.0.0.1:{port}/webSocketServer");
    let (mut daemon, notified) = notifying(&folder, &url, &[]).await;
    let line = status(&notified, "not ready: source connecting").await;
    assert!(!line.contains("READY"), "{line}");
    // It was refused by then, and no READY has come.
    wait::until("an error", async || {
        daemon.status().await["link"]["last_error"]
            .is_string()
            .then_some(())
    })
    .await;
    let served = serve(port).await;
    let mut early = Vec::new();
    let ready = wait::until("READY", async || {
        let text = notified.next()?;
        let is_ready = text.lines().any(|line| line == "READY=1");
        if !is_ready {
            early.push(text.clone());
        }
        is_ready.then_some(text)
    })
    .await;
    let (_, link) = daemon.get("/readyz").await.unwrap();
    assert!(!link.contains("source connecting"), "{link} {early:?}");
    assert!(ready.contains("STATUS="), "{ready}");
    daemon.ready().await;
    status(&notified, "ready: topics 1, sinks up 1").await;
    assert!(daemon.stop().await.success());
    notified.until("STOPPING=1").await;
    served.end().await;
}

#[tokio::test]
async fn without_a_server_ready_comes_after_ready_timeout_and_the_watchdog_is_fed() {
    let folder = Folder::new("notify");
    let url = format!("http://127.0.0.1:{}/webSocketServer", port::free());
    let more = [
        ("STOMP_BRIDGE_READY_TIMEOUT", "2s"),
        ("WATCHDOG_USEC", "900000"),
    ];
    let began = std::time::Instant::now();
    let (mut daemon, notified) = notifying(&folder, &url, &more).await;
    let ready = notified.until("READY=1").await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert!(
        ready.contains("STATUS=not ready: source connecting"),
        "{ready}"
    );
    daemon
        .complains(&["degraded", "ready_timeout", "stomp-bridge status"])
        .await;
    // The server is away, and the daemon is well.
    for _ in 0..5 {
        notified.until("WATCHDOG=1").await;
    }
    assert!(!daemon.log().contains("watchdog not fed"));
    assert!(daemon.stop().await.success());
}
