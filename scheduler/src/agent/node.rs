//! The node's own record.

use model::{Node, Timestamp};
use store::{Committed, Store, StoreError, Txn, key};

use super::config::Config;

/// Writes the node down, or brings what is there up to date. What operators change (cordon, drain, tags) is kept.
pub(crate) async fn register(config: &Config, store: &dyn Store) -> Result<(), StoreError> {
    const ATTEMPTS: u32 = 5;
    let place = key::node(config.node_id);
    for _ in 0..ATTEMPTS {
        let seen = key::NODES.get(store, &place).await?;
        let node = record(
            config,
            seen.as_ref().map(|seen| &seen.value),
            Timestamp::now(),
        );
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

fn record(config: &Config, known: Option<&Node>, now: Timestamp) -> Node {
    Node {
        id: config.node_id,
        name: config.name.clone(),
        address: config.address,
        zone: config.zone.clone(),
        tags: known.map_or_else(|| config.tags.clone(), |known| known.tags.clone()),
        memory_bytes: config.memory_bytes,
        cpus: config.cpus,
        cordoned: known.is_some_and(|known| known.cordoned),
        draining: known.is_some_and(|known| known.draining),
        joined_at: known.map_or(now, |known| known.joined_at),
    }
}
