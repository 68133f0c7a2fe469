//! A host that runs dynos.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{NodeId, Timestamp};

/// A node's lasting record; its life is the lease of its [`NodeHeartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// The host's name.
    pub name: String,
    pub address: IpAddr,
    pub zone: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Bytes of memory dynos may reserve.
    pub memory_bytes: u64,
    pub cpus: u32,
    /// Takes no new dynos.
    pub cordoned: bool,
    /// Takes no new dynos either, and those of formations move elsewhere as far as there is room.
    #[serde(default)]
    pub draining: bool,
    pub joined_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHeartbeat {
    pub node: NodeId,
    /// Version of the agent.
    pub version: String,
    pub started_at: Timestamp,
}
