//! "I am here": a record that lives exactly as long as whoever wrote it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Committed, Key, Lease, Store, StoreError, Table, Txn};

/// How long after its holder's death a record stays.
pub const TTL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(3);

/// Keeps one leased record in the store, through store outages and lapsed leases, until it is stopped or dropped.
pub struct Presence<T> {
    value: watch::Sender<T>,
    stop: CancellationToken,
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
    pub fn start(store: Arc<dyn Store>, table: &'static Table<T>, key: Key, value: T) -> Self {
        let (sender, receiver) = watch::channel(value);
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(store, table, key, receiver, stop.clone()));
        Self {
            value: sender,
            stop,
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
}

impl<T> Drop for Presence<T> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep<T>(
    store: Arc<dyn Store>,
    table: &'static Table<T>,
    key: Key,
    mut value: watch::Receiver<T>,
    stop: CancellationToken,
) where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    loop {
        // From before it was asked for: the lease begins no earlier than that.
        let alive_until = tokio::time::Instant::now() + TTL;
        let lease = match store.lease(TTL).await {
            Ok(lease) => lease,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, %key, "Could not get a lease; will retry");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                }
            }
        };
        match hold(
            &*store,
            table,
            &key,
            (&*lease, alive_until),
            &mut value,
            &stop,
        )
        .await
        {
            Ok(()) => {
                if let Err(error) = lease.revoke().await {
                    info!(error = &error as &dyn std::error::Error, %key, "Left; the record goes when its lease lapses");
                }
                return;
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, %key, "Lost the lease; will take another");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
            }
        }
    }
}

/// Until told to stop (`Ok`) or the lease is gone.
async fn hold<T>(
    store: &dyn Store,
    table: &Table<T>,
    key: &Key,
    (lease, mut alive_until): (&dyn Lease, tokio::time::Instant),
    value: &mut watch::Receiver<T>,
    stop: &CancellationToken,
) -> Result<(), StoreError>
where
    T: Serialize + DeserializeOwned + Clone,
{
    let mut every = tokio::time::interval(KEEP_ALIVE_EVERY);
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
                let txn = Txn::new().put_leased(table, key.clone(), &current, lease.id());
                match txn.commit(store).await {
                    Ok(Committed::Done(_) | Committed::Conflict) => {}
                    Err(error @ StoreError::LeaseLapsed { .. }) => return Err(error),
                    Err(error) => {
                        // The value stays the newest one: it is written again with the next keep-alive.
                        warn!(error = &error as &dyn std::error::Error, %key, "Could not write; will retry");
                        value.mark_changed();
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
            _ = every.tick() => {
                // Counted from when it was sent: the store may have heard us no later than that.
                let sent = tokio::time::Instant::now();
                match lease.keep_alive().await {
                    Ok(()) => alive_until = sent + TTL,
                    Err(error @ StoreError::LeaseLapsed { .. }) => return Err(error),
                    Err(error) if tokio::time::Instant::now() >= alive_until => return Err(error),
                    Err(_) => {}
                }
            }
        }
    }
}
