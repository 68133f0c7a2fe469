//! Which nodes are there, which are lost, and when not to believe it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Node, NodeId, Timestamp};

use super::{Context, Rules};
use crate::memory::Memory;
use crate::snapshot::Snapshot;

/// Fewer nodes than this say nothing about what happened to the others.
const MIN_WITNESSES: usize = 3;

/// Nodes that return no further apart than this were away for the same reason.
const BACK_TOGETHER: Duration = Duration::from_secs(10);

/// Whether most of the nodes seem to have died at once. It is more likely that the store or the network has: their dynos
/// run on, and all of them starting again on what is left would be the real outage.
pub(super) fn is_mass_loss(
    snapshot: &Snapshot,
    memory: &Memory,
    rules: &Rules,
    now: Timestamp,
) -> bool {
    // One whose dynos have been replaced is old news.
    let is_missed = |id: &NodeId| {
        let node = snapshot.nodes.get(id);
        node.is_some_and(|node| node.dynos.values().any(|dyno| dyno.runs))
    };
    let recent = |times: &BTreeMap<NodeId, Timestamp>, within: Duration| {
        let is_recent = |at: &Timestamp| super::add(*at, within) > now;
        let times = times.iter();
        times
            .filter(|(id, at)| is_recent(at) && is_missed(id))
            .count()
    };
    let gone = recent(&memory.node_gone, rules.mass_dead_after);
    // They come back one by one: the last of them are no more dead than the first were.
    let back = recent(&memory.missed_node_back, BACK_TOGETHER);
    let alive = snapshot
        .nodes
        .values()
        .filter(|node| node.node.as_ref().is_some_and(Node::runs_dynos) && node.alive.is_some());
    let alive = alive.count();
    if alive == 0 {
        // Nobody is there to replace anything on, least of all on a platform of one host that is just coming back.
        return gone > 0;
    }
    let all = alive + gone;
    all >= MIN_WITNESSES && (gone + back) * 2 > all
}

impl Context<'_> {
    /// Whether the store has had no heartbeat of the node: routers are better off without its dynos.
    pub(super) fn is_gone(&self, node: NodeId) -> bool {
        self.memory.node_gone.contains_key(&node)
    }

    /// Whether a node is to be given up, and its dynos to be replaced.
    pub(super) fn is_lost(&mut self, node: NodeId) -> bool {
        let Some(since) = self.memory.node_gone.get(&node).copied() else {
            return false;
        };
        let wait = match self.is_mass_loss {
            true => self.rules.mass_dead_after,
            false => self.rules.dead_after,
        };
        self.has_passed(since, wait)
    }

    /// Whether the node was away a moment ago.
    pub(super) fn is_unsteady(&self, node: NodeId) -> bool {
        let back = self.memory.node_back.get(&node);
        back.is_some_and(|back| super::add(*back, self.rules.steady_after) > self.now)
    }

    /// Whether a node's dynos are to move elsewhere.
    pub(super) fn is_draining(&self, node: NodeId) -> bool {
        let state = self.snapshot.nodes.get(&node);
        state
            .and_then(|state| state.node.as_ref())
            .is_some_and(|node| node.draining)
    }

    /// Whether the node has all of the tags. One whose record is gone is as its dynos left it.
    pub(super) fn has_tags(&self, node: NodeId, tags: &BTreeMap<String, String>) -> bool {
        let state = self.snapshot.nodes.get(&node);
        let record = state.and_then(|state| state.node.as_ref());
        record.is_none_or(|node| model::placement::has_all(&node.tags, tags))
    }
}
