//! Teams, who is in them, and the apps they own.

pub use model::TeamRole;
use model::{AccountId, Email, TeamId, TeamName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::app::Identity;
use super::{App, Named};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    pub created_at: WireTime,
    pub credit_card_collections: bool,
    pub default: bool,
    pub enterprise_account: Option<Named>,
    pub id: TeamId,
    pub identity_provider: Option<Named>,
    pub membership_limit: Option<u64>,
    pub name: TeamName,
    pub provisioned_licenses: bool,
    /// What whoever asks is to it.
    pub role: Option<TeamRole>,
    /// `team`
    #[serde(rename = "type")]
    pub kind: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamCreate {
    pub name: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TeamUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamMember {
    pub created_at: WireTime,
    pub email: Email,
    pub federated: bool,
    pub id: Uuid,
    pub identity_provider: Option<Named>,
    pub role: TeamRole,
    pub two_factor_authentication: bool,
    pub updated_at: WireTime,
    pub user: TeamMemberUser,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamMemberUser {
    pub email: Email,
    pub id: AccountId,
    pub name: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamMemberSet {
    /// An account's e-mail address.
    pub email: String,
    /// `admin`, `member` or `viewer`.
    pub role: String,
}

/// An app, with what its team has to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamApp {
    #[serde(flatten)]
    pub app: App,
    /// Whether one works on it.
    pub joined: bool,
    /// Whether others of its team are kept from it.
    pub locked: bool,
}

/// Locks an app, or gives it to somebody; one of the two.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TeamAppUpdate {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub locked: Option<bool>,
    /// A team's name, or an account's e-mail address; either's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamPreferences {
    #[serde(rename = "default-permission")]
    pub default_permission: Option<String>,
    #[serde(rename = "addons-controls")]
    pub addons_controls: Option<bool>,
}
