//! Nodes.

use controller_api::wire;
use model::{BuildRequest, Dyno, Node, NodeHeartbeat};

/// What takes room on a node.
#[derive(Debug, Default)]
pub(crate) struct OnNode<'a> {
    pub(crate) dynos: Vec<&'a Dyno>,
    pub(crate) builds: Vec<&'a BuildRequest>,
}

pub(crate) fn node(
    node: &Node,
    heartbeat: Option<&NodeHeartbeat>,
    on_it: &OnNode<'_>,
) -> wire::Node {
    let OnNode { dynos, builds } = on_it;
    let by_dynos: u64 = dynos.iter().map(|dyno| dyno.size.memory_bytes()).sum();
    let by_builds: u64 = builds.iter().map(|build| build.memory_bytes).sum();
    wire::Node {
        address: node.address,
        builds: u32::try_from(builds.len()).unwrap_or(u32::MAX),
        cordoned: node.cordoned,
        cpus: node.cpus,
        draining: node.draining,
        dynos: u32::try_from(dynos.len()).unwrap_or(u32::MAX),
        id: node.id,
        joined_at: node.joined_at.into(),
        memory_bytes: node.memory_bytes,
        memory_reserved_bytes: by_dynos.saturating_add(by_builds),
        name: node.name.clone(),
        roles: node.roles.clone(),
        state: if heartbeat.is_some() { "up" } else { "down" }.to_owned(),
        tags: node.tags.clone(),
        version: heartbeat.map(|heartbeat| heartbeat.version.clone()),
        zone: node.zone.clone(),
    }
}
