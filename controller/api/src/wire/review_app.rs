//! Review apps and how a pipeline has them.

use std::collections::BTreeMap;

use model::{AccountId, AppId, AppSetupId, PipelineId, ReviewAppId};
use serde::{Deserialize, Serialize};

use super::{IdRef, SourceBlobCreate};
use crate::WireTime;

/// `POST` and `PATCH …/review-app-config`: what is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReviewAppConfigUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_review_apps: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_stale_apps: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_ci: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAppConfig {
    pub automatic_review_apps: bool,
    pub base_name: Option<String>,
    pub deploy_target: Option<DeployTarget>,
    pub destroy_stale_apps: bool,
    pub pipeline_id: PipelineId,
    pub repo: ReviewRepo,
    pub stale_days: u32,
    pub wait_for_ci: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployTarget {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// No repository is known here by a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewRepo {
    pub id: u64,
}

/// `POST /review-apps`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReviewAppCreate {
    pub branch: String,
    pub pipeline: String,
    pub source_blob: SourceBlobCreate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pr_number: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_repo_id: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewApp {
    pub app: Option<IdRef<AppId>>,
    pub app_setup: Option<IdRef<AppSetupId>>,
    pub branch: String,
    pub created_at: WireTime,
    pub creator: IdRef<AccountId>,
    pub error_status: Option<String>,
    pub fork_repo: Option<ForkRepo>,
    pub id: ReviewAppId,
    pub message: Option<String>,
    pub pipeline: IdRef<PipelineId>,
    pub pr_number: Option<i64>,
    /// `creating`, `created`, `errored` or `deleting`.
    pub status: String,
    pub updated_at: WireTime,
    pub wait_for_ci: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkRepo {
    pub id: Option<i64>,
}
