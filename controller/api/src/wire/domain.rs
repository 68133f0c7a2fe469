//! Domains.

use model::{DomainId, Hostname};
use serde::{Deserialize, Serialize};

use super::{AppRef, Named};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub acm_status: Option<String>,
    pub acm_status_reason: Option<String>,
    pub app: AppRef,
    /// Where a custom domain's CNAME record should point.
    pub cname: Option<String>,
    pub created_at: WireTime,
    pub hostname: Hostname,
    pub id: DomainId,
    /// `heroku` for the app's own name below the platform's domain, else `custom`.
    pub kind: String,
    pub sni_endpoint: Option<Named>,
    pub status: String,
    pub updated_at: WireTime,
}

/// `None`: by none of the app's certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DomainUpdate {
    pub sni_endpoint: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DomainCreate {
    pub hostname: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni_endpoint: Option<String>,
}
