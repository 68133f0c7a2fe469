//! A host name that leads to an app.

use serde::{Deserialize, Serialize};

use crate::{AppId, DomainId, Hostname, Timestamp};

/// A custom domain; unique on the platform. An app's own `<name>.<platform domain>` is implied and has no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub id: DomainId,
    pub app: AppId,
    pub hostname: Hostname,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
