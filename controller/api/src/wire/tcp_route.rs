//! TCP routes. Ours; Heroku's API has no such thing.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    /// Who may connect; empty: anybody.
    pub allow: Vec<IpNet>,
    pub created_at: WireTime,
    pub port: u16,
    /// Whether the backend is told the client's address, by the PROXY protocol.
    pub proxy_protocol: bool,
    /// `host:port`, or `app:NAME`.
    pub target: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TcpRouteCreate {
    #[serde(default)]
    pub allow: Vec<IpNet>,
    pub port: u16,
    #[serde(default)]
    pub proxy_protocol: bool,
    pub target: String,
}
