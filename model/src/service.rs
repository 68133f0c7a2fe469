//! How the platform's roles find each other.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{ServiceId, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceRole {
    /// Answers `api.<domain>` and the internal log and attach calls.
    Controller,
    /// Answers `git.<domain>`.
    Builder,
}

impl ServiceRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Builder => "builder",
        }
    }
}

/// A live instance of a role, kept under a lease: when it dies, the record goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEndpoint {
    pub id: ServiceId,
    pub role: ServiceRole,
    /// Plain HTTP/1.1.
    pub addr: SocketAddr,
    pub started_at: Timestamp,
}
