//! Apps.

use model::{AppId, AppName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Named, UserRef};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub acm: bool,
    pub archived_at: Option<WireTime>,
    pub build_stack: Named,
    pub buildpack_provided_description: Option<String>,
    pub created_at: WireTime,
    pub generation: Named,
    pub git_url: String,
    pub id: AppId,
    pub internal_routing: Option<bool>,
    pub maintenance: bool,
    pub name: AppName,
    pub organization: Option<Named>,
    pub owner: UserRef,
    pub region: Named,
    pub released_at: Option<WireTime>,
    pub repo_size: Option<u64>,
    pub slug_size: Option<u64>,
    pub space: Option<Space>,
    pub stack: Named,
    pub team: Option<Named>,
    pub updated_at: WireTime,
    pub web_url: Option<String>,
}

/// Always absent here; the schema has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    pub id: Uuid,
    pub name: String,
    pub shield: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AppCreate {
    /// Made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Identity>,
    /// Which it is to belong to; whoever asks, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Identity>,
    /// The same, in app setups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Identity>,
    /// Whoever asks is to own it, whatever else is said.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub personal: Option<bool>,
    /// There are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Identity>,
    /// Whether others of the team are kept from it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub locked: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AppUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_stack: Option<Identity>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub maintenance: Option<bool>,
}

/// A thing by name or id: `"heroku-24"` or `{"name": "heroku-24"}` or `{"id": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Identity(pub String);

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Object {
                name: Option<String>,
                id: Option<String>,
            },
            Other(serde::de::IgnoredAny),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text)
            | Form::Object {
                name: Some(text), ..
            }
            | Form::Object { id: Some(text), .. } => Ok(Self(text)),
            Form::Object { .. } | Form::Other(_) => {
                Err(serde::de::Error::custom("expected a name or an id"))
            }
        }
    }
}
