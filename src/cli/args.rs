//! What may stand on the command line: the verbs, each with the arguments that its file declares.

use clap::{Parser, Subcommand};

use super::config_file::ConfigArgs;
use super::{
    check, config, demo, dlq, doctor, generated, history, init, journal, replay, send, sinks,
    source, status, support_bundle, tap, why,
};

/// Carry device status messages from STOMP to MQTT, SQL history and webhooks. Nothing is lost once
/// it is received.
#[derive(Debug, Parser)]
#[command(
    name = "stomp-bridge",
    version = env!("STOMP_BRIDGE_VERSION"),
    about,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
    /// The log level: error, warn, info, debug or trace; or a level for each part, such as
    /// `info,stomp_bridge::sinks=debug`. Where it is not given, RUST_LOG says it.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the daemon.
    #[command(after_help = "Example: stomp-bridge run --config /etc/stomp-bridge/config.toml")]
    Run(ConfigArgs),
    /// Validate the configuration, and build all that `run` builds short of connecting; the exit
    /// code is 78 if it has errors.
    #[command(
        after_help = "Examples:\n  stomp-bridge check --config config.toml\n  stomp-bridge check --connect"
    )]
    Check(check::CheckArgs),
    /// Show what the configuration makes of a message, or run its tests.
    Config(config::ConfigVerbArgs),
    /// Try everything without any set-up: a small STOMP broker, simulated devices, and the daemon
    /// with a SQLite history.
    #[command(after_help = "Example: stomp-bridge demo --dir ./demo")]
    Demo(demo::DemoArgs),
    /// Write a configuration from the first messages of a server.
    ///
    /// The command asks on a terminal for all that is not given. It connects, subscribes, listens, and
    /// proposes where the values of a status stand and what the states mean. A file that is there
    /// is kept unless --force is given. A passcode that is typed goes to a file of its own.
    #[command(
        after_help = "Examples:\n  stomp-bridge init\n  stomp-bridge init --url \
                            http://platform.example.com/webSocketServer --topic /topic/state/1"
    )]
    Init(init::InitArgs),
    /// Try each layer on the way to the server (DNS, TCP, TLS, WebSocket or SockJS, CONNECTED, the
    /// topics, their first messages), then each sink; the exit code is 1 where one fails.
    ///
    /// The command changes nothing: it acknowledges no message, reads no queue, publishes and
    /// stores nothing, unless --send-test is given. Where the configuration has a sign-in and a
    /// daemon runs, it makes no connection of its own unless --own-connection is given: a platform
    /// that allows an account one session would end the daemon's.
    #[command(
        after_help = "Examples:\n  stomp-bridge doctor --config /etc/stomp-bridge/config.toml\n  \
                            stomp-bridge doctor --send-test oncall\n  \
                            stomp-bridge doctor --json | jq '.checks[] | select(.outcome == \"failed\")'"
    )]
    Doctor(doctor::DoctorArgs),
    /// Show the running daemon's link, its journal and each sink's lag; the exit code is 1 where it
    /// is not ready.
    #[command(after_help = "Example: stomp-bridge status --config /etc/stomp-bridge/config.toml")]
    Status(status::StatusArgs),
    /// List, show, redrive and drop dead letters and undecodable entries.
    Dlq(dlq::DlqArgs),
    /// Ask a SQL history: devices, statuses, faults, availability, gaps; or tidy it.
    ///
    /// It runs beside the daemon or without one. A question changes nothing, and needs nothing of the
    /// configuration but the place of the history. `forget` and `prune` delete, with --yes alone.
    #[command(
        after_help = "Examples:\n  stomp-bridge history devices --severity critical\n  \
                      stomp-bridge history availability --since 7d\n  \
                      stomp-bridge history events --file history.db --device 1/7 --since 24h"
    )]
    History(history::HistoryArgs),
    /// Follow one event of a device: when it was received, how it was read, and what became of it at
    /// each sink, with the proof of each delivery. The newest event that is no repeat, by default.
    #[command(
        after_help = "Examples:\n  stomp-bridge why 1/7\n  stomp-bridge why 1/7 --at '2026-11-29 10:00'"
    )]
    Why(why::WhyArgs),
    /// Deliver a slice of the journal to one sink again, with the same event ids.
    #[command(after_help = "Example: stomp-bridge replay site --since 2h --device 7 --dry-run")]
    Replay(replay::ReplayArgs),
    /// List the sinks, send one a test event, deliver to one now, or forget one that was removed from
    /// the configuration.
    #[command(
        after_help = "Examples:\n  stomp-bridge sinks list\n  stomp-bridge sinks test oncall\n  stomp-bridge sinks retry oncall\n  stomp-bridge sinks forget oncall"
    )]
    Sinks(sinks::SinksArgs),
    /// Connect to the source's server now.
    #[command(after_help = "Example: stomp-bridge source retry")]
    Source(source::SourceArgs),
    /// Back up the journal, restore it, or use a stale copy of it under a new id.
    #[command(
        after_help = "Examples:\n  stomp-bridge journal backup /backup/journal.backup\n  \
                      stomp-bridge journal restore /backup/journal.backup\n  stomp-bridge journal reset-id"
    )]
    Journal(journal::JournalArgs),
    /// Pack what somebody needs to know who is asked for help: versions, the configuration without
    /// its secrets, status, metrics, the last lines of the log.
    ///
    /// The command shows what it would write, and asks. It needs no running daemon: what cannot be had
    /// says why in its place. It sends nothing.
    #[command(
        after_help = "Examples:\n  stomp-bridge support-bundle support.tar.gz\n  \
                      stomp-bridge support-bundle support.tar.gz --log-file /var/log/stomp-bridge.log --yes"
    )]
    SupportBundle(support_bundle::SupportBundleArgs),
    /// Show the topics' messages as they arrive; the daemon need not run. With a sink's name: what the
    /// running daemon sends there.
    ///
    /// Where a daemon runs on the configuration's journal, the command shows what the daemon
    /// journals, and makes no connection. Else, and with --frames, --force or --own-connection, it
    /// connects to the server. It then subscribes to each topic with ack auto and without the
    /// headers of a durable subscription: the daemon misses nothing. It refuses queues unless
    /// --force is given: a queue gives each message to one consumer only. It does not reconnect;
    /// Ctrl-C ends it.
    ///
    /// Where it connects and the configuration has a sign-in, the command signs in with the
    /// daemon's account: a platform that allows an account one session ends the daemon's, and the
    /// daemon's next sign-in ends this one. Use a configuration with another account there.
    #[command(
        after_help = "Examples:\n  stomp-bridge tap --topic map-1\n  stomp-bridge tap site\n  stomp-bridge tap --frames --count 3\n  \
                            stomp-bridge tap --json | jq .state"
    )]
    Tap(tap::TapArgs),
    /// Send one message to the source's server, over a connection of its own; the daemon need not
    /// run.
    ///
    /// Where the configuration has a sign-in, the command signs in with the daemon's account: a
    /// platform that allows an account one session ends the daemon's, which then signs in again.
    /// Use a configuration with another account there.
    #[command(
        after_help = "Example: stomp-bridge send /topic/state/1 '{\"deviceId\":1,\"newState\":\"正常\"}' --header \
                            content-type:application/json --receipt"
    )]
    Send(send::SendArgs),
    /// Print the completions of a shell.
    #[command(
        after_help = "Example: stomp-bridge completions bash > /etc/bash_completion.d/stomp-bridge"
    )]
    Completions(generated::CompletionsArgs),
    /// Print the manual's page, or write the page of each verb.
    #[command(
        after_help = "Examples:\n  stomp-bridge man | man -l -\n  stomp-bridge man --dir /usr/local/share/man/man1"
    )]
    Man(generated::ManArgs),
}
