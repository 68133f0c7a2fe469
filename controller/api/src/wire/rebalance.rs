//! Evening out the nodes' loads on request. Ours; Heroku's API has no such thing.

use serde::{Deserialize, Serialize};

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    pub finished_at: Option<WireTime>,
    /// How many dynos it has moved, or begun to.
    pub moved: u32,
    /// The newest of those, oldest first.
    pub moves: Vec<RebalanceMove>,
    pub requested_at: WireTime,
    /// E-mail address.
    pub requested_by: String,
    pub status: RebalanceStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RebalanceStatus {
    Balancing,
    /// The nodes are as balanced as they will be.
    Balanced,
    /// Somebody called it off.
    Stopped,
}

/// A dyno that was started elsewhere, and stops where it was when the other one serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceMove {
    pub app: String,
    pub at: WireTime,
    /// `web.1`
    pub dyno: String,
    /// Name of the node, or its id if it is gone.
    pub from: String,
    pub to: String,
}
