//! Builds and the buildpacks that make them.

use model::{BuildId, ReleaseId, SlugId};
use serde::{Deserialize, Serialize};

use super::{AppIdRef, IdRef, UserRef};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub app: AppIdRef,
    pub buildpacks: Option<Vec<BuildpackName>>,
    pub created_at: WireTime,
    /// A string here, though an object in an app: so is the schema.
    pub generation: String,
    pub id: BuildId,
    pub output_stream_url: String,
    pub release: Option<IdRef<ReleaseId>>,
    pub slug: Option<IdRef<SlugId>>,
    pub source_blob: SourceBlob,
    pub stack: String,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
    pub updated_at: WireTime,
    pub user: UserRef,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlob {
    pub checksum: Option<String>,
    pub url: String,
    pub version: Option<String>,
    pub version_description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackName {
    pub url: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInstallation {
    pub buildpack: BuildpackName,
    pub ordinal: u32,
}

/// `PUT …/buildpack-installations`: the whole new list, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BuildpackInstallationsUpdate {
    pub updates: Vec<BuildpackUpdate>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildpackUpdate {
    /// `heroku/python`, `urn:buildpack:heroku/python`, or a URL with an optional `#ref`. The official CLI leaves it out for
    /// a name that the registry does not know.
    #[serde(default)]
    pub buildpack: String,
}
