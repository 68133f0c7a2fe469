//! What the platform offers: stacks, regions, sizes, and how much of it one may ask.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Named;
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    pub created_at: WireTime,
    pub default: bool,
    pub id: Uuid,
    pub name: String,
    pub state: String,
    pub updated_at: WireTime,
}

/// What operators want everybody to know; told with every answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub country: String,
    pub created_at: WireTime,
    pub description: String,
    pub id: Uuid,
    pub locale: String,
    pub name: String,
    pub private_capable: bool,
    pub provider: Provider,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    pub region: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DynoSize {
    pub architecture: String,
    pub compute: u32,
    pub cost: Option<Cost>,
    pub dedicated: bool,
    pub generation: Named,
    pub id: Uuid,
    /// Gigabytes.
    pub memory: f64,
    pub name: String,
    pub precise_dyno_units: f64,
    pub private_space_only: bool,
}

/// Nothing costs anything here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    pub remaining: u32,
}
