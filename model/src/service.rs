//! The platform's roles, and how they find each other.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ServiceId, Timestamp};

/// What a host may be, in any combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostRole {
    Controller,
    Builder,
    Scheduler,
    Router,
    /// Runs dynos.
    Node,
}

impl HostRole {
    pub const ALL: [Self; 5] = [
        Self::Controller,
        Self::Builder,
        Self::Scheduler,
        Self::Router,
        Self::Node,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Builder => "builder",
            Self::Scheduler => "scheduler",
            Self::Router => "router",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for HostRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role; the roles are controller, builder, scheduler, router and node")]
pub struct InvalidRole(String);

impl FromStr for HostRole {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let named = Self::ALL.into_iter().find(|role| role.as_str() == text);
        named.ok_or_else(|| InvalidRole(text.chars().take(40).collect()))
    }
}

/// The roles that others call.
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
        self.of_host().as_str()
    }

    pub const fn of_host(self) -> HostRole {
        match self {
            Self::Controller => HostRole::Controller,
            Self::Builder => HostRole::Builder,
        }
    }
}

/// A live instance of a role, kept under a lease: when it dies, the record goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEndpoint {
    pub id: ServiceId,
    pub role: ServiceRole,
    /// HTTP/1.1, over the platform's mutual TLS where the hosts have certificates.
    pub addr: SocketAddr,
    pub started_at: Timestamp,
}
