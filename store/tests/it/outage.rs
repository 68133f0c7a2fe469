//! A store that can be made unreachable for one user of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use model::Revision;
use store::{Commit, Committed, Entry, Key, Lease, LeaseId, Listing, Store, StoreError, Watch};

#[derive(Debug, Clone)]
pub(crate) struct Outage {
    inner: Arc<dyn Store>,
    is_down: Arc<AtomicBool>,
}

impl Outage {
    pub(crate) fn of(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            is_down: Arc::default(),
        })
    }

    pub(crate) fn begin(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable(
                "reaching it",
                "an outage made for a test",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Outage {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.check()?;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.check()?;
        self.inner.list(prefix).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.check()?;
        self.inner.commit(commit).await
    }

    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        self.check()?;
        let me = self.clone();
        let watch = self.inner.watch(prefix, after).await?;
        Ok(Box::pin(watch.map(move |item| me.check().and(item))))
    }

    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        self.check()?;
        let lease = self.inner.lease(ttl).await?;
        Ok(Arc::new(OutageLease {
            outage: self.clone(),
            lease,
        }))
    }
}

#[derive(Debug)]
struct OutageLease {
    outage: Outage,
    lease: Arc<dyn Lease>,
}

#[async_trait]
impl Lease for OutageLease {
    fn id(&self) -> LeaseId {
        self.lease.id()
    }

    async fn keep_alive(&self) -> Result<(), StoreError> {
        self.outage.check()?;
        self.lease.keep_alive().await
    }

    async fn revoke(&self) -> Result<(), StoreError> {
        self.outage.check()?;
        self.lease.revoke().await
    }
}
