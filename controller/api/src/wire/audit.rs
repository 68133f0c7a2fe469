//! The audit log.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::TokenId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppRef, IdRef, UserRef};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// `PATCH /apps/{app}/config-vars`
    pub action: String,
    pub actor: UserRef,
    pub app: Option<AppRef>,
    /// Of the log; `?before=` it gives those of earlier ones.
    pub block: u64,
    pub created_at: WireTime,
    /// What was asked for, without secrets.
    pub details: Option<String>,
    /// The client's address.
    pub from: Option<IpAddr>,
    pub id: Uuid,
    /// What stood for the names in the action's braces.
    pub parameters: BTreeMap<String, String>,
    /// What was answered; absent while it is under way, and where the controller was killed before it could say.
    pub status: Option<u16>,
    pub token: Option<IdRef<TokenId>>,
}

/// Whether the log is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditChain {
    /// Why it is not.
    pub fault: Option<String>,
    /// The oldest block that is kept.
    pub first: Option<u64>,
    /// The newest block. Whoever notes it down can tell later that all up to it is as it was.
    pub head: Option<AuditChainHead>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditChainHead {
    /// SHA-256 in hex.
    pub hash: String,
    pub number: u64,
}
