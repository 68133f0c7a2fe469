//! Typed views of the store: a table is a key prefix whose values are JSON of one record type.

use std::marker::PhantomData;

use bytes::Bytes;
use model::Revision;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::ROOT;
use crate::{Entry, Key, Store, StoreError};

/// All keys below one prefix hold a `T`. Constants of it are in [`crate::key`].
#[derive(Debug)]
pub struct Table<T> {
    prefix: &'static str,
    record: PhantomData<fn() -> T>,
}

/// A record and the revision that wrote it: what a compare-and-set compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    pub key: Key,
    pub revision: Revision,
    pub value: T,
}

impl<T> Table<T> {
    pub(crate) const fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            record: PhantomData,
        }
    }

    pub(crate) const fn prefix_text(&self) -> &'static str {
        self.prefix
    }

    /// Whether `key` is of this table.
    pub fn holds(&self, key: &Key) -> bool {
        key.as_str()
            .strip_prefix(ROOT)
            .is_some_and(|rest| rest.starts_with(self.prefix))
    }

    /// The key every record of the table starts with.
    pub fn prefix(&self) -> Key {
        Key::from_text(format!("{ROOT}{}", self.prefix))
    }
}

impl<T: Serialize + DeserializeOwned> Table<T> {
    pub async fn get(
        &self,
        store: &dyn Store,
        key: &Key,
    ) -> Result<Option<Versioned<T>>, StoreError> {
        store
            .get(key)
            .await?
            .map(|entry| self.decode(&entry))
            .transpose()
    }

    /// Every record of the table, in key order.
    pub async fn all(&self, store: &dyn Store) -> Result<Vec<Versioned<T>>, StoreError> {
        self.list(store, &self.prefix()).await
    }

    /// Every record whose key starts with `prefix`, which is within the table.
    pub async fn list(
        &self,
        store: &dyn Store,
        prefix: &Key,
    ) -> Result<Vec<Versioned<T>>, StoreError> {
        store
            .list(prefix)
            .await?
            .entries
            .iter()
            .map(|entry| self.decode(entry))
            .collect()
    }

    pub fn decode(&self, entry: &Entry) -> Result<Versioned<T>, StoreError> {
        let value = serde_json::from_slice(&entry.value).map_err(|source| StoreError::Corrupt {
            key: entry.key.clone(),
            source,
        })?;
        Ok(Versioned {
            key: entry.key.clone(),
            revision: entry.revision,
            value,
        })
    }

    pub fn encode(&self, key: &Key, value: &T) -> Result<Bytes, StoreError> {
        serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|source| StoreError::Encode {
                key: key.clone(),
                source,
            })
    }
}
