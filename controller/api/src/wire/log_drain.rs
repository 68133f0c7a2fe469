//! Log drains.

use model::DrainId;
use serde::{Deserialize, Serialize};

use super::{AppRef, AttachedAddon};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDrain {
    /// What added it, if no person did.
    pub addon: Option<AttachedAddon>,
    pub app: AppRef,
    pub created_at: WireTime,
    pub id: DrainId,
    /// `d.<uuid>`: how whoever receives from it knows it.
    pub token: String,
    pub updated_at: WireTime,
    pub url: String,
}

/// What makes a drain, and what a `PUT` puts in its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogDrainCreate {
    pub url: String,
}
