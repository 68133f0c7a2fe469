//! Releases.

use model::{ReleaseId, SlugId};
use serde::{Deserialize, Deserializer, Serialize};

use super::{AppRef, IdRef, UserRef};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub addon_plan_names: Vec<String>,
    pub app: AppRef,
    pub artifacts: Vec<Artifact>,
    pub created_at: WireTime,
    /// Whether this is the newest release that was proven, and so the one that serves.
    pub current: bool,
    pub description: String,
    pub eligible_for_rollback: bool,
    pub id: ReleaseId,
    pub output_stream_url: Option<String>,
    pub slug: Option<IdRef<SlugId>>,
    pub status: ReleaseStatus,
    pub updated_at: WireTime,
    pub user: UserRef,
    pub version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStatus {
    Pending,
    Succeeded,
    Failed,
    /// A newer release took its place before it was proven.
    Expired,
}

impl ReleaseStatus {
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Pending)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: SlugId,
}

/// `POST …/releases`: `{"release": "v3"}` rolls back, `{"slug": "…"}` releases a slug again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReleaseCreate {
    /// An id, a version number, or `v3`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text_or_number"
    )]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `GET …/releases/:release/failure` (ours): why a failed release failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFailure {
    pub reason: String,
    /// The last lines the failing dyno wrote, oldest first.
    pub log_tail: Vec<String>,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
        Null(()),
        Other(serde::de::IgnoredAny),
    }
    match Form::deserialize(deserializer)? {
        Form::Number(number) => Ok(Some(number.to_string())),
        Form::Text(text) => Ok(Some(text)),
        Form::Null(()) => Ok(None),
        Form::Other(_) => Err(serde::de::Error::custom("expected a text or a number")),
    }
}
