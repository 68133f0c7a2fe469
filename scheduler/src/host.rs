//! A host's own record, and the sign of life of a host that runs no dynos.

use std::sync::Arc;
use std::time::Duration;

use model::{Node, NodeHeartbeat, Timestamp};
use store::{Committed, Presence, Store, StoreError, Txn, key};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Keeps a host without the node role on record, and alive there, until it is told to leave. Nodes do so themselves,
/// while they can do their work.
pub async fn keep(host: Node, store: Arc<dyn Store>, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => return,
        () = register(&host, &*store) => {}
    }
    let heartbeat = NodeHeartbeat {
        node: host.id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: Timestamp::now(),
    };
    let place = key::alive_node(host.id);
    let ttl = store::presence::TTL;
    let presence = Presence::start(store, &key::ALIVE_NODES, place, heartbeat, ttl);
    shutdown.cancelled().await;
    presence.stop().await;
}

/// Writes the host down, or brings what is there up to date, however long it takes.
pub(crate) async fn register(host: &Node, store: &dyn Store) {
    while let Err(error) = try_register(host, store).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not register the host; will retry"
        );
        sleep(RETRY_AFTER).await;
    }
}

async fn try_register(host: &Node, store: &dyn Store) -> Result<(), StoreError> {
    const ATTEMPTS: u32 = 5;
    let place = key::node(host.id);
    for _ in 0..ATTEMPTS {
        let seen = key::NODES.get(store, &place).await?;
        let node = record(host, seen.as_ref().map(|seen| &seen.value));
        let txn = match &seen {
            Some(seen) if seen.value == node => return Ok(()),
            Some(seen) => Txn::new().replace(&key::NODES, seen, &node),
            None => Txn::new().create(&key::NODES, place.clone(), &node),
        };
        if matches!(txn.commit(store).await?, Committed::Done(_)) {
            return Ok(());
        }
    }
    Err(StoreError::Contended { attempts: ATTEMPTS })
}

/// What operators change (cordon, drain, tags) is kept.
fn record(host: &Node, known: Option<&Node>) -> Node {
    let Some(known) = known else {
        return host.clone();
    };
    Node {
        tags: known.tags.clone(),
        cordoned: known.cordoned,
        draining: known.draining,
        joined_at: known.joined_at,
        ..host.clone()
    }
}
