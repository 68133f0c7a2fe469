//! The file: opened, used, and opened again after trouble. All of it blocks.
//!
//! The engine refuses everything after an I/O error (a full disk, say) until it is opened again, which happens here with
//! the next call. Whether the commit that failed took place is then read from the file; if it did, watchers resync.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::leases::Leases;
use super::tables::{self, Applied, Work};
use crate::history::History;
use crate::status::{BackendStatus, StoreStatus};
use crate::{Entry, Key, Listing, StoreError};

const CACHE_BYTES: usize = 16 * 1024 * 1024;

pub(super) type Opener = Box<dyn Fn() -> Result<Database, StoreError> + Send + Sync>;

pub(super) struct Engine {
    path: PathBuf,
    opener: Opener,
    history: Arc<History>,
    /// Held while the database is opened again, else only to clone the handle.
    slot: Mutex<Slot>,
}

enum Slot {
    Open(Arc<Database>),
    /// It had an I/O error; the next call opens it again.
    Broken,
    Closed,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn on_disk(path: PathBuf) -> Result<(Self, Arc<History>), StoreError> {
        let at = path.clone();
        Self::new(path, Box::new(move || open_file(&at)))
    }

    pub(super) fn in_memory() -> Result<(Self, Arc<History>), StoreError> {
        let path = PathBuf::from(":memory:");
        let at = path.clone();
        Self::new(
            path,
            Box::new(move || open_with(&at, InMemoryBackend::new())),
        )
    }

    pub(super) fn new(path: PathBuf, opener: Opener) -> Result<(Self, Arc<History>), StoreError> {
        let database = opener()?;
        let revision = tables::prepare(&database).map_err(|error| files(&path, error))?;
        let history = History::after(revision);
        let slot = Mutex::new(Slot::Open(Arc::new(database)));
        Ok((
            Self {
                path,
                opener,
                history: history.clone(),
                slot,
            },
            history,
        ))
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.with_database("reading a key", |database| tables::get(database, key))
    }

    pub(super) fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.with_database("listing keys", |database| tables::list(database, prefix))
    }

    pub(super) fn status(&self) -> Result<StoreStatus, StoreError> {
        let (revision, keys) = self.with_database("counting keys", tables::size)?;
        // A store in memory has no file.
        let file_bytes = fs_err::metadata(&self.path).map_or(0, |file| file.len());
        Ok(StoreStatus {
            revision,
            keys,
            backend: BackendStatus::Embedded { file_bytes },
        })
    }

    /// Applies all of `works`, in order, in one transaction: when this returns, it is durable.
    pub(super) fn apply(&self, works: &[Work], leases: &Leases) -> Result<Applied, StoreError> {
        self.with_database("committing", |database| {
            tables::apply(database, works, leases)
        })
    }

    pub(super) fn close(&self) {
        *self.lock() = Slot::Closed;
    }

    fn with_database<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database(doing)?;
        work(&database).map_err(|error| self.broken(doing, &database, error))
    }

    fn database(&self, doing: &'static str) -> Result<Arc<Database>, StoreError> {
        let mut slot = self.lock();
        match &*slot {
            Slot::Open(database) => Ok(database.clone()),
            Slot::Closed => Err(StoreError::closed(doing)),
            Slot::Broken => {
                let unavailable = |error| StoreError::unavailable(doing, error);
                let database = Arc::new((self.opener)().map_err(unavailable)?);
                let revision = tables::stored_revision(&database)
                    .map_err(|error| StoreError::unavailable(doing, error))?;
                if revision != self.history.newest() {
                    self.history.restart_after(revision);
                }
                *slot = Slot::Open(database.clone());
                tracing::info!(path = %self.path.display(), revision, "Opened the store's file again");
                Ok(database)
            }
        }
    }

    fn broken(
        &self,
        doing: &'static str,
        database: &Arc<Database>,
        error: redb::Error,
    ) -> StoreError {
        let mut slot = self.lock();
        if matches!(&*slot, Slot::Open(current) if Arc::ptr_eq(current, database)) {
            *slot = Slot::Broken;
        }
        StoreError::unavailable(doing, error)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    if let Some(dir) = path.parent() {
        fs_err::create_dir_all(dir).map_err(|error| files(path, error))?;
    }
    let file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| files(path, error))?;
    if let Some(dir) = path.parent() {
        // The file's name must survive a crash as well as what is in it.
        fs_err::File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| files(path, error))?;
    }
    let backend = FileBackend::new(file.into_parts().0).map_err(|error| open_error(path, error))?;
    open_with(path, backend)
}

pub(super) fn open_with(path: &Path, backend: impl StorageBackend) -> Result<Database, StoreError> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|error| open_error(path, error))
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => files(
            path,
            "another process has it open; an embedded store serves one process, etcd serves many",
        ),
        error => files(path, error),
    }
}

pub(super) fn files(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Files {
        path: path.to_owned(),
        source: source.into(),
    }
}
