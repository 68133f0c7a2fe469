//! Who did what: a chain of blocks, each with the hash of the one before, so that none can be changed or taken out unseen.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Actor, AppId, AppName, Checksum, Timestamp, TokenId};

/// Something that is about to be done. It is on record before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Of the request.
    pub id: Uuid,
    pub at: Timestamp,
    pub actor: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// `PATCH /apps/{app}/config-vars`
    pub what: String,
    /// What stood for the names in braces, without secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The app it was about, by the name it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<DeedApp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedApp {
    pub id: AppId,
    pub name: AppName,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedEnd {
    /// The deed's.
    pub id: Uuid,
    pub at: Timestamp,
    /// HTTP's.
    pub status: u16,
    /// What was asked for, by names, never values of secrets: `FOO, BAR`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditRecord {
    Begun(Deed),
    Ended(DeedEnd),
}

impl AuditRecord {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Begun(deed) => deed.at,
            Self::Ended(end) => end.at,
        }
    }
}

/// A link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBlock {
    /// From 1, without a gap.
    pub number: u64,
    /// The SHA-256 of the block before as it is stored; of the first, of nothing.
    pub before: Checksum,
    pub records: Vec<AuditRecord>,
}

/// The newest block, and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub number: u64,
    pub hash: Checksum,
}
