//! What of an app can be switched.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeature {
    pub created_at: WireTime,
    pub description: String,
    pub display_name: String,
    pub doc_url: String,
    pub enabled: bool,
    pub feedback_email: String,
    pub id: Uuid,
    pub name: String,
    pub state: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppFeatureUpdate {
    pub enabled: bool,
}
