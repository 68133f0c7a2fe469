//! A place for somebody new, kept until he takes it.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Email, InvitationId, Timestamp};

/// Stored under the SHA-256 of its token, which is shown once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub id: InvitationId,
    pub email: Email,
    /// Whether the account will be an administrator's.
    pub is_admin: bool,
    pub invited_by: AccountId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Invitation {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}
