//! How a store is, for those who operate it.

use model::Revision;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    pub revision: Revision,
    /// Of ours.
    pub keys: u64,
    pub backend: BackendStatus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendStatus {
    /// One file in the process.
    Embedded {
        file_bytes: u64,
    },
    Etcd {
        members: Vec<MemberStatus>,
    },
}

/// One member of etcd, as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: u64,
    /// Empty until it has started for the first time.
    pub name: String,
    /// Where clients reach it.
    pub urls: Vec<String>,
    /// Does not vote yet.
    pub is_learner: bool,
    pub alarms: Vec<Alarm>,
    /// What it says of itself, or why it does not answer.
    pub state: Result<MemberState, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    pub version: String,
    pub is_leader: bool,
    /// Size of its file, and how much of that is in use.
    pub file_bytes: u64,
    pub used_bytes: u64,
    /// Entries of the log that it has not applied and another has.
    pub lag: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// It takes no more writes, and so nor does the cluster.
    NoSpace,
    /// Its data differs from that of the others.
    Corrupt,
}
