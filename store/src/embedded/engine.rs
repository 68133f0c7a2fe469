//! The file: its tables, its reads, and one function that applies a batch of writes. All of it blocks.
//!
//! The engine refuses everything after an I/O error (a full disk, say) until it is opened again, which happens here with
//! the next call. Whether the commit that failed took place is then read from the file; if it did, watchers resync.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use model::Revision;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable, StorageBackend, Table,
    TableDefinition,
};

use super::leases::Leases;
use crate::history::{FIRST_REVISION, History};
use crate::{
    Commit, Committed, Compare, Entry, Event, Key, LeaseId, Listing, Op, StoreError, WatchBatch,
};

/// Key: revision of the last write, lease (0 for none), value.
const ENTRIES: TableDefinition<'_, &str, (u64, i64, &[u8])> = TableDefinition::new("entries");
/// The keys under each lease.
const LEASED: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("leased");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const REVISION: &str = "revision";
const FORMAT: &str = "format";
const THIS_FORMAT: u64 = 1;

const CACHE_BYTES: usize = 16 * 1024 * 1024;
const NO_LEASE: i64 = 0;

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

/// One write of a batch.
#[derive(Debug)]
pub(super) enum Work {
    Commit(Commit),
    /// Of a lease that is known, and marked as ending.
    EndLease(LeaseId),
}

/// What became of a batch: an outcome for each work, and the changes, a batch for each revision.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) outcomes: Vec<Result<Committed, StoreError>>,
    pub(super) batches: Vec<WatchBatch>,
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
        let revision = prepare(&database).map_err(|error| files(&path, error))?;
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
        self.reading("reading a key", |database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            let Some(found) = entries.get(key.as_str())? else {
                return Ok(None);
            };
            let (revision, _, value) = found.value();
            Ok(Some(Entry {
                key: key.clone(),
                value: Bytes::copy_from_slice(value),
                revision,
            }))
        })
    }

    pub(super) fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.reading("listing keys", |database| {
            let snapshot = database.begin_read()?;
            let revision = revision(&snapshot.open_table(META)?)?;
            let mut entries = Vec::new();
            for item in snapshot.open_table(ENTRIES)?.range(prefix.as_str()..)? {
                let (key, found) = item?;
                if !key.value().starts_with(prefix.as_str()) {
                    break;
                }
                let (revision, _, value) = found.value();
                let key = Key::from_text(key.value());
                entries.push(Entry {
                    key,
                    value: Bytes::copy_from_slice(value),
                    revision,
                });
            }
            Ok(Listing { revision, entries })
        })
    }

    /// Applies all of `works`, in order, in one transaction: when this returns, it is durable.
    pub(super) fn apply(&self, works: &[Work], leases: &Leases) -> Result<Applied, StoreError> {
        let database = self.database("committing")?;
        apply(&database, works, leases).map_err(|error| self.broken("committing", &database, error))
    }

    pub(super) fn close(&self) {
        *self.lock() = Slot::Closed;
    }

    fn reading<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database(doing)?;
        read(&database).map_err(|error| self.broken(doing, &database, error))
    }

    fn database(&self, doing: &'static str) -> Result<Arc<Database>, StoreError> {
        let mut slot = self.lock();
        match &*slot {
            Slot::Open(database) => Ok(database.clone()),
            Slot::Closed => Err(StoreError::closed(doing)),
            Slot::Broken => {
                let unavailable = |error| StoreError::unavailable(doing, error);
                let database = Arc::new((self.opener)().map_err(unavailable)?);
                let revision = stored_revision(&database)
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

#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error("could not read what it holds")]
    Engine(#[source] redb::Error),
    #[error("it has format {found}, and this program reads format {THIS_FORMAT}")]
    Format { found: u64 },
}

impl<E: Into<redb::Error>> From<E> for PrepareError {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

/// Makes the tables of a new file; ends all leases of an old one. Answers with the revision that it is then at.
fn prepare(database: &Database) -> Result<Revision, PrepareError> {
    let txn = database.begin_write()?;
    let revision = {
        let mut tables = Tables {
            entries: txn.open_table(ENTRIES)?,
            leased: txn.open_table(LEASED)?,
        };
        let mut meta = txn.open_table(META)?;
        let found = meta.get(FORMAT)?.map(|format| format.value());
        match found {
            None => {
                meta.insert(FORMAT, THIS_FORMAT)?;
                meta.insert(REVISION, FIRST_REVISION)?;
            }
            Some(THIS_FORMAT) => {}
            Some(found) => return Err(PrepareError::Format { found }),
        }
        let mut revision = revision(&meta)?;
        if tables
            .end_leases(i64::MIN..=i64::MAX, revision + 1)?
            .is_some()
        {
            revision += 1;
            meta.insert(REVISION, revision)?;
        }
        revision
    };
    txn.commit()?;
    Ok(revision)
}

fn stored_revision(database: &Database) -> Result<Revision, redb::Error> {
    revision(&database.begin_read()?.open_table(META)?)
}

fn revision(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, redb::Error> {
    Ok(meta
        .get(REVISION)?
        .map_or(FIRST_REVISION, |revision| revision.value()))
}

fn apply(database: &Database, works: &[Work], leases: &Leases) -> Result<Applied, redb::Error> {
    let txn = database.begin_write()?;
    let mut applied = Applied::default();
    {
        let mut tables = Tables {
            entries: txn.open_table(ENTRIES)?,
            leased: txn.open_table(LEASED)?,
        };
        let mut meta = txn.open_table(META)?;
        let mut revision = revision(&meta)?;
        for work in works {
            let changed = match work {
                Work::Commit(commit) => match tables.try_commit(commit, revision + 1, leases)? {
                    Ok(changed) => changed,
                    Err(refused) => {
                        applied.outcomes.push(refused);
                        continue;
                    }
                },
                Work::EndLease(lease) => tables.end_leases(lease.0..=lease.0, revision + 1)?,
            };
            if let Some(batch) = changed {
                revision = batch.revision;
                applied.batches.push(batch);
            }
            applied.outcomes.push(Ok(Committed::Done(revision)));
        }
        if !applied.batches.is_empty() {
            meta.insert(REVISION, revision)?;
        }
    }
    if applied.batches.is_empty() {
        txn.abort()?;
    } else {
        txn.commit()?;
    }
    Ok(applied)
}

struct Tables<'txn> {
    entries: Table<'txn, &'static str, (u64, i64, &'static [u8])>,
    leased: Table<'txn, (i64, &'static str), ()>,
}

/// The changes of one work, or `None` if it changed nothing.
type Changed = Option<WatchBatch>;

impl Tables<'_> {
    fn try_commit(
        &mut self,
        commit: &Commit,
        revision: Revision,
        leases: &Leases,
    ) -> Result<Result<Changed, Result<Committed, StoreError>>, redb::Error> {
        for compare in &commit.compares {
            if !self.holds(compare)? {
                return Ok(Err(Ok(Committed::Conflict)));
            }
        }
        for op in &commit.ops {
            if let Op::Put {
                lease: Some(lease), ..
            } = op
                && !leases.is_alive(*lease)
            {
                return Ok(Err(Err(StoreError::LeaseLapsed { lease: lease.0 })));
            }
        }
        let mut events = Vec::with_capacity(commit.ops.len());
        for op in &commit.ops {
            match op {
                Op::Put { key, value, lease } => {
                    self.put(key, value, *lease, revision)?;
                    events.push(Event::Put(Entry {
                        key: key.clone(),
                        value: value.clone(),
                        revision,
                    }));
                }
                Op::Delete { key } => {
                    if self.delete(key)? {
                        events.push(Event::Delete {
                            key: key.clone(),
                            revision,
                        });
                    }
                }
            }
        }
        Ok(Ok(
            (!events.is_empty()).then_some(WatchBatch { revision, events })
        ))
    }

    fn holds(&self, compare: &Compare) -> Result<bool, redb::Error> {
        let written = |key: &Key| -> Result<Option<Revision>, redb::Error> {
            Ok(self.entries.get(key.as_str())?.map(|found| found.value().0))
        };
        Ok(match compare {
            Compare::Revision { key, revision } => written(key)? == Some(*revision),
            Compare::Absent { key } => written(key)?.is_none(),
            Compare::Exists { key } => written(key)?.is_some(),
        })
    }

    fn put(
        &mut self,
        key: &Key,
        value: &[u8],
        lease: Option<LeaseId>,
        revision: Revision,
    ) -> Result<(), redb::Error> {
        let lease = lease.map_or(NO_LEASE, |lease| lease.0);
        let key = key.as_str();
        let old_lease = self
            .entries
            .insert(key, (revision, lease, value))?
            .map_or(NO_LEASE, |old| old.value().1);
        if old_lease != lease {
            if old_lease != NO_LEASE {
                self.leased.remove((old_lease, key))?;
            }
            if lease != NO_LEASE {
                self.leased.insert((lease, key), ())?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Result<bool, redb::Error> {
        let Some(lease) = self.entries.remove(key.as_str())?.map(|old| old.value().1) else {
            return Ok(false);
        };
        if lease != NO_LEASE {
            self.leased.remove((lease, key.as_str()))?;
        }
        Ok(true)
    }

    /// Deletes every key under these leases.
    fn end_leases(
        &mut self,
        leases: std::ops::RangeInclusive<i64>,
        revision: Revision,
    ) -> Result<Changed, redb::Error> {
        let mut keys = Vec::new();
        for item in self.leased.range((*leases.start(), "")..)? {
            let (row, ()) = item.map(|(row, _)| (row, ()))?;
            let (lease, key) = row.value();
            if lease > *leases.end() {
                break;
            }
            keys.push(Key::from_text(key));
        }
        let mut events = Vec::with_capacity(keys.len());
        for key in keys {
            if self.delete(&key)? {
                events.push(Event::Delete { key, revision });
            }
        }
        events.sort_by(|a, b| a.key().cmp(b.key()));
        Ok((!events.is_empty()).then_some(WatchBatch { revision, events }))
    }
}
