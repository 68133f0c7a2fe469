//! Where state lives: five verbs over revisions, typed tables above them, two backends below.
//!
//! Invariants, held by both backends and proved by one contract suite (`tests/it/contract.rs`):
//! revisions only grow; a commit is all-or-nothing; a watch from revision R sees every later change in order or says
//! *resync*; a lease that is not kept alive lapses, its keys go with it, and watchers are told.
//! Bytes that are large (slugs, caches, build output) are not state: they go to the [`blob`] store.

pub mod attempts;
pub mod audit;
pub mod blob;
pub mod embedded;
pub mod error;
pub mod etcd;
pub mod follow;
mod history;
pub mod key;
pub mod keyring;
pub mod leader;
pub mod ledger;
pub mod migrate;
pub mod patient;
pub mod presence;
pub mod status;
pub mod table;
pub mod txn;
pub mod verbs;

pub use attempts::Attempts;
pub use blob::{BlobConfig, BlobError, BlobInfo, BlobStore, S3Credentials};
pub use embedded::Embedded;
pub use error::StoreError;
pub use etcd::{Etcd, EtcdConfig, EtcdTls, EtcdUser};
pub use follow::{Follower, Update};
pub use key::Key;
pub use keyring::{Keyring, Share};
pub use leader::Leadership;
pub use patient::Patient;
pub use presence::Presence;
pub use status::StoreStatus;
pub use table::{Table, Versioned};
pub use txn::Txn;
pub use verbs::{
    Commit, Committed, Compare, Entry, Event, Lease, LeaseId, Listing, MAX_COMMIT_BYTES,
    MAX_COMMIT_OPS, Op, Store, Watch, WatchBatch, WatchItem,
};
