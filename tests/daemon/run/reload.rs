//! Reload by SIGHUP and by a changed file, as systemd, the broker and the sinks see it.

use super::notified::Notified;
use super::*;
use peers::Receiver;

const OTHER: &str = "/topic/state/2";

fn with_other_topic(url: &str) -> Configuration {
    configuration(url).table("topics.map-2", &format!("destination = \"{OTHER}\"\n"))
}

async fn delivered(daemon: &Daemon, sink: &str, count: f64) {
    wait::until(&format!("{count} delivered to {sink}"), async || {
        let delivered = metric(
            daemon,
            &format!("stomp_bridge_sink_delivered_total{{sink=\"{sink}\"}}"),
        )
        .await?;
        (delivered == count).then_some(())
    })
    .await;
}

/// Waits until this many are subscribed. It publishes nothing: a message that meets the UNSUBSCRIBE
/// would be delivered, and counted.
async fn subscribed(served: &Served, topic: &str, subscribers: usize) {
    wait::until(topic, async || {
        (served.publisher.subscriptions(topic) == subscribers).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sighup_changes_topics_and_sinks_and_nothing_else() {
    let served = serve(0).await;
    let (folder, receiver) = (Folder::new("notify"), Receiver::start().await);
    let path = folder.join("socket");
    let notified = Notified::at(&path);
    let mut daemon =
        Daemon::start_with(&configuration(&served.url), &[("NOTIFY_SOCKET", &path)]).await;
    notified.until("READY=1").await;
    daemon.ready().await;
    served.publish(1);
    delivered(&daemon, "history", 1.0).await;

    // A topic and a sink come.
    with_other_topic(&served.url)
        .webhook(&receiver.url())
        .write(daemon.folder());
    daemon.hang_up();
    notified.reloaded().await;
    daemon.ready().await;
    assert_eq!(served.publish_to(OTHER, 2), 1);
    served.publish(3);
    delivered(&daemon, "oncall", 2.0).await;
    delivered(&daemon, "history", 3.0).await;

    // The first topic and the first sink go.
    let bare = |url: &str| {
        Configuration::new(url).table("topics.map-2", &format!("destination = \"{OTHER}\"\n"))
    };
    bare(&served.url)
        .webhook(&receiver.url())
        .write(daemon.folder());
    daemon.hang_up();
    notified.reloaded().await;
    daemon
        .complains(&[
            "history",
            "sink removed from the configuration",
            "sinks forget history",
        ])
        .await;
    subscribed(&served, TOPIC, 0).await;
    assert_eq!(served.publish_to(OTHER, 4), 1);
    delivered(&daemon, "oncall", 3.0).await;
    assert_eq!(
        metric(&daemon, "stomp_bridge_sink_up{sink=\"history\"}").await,
        None
    );
    let status = daemon.status().await;
    let configured: Vec<bool> = status["sinks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sink| sink["configured"] == true)
        .collect();
    assert_eq!(configured, [true, false], "{status}");
    assert_eq!(
        status["link"]["guarantee"].as_object().unwrap().len(),
        1,
        "{status}"
    );

    // Another pace needs no other connection.
    let paced = bare(&served.url)
        .webhook(&receiver.url())
        .table("journal", "commit_interval = \"20ms\"\n");
    paced.write(daemon.folder());
    daemon.hang_up();
    notified.reloaded().await;
    assert_eq!(served.publish_to(OTHER, 5), 1);
    delivered(&daemon, "oncall", 4.0).await;
    assert_eq!(daemon.log().matches("restart needed").count(), 0);
    bare(&served.url)
        .webhook(&receiver.url())
        .write(daemon.folder());
    daemon.hang_up();
    notified.reloaded().await;

    // The same again is no change.
    daemon.hang_up();
    notified.reloaded().await;
    daemon
        .logged("no change", |line| line.contains("configuration unchanged"))
        .await;

    // A sink that comes back goes on where it was.
    bare(&served.url)
        .webhook(&receiver.url())
        .sqlite_of_statuses()
        .write(daemon.folder());
    daemon.hang_up();
    notified.reloaded().await;
    delivered(&daemon, "history", 2.0).await;

    assert_eq!(
        metric(&daemon, "stomp_bridge_connections_total").await,
        Some(1.0)
    );
    assert_eq!(receiver.count(), 4);
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn names_are_read_again_by_sighup() {
    let served = serve(0).await;
    let receiver = Receiver::start().await;
    let folder = Folder::new("daemon");
    let named = configuration(&served.url)
        .webhook_with(&receiver.url(), "body = \"{{ name }}|{{ group }}\"\n")
        .table("names", "file = \"names.csv\"\n");
    let config = named.write(&folder);
    folder.write("names.csv", "device,name,group\n1/1,泵站,江苏\n");
    let mut daemon = Daemon::start_in(folder, &config, &[]).await;
    daemon.ready().await;
    served.publish(1);
    delivered(&daemon, "oncall", 1.0).await;
    daemon
        .folder()
        .write("names.csv", "device,name\n1/1,二号泵站\n");
    daemon.hang_up();
    daemon
        .logged("the reload", |line| line.contains("configuration applied"))
        .await;
    served.publish(1);
    delivered(&daemon, "oncall", 2.0).await;
    assert_eq!(receiver.bodies(), ["泵站|江苏", "二号泵站|"]);
    // A file that is gone changes nothing.
    std::fs::remove_file(daemon.folder().join("names.csv")).unwrap();
    daemon.hang_up();
    daemon.complains(&["there is no file", "names.csv"]).await;
    served.publish(1);
    delivered(&daemon, "oncall", 3.0).await;
    assert_eq!(receiver.bodies()[2], "二号泵站|");
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_file_of_names_that_cannot_be_read_costs_the_names_alone_and_is_watched() {
    let served = serve(0).await;
    let receiver = Receiver::start().await;
    let folder = Folder::new("daemon");
    let named = configuration(&served.url)
        .watched()
        .webhook_with(&receiver.url(), "body = \"{{ name }}|{{ group }}\"\n")
        .table("names", "file = \"names.csv\"\n");
    let config = named.write(&folder);
    // As Excel saves it.
    let gbk = b"device,name\n1/1,\xb1\xc3\xd5\xbe\n";
    std::fs::write(folder.path().join("names.csv"), gbk).unwrap();
    let mut daemon = Daemon::start_in(folder, &config, &[]).await;
    daemon.complains(&["no names are read", "GB18030"]).await;
    daemon.ready().await;
    served.publish(1);
    delivered(&daemon, "oncall", 1.0).await;
    let applied = |line: &str| line.contains("configuration applied");
    daemon
        .folder()
        .write("names.csv", "device,name\n1/1,泵站\n");
    daemon.logged("the names", applied).await;
    served.publish(1);
    delivered(&daemon, "oncall", 2.0).await;
    // By rename, and it is no such table: the names of before hold.
    let home = daemon.folder().path().to_owned();
    std::fs::write(home.join("names.csv~"), gbk).unwrap();
    std::fs::rename(home.join("names.csv~"), home.join("names.csv")).unwrap();
    let unchanged = |line: &str| line.contains("configuration unchanged");
    daemon.logged("the names of before", unchanged).await;
    served.publish(1);
    delivered(&daemon, "oncall", 3.0).await;
    assert_eq!(receiver.bodies(), ["|", "泵站|", "泵站|"]);
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_named() {
    let served = serve(0).await;
    let folder = Folder::new("notify");
    let path = folder.join("socket");
    let notified = Notified::at(&path);
    let mut daemon =
        Daemon::start_with(&configuration(&served.url), &[("NOTIFY_SOCKET", &path)]).await;
    notified.until("READY=1").await;
    daemon.ready().await;

    let text = with_other_topic(&served.url).text();
    // The last one deserves a look, and is no error.
    let sink = "[sinks.never]\ntype = \"sqlite\"\npath = \"never.db\"\nwhen = \"false\"\n";
    daemon.folder().write(
        "config.toml",
        &format!("{text}ack = \"mostly\"\nhaeders = {{}}\n{sink}"),
    );
    daemon.hang_up();
    notified.reloaded().await;
    let lines = text.lines().count();
    daemon
        .complains(&[
            &format!("config.toml:{}:", lines + 1),
            "topics.map-2.ack",
            "mostly",
        ])
        .await;
    daemon
        .complains(&[&format!("config.toml:{}:", lines + 2), "haeders"])
        .await;
    daemon.complains(&["holds for no status"]).await;
    daemon
        .complains(&["reload rejected", "\"problems\":2"])
        .await;

    std::fs::remove_file(daemon.folder().join("config.toml")).unwrap();
    daemon.hang_up();
    notified.reloaded().await;
    daemon.complains(&["cannot read the configuration"]).await;

    // Its certificate is a file, and no certificate: only the sink finds that out.
    daemon.folder().write("ca.pem", "no certificate\n");
    let mqtts = "type = \"mqtt\"\nurl = \"mqtts://localhost\"\ntls = { ca_file = \"ca.pem\" }\n";
    with_other_topic(&served.url)
        .table("sinks.site", mqtts)
        .write(daemon.folder());
    daemon.hang_up();
    notified.reloaded().await;
    daemon
        .complains(&["reload rejected", "sink site", "ca.pem"])
        .await;

    assert_eq!(served.publish_to(OTHER, 1), 0, "it is not subscribed");
    served.publish(2);
    delivered(&daemon, "history", 1.0).await;
    assert_eq!(
        metric(&daemon, "stomp_bridge_connections_total").await,
        Some(1.0)
    );

    // What only a restart applies is named, and the rest is applied.
    let text = with_other_topic(&served.url)
        .table("journal", "keep = \"1d\"\n")
        .text();
    daemon
        .folder()
        .write("config.toml", &text.replace("127.0.0.1:0", "127.0.0.1:1"));
    daemon.hang_up();
    notified.reloaded().await;
    for key in ["journal.keep", "http.listen"] {
        daemon.complains(&[key, "restart needed"]).await;
    }
    subscribed(&served, OTHER, 1).await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_read_that_does_not_end_stops_nothing() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    // A pipe that nobody writes to is read as a file on a server that does not answer.
    let file = daemon.folder().join("config.toml");
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    daemon.hang_up();
    daemon
        .logged("the reload", |line| line.contains("reload begins"))
        .await;
    served.publish(1);
    delivered(&daemon, "history", 1.0).await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn another_source_is_connected_to_once() {
    let (served, other) = (serve(0).await, serve(0).await);
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    configuration(&other.url).write(daemon.folder());
    daemon.hang_up();
    subscribed(&other, TOPIC, 1).await;
    assert_eq!(
        served.publish_to(TOPIC, 1),
        0,
        "the old connection is closed"
    );
    assert_eq!(
        metric(&daemon, "stomp_bridge_connections_total").await,
        Some(2.0)
    );
    assert!(daemon.stop().await.success());
    served.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_watched_file_is_taken_up_however_it_is_replaced() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url).watched()).await;
    daemon.ready().await;
    let home = daemon.folder().path().to_owned();
    let text = |topics: &[usize]| {
        topics
            .iter()
            .fold(configuration(&served.url).watched(), |configuration, n| {
                configuration.table(
                    &format!("topics.t{n}"),
                    &format!("destination = \"/topic/{n}\"\n"),
                )
            })
    };

    // In place.
    daemon.folder().write("config.toml", &text(&[1]).text());
    subscribed(&served, "/topic/1", 1).await;

    // By rename, as editors do.
    daemon.folder().write("config.toml~", &text(&[2]).text());
    std::fs::rename(home.join("config.toml~"), home.join("config.toml")).unwrap();
    subscribed(&served, "/topic/2", 1).await;
    subscribed(&served, "/topic/1", 0).await;

    // As Kubernetes does: the file is a link into a folder that is itself a link, which is swapped.
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, home.join("new")).unwrap();
        std::fs::rename(home.join("new"), home.join(name)).unwrap();
    };
    for (version, topics) in [("..1", [3]), ("..2", [4]), ("..3", [5])] {
        std::fs::create_dir(home.join(version)).unwrap();
        for name in ["config.toml", "passcode"] {
            let text = if name == "passcode" {
                peers::PASSWORD.to_owned()
            } else {
                text(&topics).text()
            };
            std::fs::write(home.join(version).join(name), text).unwrap();
        }
    }
    link("..1", "..data");
    link("..data/config.toml", "config.toml");
    subscribed(&served, "/topic/3", 1).await;
    link("..2", "..data");
    subscribed(&served, "/topic/4", 1).await;
    link("..3", "..data");
    subscribed(&served, "/topic/5", 1).await;

    // A mistake changes nothing, and is said once, whatever else happens in the folder.
    std::fs::write(home.join("..3/config.toml"), "[source]\nurl = 5\n").unwrap();
    daemon.complains(&["reload rejected"]).await;
    for n in 0..3 {
        daemon.folder().write("another-file", &n.to_string());
    }
    assert_eq!(served.publish_to("/topic/5", 1), 1);

    // Watching ends with a reload too.
    std::fs::write(
        home.join("..3/config.toml"),
        configuration(&served.url).text(),
    )
    .unwrap();
    subscribed(&served, "/topic/5", 0).await;
    daemon
        .logged("no watch", |line| {
            line.contains("configuration applied") && line.contains("-t5")
        })
        .await;
    assert_eq!(daemon.log().matches("reload rejected").count(), 1);
    assert_eq!(
        metric(&daemon, "stomp_bridge_connections_total").await,
        Some(1.0)
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_reload_of_many_topics_logs_each_at_the_level_debug_alone() {
    let served = serve(0).await;
    let many = |range: &str| {
        let table =
            format!("destination = \"/topic/many/{{{{ n }}}}\"\nfor = {{ n = \"{range}\" }}\n");
        configuration(&served.url).table("topics.many", &table)
    };
    let mut daemon = Daemon::start(&many("1..60")).await;
    daemon.ready().await;
    // Sixty others, of which few are left then.
    for (range, gone, new) in [("101..160", 60, "160"), ("101..103", 57, "103")] {
        many(range).write(daemon.folder());
        daemon.hang_up();
        subscribed(&served, &format!("/topic/many/{new}"), 1).await;
        subscribed(&served, "/topic/many/159", usize::from(new == "160")).await;
        daemon.ready().await;
        let log = daemon.log();
        let lines = log.lines().filter(|line| line.contains("unsubscribed"));
        assert_eq!(lines.count(), 0, "{gone} topics were left\n{log}");
    }
    // A few are named, as ever.
    many("101..101").write(daemon.folder());
    daemon.hang_up();
    wait::until("the two are named", async || {
        (daemon.log().matches("\"unsubscribed\"").count() == 2).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn days_of_another_zone_are_counted_again_and_the_log_says_when() {
    let served = serve(0).await;
    let in_zone = |zone: &str| {
        Configuration::new(&served.url)
            .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
            .table(
                "sinks.history",
                &format!("type = \"sqlite\"\nkinds = [\"status\"]\ntimezone = \"{zone}\"\n"),
            )
    };
    let mut daemon = Daemon::start(&in_zone("Europe/Berlin")).await;
    daemon.ready().await;
    served.publish(1);
    delivered(&daemon, "history", 1.0).await;
    in_zone("Asia/Tokyo").write(daemon.folder());
    daemon.hang_up();
    let begins = "days are being counted again: their zone was changed";
    let line = daemon.logged(begins, |line| line.contains(begins)).await;
    assert!(
        line.contains("Europe/Berlin") && line.contains("Asia/Tokyo"),
        "{line}"
    );
    let ends = "days counted again: all are of this zone now";
    daemon.logged(ends, |line| line.contains(ends)).await;
    assert!(daemon.stop().await.success());
}
