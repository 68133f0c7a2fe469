//! How the routers are, as they say themselves when they are asked. Ours; Heroku's API has no such thing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{Revision, RouterId};
use serde::{Deserialize, Serialize};

/// Of all routers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutersStatus {
    /// The store's.
    pub revision: Revision,
    pub routers: Vec<RouterState>,
}

/// One router, and what it said. With `T` a [`RouterReading`] or an [`AppReading`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked<T> {
    /// Why there is no reading.
    pub error: Option<String>,
    /// Name of its host.
    pub host: Option<String>,
    pub id: RouterId,
    pub reading: Option<T>,
    /// `up`, `draining` (another process has taken over from it), or `no answer`.
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouterState {
    /// Every change of routes up to this revision of the store is in force.
    pub applied: Revision,
    /// How many routes have changed since.
    pub behind: u64,
    /// Ports of TCP routes that are not open there, and why.
    pub closed_ports: BTreeMap<u16, String>,
    /// Requests it has under way to dynos that are not routed any more.
    pub draining_requests: u64,
    #[serde(flatten)]
    pub asked: Asked<RouterReading>,
}

/// What a router says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouterReading {
    pub backends: u64,
    pub buffers: u64,
    pub connections: ConnectionCounts,
    pub id: RouterId,
    pub latency: Latency,
    pub memory_bytes: u64,
    pub quarantined_backends: u64,
    pub requests_in_flight: u64,
    pub requests_per_second: f64,
    pub routes: u64,
    pub tcp_ports: Vec<TcpPortReading>,
    pub uptime_seconds: u64,
    pub version: String,
    /// How many seconds rates and latencies are of.
    pub window_seconds: f64,
}

/// Clients' connections that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionCounts {
    pub http1: u64,
    pub http2: u64,
    pub tcp: u64,
    /// WebSockets and the like. They are among those of HTTP only where that is HTTP/2.
    pub upgraded: u64,
}

impl ConnectionCounts {
    pub const fn all(&self) -> u64 {
        self.http1 + self.http2 + self.tcp + self.upgraded
    }
}

/// From a request's head to the end of its answer, in milliseconds; `null` where there was no request.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// A port of a TCP route that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpPortReading {
    pub accepted: u64,
    pub connections: u64,
    pub failed: u64,
    pub port: u16,
}

/// Of one app, by all routers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppTraffic {
    pub routers: Vec<Asked<AppReading>>,
}

/// What a router says of one app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppReading {
    pub backends: Vec<BackendReading>,
    /// Of bodies, within the window.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Heroku's codes and how many requests ended with each, within the window.
    pub codes: BTreeMap<String, u64>,
    /// To a connection with a dyno.
    pub connect: Latency,
    pub id: RouterId,
    pub in_flight: u64,
    pub latency: Latency,
    pub requests_per_second: f64,
    /// `2xx` and the like, and how many requests were answered so, within the window.
    pub statuses: BTreeMap<String, u64>,
    pub upgraded: u64,
    pub window_seconds: f64,
}

/// A dyno that is routed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendReading {
    pub address: SocketAddr,
    pub in_flight: u64,
    pub name: String,
    /// `up`, `quarantined` (it could not be connected to a moment ago), or `host silent`.
    pub state: String,
}
