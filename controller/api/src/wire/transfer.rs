//! Offers of apps and pipelines to other accounts.

pub use model::transfer::TransferState;
use model::{PipelineId, TransferId};
use serde::{Deserialize, Serialize};

use super::app::Identity;
use super::{AppRef, IdRef, PipelineOwner, UserRef};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTransfer {
    pub app: AppRef,
    pub created_at: WireTime,
    pub id: TransferId,
    pub owner: UserRef,
    pub recipient: UserRef,
    pub state: TransferState,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppTransferCreate {
    pub app: Identity,
    /// By e-mail address or id.
    pub recipient: Identity,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppTransferUpdate {
    /// `accepted` or `declined`
    pub state: String,
}

/// `POST /pipeline-transfers`, which the schema does not have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineTransferCreate {
    pub pipeline: Identity,
    pub new_owner: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineTransfer {
    pub new_owner: PipelineOwner,
    pub pipeline: IdRef<PipelineId>,
    pub previous_owner: PipelineOwner,
}
