//! Pipelines, the apps in them, and promotions.

pub use model::Stage;
use model::{
    AccountId, AppId, CouplingId, PipelineId, PipelineName, PromotionId, PromotionTargetId,
    ReleaseId,
};
use serde::{Deserialize, Serialize};

use super::app::Identity;
use super::{IdRef, Named};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub created_at: WireTime,
    pub generation: Named,
    pub id: PipelineId,
    pub name: PipelineName,
    pub owner: PipelineOwner,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineOwner {
    pub id: AccountId,
    /// `user` or `team`
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineCreate {
    pub name: String,
    /// Whoever asks, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Identity>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PipelineUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCoupling {
    pub app: IdRef<AppId>,
    pub created_at: WireTime,
    pub id: CouplingId,
    pub pipeline: PipelineRef,
    pub stage: Stage,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRef {
    pub id: PipelineId,
    pub name: PipelineName,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineCouplingCreate {
    pub app: Identity,
    pub pipeline: Identity,
    pub stage: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineCouplingUpdate {
    pub stage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePromotion {
    pub created_at: WireTime,
    pub id: PromotionId,
    pub pipeline: IdRef<PipelineId>,
    pub source: PromotionSource,
    pub status: PromotionStatus,
    pub updated_at: Option<WireTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionSource {
    pub app: IdRef<AppId>,
    pub release: IdRef<ReleaseId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionStatus {
    Pending,
    Completed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePromotionTarget {
    pub app: IdRef<AppId>,
    pub error_message: Option<String>,
    pub id: PromotionTargetId,
    pub pipeline_promotion: IdRef<PromotionId>,
    pub release: Option<IdRef<ReleaseId>>,
    pub status: TargetStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetStatus {
    Pending,
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelinePromotionCreate {
    pub pipeline: Identity,
    pub source: PromotionSourceCreate,
    pub targets: Vec<PromotionTargetCreate>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromotionSourceCreate {
    pub app: Identity,
    /// The one that serves, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Identity>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromotionTargetCreate {
    pub app: Identity,
}

/// `POST /filters/apps`: `{"in": {"id": ["…"]}}`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AppsFilter {
    #[serde(default, rename = "in")]
    pub within: AppsFilterIn,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AppsFilterIn {
    #[serde(default)]
    pub id: Vec<String>,
}
