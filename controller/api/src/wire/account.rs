//! Accounts.

use model::{AccountId, Email};
use serde::{Deserialize, Serialize};

use super::Named;
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub allow_tracking: bool,
    pub beta: bool,
    pub country_of_residence: Option<String>,
    pub created_at: WireTime,
    pub default_organization: Option<Named>,
    pub default_team: Option<Named>,
    pub delinquent_at: Option<WireTime>,
    pub email: Email,
    pub federated: bool,
    pub id: AccountId,
    pub identity_provider: Option<Named>,
    pub last_login: Option<WireTime>,
    pub name: Option<String>,
    pub sms_number: Option<String>,
    pub suspended_at: Option<WireTime>,
    pub two_factor_authentication: bool,
    pub updated_at: WireTime,
    pub verified: bool,
}

/// `PATCH /account`. A new password needs the old one.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct AccountUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_password: Option<String>,
}

/// `POST /accounts` (ours, for administrators). Without a password one is made.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountCreate {
    pub email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub is_admin: bool,
}

/// `POST /account-identities/actions/unlink` (ours, for administrators).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerUnlink {
    pub issuer: String,
}

/// Shown once: the password is kept only as a hash.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountCreated {
    pub account: Account,
    pub password: String,
}

impl std::fmt::Debug for AccountUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountUpdate")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AccountCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountCreate")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AccountCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountCreated")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}
