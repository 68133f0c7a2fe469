//! Giving an app to another account, who is asked first.

use serde::{Deserialize, Serialize};

use crate::{AccountId, AppId, Timestamp, TransferId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub id: TransferId,
    pub app: AppId,
    /// Whose the app is, or was.
    pub owner: AccountId,
    pub recipient: AccountId,
    pub state: TransferState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferState {
    Pending,
    Accepted,
    Declined,
}
