//! A commit, put together in the words of records.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Commit, Committed, Compare, Key, LeaseId, Op, Store, StoreError, Table, Versioned};

/// Builds one [`Commit`]. Errors of encoding are kept until [`Txn::commit`].
#[derive(Debug, Default)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Txn {
    commit: Commit,
    error: Option<StoreError>,
}

impl Txn {
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if `seen` is still what is there.
    pub fn unchanged<T>(mut self, seen: &Versioned<T>) -> Self {
        self.commit.compares.push(Compare::Revision {
            key: seen.key.clone(),
            revision: seen.revision,
        });
        self
    }

    /// Only if the key was last written by `revision`.
    pub fn at_revision(mut self, key: Key, revision: model::Revision) -> Self {
        self.commit
            .compares
            .push(Compare::Revision { key, revision });
        self
    }

    pub fn absent(mut self, key: Key) -> Self {
        self.commit.compares.push(Compare::Absent { key });
        self
    }

    pub fn exists(mut self, key: Key) -> Self {
        self.commit.compares.push(Compare::Exists { key });
        self
    }

    pub fn put<T: Serialize + DeserializeOwned>(
        self,
        table: &Table<T>,
        key: Key,
        value: &T,
    ) -> Self {
        self.put_op(table, key, value, None)
    }

    pub fn put_leased<T: Serialize + DeserializeOwned>(
        self,
        table: &Table<T>,
        key: Key,
        value: &T,
        lease: LeaseId,
    ) -> Self {
        self.put_op(table, key, value, Some(lease))
    }

    /// Compare and set in one word: `seen` becomes `value` if nobody was quicker.
    pub fn replace<T: Serialize + DeserializeOwned>(
        self,
        table: &Table<T>,
        seen: &Versioned<T>,
        value: &T,
    ) -> Self {
        self.unchanged(seen).put(table, seen.key.clone(), value)
    }

    /// A new record: fails if the key is taken.
    pub fn create<T: Serialize + DeserializeOwned>(
        self,
        table: &Table<T>,
        key: Key,
        value: &T,
    ) -> Self {
        self.absent(key.clone()).put(table, key, value)
    }

    pub fn delete(mut self, key: Key) -> Self {
        self.commit.ops.push(Op::Delete { key });
        self
    }

    pub fn is_empty(&self) -> bool {
        self.commit.ops.is_empty()
    }

    pub fn into_commit(self) -> Result<Commit, StoreError> {
        self.error.map_or(Ok(self.commit), Err)
    }

    pub async fn commit(self, store: &dyn Store) -> Result<Committed, StoreError> {
        store.commit(self.into_commit()?).await
    }

    fn put_op<T: Serialize + DeserializeOwned>(
        mut self,
        table: &Table<T>,
        key: Key,
        value: &T,
        lease: Option<LeaseId>,
    ) -> Self {
        match table.encode(&key, value) {
            Ok(value) => self.commit.ops.push(Op::Put { key, value, lease }),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }
}
