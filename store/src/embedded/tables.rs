//! What is in the file, and how it is read and written. All of it blocks.

use bytes::Bytes;
use model::Revision;
use redb::{
    Database, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _, Table,
    TableDefinition,
};

use super::leases::Leases;
use crate::history::FIRST_REVISION;
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

const NO_LEASE: i64 = 0;

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

pub(super) fn get(database: &Database, key: &Key) -> Result<Option<Entry>, redb::Error> {
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
}

pub(super) fn list(database: &Database, prefix: &Key) -> Result<Listing, redb::Error> {
    let snapshot = database.begin_read()?;
    let revision = revision(&snapshot.open_table(META)?)?;
    let mut entries = Vec::new();
    for item in snapshot.open_table(ENTRIES)?.range(prefix.as_str()..)? {
        let (key, found) = item?;
        if !key.value().starts_with(prefix.as_str()) {
            break;
        }
        let (revision, _, value) = found.value();
        entries.push(Entry {
            key: Key::from_text(key.value()),
            value: Bytes::copy_from_slice(value),
            revision,
        });
    }
    Ok(Listing { revision, entries })
}

/// The revision, and how many keys there are.
pub(super) fn size(database: &Database) -> Result<(Revision, u64), redb::Error> {
    let snapshot = database.begin_read()?;
    let revision = revision(&snapshot.open_table(META)?)?;
    Ok((revision, snapshot.open_table(ENTRIES)?.len()?))
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
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
pub(super) fn prepare(database: &Database) -> Result<Revision, PrepareError> {
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

pub(super) fn stored_revision(database: &Database) -> Result<Revision, redb::Error> {
    revision(&database.begin_read()?.open_table(META)?)
}

fn revision(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, redb::Error> {
    Ok(meta
        .get(REVISION)?
        .map_or(FIRST_REVISION, |revision| revision.value()))
}

pub(super) fn apply(
    database: &Database,
    works: &[Work],
    leases: &Leases,
) -> Result<Applied, redb::Error> {
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
