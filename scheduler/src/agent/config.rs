//! What an agent is told about its node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{HostRole, Node, NodeId, Timestamp};
use runtime::NetworkSpec;
use rustls::ClientConfig;

#[derive(Debug, Clone)]
pub struct Config {
    pub node_id: NodeId,
    /// The host's name.
    pub name: String,
    /// Where other nodes and routers reach the host. A loopback address: there are none, and dynos are not published.
    pub address: IpAddr,
    /// All that the host is, besides a node.
    pub roles: BTreeSet<HostRole>,
    pub zone: Option<String>,
    /// For a node that registers for the first time; later they are changed in the store.
    pub tags: BTreeMap<String, String>,
    /// Memory that dynos may reserve.
    pub memory_bytes: u64,
    pub cpus: u32,
    pub data_dir: PathBuf,
    /// Unique per installation of the platform: two on one engine do not touch each other's containers.
    pub instance: String,
    /// The stack's name (`heroku-24`) and the image its dynos run in.
    pub stack: String,
    pub run_image: String,
    pub network: NetworkSpec,
    pub firewall: Firewall,
    /// `$PORT` of every web dyno, in its own network namespace.
    pub port: u16,
    /// How long a web dyno may take to bind its port.
    pub boot_timeout: Duration,
    /// Between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// How long a one-off dyno waits for its terminal.
    pub attach_within: Duration,
    /// How terminals are brought to controllers. Without it (in tests) over plain HTTP.
    pub controller_tls: Option<Arc<ClientConfig>>,
    /// The host's CA bundle, mounted over the image's own.
    pub ca_bundle: Option<PathBuf>,
    /// Unpacked slugs that no dyno uses are removed, oldest use first, above this.
    pub slug_cache_bytes: u64,
    /// A slug that comes to more is refused.
    pub max_slug_bytes: u64,
    /// Who owns what a slug unpacks to. `None` leaves it with whoever runs the agent (tests without root).
    pub slug_owner: Option<(u32, u32)>,
}

impl Config {
    /// The node as it joins.
    pub(crate) fn record(&self, now: Timestamp) -> Node {
        Node {
            id: self.node_id,
            name: self.name.clone(),
            address: self.address,
            roles: self.roles.clone(),
            zone: self.zone.clone(),
            tags: self.tags.clone(),
            memory_bytes: self.memory_bytes,
            cpus: self.cpus,
            cordoned: false,
            draining: false,
            joined_at: now,
        }
    }
}

/// What keeps dynos from what is not theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firewall {
    Enforced {
        /// Networks no dyno may reach, over the cloud's link-local ones and the other nodes: `10.1.0.0/16`.
        deny: Vec<String>,
        /// TCP ports of the platform's hosts that dynos may reach all the same: the router's.
        allow_host_ports: Vec<u16>,
    },
    /// For tests with an engine that runs nothing.
    Off,
}
