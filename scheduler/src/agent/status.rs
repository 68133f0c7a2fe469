//! Writes the node's dyno statuses down: the newest of each dyno, as soon as the store takes it.
//!
//! Keepers say how things are and go on; nobody waits for the store. Only changes are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use model::{AppId, DynoId, DynoStatus, NodeId, Revision};
use store::{Committed, Store, StoreError, Txn, key};
use tokio::sync::Notify;
use tracing::warn;

const AT_ONCE: usize = 16;
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Statuses {
    node: NodeId,
    store: Arc<dyn Store>,
    /// Guards the tables; never held across a wait.
    tables: Mutex<Tables>,
    changed: Notify,
    /// Told when nothing is left to be written.
    flushed: Notify,
}

#[derive(Debug, Default)]
struct Tables {
    /// What should be in the store.
    said: BTreeMap<DynoId, DynoStatus>,
    /// To be written, or (when nothing is said of it any more) deleted.
    dirty: BTreeMap<DynoId, AppId>,
    /// Our last write of each.
    written: BTreeMap<DynoId, Revision>,
    /// Rounds of writing that are under way.
    rounds: u32,
}

impl Statuses {
    pub(crate) fn new(node: NodeId, store: Arc<dyn Store>) -> Self {
        Self {
            node,
            store,
            tables: Mutex::default(),
            changed: Notify::new(),
            flushed: Notify::new(),
        }
    }

    /// What an earlier agent left in the store, as it is there.
    pub(crate) fn take_over(&self, status: DynoStatus, revision: Revision) {
        let mut tables = self.tables();
        tables.written.insert(status.dyno, revision);
        tables.said.insert(status.dyno, status);
    }

    pub(crate) fn say(&self, status: DynoStatus) {
        {
            let mut tables = self.tables();
            if tables
                .said
                .get(&status.dyno)
                .is_some_and(|said| said.state == status.state && said.restarts == status.restarts)
            {
                return;
            }
            tables.dirty.insert(status.dyno, status.app);
            tables.said.insert(status.dyno, status);
        }
        self.changed.notify_one();
    }

    /// There is nothing to say of it any more.
    pub(crate) fn forget(&self, app: AppId, dyno: DynoId) {
        {
            let mut tables = self.tables();
            tables.said.remove(&dyno);
            tables.dirty.insert(dyno, app);
        }
        self.changed.notify_one();
    }

    /// Compares what is said with all that the store holds of this node; writes again what got lost there.
    pub(crate) fn compare(
        &self,
        stored: &BTreeMap<DynoId, (DynoStatus, Revision)>,
        dynos: &BTreeSet<DynoId>,
    ) {
        {
            let mut tables = self.tables();
            let lost: Vec<_> = tables
                .said
                .values()
                .filter(|said| dynos.contains(&said.dyno))
                .filter(|said| {
                    stored
                        .get(&said.dyno)
                        .is_none_or(|(stored, _)| stored != *said)
                })
                .map(|said| (said.dyno, said.app))
                .collect();
            tables.dirty.extend(lost);
        }
        self.changed.notify_one();
    }

    /// Returns when all that was said so far is in the store.
    pub(crate) async fn flushed(&self) {
        loop {
            let flushed = self.flushed.notified();
            let is_flushed = {
                let tables = self.tables();
                tables.dirty.is_empty() && tables.rounds == 0
            };
            if is_flushed {
                return;
            }
            flushed.await;
        }
    }

    /// Writes for ever.
    pub(crate) async fn run(&self) {
        loop {
            self.changed.notified().await;
            while !self.write_all().await {
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Tries each once; whether all went well.
    pub(crate) async fn write_all(&self) -> bool {
        let dirty = {
            let mut tables = self.tables();
            tables.rounds += 1;
            std::mem::take(&mut tables.dirty)
        };
        let failed: Vec<_> = futures::stream::iter(dirty)
            .map(|(dyno, app)| async move {
                let status = self.tables().said.get(&dyno).cloned();
                let written = match &status {
                    Some(status) => self.write(status).await,
                    None => self.delete(app, dyno).await,
                };
                written.err().map(|error| (dyno, app, error))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if let Some((_, _, error)) = failed.first() {
            warn!(
                error = error as &dyn std::error::Error,
                dynos = failed.len(),
                "Could not write statuses; will retry"
            );
        }
        let all_went_well = failed.is_empty();
        {
            let mut tables = self.tables();
            tables.rounds -= 1;
            let failed = failed.into_iter().map(|(dyno, app, _)| (dyno, app));
            tables.dirty.extend(failed);
        }
        self.flushed.notify_waiters();
        all_went_well
    }

    async fn write(&self, status: &DynoStatus) -> Result<(), StoreError> {
        let (place, record) = (
            key::dyno_status(status.app, status.dyno),
            key::dyno(status.app, status.dyno),
        );
        let mut seen = self.tables().written.get(&status.dyno).copied();
        // The second time it is known what is there. A third would mean somebody else writes it: they are asked to stop.
        for _ in 0..3 {
            let txn =
                Txn::new()
                    .exists(record.clone())
                    .put(&key::DYNO_STATUS, place.clone(), status);
            let txn = match seen {
                Some(revision) => txn.at_revision(place.clone(), revision),
                None => txn.absent(place.clone()),
            };
            if let Committed::Done(revision) = txn.commit(&*self.store).await? {
                self.tables().written.insert(status.dyno, revision);
                return Ok(());
            }
            match key::DYNO_STATUS.get(&*self.store, &place).await? {
                Some(found) if found.value.node != self.node => return Ok(()),
                Some(found) => seen = Some(found.revision),
                None => seen = None,
            }
            if self.store.get(&record).await?.is_none() {
                return Ok(());
            }
        }
        Err(StoreError::Contended { attempts: 3 })
    }

    async fn delete(&self, app: AppId, dyno: DynoId) -> Result<(), StoreError> {
        let place = key::dyno_status(app, dyno);
        if let Some(found) = key::DYNO_STATUS.get(&*self.store, &place).await?
            && found.value.node == self.node
            && Txn::new()
                .unchanged(&found)
                .delete(place)
                .commit(&*self.store)
                .await?
                == Committed::Conflict
        {
            return Err(StoreError::Contended { attempts: 1 });
        }
        self.tables().written.remove(&dyno);
        Ok(())
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
