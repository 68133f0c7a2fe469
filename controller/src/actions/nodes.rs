//! What administrators ask of a node. Its record is the agent's, who keeps what is set here.

use controller_api::wire::NodeUpdate;
use model::{Node, NodeId};
use store::{Committed, Store, Txn, Versioned, key};

use super::{ActionError, Attempts};
use crate::context::Context;

pub(crate) async fn update(
    context: &Context,
    identity: &str,
    update: &NodeUpdate,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = find(context.store(), identity).await?;
        let node = Node {
            cordoned: update.cordoned.unwrap_or(seen.value.cordoned),
            draining: update.draining.unwrap_or(seen.value.draining),
            ..seen.value.clone()
        };
        if node == seen.value {
            return Ok(());
        }
        let txn = Txn::new().replace(&key::NODES, &seen, &node);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

/// By id, or by a name that only one node has.
pub(crate) async fn find(
    store: &dyn Store,
    identity: &str,
) -> Result<Versioned<Node>, ActionError> {
    if let Ok(id) = identity.parse::<NodeId>() {
        let found = key::NODES.get(store, &key::node(id)).await?;
        return found.ok_or_else(|| no_node(identity));
    }
    let mut named = key::NODES.all(store).await?;
    named.retain(|seen| seen.value.name == identity);
    match named.len() {
        0 => Err(no_node(identity)),
        1 => Ok(named.remove(0)),
        many => Err(ActionError::invalid(format!(
            "{many} nodes are called {identity}; name it by its id (paas nodes --json)."
        ))),
    }
}

pub(crate) fn no_node(identity: &str) -> ActionError {
    ActionError::NotFound {
        resource: "node",
        message: format!(
            "Couldn't find the node {}. See `paas nodes`.",
            identity.chars().take(100).collect::<String>()
        ),
    }
}
