//! One build per app at a time, on all builders together: a leased key that lapses if its builder dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use model::{AppId, Build, BuildId, BuildRequest, BuildSource};
use store::presence::TTL;
use store::{Committed, Key, Lease, Store, StoreError, Txn, Versioned, WatchItem, key};
use tokio::sync::Mutex;
use tokio::time::Instant;
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

/// What came of asking for the lock.
#[derive(Debug)]
pub(crate) enum Taking {
    Taken(BuildLock),
    /// Another holds it, or the app is gone.
    Refused,
    /// The store has the build, or may yet have it, and this builder does not have its lock: whoever finds it goes on with it.
    LeftBehind,
}

impl BuildLock {
    /// Takes the lock and records the build, with what it is made from, in one commit: a pending build without its lock is
    /// one whose builder is gone.
    ///
    /// # Errors
    /// Nothing is recorded then, and nothing will be.
    pub(crate) async fn take(
        store: &Arc<dyn Store>,
        build: &Build,
        source: &BuildSource,
    ) -> Result<Taking, StoreError> {
        let (record, place) = (
            key::build(build.app, build.id),
            key::build_source(build.app, build.id),
        );
        let txn = Txn::new()
            .exists(key::app(build.app))
            .create(&key::BUILDS, record, build)
            .create(&key::BUILD_SOURCES, place, source);
        let lease = store.lease(TTL).await?;
        let error = match Self::take_with(store, build, txn, lease.clone()).await {
            Ok(Some(lock)) => return Ok(Taking::Taken(lock)),
            Ok(None) => return Ok(Taking::Refused),
            Err(error) => error,
        };
        // Only the answer may be lost. The record and the lock of one revision are of this commit; a lock of the same build
        // and another revision is that of a builder which took it over meanwhile.
        if let Ok(record) = key::BUILDS
            .get(&**store, &key::build(build.app, build.id))
            .await
            && let Ok(taken) = key::ALIVE_BUILDS
                .get(&**store, &key::alive_build(build.app))
                .await
            && let (Some(record), Some(taken)) = (record, taken)
            && (taken.value, taken.revision) == (build.id, record.revision)
        {
            return Ok(Taking::Taken(Self::held(
                store,
                build,
                lease,
                taken.revision,
            )));
        }
        // From here on a commit that comes late finds no lease, and does nothing.
        let is_void = lease.revoke().await.is_ok();
        let record = key::BUILDS
            .get(&**store, &key::build(build.app, build.id))
            .await;
        match record {
            Ok(None) if is_void => Err(error),
            _ => Ok(Taking::LeftBehind),
        }
    }

    /// Takes the lock for a build that another builder began. `None` when that one, or a third, was quicker.
    pub(crate) async fn take_over(
        store: &Arc<dyn Store>,
        build: &Versioned<Build>,
        source: &Versioned<BuildSource>,
    ) -> Result<Option<(Self, BuildSource)>, StoreError> {
        let again = BuildSource {
            attempt: source.value.attempt + 1,
            ..source.value.clone()
        };
        let txn = Txn::new()
            .exists(key::app(build.value.app))
            .unchanged(build)
            .replace(&key::BUILD_SOURCES, source, &again);
        let lease = store.lease(TTL).await?;
        match Self::take_with(store, &build.value, txn, lease.clone()).await {
            Ok(lock) => Ok(lock.map(|lock| (lock, again))),
            Err(error) => {
                // Whether it was taken or not, it is free again for the next look.
                let _ = lease.revoke().await;
                Err(error)
            }
        }
    }

    async fn take_with(
        store: &Arc<dyn Store>,
        build: &Build,
        txn: Txn,
        lease: Arc<dyn Lease>,
    ) -> Result<Option<Self>, StoreError> {
        let lock = key::alive_build(build.app);
        let txn =
            txn.absent(lock.clone())
                .put_leased(&key::ALIVE_BUILDS, lock, &build.id, lease.id());
        match txn.commit(&**store).await? {
            Committed::Done(revision) => Ok(Some(Self::held(store, build, lease, revision))),
            Committed::Conflict => {
                lease.revoke().await?;
                Ok(None)
            }
        }
    }

    fn held(store: &Arc<dyn Store>, build: &Build, lease: Arc<dyn Lease>, revision: u64) -> Self {
        let held = Arc::new(Held {
            store: store.clone(),
            lock: key::alive_build(build.app),
            record: key::build(build.app, build.id),
            build: build.id,
            revision: AtomicU64::new(revision),
            lease: Mutex::new(lease),
            lost: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(keep(held.clone(), stop.clone()));
        Self {
            held,
            _keeper: stop.drop_guard(),
        }
    }

    /// Makes a commit void once the lock is another's.
    pub(crate) fn guard(&self, txn: Txn) -> Txn {
        txn.at_revision(
            self.held.lock.clone(),
            self.held.revision.load(Ordering::Acquire),
        )
    }

    /// Asks for a place for the build, for as long as this lock is held without a break. `false`: it is not held now.
    pub(crate) async fn request_place(&self, request: &BuildRequest) -> Result<bool, StoreError> {
        let lease = self.held.lease.lock().await.clone();
        let place = key::build_request(request.app);
        let until = Instant::now() + crate::PATIENCE;
        loop {
            let txn =
                Txn::new().put_leased(&key::BUILD_REQUESTS, place.clone(), request, lease.id());
            match self.guard(txn).commit(&*self.held.store).await {
                Ok(committed) => return Ok(matches!(committed, Committed::Done(_))),
                Err(StoreError::LeaseLapsed { .. }) => return Ok(false),
                // Twice is as good as once.
                Err(StoreError::Unavailable { .. }) if Instant::now() < until => {
                    tokio::time::sleep(crate::PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn withdraw_request(&self, app: AppId) -> Result<(), StoreError> {
        let txn = Txn::new().delete(key::build_request(app));
        self.guard(txn).commit(&*self.held.store).await?;
        Ok(())
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
    // Another builder may have come to its end with this build.
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
    match txn.commit(&*held.store).await {
        Ok(Committed::Done(revision)) => {
            held.revision.store(revision, Ordering::Release);
            *held.lease.lock().await = lease;
            Ok(true)
        }
        Ok(Committed::Conflict) => {
            lease.revoke().await?;
            Ok(false)
        }
        Err(error) => {
            // If it was taken, it must not look like another's next time.
            let _ = lease.revoke().await;
            Err(error)
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

    fn source(build: &Build) -> BuildSource {
        BuildSource {
            build: build.id,
            app: build.app,
            code: model::repository::Code::Pushed(model::repository::Pushed {
                branch: model::repository::RefUpdate {
                    name: "refs/heads/main".to_owned(),
                    old: None,
                    new: "1".repeat(40),
                },
                tags: Vec::new(),
                packs: Vec::new(),
            }),
            attempt: 1,
        }
    }

    async fn take(store: &Arc<dyn Store>, build: &Build) -> Option<BuildLock> {
        match BuildLock::take(store, build, &source(build)).await.unwrap() {
            Taking::Taken(lock) => Some(lock),
            Taking::Refused => None,
            Taking::LeftBehind => panic!("the store answers"),
        }
    }

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
            source_blob: None,
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
        let first = take(&store, &build).await.unwrap();
        let next = Build {
            id: BuildId::new(),
            ..build.clone()
        };
        assert!(take(&store, &next).await.is_none());
        assert_eq!(holder(&*store, build.app).await.unwrap(), Some(build.id));
        first.unlock().await;
        assert!(take(&store, &next).await.is_some());
    }

    #[tokio::test]
    async fn nothing_is_locked_for_an_app_that_is_gone() {
        let (store, build) = setting().await;
        let stranger = Build {
            app: AppId::new(),
            ..build
        };
        assert!(take(&store, &stranger).await.is_none());
        assert!(holder(&*store, stranger.app).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lapsed_lock_is_taken_again_and_then_guards_again() {
        let (store, build) = setting().await;
        let lock = take(&store, &build).await.unwrap();
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
        let lock = take(&store, &build).await.unwrap();
        lapse(&lock).await;
        let next = Build {
            id: BuildId::new(),
            ..build.clone()
        };
        let _other = take(&store, &next).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), lock.lost().cancelled())
            .await
            .unwrap();
        assert_eq!(
            guarded(&lock).commit(&*store).await.unwrap(),
            Committed::Conflict
        );
    }
}
