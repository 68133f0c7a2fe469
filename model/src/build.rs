//! A build: one attempt to make a slug.

use serde::{Deserialize, Serialize};

use crate::{Actor, AppId, BuildId, BuildpackRef, Checksum, ReleaseVersion, SlugId, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub id: BuildId,
    pub app: AppId,
    pub actor: Actor,
    pub commit: Option<String>,
    pub stack: String,
    pub buildpacks: Vec<BuildpackRef>,
    pub status: BuildStatus,
    /// The whole output, once the build has ended.
    pub output: Option<Checksum>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
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
