//! One build per app at a time, on all builders together: a leased key that lapses if its builder dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use model::{AppId, Build, BuildId};
use store::presence::TTL;
use store::{Committed, Key, Lease, Store, StoreError, Txn, WatchItem, key};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

/// Held from before the build until after its release. Dropped without [`BuildLock::unlock`] it lapses by itself.
#[derive(Debug)]
pub(crate) struct BuildLock {
    held: Arc<Held>,
    _keeper: DropGuard,
}

#[derive(Debug)]
struct Held {
    store: Arc<dyn Store>,
    lock: Key,
    record: Key,
    build: BuildId,
    /// Of the commit that last wrote the lock.
    revision: AtomicU64,
    lease: Mutex<Arc<dyn Lease>>,
    lost: CancellationToken,
}

impl BuildLock {
    /// Takes the lock and records the build in one commit: a pending build without its lock is a dead one.
    /// `None` while another holds it, or when the app is gone.
    pub(crate) async fn take(
        store: &Arc<dyn Store>,
        build: &Build,
    ) -> Result<Option<Self>, StoreError> {
        let (lock, record) = (key::alive_build(build.app), key::build(build.app, build.id));
        let lease = store.lease(TTL).await?;
        let txn = Txn::new()
            .exists(key::app(build.app))
            .absent(lock.clone())
            .put_leased(&key::ALIVE_BUILDS, lock.clone(), &build.id, lease.id())
            .create(&key::BUILDS, record.clone(), build);
        let Committed::Done(revision) = txn.commit(&**store).await? else {
            lease.revoke().await?;
            return Ok(None);
        };
        let held = Arc::new(Held {
            store: store.clone(),
            lock,
            record,
            build: build.id,
            revision: AtomicU64::new(revision),
            lease: Mutex::new(lease),
            lost: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(keep(held.clone(), stop.clone()));
        Ok(Some(Self {
            held,
            _keeper: stop.drop_guard(),
        }))
    }

    /// Makes a commit void once the lock is another's.
    pub(crate) fn guard(&self, txn: Txn) -> Txn {
        txn.at_revision(
            self.held.lock.clone(),
            self.held.revision.load(Ordering::Acquire),
        )
    }

    /// Fires when another build has the lock.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.held.lost
    }

    pub(crate) async fn unlock(self) {
        let lease = self.held.lease.lock().await.clone();
        if let Err(error) = lease.revoke().await {
            info!(
                error = &error as &dyn std::error::Error,
                "A build's lock goes when its lease lapses"
            );
        }
    }
}

/// Keeps the lease; when it has lapsed in an outage of the store, takes the lock again unless somebody else has.
async fn keep(held: Arc<Held>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TTL / 4) => {}
        }
        let lease = held.lease.lock().await.clone();
        match lease.keep_alive().await {
            Ok(()) => {}
            Err(StoreError::LeaseLapsed { .. }) => match take_again(&held).await {
                Ok(true) => {}
                Ok(false) => {
                    held.lost.cancel();
                    return;
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not take a build's lock again; will retry"
                ),
            },
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Could not keep a build's lock; will retry"
            ),
        }
    }
}

async fn take_again(held: &Held) -> Result<bool, StoreError> {
    let record = key::BUILDS.get(&*held.store, &held.record).await?;
    // Housekeeping of another builder may have declared this build dead.
    let Some(record) = record.filter(|record| record.value.status.is_pending()) else {
        return Ok(false);
    };
    let lease = held.store.lease(TTL).await?;
    let txn = Txn::new()
        .unchanged(&record)
        .absent(held.lock.clone())
        .put_leased(
            &key::ALIVE_BUILDS,
            held.lock.clone(),
            &held.build,
            lease.id(),
        );
    match txn.commit(&*held.store).await? {
        Committed::Done(revision) => {
            held.revision.store(revision, Ordering::Release);
            *held.lease.lock().await = lease;
            Ok(true)
        }
        Committed::Conflict => {
            lease.revoke().await?;
            Ok(false)
        }
    }
}

/// The build that holds an app's lock.
pub(crate) async fn holder(store: &dyn Store, app: AppId) -> Result<Option<BuildId>, StoreError> {
    Ok(key::ALIVE_BUILDS
        .get(store, &key::alive_build(app))
        .await?
        .map(|found| found.value))
}

/// Until an app's lock has changed, or may have.
pub(crate) async fn wait_for_change(store: &dyn Store, app: AppId) -> Result<(), StoreError> {
    let place = key::alive_build(app);
    let listing = store.list(&place).await?;
    if listing.entries.is_empty() {
        return Ok(());
    }
    let mut watch = store.watch(&place, listing.revision).await?;
    while let Some(item) = watch.next().await {
        match item? {
            WatchItem::Batch(_) | WatchItem::Resync => break,
            WatchItem::Progress(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use jiff::Timestamp;
    use model::{AccountId, Actor, BuildStatus};
    use store::{Commit, Embedded, Op};

    use super::*;

    async fn setting() -> (Arc<dyn Store>, Build) {
        let store: Arc<dyn Store> = Embedded::open_in_memory().unwrap();
        let now = Timestamp::now();
        let build = Build {
            id: BuildId::new(),
            app: AppId::new(),
            actor: Actor {
                account: AccountId::new(),
                email: "a@example.com".parse().unwrap(),
            },
            commit: None,
            stack: "heroku-24".to_owned(),
            buildpacks: Vec::new(),
            status: BuildStatus::Pending,
            output: None,
            created_at: now,
            updated_at: now,
        };
        // That there is an app is all that counts here.
        let app = Op::Put {
            key: key::app(build.app),
            value: Bytes::from_static(b"{}"),
            lease: None,
        };
        let commit = Commit {
            ops: vec![app],
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
        (store, build)
    }

    /// What a lapse looks like to its holder, without the wait.
    async fn lapse(lock: &BuildLock) {
        let lease = lock.held.lease.lock().await.clone();
        lease.revoke().await.unwrap();
    }

    fn guarded(lock: &BuildLock) -> Txn {
        lock.guard(Txn::new())
            .put(&key::LEADERS, key::leader("proof"), &"x".to_owned())
    }

    #[tokio::test]
    async fn one_build_holds_an_apps_lock_and_the_next_gets_it_after() {
        let (store, build) = setting().await;
        let first = BuildLock::take(&store, &build).await.unwrap().unwrap();
        let next = Build {
            id: BuildId::new(),
            ..build.clone()
        };
        assert!(BuildLock::take(&store, &next).await.unwrap().is_none());
        assert_eq!(holder(&*store, build.app).await.unwrap(), Some(build.id));
        first.unlock().await;
        assert!(BuildLock::take(&store, &next).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn nothing_is_locked_for_an_app_that_is_gone() {
        let (store, build) = setting().await;
        let stranger = Build {
            app: AppId::new(),
            ..build
        };
        assert!(BuildLock::take(&store, &stranger).await.unwrap().is_none());
        assert!(holder(&*store, stranger.app).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lapsed_lock_is_taken_again_and_then_guards_again() {
        let (store, build) = setting().await;
        let lock = BuildLock::take(&store, &build).await.unwrap().unwrap();
        lapse(&lock).await;
        assert_eq!(
            guarded(&lock).commit(&*store).await.unwrap(),
            Committed::Conflict
        );
        let again = async {
            while guarded(&lock).commit(&*store).await.unwrap() == Committed::Conflict {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), again)
            .await
            .unwrap();
        assert!(!lock.lost().is_cancelled());
    }

    #[tokio::test]
    async fn a_lapsed_lock_that_another_took_is_lost_and_guards_against_its_old_holder() {
        let (store, build) = setting().await;
        let lock = BuildLock::take(&store, &build).await.unwrap().unwrap();
        lapse(&lock).await;
        let next = Build {
            id: BuildId::new(),
            ..build.clone()
        };
        let _other = BuildLock::take(&store, &next).await.unwrap().unwrap();
        tokio::time::timeout(Duration::from_secs(30), lock.lost().cancelled())
            .await
            .unwrap();
        assert_eq!(
            guarded(&lock).commit(&*store).await.unwrap(),
            Committed::Conflict
        );
    }
}
