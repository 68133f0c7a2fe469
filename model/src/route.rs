//! What routers are told, and what they tell back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{AppId, AppName, DynoId, DynoName, Hostname, NodeId, RouterId, Routing, Timestamp};

/// A store revision: grows with every commit.
pub type Revision = u64;

/// Everything a router needs for one app. Written by the scheduler alone; a record that makes no sense hurts only its app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub app: AppId,
    pub app_name: AppName,
    /// Exact names, and `*.` wildcards that match one label.
    pub hosts: Vec<Hostname>,
    pub backends: Vec<Backend>,
    pub maintenance: bool,
    #[serde(default, skip_serializing_if = "Routing::is_default")]
    pub routing: Routing,
    /// What to answer while there are no backends.
    pub no_backend: NoBackend,
    /// `ERROR_PAGE_URL` and `MAINTENANCE_PAGE_URL`, where the config has them.
    pub error_page_url: Option<String>,
    pub maintenance_page_url: Option<String>,
}

/// A web dyno that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Backend {
    pub dyno: DynoId,
    pub name: DynoName,
    pub addr: SocketAddr,
}

/// Why an app has no backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoBackend {
    /// H81: nothing was deployed yet.
    Blank,
    /// H14: no web dynos are wanted.
    NoWebProcesses,
    /// H20 after a wait: web dynos are starting.
    Booting,
    /// H10: they crash.
    Crashed,
}

/// One router's proof of what it has applied, kept under its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterReport {
    pub id: RouterId,
    /// Every route change up to and including this revision is in force for new requests.
    pub applied: Revision,
    /// Every certificate, challenge and ticket key up to and including this revision is in use.
    #[serde(default)]
    pub certificates: Revision,
    /// Dynos no longer routed that still have requests in flight (upgraded connections not counted), and how many.
    pub draining: BTreeMap<DynoId, u32>,
    pub started_at: Timestamp,
    #[serde(default)]
    pub about: RouterAbout,
}

/// What a router says of itself for people; nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterAbout {
    /// The host it runs on.
    pub host: Option<NodeId>,
    /// Where controllers ask it how it is.
    pub addr: Option<SocketAddr>,
    /// Whether another process has taken over from it, and it only serves what it still has.
    pub leaving: bool,
    /// Ports of TCP routes that could not be opened, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub closed_ports: BTreeMap<u16, String>,
}
