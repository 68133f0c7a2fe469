//! Invitations (ours; Heroku has none to its platform).

use model::{AccountId, Email, InvitationId, Secret};
use serde::{Deserialize, Serialize};

use super::IdRef;
use crate::WireTime;

/// `POST /account-invitations`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InvitationCreate {
    pub email: String,
    #[serde(default)]
    pub is_admin: bool,
    /// Seconds; a week when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invitation {
    pub id: InvitationId,
    pub email: Email,
    pub is_admin: bool,
    pub invited_by: IdRef<AccountId>,
    pub created_at: WireTime,
    pub expires_at: WireTime,
}

/// Shown once: the token is kept only as a hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InvitationCreated {
    pub invitation: Invitation,
    pub token: Secret<String>,
    /// Where it is taken up in a browser.
    pub url: Secret<String>,
}

/// `POST /account-invitations/actions/accept`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InvitationAccept {
    pub token: Secret<String>,
    pub password: Secret<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
