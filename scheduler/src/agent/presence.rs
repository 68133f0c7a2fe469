//! "This node is here": said only while it is true, and only when what is said of its dynos is true as well.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use model::{NodeHeartbeat, Timestamp};
use store::presence::NODE_TTL;
use store::{Presence, key};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

use super::health::Health;
use super::keeper::Shared;
use crate::host::register;

/// An agent that is told to stop is about to be replaced by its next version, most likely; its dynos run on meanwhile and
/// need not move. On a host that goes down for good they do so that much later: drain it first.
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// How long the first look at every dyno may hold the node up.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// Held by whoever has not yet looked at its dyno; all of them dropped means that all have.
pub(crate) type Looking = mpsc::Sender<Infallible>;

/// Registers the node and keeps its heartbeat while it is well, until the agent is told to leave.
///
/// A node that returns from a power loss still has dynos in the store that are up: they would be routed again the
/// moment it counts as alive. So it first looks at each of them, and corrects what is not so any more.
pub(crate) async fn be_present(
    shared: &Shared,
    mut looking: mpsc::Receiver<Infallible>,
    mut health: watch::Receiver<Health>,
) {
    let prepared = async {
        register(&shared.config.record(Timestamp::now()), &*shared.store).await;
        if timeout(LOOK_WITHIN, looking.recv()).await.is_err() {
            warn!("Not all dynos could be looked at; this node goes on without");
        }
    };
    tokio::select! {
        () = shared.shutdown.cancelled() => return,
        () = prepared => {}
    }
    let started_at = Timestamp::now();
    loop {
        let ready = async {
            let is_well = health.wait_for(|health| health.is_well()).await.is_ok();
            let _ = timeout(LOOK_WITHIN, shared.statuses.flushed()).await;
            is_well
        };
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            is_well = ready => if !is_well { return },
        }
        let presence = Presence::start(
            Arc::clone(&shared.store),
            &key::ALIVE_NODES,
            key::alive_node(shared.config.node_id),
            NodeHeartbeat {
                node: shared.config.node_id,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at,
            },
            NODE_TTL,
        );
        let is_leaving = tokio::select! {
            () = shared.shutdown.cancelled() => true,
            // Who watched over it leaves by the same signal, maybe a moment before: then nobody said that it is ill.
            ill = health.wait_for(|health| !health.is_well()) => ill.is_err(),
        };
        if is_leaving {
            return presence.linger(BACK_WITHIN).await;
        }
        presence.stop().await;
    }
}
