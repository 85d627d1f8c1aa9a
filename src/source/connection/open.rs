//! The beginning of a connection: it dials and sends CONNECT, and takes what CONNECTED says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::future::Fuse;
use jiff::Timestamp;
use tracing::info;

use super::credit::Queues;
use super::link::Probing;
use super::{Connection, Stage};
use crate::duration;
use crate::journal::Log;
use crate::source::admission::Admission;
use crate::source::agreed::{Agreed, Dialled};
use crate::source::broker::Broker;
use crate::source::clock;
use crate::source::commit::Commit;
use crate::source::disconnect::DisconnectReason;
use crate::source::intake::Intake;
use crate::source::link_proof::LinkProof;
use crate::source::reload::ReloadRequest;
use crate::source::rest::Rest;
use crate::source::resync::Resyncs;
use crate::source::server_window::ServerWindow;
use crate::source::settings::Attempt;
use crate::source::sockjs_heartbeats::{Below, SockJsHeartbeats};
use crate::source::status::{LinkState, Status};
use crate::source::subscriptions::Subscriptions;
use crate::source::writer::Writer;
use crate::stomp::{Connected, Options, Session};
use crate::transport::dial;

impl<'a> Connection<'a> {
    /// Dials and sends CONNECT.
    pub(in crate::source) async fn open(
        wanted: &'a mut ReloadRequest,
        attempt: Attempt,
        (journal, intake, commit): (&'a Log, &'a mut Intake, &'a mut Commit),
        status: &'a Arc<Status>,
        admission: &'a mut Admission,
        resyncs: &'a mut Resyncs,
    ) -> Result<Connection<'a>, DisconnectReason> {
        let (receiver, sender) = status.turning(dial(&attempt.target)).await?;
        let now = clock::now();
        let settings = &wanted.settings;
        let sockjs = sender.sockjs_transport();
        let sockjs_heartbeats = sockjs.map(|_| {
            let below = if sender.can_probe() {
                Below::Pings
            } else {
                Below::Nothing
            };
            SockJsHeartbeats::new(attempt.sockjs_period, below, now)
        });
        let (probing, silence_max) = if sender.can_probe() {
            (Probing::Possible, Some(settings.probe_interval() * 5 / 2))
        } else if sockjs_heartbeats.is_some() {
            (Probing::Impossible, None)
        } else {
            (Probing::Impossible, settings.silence)
        };
        let session = Session::new(
            Options {
                silence_max,
                ..attempt.options
            },
            now,
        );
        admission.begin(&settings.topics, now);
        let admitted = admission.admitted(&settings.topics);
        for topic in &admitted {
            // What has no value for a placeholder need not connect.
            topic.subscribe(&attempt.credentials)?;
        }
        intake.keep(&settings.topics);
        // What a refused reload has fallen back to is acknowledged as it is subscribed.
        for topic in &admitted {
            intake.change(topic, &wanted.decoders);
        }
        Ok(Connection {
            wanted,
            journal,
            intake,
            commit,
            status,
            session,
            receiver,
            server_window: ServerWindow::default(),
            server_waits: false,
            sockjs,
            writer: Writer::new(sender),
            proof: LinkProof::new(Timestamp::now(), now),
            admission,
            resyncs,
            refused: None,
            heard: false,
            left_at: None,
            proving: Fuse::terminated(),
            subscriptions: Subscriptions::new(),
            queues: Queues::new(now),
            acknowledged: false,
            peer_silent: false,
            complete: None,
            withheld: BTreeSet::new(),
            stage: Stage::Living,
            give_up_at: None,
            probing,
            sockjs_heartbeats,
            broker: Broker::Unknown,
            dialled: Dialled::new(&attempt.target.url, sockjs),
            agreed: None,
            connected: false,
            credentials: attempt.credentials,
            subscribed_at: None,
            break_point: None,
            left: BTreeMap::new(),
            rest: Rest::default(),
            unread: None,
            events_left: false,
            end: None,
        })
    }

    pub(super) fn connected(&mut self, connected: &Connected) -> Result<(), DisconnectReason> {
        self.status.counters.connections.fetch_add(1, Relaxed);
        self.status.enter(LinkState::Connected);
        self.broker = Broker::of(connected.server.as_deref(), connected.session.as_deref());
        info!(
            broker = self.broker.as_str(),
            version = connected.version.as_str(),
            server = connected.server.as_deref().unwrap_or("unnamed"),
            heartbeat_out = duration::or_off(connected.heartbeat.outgoing),
            heartbeat_in = duration::or_off(connected.heartbeat.incoming),
            "connected"
        );
        self.connected = true;
        self.agreed = Some(Agreed::new(self.dialled.clone(), connected));
        self.status.trouble_is_over();
        self.admission.accept();
        if connected.heartbeat.incoming.is_none() {
            let now = clock::now();
            self.probing = match self.probing {
                Probing::Possible => Probing::Due(now + self.wanted.settings.probe_interval()),
                _ => Probing::Listening,
            };
            if let Some(heartbeats) = &mut self.sockjs_heartbeats {
                heartbeats.need(now);
            }
        }
        self.assign()?;
        self.tell_profile();
        Ok(())
    }
}
