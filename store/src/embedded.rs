//! The embedded backend: one process, one file (`store.redb`), no server to run.
//!
//! One writer task takes commits off a queue and puts as many as wait there into one transaction with one fsync (group
//! commit); each still gets a revision of its own. Readers go straight to the engine's snapshots. Watchers read the
//! in-memory history of recent changes.
//!
//! **Leases.** The file is open in one process only, and so every holder of a lease lived in that process. When the
//! file is opened, all of them are dead: the keys they left behind are deleted, in one revision, before anything is served.
//!
//! Not done here: the history is not kept across restarts. Watchers do not survive them either.

mod engine;
#[cfg(test)]
mod faults;
mod leases;
mod tables;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::Revision;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::engine::Engine;
use self::leases::Leases;
use self::writer::{Request, Writer};
use crate::history::History;
use crate::{
    Commit, Committed, Entry, Key, Lease, LeaseId, Listing, Store, StoreError, StoreStatus, Watch,
};

/// The file below the directory that [`Embedded::open`] is given.
pub const FILE_NAME: &str = "store.redb";

const CALL_DEADLINE: Duration = Duration::from_secs(5);
const QUEUE_LENGTH: usize = 1024;

/// A store in this process. Dropping it ends its writer; [`Embedded::close`] also waits for that.
pub struct Embedded {
    engine: Arc<Engine>,
    history: Arc<History>,
    leases: Arc<Leases>,
    queue: mpsc::Sender<Request>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _stop_when_dropped: DropGuard,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens or makes the store in `dir`. Blocks while the file is read (and repaired after a crash); needs a tokio
    /// runtime, which the writer lives in. Fails if another process has the file open.
    pub fn open(dir: impl AsRef<Path>) -> Result<Arc<Self>, StoreError> {
        let path: PathBuf = dir.as_ref().join(FILE_NAME);
        Self::start(Engine::on_disk(path)?)
    }

    /// A store without a file, for tests.
    pub fn open_in_memory() -> Result<Arc<Self>, StoreError> {
        Self::start(Engine::in_memory()?)
    }

    fn start((engine, history): (Engine, Arc<History>)) -> Result<Arc<Self>, StoreError> {
        let (engine, leases) = (Arc::new(engine), Arc::new(Leases::default()));
        let (queue, inbox) = mpsc::channel(QUEUE_LENGTH);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let writer = Writer {
            engine: engine.clone(),
            history: history.clone(),
            leases: leases.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(writer.run(inbox));
        let guard = stop.clone().drop_guard();
        Ok(Arc::new(Self {
            engine,
            history,
            leases,
            queue,
            stop,
            tasks,
            _stop_when_dropped: guard,
        }))
    }

    /// Ends the writer and gives the file back, so that it can be opened again. Every later call fails.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.engine.close();
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = self.engine.clone();
        let reading = tokio::task::spawn_blocking(move || read(&engine));
        within_deadline(doing, async {
            reading
                .await
                .map_err(|error| StoreError::unavailable(doing, error))?
        })
        .await
    }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let key = key.clone();
        self.read("reading a key", move |engine| engine.get(&key))
            .await
    }

    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        let prefix = prefix.clone();
        self.read("listing keys", move |engine| engine.list(&prefix))
            .await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        commit.check_limits()?;
        ask(&self.queue, "committing", |reply| Request::Commit {
            commit,
            reply,
        })
        .await
    }

    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        Ok(self.history.clone().watch(prefix.clone(), after))
    }

    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        let id = self.leases.grant(ttl);
        Ok(Arc::new(EmbeddedLease {
            id,
            leases: self.leases.clone(),
            queue: self.queue.clone(),
        }))
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        self.read("counting keys", Engine::status).await
    }
}

/// Keeping it alive touches memory only: it never waits for the disk.
#[derive(Debug)]
struct EmbeddedLease {
    id: LeaseId,
    leases: Arc<Leases>,
    queue: mpsc::Sender<Request>,
}

#[async_trait]
impl Lease for EmbeddedLease {
    fn id(&self) -> LeaseId {
        self.id
    }

    async fn keep_alive(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::closed("keeping a lease alive"));
        }
        self.leases.keep_alive(self.id)
    }

    async fn revoke(&self) -> Result<(), StoreError> {
        ask(&self.queue, "revoking a lease", |reply| Request::Revoke {
            lease: self.id,
            reply,
        })
        .await
    }
}

async fn ask<T>(
    queue: &mpsc::Sender<Request>,
    doing: &'static str,
    request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    within_deadline(doing, async {
        queue
            .send(request(reply))
            .await
            .map_err(|_| StoreError::closed(doing))?;
        answer.await.map_err(|_| StoreError::closed(doing))?
    })
    .await
}

async fn within_deadline<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(CALL_DEADLINE, work)
        .await
        .map_err(|elapsed| StoreError::unavailable(doing, elapsed))?
}
