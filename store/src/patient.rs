//! A store whose reads wait: for those who would rather be late than give up work that took minutes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::Revision;
use tokio::time::Instant;
use tracing::info;

use crate::{Commit, Committed, Entry, Key, Lease, Listing, Store, StoreError, StoreStatus, Watch};

const PAUSE: Duration = Duration::from_millis(250);

/// What may be asked twice is asked again for `patience` while the store does not answer: an election of etcd's takes some
/// seconds. A commit is not: whoever made it has to find out what came of it.
#[derive(Debug)]
pub struct Patient {
    store: Arc<dyn Store>,
    patience: Duration,
}

impl Patient {
    pub fn new(store: Arc<dyn Store>, patience: Duration) -> Self {
        Self { store, patience }
    }

    async fn ask<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        mut question: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + self.patience;
        loop {
            match question().await {
                Err(error @ StoreError::Unavailable { .. }) if Instant::now() + PAUSE < until => {
                    info!(
                        error = &error as &dyn std::error::Error,
                        "The store does not answer; asking again"
                    );
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

#[async_trait]
impl Store for Patient {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.ask(|| self.store.get(key)).await
    }

    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.ask(|| self.store.list(prefix)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.store.commit(commit).await
    }

    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        self.ask(|| self.store.watch(prefix, after)).await
    }

    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        self.ask(|| self.store.lease(ttl)).await
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        self.store.status().await
    }
}
