//! The platform's hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, HostRole, NodeId, Timestamp, TokenId};

/// A host's lasting record, whatever its roles; its life is the lease of its [`NodeHeartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// The host's name.
    pub name: String,
    /// Where the other hosts reach it.
    pub address: IpAddr,
    /// Dynos are placed on hosts with the node role only.
    #[serde(default = "only_node")]
    pub roles: BTreeSet<HostRole>,
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

/// Records from before hosts could be without dynos.
fn only_node() -> BTreeSet<HostRole> {
    BTreeSet::from([HostRole::Node])
}

impl Node {
    pub fn runs_dynos(&self) -> bool {
        self.roles.contains(&HostRole::Node)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHeartbeat {
    pub node: NodeId,
    /// Version of the agent.
    pub version: String,
    pub started_at: Timestamp,
}

/// What lets hosts join. The store keeps it under the SHA-256 of its secret, which is shown once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeToken {
    pub id: TokenId,
    pub created_by: AccountId,
    /// The most a host that joins with it may be.
    pub roles: BTreeSet<HostRole>,
    /// How many hosts may join with it.
    pub uses: u32,
    /// Those that did; one of them may do so again.
    pub used_by: BTreeSet<NodeId>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl NodeToken {
    /// Whether this host may join with it now.
    pub fn admits(&self, node: NodeId, now: Timestamp) -> bool {
        now < self.expires_at
            && (self.used_by.contains(&node)
                || u32::try_from(self.used_by.len()).is_ok_and(|used| used < self.uses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_admits_as_many_hosts_as_it_says_until_it_expires() {
        let (one, two) = (NodeId::new(), NodeId::new());
        let token = NodeToken {
            id: TokenId::new(),
            created_by: AccountId::new(),
            roles: only_node(),
            uses: 1,
            used_by: BTreeSet::new(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::from_second(100).unwrap(),
        };
        let (before, after) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(100).unwrap());
        assert!(token.admits(one, before) && !token.admits(one, after));
        let used = NodeToken {
            used_by: [one].into(),
            ..token
        };
        assert!(used.admits(one, before), "an answer may be lost: again");
        assert!(!used.admits(two, before));
    }
}
