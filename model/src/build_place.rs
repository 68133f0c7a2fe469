//! Where builds run: builders say what they can take, a push asks for a place, the scheduler gives it one.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{AppId, BuildId, NodeId, Resources, ServiceId, Timestamp};

/// A live builder, kept under a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderReport {
    pub id: ServiceId,
    pub host: NodeId,
    /// Where other builders reach it.
    pub addr: SocketAddr,
    /// How many builds it runs at a time, at most.
    pub max_builds: u32,
    pub started_at: Timestamp,
}

/// A build that is to run, or runs. Kept under the lease of its app's build lock, from when it waits for a place until it
/// has compiled, or its builder is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRequest {
    pub build: BuildId,
    pub app: AppId,
    /// The builder that has the push, and the app's repository at hand.
    pub asked_by: ServiceId,
    /// The most it may use of its host.
    pub memory_bytes: u64,
    pub cpu_millis: u64,
    /// Grows by one when the build lost its place and needs another.
    pub attempt: u32,
    /// Builders that could not do it.
    pub not: BTreeSet<ServiceId>,
}

/// The scheduler's answer to a [`BuildRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPlace {
    pub build: BuildId,
    pub app: AppId,
    /// Of the request that is answered.
    pub attempt: u32,
    pub outcome: BuildPlacing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum BuildPlacing {
    On {
        builder: ServiceId,
        host: NodeId,
    },
    /// There is no place yet; another answer follows.
    Waits {
        reason: String,
        /// Whether no host would take it even if nothing else were being built.
        #[serde(default)]
        nobody: bool,
    },
}

impl BuildRequest {
    pub fn is(&self, build: BuildId, attempt: u32) -> bool {
        (self.build, self.attempt) == (build, attempt)
    }

    pub const fn resources(&self) -> Resources {
        Resources {
            memory_bytes: self.memory_bytes,
            cpu_millis: self.cpu_millis,
        }
    }
}

impl BuildPlace {
    pub fn answers(&self, request: &BuildRequest) -> bool {
        request.is(self.build, self.attempt)
    }

    /// The builder and its host, once there is one.
    pub const fn given(&self) -> Option<(ServiceId, NodeId)> {
        match self.outcome {
            BuildPlacing::On { builder, host } => Some((builder, host)),
            BuildPlacing::Waits { .. } => None,
        }
    }
}
