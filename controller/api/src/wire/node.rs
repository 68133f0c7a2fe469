//! Nodes: the platform's hosts. Ours; Heroku's API has no such thing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{HostRole, NodeId, Secret, TokenId};
use serde::{Deserialize, Serialize};

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub address: IpAddr,
    /// How many builds run there.
    #[serde(default)]
    pub builds: u32,
    pub cordoned: bool,
    pub cpus: u32,
    pub draining: bool,
    /// How many dynos are placed there.
    pub dynos: u32,
    pub id: NodeId,
    pub joined_at: WireTime,
    /// Bytes that dynos may reserve, and that they and running builds have.
    pub memory_bytes: u64,
    pub memory_reserved_bytes: u64,
    pub name: String,
    pub roles: BTreeSet<HostRole>,
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
    /// Tags to set; `null` takes one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
}

/// Asks for a token that hosts join with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTokenCreate {
    /// Seconds; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
    /// The most a host may be; `node` and `router` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeSet<HostRole>>,
    /// How many hosts may join with it; one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeToken {
    pub expires_at: WireTime,
    pub id: TokenId,
    pub roles: BTreeSet<HostRole>,
    /// `paasj_…`; shown this once.
    pub token: Secret<String>,
    pub uses: u32,
}

/// A host that wants to be one of the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    pub address: IpAddr,
    /// A certificate request for the host's key, PEM.
    pub certificate_request: String,
    pub cpus: u32,
    pub id: NodeId,
    pub memory_bytes: u64,
    pub name: String,
    /// All that the token allows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeSet<HostRole>>,
    /// Of the join token.
    pub secret: Secret<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub zone: Option<String>,
}

/// All that a host needs to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The hosts' authority, PEM.
    pub authority: String,
    /// The host's certificate, PEM.
    pub certificate: String,
    /// What its roles need of the platform's keys, as its key file has them.
    pub keys: Secret<String>,
    pub roles: BTreeSet<HostRole>,
    /// What all hosts' configurations have in common, TOML.
    pub settings: Secret<String>,
    /// The certificate of the platform's public names, for routers.
    pub public_certificate: Option<CertificateAndKey>,
}

/// PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAndKey {
    pub certificate: String,
    pub key: Secret<String>,
}

/// Asks for a host's next certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRenewal {
    /// PEM.
    pub certificate_request: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRenewed {
    /// PEM.
    pub certificate: String,
}
