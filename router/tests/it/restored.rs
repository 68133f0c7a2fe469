//! A store that was restored from a backup under a live router: its revisions go back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use model::{AppId, Revision};
use store::embedded::Embedded;
use store::{
    Commit, Committed, Entry, Key, Lease, LeaseId, Listing, Store, StoreError, Txn, Watch, key,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::support::*;

/// One store until it is restored, and then another.
#[derive(Debug)]
struct Restorable {
    /// Guards the pair; never held across a wait.
    now: Mutex<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    store: Arc<Embedded>,
    /// Watches and leases end with it.
    over: CancellationToken,
}

#[derive(Debug)]
struct MortalLease {
    lease: Arc<dyn Lease>,
    over: CancellationToken,
}

impl Restorable {
    fn begin() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(Life::new(Embedded::open_in_memory().unwrap())),
        })
    }

    fn restore(&self, backup: Arc<Embedded>) {
        let before = std::mem::replace(&mut *self.now.lock().unwrap(), Life::new(backup));
        before.over.cancel();
    }

    fn now(&self) -> Life {
        self.now.lock().unwrap().clone()
    }
}

impl Life {
    fn new(store: Arc<Embedded>) -> Self {
        Self {
            store,
            over: CancellationToken::new(),
        }
    }
}

#[async_trait]
impl Store for Restorable {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.now().store.get(key).await
    }
    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.now().store.list(prefix).await
    }
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.now().store.commit(commit).await
    }
    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        let life = self.now();
        let watch = life.store.watch(prefix, after).await?;
        Ok(watch.take_until(life.over.cancelled_owned()).boxed())
    }
    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        let life = self.now();
        let lease = life.store.lease(ttl).await?;
        Ok(Arc::new(MortalLease {
            lease,
            over: life.over,
        }))
    }
}

#[async_trait]
impl Lease for MortalLease {
    fn id(&self) -> LeaseId {
        self.lease.id()
    }
    async fn keep_alive(&self) -> Result<(), StoreError> {
        if self.over.is_cancelled() {
            return Err(StoreError::LeaseLapsed { lease: self.id().0 });
        }
        self.lease.keep_alive().await
    }
    async fn revoke(&self) -> Result<(), StoreError> {
        self.lease.revoke().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_applied_before_a_restore_does_not_pass_for_applied_after_it() {
    let store = Restorable::begin();
    let dir = Arc::new(TempDir::new().unwrap());
    let platform = Platform::start_on(store.clone(), dir, |_| {}).await;
    let (app, early, late, later) = (
        AppId::new(),
        Dyno::saying("early").await,
        Dyno::saying("late").await,
        Dyno::saying("later").await,
    );
    // The backup is of the first moment, and much has happened since.
    let backup = Embedded::open_in_memory().unwrap();
    let begun = Txn::new().put(&key::ROUTES, key::route(app), &route(app, "app", &[&early]));
    begun.commit(&*backup).await.unwrap();
    let mut newest = 0;
    for _ in 0..20 {
        newest = platform.route(&route(app, "app", &[&late])).await;
    }
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "late");

    store.restore(backup);
    eventually("it routes as at the time of the backup", async || {
        (text(&platform.get("app.paas.test", "/").await) == "early").then_some(())
    })
    .await;
    let report = eventually("it acknowledges no more than that", async || {
        platform
            .report()
            .await
            .filter(|report| report.applied < newest)
    })
    .await;
    assert!(report.applied < newest, "{report:?}");

    let next = platform.route(&route(app, "app", &[&later])).await;
    assert!(next < newest, "{next} {newest}: the revisions went back");
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "later");
}
