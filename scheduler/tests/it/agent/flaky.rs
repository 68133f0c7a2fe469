//! A store that can be taken away and given back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use model::Revision;
use store::embedded::Embedded;
use store::{Commit, Committed, Entry, Key, Lease, Listing, Store, StoreError, Watch};
use tokio::sync::watch;

#[derive(Debug)]
pub(super) struct Flaky {
    store: Arc<Embedded>,
    is_gone: watch::Sender<bool>,
}

impl Flaky {
    pub(super) fn over(store: Arc<Embedded>) -> Self {
        Self {
            store,
            is_gone: watch::Sender::new(false),
        }
    }

    /// Every call fails and every watch ends.
    pub(super) fn take_away(&self) {
        self.is_gone.send_replace(true);
    }

    pub(super) fn give_back(&self) {
        self.is_gone.send_replace(false);
    }

    fn check(&self) -> Result<(), StoreError> {
        if *self.is_gone.borrow() {
            Err(StoreError::unavailable("being taken away", "it is gone"))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for Flaky {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.check()?;
        self.store.get(key).await
    }

    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.check()?;
        self.store.list(prefix).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.check()?;
        self.store.commit(commit).await
    }

    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        self.check()?;
        let mut gone = self.is_gone.subscribe();
        let watch = self.store.watch(prefix, after).await?;
        Ok(Box::pin(watch.take_until(async move {
            drop(gone.wait_for(|gone| *gone).await)
        })))
    }

    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        self.check()?;
        self.store.lease(ttl).await
    }
}
