//! People and the proofs they carry.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AppId, Email, KeyId, Need, Permission, Scope, SecondFactor, Secret, Timestamp,
    TokenId,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub email: Email,
    pub name: Option<String>,
    pub is_admin: bool,
    /// An argon2id PHC string, or [`Account::NO_PASSWORD`].
    pub password_hash: Secret<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_login: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<SecondFactor>,
    /// As whom an identity provider knows this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Counts the changes of what proves who somebody is: a login that was begun before one is worth nothing after it.
    #[serde(default)]
    pub credentials_version: u32,
    /// Since when nothing lets in: neither a password nor a token, a key or an identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
}

/// Somebody at an identity provider. The subject stays when the e-mail address changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub issuer: String,
    pub subject: String,
}

impl Account {
    /// In place of a hash: no password is right.
    pub const NO_PASSWORD: &str = "!";

    pub const fn has_password(&self) -> bool {
        !matches!(self.password_hash.expose().as_bytes(), b"!")
    }

    /// Whoever has proven by something older who he is has to do so again.
    pub const fn credentials_changed(&mut self) {
        self.credentials_version = self.credentials_version.wrapping_add(1);
    }

    pub const fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }

    /// Whether a password alone does not let in.
    pub fn has_second_factor(&self) -> bool {
        self.second_factor
            .as_ref()
            .is_some_and(|factor| factor.confirmed_at.is_some())
    }
}

/// A bearer token. The store keeps it under the SHA-256 of the secret, which itself is shown once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: TokenId,
    pub account: AccountId,
    pub description: String,
    /// What it is good for.
    pub scope: Vec<Scope>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl Token {
    pub fn grants(&self, need: Need) -> bool {
        self.scope.iter().any(|scope| scope.grants(need))
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A public key for git over SSH; stored under its SHA-256 fingerprint, which is unique on the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    pub id: KeyId,
    pub account: AccountId,
    /// `ssh-ed25519 AAAA… comment`
    pub public_key: String,
    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    pub comment: String,
    pub created_at: Timestamp,
}

/// An account other than the owner that may work on an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collaborator {
    pub id: uuid::Uuid,
    pub app: AppId,
    pub account: AccountId,
    /// What it may do, with all that is less.
    #[serde(default = "as_before")]
    pub permission: Permission,
    /// The membership of a team by which they were let in: it counts while that lasts, and the app is that team's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_member: Option<uuid::Uuid>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Those who were let in before there was a choice.
const fn as_before() -> Permission {
    Permission::Operate
}
