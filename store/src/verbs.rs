//! The five verbs: get, list, commit, watch, lease.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use model::Revision;

use crate::{Key, StoreError, StoreStatus};

/// etcd's defaults, and so everybody's.
pub const MAX_COMMIT_OPS: usize = 128;
pub const MAX_COMMIT_BYTES: usize = 1_500_000;

/// The store. Calls have deadlines of their own (5 s unless said otherwise): none waits for ever.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// The entry at `key`, as of now (linearizable).
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Every entry whose key starts with `prefix`, in key order, all as of one revision (linearizable).
    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError>;

    /// All of `commit.ops` in one revision if every one of `commit.compares` holds, else nothing.
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError>;

    /// Every change to keys that start with `prefix` after revision `after`, in order, and nothing twice.
    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError>;

    /// A new lease. Keys put under it go when it is revoked, or not kept alive for `ttl` (whole seconds, at least 1).
    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError>;

    /// How it is, for its operators: no verb, and nothing may depend on what it says.
    async fn status(&self) -> Result<StoreStatus, StoreError> {
        Err(StoreError::unavailable(
            "asking it how it is",
            "it is of a kind that does not tell",
        ))
    }
}

/// A lease that its holder keeps alive.
#[async_trait]
pub trait Lease: Send + Sync + fmt::Debug {
    fn id(&self) -> LeaseId;

    /// Starts the time anew. [`StoreError::LeaseLapsed`] when it is too late.
    async fn keep_alive(&self) -> Result<(), StoreError>;

    /// Ends it now: its keys go in one revision.
    async fn revoke(&self) -> Result<(), StoreError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub value: Bytes,
    /// Revision of the commit that last wrote it.
    pub revision: Revision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The revision the whole list is of: watch after it to miss nothing.
    pub revision: Revision,
    pub entries: Vec<Entry>,
}

/// A conditional, atomic write. A key may be written once in a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    pub compares: Vec<Compare>,
    pub ops: Vec<Op>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key was last written by this revision.
    Revision {
        key: Key,
        revision: Revision,
    },
    Absent {
        key: Key,
    },
    Exists {
        key: Key,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: Key,
        value: Bytes,
        lease: Option<LeaseId>,
    },
    Delete {
        key: Key,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Done, and durable, at this revision.
    Done(Revision),
    /// A comparison did not hold; nothing was written.
    Conflict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Put(Entry),
    Delete { key: Key, revision: Revision },
}

impl Compare {
    pub const fn key(&self) -> &Key {
        match self {
            Self::Revision { key, .. } | Self::Absent { key } | Self::Exists { key } => key,
        }
    }
}

impl Op {
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Event {
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    pub const fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// All events of one revision (one commit) that the watch covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    pub revision: Revision,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchItem {
    Batch(WatchBatch),
    /// Nothing in the watched range changed up to this revision. Sent now and then, and soon after a watch begins.
    Progress(Revision),
    /// Changes were missed (compacted, or the watcher was too slow): list again and watch from there. The last item.
    Resync,
}

/// Ends after [`WatchItem::Resync`] or an error; whoever follows must then list and watch anew.
pub type Watch = Pin<Box<dyn Stream<Item = Result<WatchItem, StoreError>> + Send>>;

impl Commit {
    /// Bytes of keys and values, as the limit counts them.
    pub fn bytes(&self) -> usize {
        self.ops
            .iter()
            .map(|op| match op {
                Op::Put { key, value, .. } => key.as_str().len() + value.len(),
                Op::Delete { key } => key.as_str().len(),
            })
            .sum()
    }

    /// Both backends refuse the same commits. Comparisons count like operations: etcd's limit is for each of the two.
    pub fn check_limits(&self) -> Result<(), StoreError> {
        let compared: usize = self
            .compares
            .iter()
            .map(|compare| compare.key().as_str().len())
            .sum();
        let (ops, bytes) = (
            self.ops.len().max(self.compares.len()),
            self.bytes() + compared,
        );
        if ops > MAX_COMMIT_OPS || bytes > MAX_COMMIT_BYTES {
            return Err(StoreError::CommitTooLarge { ops, bytes });
        }
        let mut written = HashSet::with_capacity(self.ops.len());
        match self
            .ops
            .iter()
            .map(Op::key)
            .find(|key| !written.insert(*key))
        {
            Some(twice) => Err(StoreError::WrittenTwice { key: twice.clone() }),
            None => Ok(()),
        }
    }
}
