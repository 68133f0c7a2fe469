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

/// `POST …/builds`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCreate {
    pub source_blob: SourceBlobCreate,
    /// For this build only, in place of the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<BuildpackGiven>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlobCreate {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_description: Option<String>,
    /// `SHA256:…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// A buildpack by either of its names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackGiven {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where code can be uploaded to, and fetched from again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub source_blob: SourceUrls,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceUrls {
    pub get_url: String,
    pub put_url: String,
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

/// What the registry of buildpacks tells of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryBuildpack {
    pub namespace: String,
    pub name: String,
}
