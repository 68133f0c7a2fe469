//! Nodes.

use controller_api::wire;
use model::{Dyno, Node, NodeHeartbeat};

pub(crate) fn node(node: &Node, heartbeat: Option<&NodeHeartbeat>, dynos: &[&Dyno]) -> wire::Node {
    wire::Node {
        address: node.address,
        cordoned: node.cordoned,
        cpus: node.cpus,
        draining: node.draining,
        dynos: u32::try_from(dynos.len()).unwrap_or(u32::MAX),
        id: node.id,
        joined_at: node.joined_at.into(),
        memory_bytes: node.memory_bytes,
        memory_reserved_bytes: dynos.iter().map(|dyno| dyno.size.memory_bytes()).sum(),
        name: node.name.clone(),
        state: if heartbeat.is_some() { "up" } else { "down" }.to_owned(),
        tags: node.tags.clone(),
        version: heartbeat.map(|heartbeat| heartbeat.version.clone()),
        zone: node.zone.clone(),
    }
}
