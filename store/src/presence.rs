//! "I am here": a record that lives exactly as long as whoever wrote it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::Revision;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Committed, Key, Lease, LeaseId, Store, StoreError, Table, Txn};

/// How long after its holder's death a record stays, where nothing hangs on the moment.
pub const TTL: Duration = Duration::from_secs(10);
/// How long after its death a node is still taken for alive. Traffic is to leave it within 5 s; etcd's shortest lease is
/// 2 s with its default election timeout, and the shorter the lease, the more keep-alives of every node.
pub const NODE_TTL: Duration = Duration::from_secs(4);

/// Keeps one leased record in the store, through store outages and lapsed leases, until it is stopped or dropped.
pub struct Presence<T> {
    value: watch::Sender<T>,
    stop: CancellationToken,
    /// How long the record is to outlive a stop.
    linger: Arc<OnceLock<Duration>>,
    task: JoinHandle<()>,
}

impl<T> fmt::Debug for Presence<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presence")
    }
}

impl<T> Presence<T>
where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// `ttl` is how long the record outlives its holder: whole seconds, at least 2. It is kept alive four times in that.
    pub fn start(
        store: Arc<dyn Store>,
        table: &'static Table<T>,
        key: Key,
        value: T,
        ttl: Duration,
    ) -> Self {
        let (sender, receiver) = watch::channel(value);
        let stop = CancellationToken::new();
        let linger = Arc::new(OnceLock::new());
        let kept = Kept {
            table,
            key,
            ttl,
            linger: linger.clone(),
        };
        let task = tokio::spawn(keep(store, kept, receiver, stop.clone()));
        Self {
            value: sender,
            stop,
            linger,
            task,
        }
    }

    /// Replaces the record. Updates that come faster than the store takes them are merged: the last one wins.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        self.value.send_modify(change);
    }

    /// Takes the record out of the store, so that nobody has to wait for the lease to lapse.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(5), &mut self.task).await;
    }

    /// Leaves the record in the store for `ttl` at most: whoever wrote it means to be back before.
    pub async fn linger(self, ttl: Duration) {
        let _ = self.linger.set(ttl);
        self.stop().await;
    }
}

impl<T> Drop for Presence<T> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What is kept in the store, and for how long without a word.
struct Kept<T: 'static> {
    table: &'static Table<T>,
    key: Key,
    ttl: Duration,
    linger: Arc<OnceLock<Duration>>,
}

async fn keep<T>(
    store: Arc<dyn Store>,
    kept: Kept<T>,
    mut value: watch::Receiver<T>,
    stop: CancellationToken,
) where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    loop {
        // From before it was asked for: the lease begins no earlier than that.
        let alive_until = tokio::time::Instant::now() + kept.ttl;
        let lease = match store.lease(kept.ttl).await {
            Ok(lease) => lease,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, key = %kept.key, "Could not get a lease; will retry");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                }
            }
        };
        let held = (&*lease, alive_until);
        match hold(&*store, &kept, held, &mut value, &stop).await {
            Ok(()) => {
                if let Some(ttl) = kept.linger.get() {
                    let current = value.borrow().clone();
                    if let Err(error) = leave_behind(&*store, &kept, &current, *ttl).await {
                        info!(error = &error as &dyn std::error::Error, key = %kept.key, "Left without a word; the record goes at once");
                    }
                }
                if let Err(error) = lease.revoke().await {
                    info!(error = &error as &dyn std::error::Error, key = %kept.key, "Left; the record goes when its lease lapses");
                }
                return;
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, key = %kept.key, "Lost the lease; will take another");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
            }
        }
    }
}

/// The record under a lease that nobody keeps alive.
async fn leave_behind<T>(
    store: &dyn Store,
    kept: &Kept<T>,
    value: &T,
    ttl: Duration,
) -> Result<(), StoreError>
where
    T: Serialize + DeserializeOwned,
{
    let lease = store.lease(ttl).await?;
    let txn = Txn::new().put_leased(kept.table, kept.key.clone(), value, lease.id());
    txn.commit(store).await?;
    Ok(())
}

/// Until told to stop (`Ok`) or the lease is gone.
async fn hold<T>(
    store: &dyn Store,
    kept: &Kept<T>,
    (lease, mut alive_until): (&dyn Lease, tokio::time::Instant),
    value: &mut watch::Receiver<T>,
    stop: &CancellationToken,
) -> Result<(), StoreError>
where
    T: Serialize + DeserializeOwned + Clone,
{
    let ttl = &kept.ttl;
    // The record's revision as far as it is known: `None` for not at all, else what is there, if anything.
    let mut seen: Option<Option<Revision>> = None;
    let mut every = tokio::time::interval(*ttl / 4);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    value.mark_changed();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = value.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let current = value.borrow_and_update().clone();
                match within(*ttl / 2, "writing a leased record", write(store, kept, &current, lease.id(), seen)).await {
                    Ok(Committed::Done(revision)) => seen = Some(Some(revision)),
                    // Something of ours that was late came first.
                    Ok(Committed::Conflict) => {
                        seen = None;
                        value.mark_changed();
                    }
                    Err(error @ StoreError::LeaseLapsed { .. }) => return Err(error),
                    Err(error) => {
                        // It may have arrived, or may yet arrive. The newest value is written again.
                        warn!(error = &error as &dyn std::error::Error, key = %kept.key, "Could not write; will retry");
                        seen = None;
                        value.mark_changed();
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
            _ = every.tick() => {
                // Counted from when it was sent: the store may have heard us no later than that.
                let sent = tokio::time::Instant::now();
                match within(*ttl / 2, "keeping a lease alive", lease.keep_alive()).await {
                    Ok(()) => alive_until = sent + *ttl,
                    Err(error @ StoreError::LeaseLapsed { .. }) => return Err(error),
                    Err(error) if tokio::time::Instant::now() >= alive_until => return Err(error),
                    Err(_) => {}
                }
            }
        }
    }
}

/// Writes only over what was seen: a write that was given up on and arrives late after all must not undo a newer one.
async fn write<T>(
    store: &dyn Store,
    Kept { table, key, .. }: &Kept<T>,
    value: &T,
    lease: LeaseId,
    seen: Option<Option<Revision>>,
) -> Result<Committed, StoreError>
where
    T: Serialize + DeserializeOwned,
{
    let known = match seen {
        Some(known) => known,
        None => store.get(key).await?.map(|entry| entry.revision),
    };
    let txn = Txn::new().put_leased(table, key.clone(), value, lease);
    let txn = match known {
        Some(revision) => txn.at_revision(key.clone(), revision),
        None => txn.absent(key.clone()),
    };
    txn.commit(store).await
}

/// A call that hangs (on a member of the store that died) must leave time for another before the lease lapses.
async fn within<T>(
    limit: Duration,
    doing: &'static str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(StoreError::unavailable(doing, elapsed)),
    }
}
