//! A build: one attempt to make a slug.

use serde::{Deserialize, Serialize};

use crate::{Actor, AppId, BuildId, BuildpackRef, Checksum, ReleaseVersion, SlugId, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub id: BuildId,
    pub app: AppId,
    pub actor: Actor,
    /// The commit, or what whoever brought an archive calls its content.
    pub commit: Option<String>,
    /// What the code came as, unless it was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_blob: Option<SourceBlob>,
    pub stack: String,
    pub buildpacks: Vec<BuildpackRef>,
    pub status: BuildStatus,
    /// The whole output, once the build has ended.
    pub output: Option<Checksum>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The archive of a build's code, as its maker described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlob {
    pub url: String,
    pub checksum: Option<Checksum>,
    pub version_description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum BuildStatus {
    Pending,
    Succeeded {
        slug: SlugId,
        release: ReleaseVersion,
    },
    Failed {
        reason: String,
    },
}

impl BuildStatus {
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }
}
