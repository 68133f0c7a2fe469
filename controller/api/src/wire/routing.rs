//! How an app's requests are treated. Ours; Heroku's API has no such thing.

use std::collections::BTreeMap;

pub use model::{ClientLimit, DynoProtocol, Hsts};
use serde::{Deserialize, Serialize};

/// As `model::Routing` has it, with apps by their names. An update is a JSON merge patch (RFC 7396) of it: what is left
/// out stays, `null` goes back to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Routing {
    pub https_only: bool,
    pub hsts: Option<Hsts>,
    pub canonical_host: Option<String>,
    /// Addresses or networks, as `10.0.0.0/8`.
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    pub rate_limit: Option<ClientLimit>,
    /// Names of apps by the path they answer for.
    pub paths: BTreeMap<String, String>,
    pub canary: Option<Canary>,
    pub paused: bool,
    pub session_affinity: bool,
    pub compression: bool,
    pub dyno_protocol: DynoProtocol,
    pub requests_per_dyno: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Its name.
    pub app: String,
    /// Of a hundred requests.
    pub percent: u8,
}
