//! How the platform is. Ours; Heroku's API has no such thing.

use std::net::{IpAddr, SocketAddr};

use model::{NodeId, Revision, RouterId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformStatus {
    pub builders: Vec<ServiceStatus>,
    pub controllers: Vec<ServiceStatus>,
    pub hosts: Vec<HostStatus>,
    /// What is wrong and what to do about it; empty when all is well.
    pub problems: Vec<String>,
    pub routers: Vec<RouterStatus>,
    /// Name of the host whose scheduler leads; `null` while none does.
    pub scheduler_leader: Option<String>,
    pub store: StoreStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub address: SocketAddr,
    pub id: ServiceId,
    pub started_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    pub address: IpAddr,
    pub id: NodeId,
    pub name: String,
    /// `up`, `down`, or `null` for one without dynos.
    pub state: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Every change of routes up to this revision of the store is in force.
    pub applied: Revision,
    /// How many routes have changed since.
    pub behind: u64,
    pub host: Option<String>,
    pub id: RouterId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub keys: u64,
    #[serde(flatten)]
    pub kind: StoreKind,
    pub revision: Revision,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StoreKind {
    Embedded { file_bytes: u64 },
    Etcd { members: Vec<EtcdMember> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMember {
    /// `no space`, `corrupt`.
    pub alarms: Vec<String>,
    /// Why it does not answer; `null` when it does, and then the rest is set.
    pub error: Option<String>,
    pub file_bytes: Option<u64>,
    /// As etcdctl writes it, in hexadecimal digits.
    pub id: String,
    /// Entries of the log that it has yet to apply.
    pub lag: Option<u64>,
    pub leader: bool,
    /// Does not vote yet.
    pub learner: bool,
    pub name: String,
    pub urls: Vec<String>,
    pub used_bytes: Option<u64>,
    pub version: Option<String>,
}
