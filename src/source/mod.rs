//! The STOMP side, one connection after another: dial, connect, subscribe, and intake (batch,
//! journal, ACK).
//!
//! In reading order:
//!
//! - `settings`, `topic`: the source's settings; `reload`: how they change
//! - `signin`: the HTTP sign-in before each connection, and texts and URLs with what it gives
//! - `broker`: the facts of each kind of server
//! - `supervisor`: the task, which keeps one connection; `outage_log`: which failures it logs
//! - `last_transports`: by which transport of SockJS the last one was made
//! - `busy_addresses`: which of its addresses is not to be dialled yet
//! - `connection`: one connection; `disconnect`: why it ended; `writer`: its bytes
//! - `subscriptions`: which topics are subscribed, and how far a change of them has come
//! - `admission`: which of them a connection asks for, so that a refused one stops no other;
//!   `doubtful`: those among which a refused one is looked for; `refused_topics`: those that are
//!   found, and when one of them is asked for again
//! - `credit`: whether the journal has room for what the server may send
//! - `intake`: from messages to journal batches; `body`: what a message says of its own body;
//!   `commit`: the batch that is being written; `silence`: whether each topic's messages come;
//!   `rest`: whether a full journal stops us reading; `server_window`: whether the server waits for
//!   our ACKs; `malformed`, `undeliverable`: what is said of odd frames; `redelivery`: and of
//!   messages that were delivered before
//! - `resync`: snapshots of what a topic's devices are, where something may have passed us by;
//!   `resync_settings`: how they are asked for; `resync_report`: how the last ones ended
//! - `coverage`: which topics are heard; `gaps_seen`: when they were not, for readers;
//!   `link_proof`: until when that is certain;
//!   `sockjs_heartbeats`: SockJS's signs of life, where STOMP has none
//! - `status`: the state of the link; `agreed`: what the server has agreed to;
//!   `topic_status`: when each topic's messages came; `unreadable`: what of them could not be read
//! - `client`: a connection for `tap` and `send`, without a journal
//! - `clock`, `masked`, `names`: the time, URLs and names of topics as they may be shown

mod admission;
mod agreed;
mod body;
mod broker;
mod busy_addresses;
mod client;
mod clock;
mod commit;
mod connection;
mod coverage;
mod credit;
mod disconnect;
mod doubtful;
mod gaps_seen;
mod intake;
mod last_transports;
mod link_proof;
mod malformed;
mod masked;
mod names;
mod outage_log;
mod redelivery;
mod refused_topics;
mod reload;
mod rest;
mod resync;
mod resync_report;
mod resync_settings;
mod server_window;
mod settings;
mod signin;
mod silence;
mod sockjs_heartbeats;
mod status;
mod subscriptions;
mod supervisor;
mod topic;
mod topic_status;
mod undeliverable;
mod unreadable;
mod writer;

pub use agreed::{Agreed, Dialled};
pub use body::body_of;
pub use broker::{
    Broker, ConfigurationWarning, Detection, PossibleGuarantee, Seen, guarantees, reads_a_queue,
};
pub use client::{Client, ClientError, Observer, WireTrace};
pub use gaps_seen::SeenGap;
pub use names::{by_name, in_short, named, sorted};
pub use refused_topics::RefusedTopic;
pub use reload::Handle;
pub use resync_report::ResyncReport;
pub use resync_settings::Resync;
pub use settings::{OVERSIZE_BYTES_MAX, Reconnect, Settings, WAIT_MAX_KEPT, WAIT_MAX_LOST};
pub use signin::{
    Address, AnswerPart, BodyTemplate, Credentials, Extract, JsonTemplate, Part, Signin,
    SigninError, SigninTemplate, Step, StepMethod,
};
pub use status::{Counters, Link, LinkState, Profile, Refuser, Status};
pub use supervisor::{Source, SourceError};
pub use topic::Topic;
pub use topic_status::TopicStatus;
pub use undeliverable::Undeliverable;
pub use unreadable::Unreadable;
