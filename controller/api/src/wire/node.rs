//! Nodes: the hosts that run dynos. Ours; Heroku's API has no such thing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::NodeId;
use serde::{Deserialize, Serialize};

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub address: IpAddr,
    pub cordoned: bool,
    pub cpus: u32,
    pub draining: bool,
    /// How many dynos are placed there.
    pub dynos: u32,
    pub id: NodeId,
    pub joined_at: WireTime,
    /// Bytes that dynos may reserve, and that they have.
    pub memory_bytes: u64,
    pub memory_reserved_bytes: u64,
    pub name: String,
    /// `up` while its agent is heard from, else `down`.
    pub state: String,
    pub tags: BTreeMap<String, String>,
    /// Of the agent; `null` while the node is down.
    pub version: Option<String>,
    pub zone: Option<String>,
}

/// What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUpdate {
    /// Whether new dynos are kept away from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
    /// Whether its dynos are to move elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<bool>,
}
