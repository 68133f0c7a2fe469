//! Who may: authorizations (tokens), SSH keys, collaborators.

use model::{AccountId, Email, KeyId, Secret, TokenId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppRef, IdRef, Named};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    pub access_token: Option<AccessToken>,
    pub client: Option<Named>,
    pub created_at: WireTime,
    pub description: String,
    pub grant: Option<IdRef<Uuid>>,
    pub id: TokenId,
    pub refresh_token: Option<IdRef<Uuid>>,
    pub scope: Vec<String>,
    pub session: Option<IdRef<Uuid>>,
    pub updated_at: WireTime,
    pub user: AuthorizationUser,
}

/// The token itself is in the answer to its creation only; later it reads `****`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    pub expires_in: Option<i64>,
    pub id: TokenId,
    pub token: Secret<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationUser {
    pub id: AccountId,
    pub email: Email,
    pub full_name: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AuthorizationCreate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds; without it the token does not expire.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::whole_number"
    )]
    pub expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AuthorizationUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub comment: String,
    pub created_at: WireTime,
    pub email: String,
    pub fingerprint: String,
    pub id: KeyId,
    pub public_key: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyCreate {
    pub public_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collaborator {
    pub app: AppRef,
    pub created_at: WireTime,
    pub id: Uuid,
    pub permissions: Vec<CollaboratorPermission>,
    /// `owner` or `collaborator`.
    pub role: Option<String>,
    pub updated_at: WireTime,
    pub user: CollaboratorUser,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollaboratorPermission {
    pub name: String,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollaboratorUser {
    pub email: Email,
    pub federated: bool,
    pub id: AccountId,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollaboratorCreate {
    /// An account's e-mail address or id.
    pub user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// `view`, `deploy`, `operate`, `manage`: the most includes the rest. All but `manage` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollaboratorUpdate {
    pub permissions: Vec<String>,
}
