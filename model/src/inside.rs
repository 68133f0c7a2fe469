//! A command that was asked for inside a dyno that runs.

use serde::{Deserialize, Serialize};

use crate::dyno::Attach;
use crate::{Actor, AppId, DynoId, DynoName, InsideId, NodeId, Sealed, Timestamp};

/// It lives under a lease: of whoever asked, for as long as somebody may still come to it, and from when the dyno's node
/// has taken it, of that node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    pub id: InsideId,
    pub app: AppId,
    pub dyno: DynoId,
    pub dyno_name: DynoName,
    /// Where the dyno runs.
    pub node: NodeId,
    pub command: String,
    /// Variables of this command only, over the dyno's: `TERM`, …
    pub env: Sealed,
    pub attach: Attach,
    pub requested_by: Actor,
    /// An agent sees to it. One that finds it so after a start knows that the command is lost.
    pub is_taken: bool,
    pub created_at: Timestamp,
}
